"""token-classification: transformers' tags and entities, words, long texts, offsets, errors."""

import pytest

from keras_roformer.pipelines import pipeline
from keras_roformer.tokenizers import RoFormerTokenizerFast
from tests.pipelines.pipeline_tools import (
    TEXTS,
    assert_refused,
    assert_same,
)

TAGGING = [
    {},
    {"ignore_labels": []},
    {"ignore_labels": ["O", "B-PER"]},
    *({"aggregation_strategy": name} for name in ("simple", "first", "average", "max")),
    {"aggregation_strategy": "average", "ignore_labels": []},
]


@pytest.mark.parametrize("arguments", TAGGING, ids=str)
def test_token_classification_equals_transformers(pipes, references, arguments):
    task = "token-classification"
    expected = references(task)(TEXTS, **arguments)
    assert_same(pipes(task)(TEXTS, **arguments), expected)
    assert_same(pipes(task)(TEXTS[0], **arguments), expected[0])


@pytest.mark.parametrize("inputs", [["jim", "is", "tokenized"], [["jim", "is"], ["今天", "好"]]])
@pytest.mark.parametrize("arguments", [{}, {"aggregation_strategy": "first"}, {"delimiter": "--"}])
def test_words_instead_of_a_text(pipes, references, inputs, arguments):
    task, arguments = "token-classification", {"is_split_into_words": True, **arguments}
    expected = references(task)(inputs, **arguments)
    assert_same(pipes(task)(inputs, **arguments), expected)


@pytest.mark.parametrize("strategy", ["simple", "first"])
def test_long_texts_by_stride(checkpoints, references, strategy):
    task, text = "token-classification", " ".join(TEXTS)
    path = checkpoints(task)
    tokenizer = RoFormerTokenizerFast(f"{path}/vocab.txt", use_jieba=False, model_max_length=20)
    reference = references(task)
    reference.tokenizer.model_max_length = 20
    arguments = {"aggregation_strategy": strategy, "stride": 6}
    try:
        expected = reference(text, **arguments)
    finally:
        reference.tokenizer.model_max_length = int(1e30)
    assert len(expected) > 5
    assert_same(pipeline(task, path, tokenizer)(text, **arguments), expected)


def test_offsets_cut_entities_out_of_the_text(checkpoints):
    """Words of jieba, capitals, accents, runs of spaces: the text as it was given."""
    text = "  Jim  今天 é非常好，TOKENIZED"
    tags = pipeline("ner", checkpoints("token-classification"), ignore_labels=[])(text)
    cut = [text[tag["start"] : tag["end"]] for tag in tags]
    assert "".join(cut) == text.replace(" ", "")
    assert "非常" in cut and "Jim" in cut


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda f: f("a", aggregation_strategy="x"), ValueError, "one of none, simple"),
        (lambda f: f("a", stride=3), ValueError, "stride needs an aggregation_strategy"),
        (lambda f: f([["a"]]), ValueError, "set is_split_into_words=True"),
        (lambda f: f("a", ignore_labels="O"), ValueError, "must be a list, got 'O'"),
    ],
)
def test_bad_calls(pipes, call, error, message):
    assert_refused(lambda: call(pipes("token-classification")), error, message)
