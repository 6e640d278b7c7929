"""pipeline("fill-mask"): transformers' answers and formats, batches, devices, clear errors."""

import os
import re
import subprocess
import sys
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from keras_roformer.pipelines import pipeline, pipeline_base
from keras_roformer.pipelines.devices import DEVICES
from keras_roformer.tokenizers import RoFormerTokenizerFast
from tests.pipelines import pipeline_tools as tools
from tests.tolerances import FLOAT32

CHECKPOINT = "tests/oracle/checkpoints/roformer_chinese_base"
TEXTS = [
    "今天[MASK]非常好。",
    "[MASK]天",
    "my dog is [MASK], the capital of france is paris. today 今天天氣非常好。",
    "paris is the capital of [MASK].",
    "[MASK]",
]


@pytest.fixture(scope="module")
def checkpoint(request):
    return str(request.config.rootpath / CHECKPOINT)


@pytest.fixture(scope="module")
def fill(checkpoint):
    return pipeline("fill-mask", checkpoint)


@pytest.fixture(scope="module")
def reference(checkpoint):
    """transformers' own pipeline on the same weights, with character-level tokens."""
    transformers = pytest.importorskip("transformers")
    return transformers.FillMaskPipeline(
        model=transformers.RoFormerForMaskedLM.from_pretrained(checkpoint),
        tokenizer=transformers.BertTokenizerFast(f"{checkpoint}/vocab.txt"),
    )


@pytest.fixture(scope="module")
def fill_characters(checkpoint):
    tokenizer = RoFormerTokenizerFast(f"{checkpoint}/vocab.txt", use_jieba=False)
    return pipeline("fill-mask", checkpoint, tokenizer)


def assert_same(results, expected):
    tools.assert_same(results, expected, FLOAT32)


@pytest.mark.parametrize(
    "inputs, arguments",
    [
        ("今天[MASK]好。", {}),
        ("今天[MASK]好。", {"top_k": 3}),
        ("今天[MASK]好。", {"targets": ["天", "today", "dog"]}),
        ("今天[MASK]好。", {"targets": "天"}),
        ("[MASK]天[MASK]好", {"top_k": 2}),
        (["今天[MASK]好。"], {}),
        (
            "今天[MASK]好。paris is",
            {"tokenizer_kwargs": {"truncation": True, "max_length": 6, "padding": True}},
        ),
        ("今天[MASK]好。", {"tokenizer_kwargs": {"add_special_tokens": False}}),
        (["今天[MASK]好。", "paris is the [MASK] of france", "[MASK]天[MASK]"], {"top_k": 2}),
    ],
    ids=lambda value: str(value)[:20],
)
def test_results_equal_transformers(fill_characters, reference, inputs, arguments):
    assert_same(fill_characters(inputs, **arguments), reference(inputs, **arguments))


def test_a_word_that_is_no_token_is_its_first_piece(fill_characters, reference, caplog):
    results = fill_characters("今天[MASK]好。", targets=["天氣", "dog"])
    assert {answer["token_str"] for answer in results} == {"天", "dog"}
    assert "target '天氣' is no token; its first piece '天'" in caplog.text
    assert_same(results, reference("今天[MASK]好。", targets=["天氣", "dog"]))


def test_order_and_numbers_do_not_depend_on_the_batch(fill):
    alone = [fill(text) for text in TEXTS]
    for size in (1, 2, 32):
        assert_same(fill(TEXTS, batch_size=size), alone)
    assert_same(fill(tuple(TEXTS)), alone)
    assert fill([]) == []


def test_a_generator_streams(fill):
    taken = []

    def texts():
        for text in TEXTS * 20:
            taken.append(text)
            yield text

    results = fill(texts(), batch_size=2, top_k=1)
    assert isinstance(results, types.GeneratorType) and not taken
    first = next(results)
    assert len(taken) == 32  # a window, not everything
    assert_same([first, *results], fill(TEXTS * 20, top_k=1))


def test_many_logits_make_smaller_batches(fill, monkeypatch):
    sizes = []
    predict = type(fill)._predict

    def spy(self, rows, options):
        sizes.append(len(rows))
        return predict(self, rows, options)

    monkeypatch.setattr(type(fill), "_predict", spy)
    monkeypatch.setattr(pipeline_base, "MOST_OUTPUTS", 2 * fill.model.config.vocab_size)
    expected = [fill(text) for text in TEXTS]
    sizes.clear()
    assert_same(fill(TEXTS), expected)
    assert sizes == [2, 2, 1]


def test_scores_are_sorted_probabilities(fill):
    answers = fill("今天[MASK]好。", top_k=10_000)
    scores = [answer["score"] for answer in answers]
    assert len(answers) == fill.model.config.vocab_size
    assert scores == sorted(scores, reverse=True)
    np.testing.assert_allclose(sum(scores), 1, **FLOAT32)


def test_defaults_of_the_calls(checkpoint):
    fill = pipeline("fill-mask", checkpoint, batch_size=2, top_k=1, targets=["天", "好"])
    assert len(fill("[MASK]天")) == 1
    assert len(fill("[MASK]天", top_k=5)) == 2  # no more than targets
    assert fill.batch_size == 2


def test_a_model_in_memory(fill, checkpoint):
    expected = fill("今天[MASK]好。")
    again = pipeline("fill-mask", fill.model)  # knows where it came from
    assert again.model is fill.model
    assert_same(again("今天[MASK]好。"), expected)
    with_tokenizer = pipeline("fill-mask", fill.model, fill.tokenizer)
    assert with_tokenizer.tokenizer is fill.tokenizer
    with pytest.raises(ValueError, match="in memory already"):
        pipeline("fill-mask", fill.model, dtype="bfloat16")
    nameless = type(fill.model)(type(fill.model.config)(**{**fill.model.config.to_dict()}))
    nameless.config.name_or_path = ""
    with pytest.raises(ValueError, match="does not say where its tokenizer is"):
        pipeline("fill-mask", nameless)


def test_a_model_that_changes(checkpoint):
    """Nothing that was compiled for the weights of before is run."""
    fill = pipeline("fill-mask", checkpoint)
    before = fill(TEXTS)
    fill.model.prune_heads({0: [1]})
    after = fill(TEXTS)
    assert before[0][0]["score"] != after[0][0]["score"]
    assert_same(after, pipeline("fill-mask", fill.model, fill.tokenizer)(TEXTS))


def test_threads_share_a_pipeline(checkpoint, fill):
    """From its first call on, when what they run is made."""
    expected = [fill(text) for text in TEXTS]
    shared = pipeline("fill-mask", checkpoint)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(shared, TEXTS * 2))
    assert_same(found, expected * 2)


@pytest.mark.parametrize("device", [-1, "cpu", "cpu:0"])
def test_on_the_cpu(fill, checkpoint, device, caplog):
    on_cpu = pipeline("fill-mask", checkpoint, device=device)
    assert_same(on_cpu(TEXTS), fill(TEXTS))
    assert not caplog.text


@pytest.fixture
def no_gpu(backend, monkeypatch):
    """The suite may run where there is one."""
    monkeypatch.setattr(DEVICES[backend], "has_gpu", lambda: False)


@pytest.mark.parametrize("device", [0, "cuda:0", "gpu"])
def test_no_gpu(no_gpu, fill, checkpoint, device, caplog):
    on_cpu = pipeline("fill-mask", checkpoint, device=device)
    warning = f"device={device!r} is a GPU, but there is none here: the pipeline runs on the CPU"
    assert caplog.messages == [warning]
    assert_same(on_cpu("今天[MASK]好。"), fill("今天[MASK]好。"))


def test_the_documented_call_without_a_gpu(no_gpu, checkpoint, fill, caplog, backend):
    """The document's opening example but for its names: it warns and runs in float32 on the CPU."""
    half = {"torch": "torch", "jax": "jax.numpy", "tensorflow": "tensorflow"}[backend]
    dtype = getattr(pytest.importorskip(half), "float16")  # noqa: B009
    pipe = pipeline(task="fill-mask", model=checkpoint, torch_dtype=dtype, device=0)
    assert "device=0 is a GPU, but there is none here" in caplog.text
    assert "float16 is for a GPU; the pipeline runs in float32" in caplog.text
    assert_same(pipe("今天[MASK]好。"), fill("今天[MASK]好。"))


@pytest.mark.framework_free
@pytest.mark.parametrize("dtype", ["torch.float16", "tensorflow.float16", "jax.numpy.float16"])
def test_a_frameworks_dtype_means_its_backend(checkpoint, dtype):
    """As in the documented example, which imports torch and passes torch.float16."""
    module, _, name = dtype.rpartition(".")
    package = module.partition(".")[0]
    code = (
        f"import {module} as module; from keras_roformer import pipeline\n"
        f"fill = pipeline('fill-mask', {checkpoint!r}, torch_dtype=module.{name}, device=-1)\n"
        "import keras; print(keras.config.backend(), len(fill('今天[MASK]好。')))"
    )
    variables = {name: value for name, value in os.environ.items() if name != "KERAS_BACKEND"}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=600, env=variables
    )
    assert result.stdout.split() == [package, "5"], result.stderr


def test_bfloat16_is_near_float32(checkpoint, fill, monkeypatch):
    import keras

    from tests.tolerances import BFLOAT16

    monkeypatch.setattr(keras.config, "set_dtype_policy", None)  # is for all threads
    lower = pipeline("fill-mask", checkpoint, dtype="bfloat16", top_k=10_000)

    def scores(answers):
        return [answer["score"] for answer in sorted(answers, key=lambda a: a["token"])]

    ours, exact = (scores(p("今天[MASK]好。", top_k=10_000)) for p in (lower, fill))
    np.testing.assert_allclose(ours, exact, **BFLOAT16)
    assert ours != exact  # it did run in another precision


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda f: f("今天很好"), ValueError, r"needs \[MASK\] in the text, got '今天很好'"),
        (lambda f: f(["[MASK]", "好" * 50]), ValueError, "got '" + "好" * 39 + "…'"),
        (lambda f: f(3), TypeError, "a text, or a list or an iterable of them, got int"),
        (lambda f: f(["[MASK]", 3]), TypeError, "takes a text, got int: 3"),
        (lambda f: f("[MASK]", top_k=0), ValueError, "top_k must be an integer of at least 1"),
        (lambda f: f("[MASK]", top_k=1.5), ValueError, "top_k must be an integer .* got 1.5"),
        (lambda f: f("[MASK]", batch_size=-2), ValueError, "batch_size must be .* got -2"),
        (lambda f: f("[MASK]", targets=[]), ValueError, "targets must name at least one token"),
        (lambda f: f("[MASK]", topk=1), TypeError, "no argument topk; it takes top_k, targets"),
    ],
)
def test_bad_calls(fill, call, error, message):
    with pytest.raises(error, match=message) as raised:
        call(fill)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        (dict(task="fil-mask"), ValueError, "unknown task 'fil-mask'; did you mean 'fill-mask'"),
        (dict(task="x"), ValueError, "Tasks: fill-mask"),
        (dict(model="roformer_none"), ValueError, "neither a directory nor a preset"),
        (dict(model=3), TypeError, "needs a RoFormerForMaskedLM, TFRoFormerForMaskedLM or Flax"),
        (dict(backend="mxnet"), ValueError, "unknown backend 'mxnet'; use one of"),
        (dict(dtype="int8"), ValueError, "dtype must be float32, bfloat16 or float16, got 'int8'"),
        (dict(device="abacus"), ValueError, "no device 'abacus' here; there is 'cpu"),
        (dict(batch_size=0), ValueError, "batch_size must be an integer of at least 1, got 0"),
        (dict(top_n=3), TypeError, "fill-mask has no argument top_n"),
    ],
    ids=lambda value: str(value)[:20] if isinstance(value, dict) else None,
)
def test_bad_pipelines(checkpoint, arguments, error, message):
    with pytest.raises(error, match=message) as raised:
        pipeline(**{"task": "fill-mask", "model": checkpoint, **arguments})
    assert "\n" not in str(raised.value)


def test_a_missing_backend_is_named(checkpoint, backend):
    other = "torch" if backend != "torch" else "jax"
    with pytest.raises(RuntimeError, match=f"set KERAS_BACKEND={other} before"):
        pipeline("fill-mask", checkpoint, backend=other)


def test_ids_that_the_model_does_not_know(fill, checkpoint, tmp_path):
    vocab = (fill.tokenizer.get_vocab()).items()
    words = [word for word, _ in sorted(vocab, key=lambda item: item[1])] + ["园"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = RoFormerTokenizerFast(str(tmp_path / "vocab.txt"))
    too_large = pipeline("fill-mask", checkpoint, tokenizer)
    size = fill.model.config.vocab_size
    expected = re.escape(f"the id {size}, but {type(fill.model).__name__} knows the ids 0 to")
    with pytest.raises(IndexError, match=expected):
        too_large("公园[MASK]")


def test_the_checkpoint_files_of_another_vocabulary(fill):
    with pytest.raises(ValueError, match="neither"):
        pipeline("fill-mask", fill.model, "no_such_tokenizer")
