"""RoFormer's initial weights, and how a model that is about to be loaded does without them."""

import contextlib
import contextvars

import keras

from keras_roformer.layers import kernels

_DEFERRED = contextvars.ContextVar("deferred_values", default=False)


@contextlib.contextmanager
def deferred_values():
    """Inside, weights are made without values: drawing 124 million numbers takes seconds, and a
    checkpoint replaces them.

    Whoever makes a model here must fill it: load a checkpoint, and draw the weights that the report
    names as absent (`weights.transfer.draw`).
    """
    token = _DEFERRED.set(True)
    try:
        yield
    finally:
        _DEFERRED.reset(token)


def values_are_deferred():
    """Whether weights are made without values just now."""
    return _DEFERRED.get()


@keras.saving.register_keras_serializable("keras_roformer")
class InitialWeights(keras.initializers.TruncatedNormal):
    """A truncated normal distribution that `deferred_values` puts off."""

    def __call__(self, shape, dtype=None):
        if values_are_deferred():
            return kernels.empty(shape, dtype)
        return super().__call__(shape, dtype)
