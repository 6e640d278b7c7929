"""The fuzz readers on good files and on some hundred damaged ones, without coverage's guidance."""

import logging
import random

import pytest

from tests.fuzz import readers

pytestmark = [pytest.mark.framework_free, pytest.mark.filterwarnings("ignore")]


@pytest.fixture(scope="module", autouse=True)
def prepared():
    readers.prepare()
    yield
    logging.disable(logging.NOTSET)


def damaged(data, rng):
    """`data` with some bytes replaced, removed, doubled or cut off."""
    data = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        if not data:
            break
        start = rng.randrange(len(data))
        end = min(len(data), start + rng.choice((1, 1, 2, 8, 32)))
        data[start:end] = rng.choice(
            (rng.randbytes(end - start), b"", data[start:end] * 2, b"\xff", b'{"a":', b"\x00" * 4)
        )
    return bytes(data[: rng.randrange(len(data) + 1)] if rng.random() < 0.1 else data)


@pytest.mark.parametrize("name", readers.READERS)
def test_damaged_files_are_refused_or_read(name):
    rng = random.Random(0)
    read, good = readers.READERS[name], readers.seeds()[name]
    for data in good:
        read(data)
    for _ in range(150):
        read(damaged(rng.choice(good), rng))
