"""pipeline("text-generation"): transformers' texts, configurations, seeds, ends, clear errors."""

import pytest

from keras_roformer.generation import GenerationConfig
from keras_roformer.pipelines import pipeline
from tests.pipelines.pipeline_tools import (
    GREEDY,
    PROMPTS,
    assert_refused,
    assert_same,
)


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
    assert_same(found, expected)


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
    "call, error, message",
    [
        (lambda f: f("a", top=3), TypeError, "no argument 'top'"),
        (lambda f: f("a", num_beams=0), ValueError, "num_beams must be"),
        (lambda f: f("", add_special_tokens=False), ValueError, "empty prompt"),
        (
            lambda f: f("a", return_tensors=True, return_full_text=False),
            ValueError,
            "only one of return_full_text and return_tensors",
        ),
    ],
)
def test_bad_calls(pipes, call, error, message):
    assert_refused(lambda: call(pipes("text-generation")), error, message)
