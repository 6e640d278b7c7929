"""text-classification: transformers' labels and scores, pairs, problem types, clear errors."""

import pytest

from keras_roformer.pipelines import pipeline
from tests.pipelines.pipeline_tools import (
    MOODS,
    PAIR,
    TEXTS,
    assert_refused,
    assert_same,
)


@pytest.mark.parametrize(
    "inputs, arguments",
    [
        (TEXTS[0], {}),
        (TEXTS[0], {"top_k": 1}),
        (TEXTS[0], {"top_k": None}),
        (TEXTS, {}),
        (TEXTS, {"top_k": 2}),
        (TEXTS[:1], {}),
        (PAIR, {}),
        ([PAIR, {"text": "今天"}], {"top_k": 3}),
        ([[["今天天氣", "非常好"]]], {}),
        (TEXTS, {"function_to_apply": "sigmoid"}),
        (TEXTS[1], {"function_to_apply": "none", "top_k": None}),
        (TEXTS, {"truncation": True, "max_length": 6}),
        (TEXTS, {"truncation": True, "max_length": 6, "padding": "max_length"}),
        (TEXTS, {"add_special_tokens": False}),
    ],
    ids=lambda value: str(value)[:24],
)
def test_text_classification_equals_transformers(pipes, references, inputs, arguments):
    task = "text-classification"
    expected = references(task)(inputs, **arguments)
    assert_same(pipes(task)(inputs, **arguments), expected)


@pytest.mark.parametrize(
    "fields",
    [
        {"problem_type": "multi_label_classification"},
        {"problem_type": "regression"},
        {"problem_type": "single_label_classification"},
    ],
)
def test_scores_of_the_problem_type(pipes, references, fields):
    task = "text-classification"
    expected = references(task, **fields)(TEXTS, top_k=None)
    assert_same(pipes(task, **fields)(TEXTS, top_k=None), expected)


def test_labels_differ(pipes):
    """The checkpoint is no constant function, so that equal answers mean something."""
    answers = pipes("text-classification")(TEXTS)
    assert len({answer["label"] for answer in answers}) > 1
    tags = pipes("token-classification")(TEXTS, ignore_labels=[])
    assert {tag["entity"] for text in tags for tag in text} == {"O", "B-PER", "I-PER"}


def test_defaults_of_the_calls(checkpoints):
    path = checkpoints("text-classification")
    classify = pipeline("sentiment-analysis", path, top_k=None)
    assert classify.task == "text-classification"
    assert sorted(answer["label"] for answer in classify(TEXTS[:1])[0]) == sorted(MOODS)
    assert len(classify(TEXTS[:1], top_k=2)[0]) == 2


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda f: f([["a", "b"]]), ValueError, 'given as {"text": …, "text_pair": …}'),
        (lambda f: f({"texts": "a"}), ValueError, "got the keys ['texts']"),
        (lambda f: f([3]), TypeError, 'takes a text or a dict with "text" and'),
        (lambda f: f("a", top_k=0), ValueError, "top_k must be an integer of at least 1"),
        (lambda f: f("a", function_to_apply="max"), ValueError, "one of default, softmax"),
    ],
)
def test_bad_calls(pipes, call, error, message):
    assert_refused(lambda: call(pipes("text-classification")), error, message)
