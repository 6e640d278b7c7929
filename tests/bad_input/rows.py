"""Bad input: one row, one mistake. The error's text names the value, the limit and the remedy.

A row is name: (mistake, error, texts that it must have), and backends if not all. Bad files have
tests/weights, the fields of a config one by one tests/test_config.py, tokenizers tests/tokenizers.
"""

import functools

import numpy as np
import pytest

from tests.support import BACKEND, IDS, make, tensor

ONES = np.ones_like(IDS)
LABELS = np.random.default_rng(1).integers(0, 3, (2, 6))
EMBEDS = np.random.default_rng(2).normal(size=(2, 6, 12)).astype("float32")
STATES = np.random.default_rng(3).normal(size=(2, 5, 16)).astype("float32")
CHOICES = IDS[:, None].repeat(2, axis=1)
PAST = [[np.zeros((2, 2, 3, 8), "float32")] * 2] * 2
DECODER = dict(is_decoder=True)
CROSS = dict(is_decoder=True, add_cross_attention=True)
NOT_FLAX = ("torch", "tensorflow")  # the documented Flax classes take neither labels nor embeds

model_of = functools.cache(make)  # read only


def refused(rows):
    """The test of a table: every row of this backend is refused with its error."""

    @pytest.mark.parametrize("name", here(rows))
    def test_refused(name, tmp_path):
        mistake, error, texts = rows[name][:3]
        with pytest.raises(error) as caught:
            mistake(tmp_path)
        message = str(caught.value)
        for text in texts:
            assert text in message, message

    return test_refused


def here(rows):
    """The rows of the running backend."""
    return [name for name, row in rows.items() if len(row) < 4 or BACKEND in row[3]]


def at(array, index, value):
    array = array.copy()
    array[index] = value
    return array


def call(task, config=None, /, **arguments):
    """A row's mistake: a call of the documented class."""

    def mistake(tmp_path):
        model = model_of(task, **(config or {}))
        model(**{name: tensor(value) for name, value in arguments.items()})

    return mistake


def call_pruned(heads, **arguments):
    """A row's mistake: a call of a model whose heads were pruned."""

    def mistake(tmp_path):
        model = make("Model", pruned_heads=heads)
        model(**{name: tensor(value) for name, value in arguments.items()})

    return mistake
