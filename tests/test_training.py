"""Training: widths and batches, held-out examples, tags and entities, what the files may hold."""

import itertools
import json
import re

import keras
import numpy as np
import pytest

from keras_roformer.batches import few_widths
from keras_roformer.entities import precision_recall_f1, spans_of_tags
from keras_roformer.fine_tuning import _hold_out, _labels, read_examples
from keras_roformer.training import WIDTHS, Batches


@pytest.mark.parametrize("count", [1, 2, 4])
def test_few_widths_are_the_best_ones(count):
    """Against every choice of that many widths."""
    rng = np.random.default_rng(count)
    lengths = rng.integers(5, 60, 40)
    widths = few_widths(lengths, 4, count)
    batches = np.sort(lengths)[::-1].reshape(-1, 4).max(axis=1)

    def tokens(widths):
        return sum(min(width for width in widths if width >= batch) for batch in batches)

    others = itertools.combinations(set(map(int, batches)) - {max(batches)}, count - 1)
    assert tokens(widths) == min(tokens([*some, max(batches)]) for some in others)
    assert widths == sorted(set(widths)) and widths[-1] == max(lengths) and len(widths) <= count


def test_batches_hold_every_example_once_an_epoch():
    rng = np.random.default_rng(1)
    rows = [rng.integers(1, 50, size).tolist() for size in rng.integers(3, 90, 130)]
    data = Batches([(row, i, 1.0) for i, row in enumerate(rows)], 4, rng)
    widths = set()
    for _ in range(2):
        found = {}
        for x, labels, _ in map(data.__getitem__, range(len(data))):
            widths.add(x["input_ids"].shape[1])
            for ids, mask, label in zip(*x.values(), labels, strict=True):
                assert not ids[mask == 0].any()
                found[int(label)] = ids[mask == 1].tolist()
        assert [found[i] for i in range(len(rows))] == rows
        data.on_epoch_end()
    if keras.backend.backend() == "jax":  # compiles every width
        assert len(widths) <= WIDTHS


@pytest.mark.parametrize(
    "row, message",
    [
        ({"tokens": ["a"], "tags": [["O"]]}, "row 1 has ['O'] in 'tags'"),
        ({"tokens": "a", "tags": 1}, "row 1 has the 'tags' 1; token-classification needs a list"),
        ({"tokens": "a b", "tags": "O"}, "row 1 has 2 words, 1 tags"),
    ],
)
def test_bad_tags(tmp_path, row, message):
    data = tmp_path / "data.jsonl"
    data.write_text(json.dumps(row), "utf-8")
    with pytest.raises(ValueError, match=re.escape(message)):
        read_examples(str(data), "token-classification", "tokens", "tags")


def test_a_rare_label_stays_in_training():
    examples = [("a", "x")] * 17 + [("b", "rare"), ("c", "y"), ("d", "y")]
    tagged = [(["a"], ["O"])] * 18 + [(["b", "c"], ["O", "B-X"]), (["d"], ["B-X"])]
    for seed, some in itertools.product(range(30), (examples, tagged)):
        rest, held_out = _hold_out(some, np.random.default_rng(seed), "data")
        assert len(held_out) == 2 and sorted(rest + held_out) == sorted(some)
        assert len(_labels(rest, "data")) == len(_labels(some, "data"))


def test_entities_of_tags():
    tags = ["B-X", "I-X", "B-X", "I-Y", "O", "I-Y", "Z", "Z"]
    spans = [("X", 0, 1), ("X", 2, 2), ("Y", 3, 3), ("Y", 5, 5), ("Z", 6, 7)]
    assert spans_of_tags(tags, outside=("O",)) == spans


def test_f1():
    assert precision_recall_f1(2, 4, 3) == pytest.approx((1 / 2, 2 / 3, 4 / 7))
    assert precision_recall_f1(0, 0, 0) == (0, 0, 0)


@pytest.mark.parametrize("sizes", [(2, 2, 2, 5, 5, 5, 5), (5,) * 6 + (3,), (3, 9) * 4])
def test_the_first_look_at_batches_sees_that_their_widths_differ(sizes):
    """On TensorFlow, widths stay open then; here they differ in some orders, not in all."""
    data = Batches([([1] * size, 0, 1.0) for size in sizes], 3, np.random.default_rng(0))
    first, second = (data[i][0]["input_ids"].shape[1] for i in range(2))
    assert keras.backend.backend() == "jax" or first != second
