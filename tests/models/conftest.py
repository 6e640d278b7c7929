"""Settings of the tests of KerasHub's models."""

import gc

import pytest


@pytest.fixture(scope="module", autouse=True)
def frozen_heap():
    """Keras 3.15 collects garbage for every layer that it quantises, and the frameworks' own
    objects are most of what it walks through: they are put aside, and come back at the end."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
