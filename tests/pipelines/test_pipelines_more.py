"""Text generation, features, sentence similarity and multiple choice: transformers' results where
it has the task, else the model's own outputs; the same answers whatever the batch."""

import keras
import numpy as np
import pytest

import keras_roformer
from keras_roformer.generation import GenerationConfig
from keras_roformer.pipelines import pipeline
from keras_roformer.tokenizers import RoFormerTokenizerFast
from tests.pipelines.pipeline_tools import assert_same, write_checkpoint
from tests.tolerances import FLOAT32

PROMPTS = ["今天天氣", "my dog is", "jim held the puppet and the pizza in new york, italy"]
GREEDY = dict(do_sample=False, max_new_tokens=5)


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    directory = tmp_path_factory.mktemp("checkpoints")
    made = {}

    def checkpoint(task):
        base = task if task in ("text-generation", "multiple-choice") else "fill-mask"
        if base not in made:
            made[base] = write_checkpoint(directory, base)
        return made[base]

    return checkpoint


@pytest.fixture(scope="module")
def pipes(checkpoints):
    made = {}

    def pipe(task):
        if task not in made:
            path = checkpoints(task)
            tokenizer = RoFormerTokenizerFast(f"{path}/vocab.txt", use_jieba=False)
            made[task] = pipeline(task, path, tokenizer)
        return made[task]

    return pipe


@pytest.fixture(scope="module")
def references(checkpoints):
    """transformers' own pipelines on the same weights."""
    transformers = pytest.importorskip("transformers")
    classes = {
        "text-generation": ("RoFormerForCausalLM", "TextGenerationPipeline"),
        "feature-extraction": ("RoFormerModel", "FeatureExtractionPipeline"),
    }
    made = {}

    def reference(task):
        if task not in made:
            path = checkpoints(task)
            model, pipe = (getattr(transformers, name) for name in classes[task])
            tokenizer = transformers.BertTokenizerFast(f"{path}/vocab.txt")
            made[task] = pipe(model=model.from_pretrained(path), tokenizer=tokenizer)
        return made[task]

    return reference


@pytest.mark.parametrize(
    "inputs, arguments",
    [
        (PROMPTS[0], {}),
        (PROMPTS, {}),
        (PROMPTS, {"return_full_text": False, "add_special_tokens": False}),
        (PROMPTS[:1], {"return_tensors": True}),
        (PROMPTS[1], {"prefix": "today ", "num_beams": 2, "num_return_sequences": 2}),
        (PROMPTS, {"return_text": True}),
    ],
    ids=lambda value: str(value)[:24],
)
def test_text_generation_equals_transformers(pipes, references, inputs, arguments):
    """Texts are those of transformers 4.57.6, which go on from the prompt: version 5 decodes the
    new tokens alone, so that `##n` stays so and English words stick to the prompt's last one."""
    arguments = {**GREEDY, **arguments}
    found = pipes("text-generation")(inputs, **arguments)
    reference = references("text-generation")
    names = {name: v for name, v in arguments.items() if not name.startswith("return_")}
    expected = reference(inputs, **names, return_tensors=True)
    if "return_tensors" not in arguments:
        whole, prompts = arguments.get("return_full_text", True), inputs
        if isinstance(inputs, str):
            prompts, found, expected = [inputs], [found], [expected]
        expected = [
            [
                dict(generated_text=prompt * whole + _goes_on(reference, prompt, names, one))
                for one in row
            ]
            for prompt, row in zip(prompts, expected, strict=True)
        ]
    assert_same(found, expected, FLOAT32)


def _goes_on(reference, prompt, arguments, result):
    """The new text among the tokens of a result."""
    tokenizer = reference.tokenizer
    special = arguments.get("add_special_tokens", True)
    prompt = tokenizer(arguments.get("prefix", "") + prompt, add_special_tokens=special)
    before = tokenizer.decode(prompt["input_ids"], skip_special_tokens=True)
    return tokenizer.decode(result["generated_token_ids"], skip_special_tokens=True)[len(before) :]


def test_generated_english_goes_on_with_a_space(pipes):
    text = pipes("text-generation")(PROMPTS[1], **GREEDY)[0]["generated_text"]
    assert text.startswith(PROMPTS[1] + " ")


def test_generation_config_of_a_call(pipes):
    """It stands in the place of the pipeline's own defaults, which sample 256 tokens."""
    generate = pipes("text-generation")
    wanted = generate(PROMPTS, do_sample=False, max_new_tokens=4, repetition_penalty=1.5)
    chosen = GenerationConfig(max_new_tokens=4, repetition_penalty=1.5)
    assert generate(PROMPTS, generation_config=chosen) == wanted
    assert generate(PROMPTS, generation_config=vars(chosen)) == wanted
    longer = generate(PROMPTS, generation_config=chosen, max_new_tokens=6)
    assert longer == generate(PROMPTS, do_sample=False, max_new_tokens=6, repetition_penalty=1.5)


def test_feature_extraction_equals_transformers(pipes, references):
    extract = pipes("feature-extraction")
    for inputs in (PROMPTS[0], PROMPTS):
        expected = references("feature-extraction")(inputs)
        assert_same(extract(inputs), expected, FLOAT32)
    for tokenize in (
        {"truncation": True, "max_length": 4, "padding": True},
        {"add_special_tokens": False},
    ):
        expected = references("feature-extraction")(PROMPTS, tokenize_kwargs=dict(tokenize))
        assert_same(extract(PROMPTS, tokenize_kwargs=tokenize), expected, FLOAT32)
    array = extract(PROMPTS[0], return_tensors=True)
    np.testing.assert_allclose(array, extract(PROMPTS[0]), **FLOAT32)
    states = array[0]
    np.testing.assert_allclose(extract(PROMPTS[0], pooling="mean"), states.mean(0), **FLOAT32)
    np.testing.assert_allclose(extract(PROMPTS[0], pooling="cls"), states[0], **FLOAT32)


def test_sentence_similarity(pipes):
    source, *others = PROMPTS
    vectors = np.array(pipes("feature-extraction")(PROMPTS, pooling="mean"))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    compare = pipes("sentence-similarity")
    item = {"source_sentence": source, "sentences": [*others, source]}
    expected = [*(vectors[1:] @ vectors[0]), 1.0]
    np.testing.assert_allclose(compare(item), expected, **FLOAT32)
    np.testing.assert_allclose(compare(**item), expected, **FLOAT32)
    np.testing.assert_allclose(compare([item, item], batch_size=2), [expected] * 2, **FLOAT32)


def test_multiple_choice(pipes, checkpoints, family_prefix):
    """The scores of the documented example: pairs, padded to the longest, one batch."""
    prompt, choices = "pizza is served in italy.", ["It is eaten with a fork.", "held"]
    choose = pipes("multiple-choice")
    results = choose(prompt=prompt, choices=choices)
    assert {result["choice"] for result in results} == set(choices)
    assert [choices[result["label"]] for result in results] == [r["choice"] for r in results]
    assert results[0]["score"] >= results[1]["score"]

    cls = getattr(keras_roformer, f"{family_prefix}RoFormerForMultipleChoice")
    model = cls.from_pretrained(checkpoints("multiple-choice"))
    model = model.eval() if hasattr(model, "eval") else model
    kind = {"": "pt", "TF": "tf", "Flax": "np"}[family_prefix]
    encoded = choose.tokenizer([prompt] * 2, choices, return_tensors=kind, padding=True)
    outputs = model(**{name: value[None] for name, value in encoded.items()})
    logits = keras.ops.convert_to_numpy(outputs.logits[0])
    scores = np.exp(logits) / np.exp(logits).sum()
    for result in results:
        np.testing.assert_allclose(result["score"], scores[result["label"]], **FLOAT32)
    assert choose(prompt=prompt, choices=choices, top_k=1)[0] == results[0]


INPUTS = {
    "text-generation": PROMPTS,
    "feature-extraction": PROMPTS,
    "multiple-choice": [
        {"prompt": PROMPTS[0], "choices": ["非常好", "好"]},
        {"prompt": PROMPTS[1], "choices": ["cute", "in italy", "eaten"]},
        {"prompt": PROMPTS[0], "choices": ["天", "好好好"]},
    ],
}


@pytest.mark.parametrize("task", INPUTS)
def test_order_and_numbers_do_not_depend_on_the_batch(pipes, task):
    pipe, inputs = pipes(task), INPUTS[task]
    arguments = GREEDY if task == "text-generation" else {}
    expected = [pipe(item, **arguments) for item in inputs]
    assert_same(pipe(inputs, batch_size=2, **arguments), expected, FLOAT32)
    assert_same(list(pipe(iter(inputs), **arguments)), expected, FLOAT32)


def test_sampling_with_a_seed_does_not_depend_on_the_batch(pipes):
    generate = pipes("text-generation")
    arguments = dict(max_new_tokens=6, seed=3, temperature=2.0)
    expected = [generate(prompt, **arguments) for prompt in PROMPTS]
    assert generate(PROMPTS, **arguments) == expected
    assert generate(PROMPTS, **{**arguments, "seed": 4}) != expected


def test_the_length_and_the_end_of_continuations(pipes):
    generate = pipes("text-generation")
    greedy = dict(do_sample=False, return_tensors=True)
    total = generate(PROMPTS, max_length=30, eos_token_id=-1, **greedy)
    assert [len(result[0]["generated_token_ids"]) for result in total] == [30] * 3
    text = generate(PROMPTS[0], **GREEDY, return_full_text=False)[0]["generated_text"]
    first = text.split()[0]
    cut = generate(PROMPTS[0], **GREEDY, return_full_text=False, stop_sequence=first)
    assert cut[0]["generated_text"] == first


def test_a_model_that_is_no_decoder(checkpoints, caplog):
    pipeline("text-generation", checkpoints("fill-mask"))
    assert "the model is no decoder" in caplog.text
    caplog.clear()
    pipeline("text-generation", checkpoints("text-generation"))
    assert not caplog.records


@pytest.mark.parametrize(
    "task, call, error, message",
    [
        ("text-generation", lambda f: f("a", top=3), TypeError, "no argument 'top'"),
        ("text-generation", lambda f: f("a", num_beams=0), ValueError, "num_beams must be"),
        ("text-generation", lambda f: f("", add_special_tokens=False), ValueError, "empty prompt"),
        (
            "text-generation",
            lambda f: f("a", return_tensors=True, return_full_text=False),
            ValueError,
            "only one of return_full_text and return_tensors",
        ),
        (
            "feature-extraction",
            lambda f: f("a", truncation=True, tokenize_kwargs={"truncation": True}),
            ValueError,
            "truncation is given twice",
        ),
        (
            "feature-extraction",
            lambda f: f("a", tokenize_kwargs={"padding": "max_length"}),
            ValueError,
            "padding='max_length' has no effect",
        ),
        ("feature-extraction", lambda f: f("a", pooling="max"), ValueError, "one of mean, cls"),
        ("sentence-similarity", lambda f: f("a"), TypeError, 'with "source_sentence" and'),
        (
            "sentence-similarity",
            lambda f: f(source_sentence="a", sentences="b"),
            ValueError,
            "must be a list of texts",
        ),
        ("multiple-choice", lambda f: f(prompt="a", choices=[]), ValueError, "list of texts"),
    ],
)
def test_bad_calls(pipes, task, call, error, message):
    with pytest.raises(error) as raised:
        call(pipes(task))
    assert message in str(raised.value) and "\n" not in str(raised.value)
