"""Features and sentence similarity: transformers' states, pooling, cosines, clear errors."""

import numpy as np
import pytest

from tests.pipelines.pipeline_tools import (
    PROMPTS,
    assert_refused,
    assert_same,
)
from tests.support import close


def test_feature_extraction_equals_transformers(pipes, references):
    extract = pipes("feature-extraction")
    for inputs in (PROMPTS[0], PROMPTS):
        expected = references("feature-extraction")(inputs)
        assert_same(extract(inputs), expected)
    for tokenize in (
        {"truncation": True, "max_length": 4, "padding": True},
        {"add_special_tokens": False},
    ):
        expected = references("feature-extraction")(PROMPTS, tokenize_kwargs=dict(tokenize))
        assert_same(extract(PROMPTS, tokenize_kwargs=tokenize), expected)
    array = extract(PROMPTS[0], return_tensors=True)
    close(array, extract(PROMPTS[0]))
    states = array[0]
    close(extract(PROMPTS[0], pooling="mean"), states.mean(0))
    close(extract(PROMPTS[0], pooling="cls"), states[0])


def test_sentence_similarity(pipes):
    source, *others = PROMPTS
    vectors = np.array(pipes("feature-extraction")(PROMPTS, pooling="mean"))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    compare = pipes("sentence-similarity")
    item = {"source_sentence": source, "sentences": [*others, source]}
    expected = [*(vectors[1:] @ vectors[0]), 1.0]
    close(compare(item), expected)
    close(compare(**item), expected)
    close(compare([item, item], batch_size=2), [expected] * 2)


@pytest.mark.parametrize(
    "task, call, error, message",
    [
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
    ],
)
def test_bad_calls(pipes, task, call, error, message):
    assert_refused(lambda: call(pipes(task)), error, message)
