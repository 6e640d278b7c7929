"""question-answering: transformers' recorded answers, every way to ask, clear errors."""

import json
import pathlib
import types

import pytest

from tests.oracle.record_question_answering import CASES, CONTEXT, LONG, QUESTION
from tests.pipelines.pipeline_tools import assert_refused, assert_same

RECORDED = pathlib.Path(__file__).parents[1] / "oracle" / "question_answering.json"


@pytest.mark.parametrize("name", CASES)
def test_question_answering_equals_transformers(pipes, name):
    recorded = json.loads(RECORDED.read_text("utf-8"))
    assert recorded["transformers"] == "4.57.6"
    answer = pipes("question-answering")
    assert_same(answer(**CASES[name], padding="max_length"), recorded[name])


def test_ways_to_ask(pipes):
    answer = pipes("question-answering")
    expected = answer(question=QUESTION, context=CONTEXT)
    pair = {"question": QUESTION, "context": CONTEXT}
    for inputs in ((QUESTION, CONTEXT), (pair,), ([pair],)):
        assert_same(answer(*inputs), expected)
    assert_same(answer([pair, pair]), [expected, expected])
    stream = answer(pair for _ in range(3))
    assert isinstance(stream, types.GeneratorType)
    assert_same(list(stream), [expected] * 3)
    assert CONTEXT[expected["start"] : expected["end"]] == expected["answer"]


@pytest.mark.parametrize(
    "call, error, message",
    [
        (lambda f: f(question="a"), TypeError, "question= and context= together"),
        (lambda f: f("a"), TypeError, 'takes a dict with "question" and "context"'),
        (lambda f: f("a", " "), ValueError, "the context is empty"),
        (lambda f: f("a", LONG, max_seq_len=4), ValueError, "tokens for the context"),
        (
            lambda f: f(question=["a"], context=["b", "c"]),
            ValueError,
            "1 questions, but 2 contexts",
        ),
    ],
)
def test_bad_calls(pipes, call, error, message):
    assert_refused(lambda: call(pipes("question-answering")), error, message)
