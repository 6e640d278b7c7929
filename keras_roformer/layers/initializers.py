"""RoFormer's initial weights, and how a model that is about to be loaded does without them."""

import contextlib
import contextvars

import keras

from keras_roformer.layers import kernels

_DRAWN_LATER = contextvars.ContextVar("drawn_later", default=False)


@contextlib.contextmanager
def drawn_later():
    """Inside, weights are made without values: drawing 124 million numbers takes seconds, and a
    checkpoint replaces them. `weights.transfer.load` draws those that the checkpoint lacks."""
    token = _DRAWN_LATER.set(True)
    try:
        yield
    finally:
        _DRAWN_LATER.reset(token)


def draws_later():
    """Whether weights are made without values just now."""
    return _DRAWN_LATER.get()


@keras.saving.register_keras_serializable("keras_roformer")
class InitialWeights(keras.initializers.TruncatedNormal):
    """A truncated normal distribution that `drawn_later` puts off.

    Attributes:
        owes: whether it gave an empty tensor where it is yet to draw.
    """

    owes = False

    def __call__(self, shape, dtype=None):
        self.owes = draws_later()
        return kernels.empty(shape, dtype) if self.owes else super().__call__(shape, dtype)
