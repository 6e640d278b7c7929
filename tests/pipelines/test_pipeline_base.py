"""What every pipeline has: streams, batches, models in memory, threads, clear errors; and the same
answers whatever the batch."""

import types
from concurrent.futures import ThreadPoolExecutor

import pytest

from keras_roformer.pipelines import pipeline, pipeline_base
from keras_roformer.tokenizers import RoFormerTokenizer
from tests.oracle.record_question_answering import CONTEXT, LONG, QUESTION
from tests.pipelines.pipeline_tools import GREEDY, MASKED, PAIR, PROMPTS, TEXTS, assert_same

INPUTS = {
    "fill-mask": MASKED,
    "text-classification": [*TEXTS, PAIR, {"text": "天"}],
    "token-classification": TEXTS,
    "question-answering": [
        {"question": question, "context": context}
        for question in ("天氣?", QUESTION)
        for context in (CONTEXT, LONG, "今天")
    ],
    "text-generation": PROMPTS,
    "feature-extraction": PROMPTS,
    "multiple-choice": [
        {"prompt": PROMPTS[0], "choices": ["非常好", "好"]},
        {"prompt": PROMPTS[1], "choices": ["cute", "in italy", "eaten"]},
        {"prompt": PROMPTS[0], "choices": ["天", "好好好"]},
    ],
}
LISTED = ("text-classification", "token-classification")  # a list of one gives a list of one


@pytest.mark.parametrize("task", INPUTS)
def test_order_and_numbers_do_not_depend_on_the_batch(fill, pipes, task):
    pipe, inputs = fill if task == "fill-mask" else pipes(task), INPUTS[task]
    arguments = GREEDY if task == "text-generation" else {}
    expected = [pipe([item])[0] if task in LISTED else pipe(item, **arguments) for item in inputs]
    for size in (1, 3, 32):
        assert_same(pipe(inputs, batch_size=size, **arguments), expected)
    assert_same(list(pipe(iter(inputs), batch_size=2, **arguments)), expected)
    assert pipe([], **arguments) == []


def test_a_tuple_is_a_list_of_texts(fill):
    assert_same(fill(tuple(MASKED)), fill(MASKED))


def test_a_generator_streams(fill):
    taken = []

    def texts():
        for text in MASKED * 20:
            taken.append(text)
            yield text

    results = fill(texts(), batch_size=2, top_k=1)
    assert isinstance(results, types.GeneratorType) and not taken
    first = next(results)
    assert len(taken) == 32  # a window, not everything
    assert_same([first, *results], fill(MASKED * 20, top_k=1))


def test_many_logits_make_smaller_batches(fill, monkeypatch):
    sizes = []
    predict = type(fill)._predict

    def spy(self, rows, options):
        sizes.append(len(rows))
        return predict(self, rows, options)

    monkeypatch.setattr(type(fill), "_predict", spy)
    monkeypatch.setattr(pipeline_base, "MOST_OUTPUTS", 2 * fill.model.config.vocab_size)
    expected = [fill(text) for text in MASKED]
    sizes.clear()
    assert_same(fill(MASKED), expected)
    assert sizes == [2, 2, 1]


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
    before = fill(MASKED)
    fill.model.prune_heads({0: [1]})
    after = fill(MASKED)
    assert before[0][0]["score"] != after[0][0]["score"]
    assert_same(after, pipeline("fill-mask", fill.model, fill.tokenizer)(MASKED))


def test_threads_share_a_pipeline(checkpoint, fill):
    """From its first call on, when what they run is made."""
    expected = [fill(text) for text in MASKED]
    shared = pipeline("fill-mask", checkpoint)
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(shared, MASKED * 2))
    assert_same(found, expected * 2)


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


def test_the_checkpoint_files_of_another_vocabulary(fill):
    with pytest.raises(ValueError, match="neither"):
        pipeline("fill-mask", fill.model, "no_such_tokenizer")


@pytest.mark.parametrize(
    "task", ["text-classification", "token-classification", "question-answering"]
)
def test_the_slow_tokenizer_gives_the_same(pipes, checkpoints, task):
    """transformers refuses it for offsets; ours has them."""
    path = checkpoints(task)
    tokenizer = RoFormerTokenizer(f"{path}/vocab.txt", use_jieba=False)
    slow = pipeline(task, pipes(task).model, tokenizer)
    assert_same(slow(INPUTS[task][:3]), pipes(task)(INPUTS[task][:3]))


def test_no_preset_for_a_task():
    with pytest.raises(ValueError, match="has no preset in the box; give a model"):
        pipeline("question-answering")
