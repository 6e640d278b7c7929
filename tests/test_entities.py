"""Entities from rows of tags."""

import pytest

from keras_roformer.entities import spans_of_tags

pytestmark = pytest.mark.framework_free


@pytest.mark.parametrize(
    "tags, expected",
    [
        ("", []),
        ("O O", []),
        ("B-A I-A O B-A", [("A", 0, 1), ("A", 3, 3)]),
        ("B-A B-A I-A", [("A", 0, 0), ("A", 1, 2)]),
        ("I-A I-B A A", [("A", 0, 0), ("B", 1, 1), ("A", 2, 3)]),
        ("I-A O I-A", [("A", 0, 0), ("A", 2, 2)]),
    ],
)
def test_spans(tags, expected):
    assert spans_of_tags(tags.split(), outside=("O",)) == expected


def test_spans_of_all_types():
    assert spans_of_tags(["O", "O", "B-A"]) == [("O", 0, 1), ("A", 2, 2)]
