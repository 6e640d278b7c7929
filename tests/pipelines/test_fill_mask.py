"""pipeline("fill-mask"): transformers' answers and formats, targets, clear errors."""

import re

import pytest

from keras_roformer.pipelines import pipeline
from keras_roformer.tokenizers import RoFormerTokenizerFast
from tests.pipelines.pipeline_tools import (
    assert_same,
)
from tests.support import close


@pytest.mark.quick
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
def test_results_equal_transformers(pipes, references, inputs, arguments):
    expected = references("fill-mask")(inputs, **arguments)
    assert_same(pipes("fill-mask")(inputs, **arguments), expected)


def test_a_word_that_is_no_token_is_its_first_piece(pipes, references, caplog):
    results = pipes("fill-mask")("今天[MASK]好。", targets=["天氣", "dog"])
    assert {answer["token_str"] for answer in results} == {"天", "dog"}
    assert "target '天氣' is no token; its first piece '天'" in caplog.text
    assert_same(results, references("fill-mask")("今天[MASK]好。", targets=["天氣", "dog"]))


def test_scores_are_sorted_probabilities(fill):
    answers = fill("今天[MASK]好。", top_k=10_000)
    scores = [answer["score"] for answer in answers]
    assert len(answers) == fill.model.config.vocab_size
    assert scores == sorted(scores, reverse=True)
    close(sum(scores), 1)


def test_defaults_of_the_calls(checkpoint):
    fill = pipeline("fill-mask", checkpoint, batch_size=2, top_k=1, targets=["天", "好"])
    assert len(fill("[MASK]天")) == 1
    assert len(fill("[MASK]天", top_k=5)) == 2  # no more than targets
    assert fill.batch_size == 2


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


def test_ids_that_the_model_does_not_know(fill, checkpoint, tmp_path):
    vocab = (fill.tokenizer.get_vocab()).items()
    words = [word for word, _ in sorted(vocab, key=lambda item: item[1])] + ["园"]
    (tmp_path / "vocab.txt").write_text("\n".join(words), encoding="utf-8")
    tokenizer = RoFormerTokenizerFast(str(tmp_path / "vocab.txt"))
    too_large = pipeline("fill-mask", checkpoint, tokenizer)
    size = fill.model.config.vocab_size
    expected = re.escape(f"the id {size}, but {type(fill.model).__name__} knows the ids 0 to")
    with pytest.raises(ValueError, match=expected):
        too_large("公园[MASK]")
