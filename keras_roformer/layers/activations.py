"""The activations that RoFormer's `hidden_act` can name."""

import functools

import keras
from keras import ops

from keras_roformer.layers import kernels

_gelu_tanh = functools.partial(ops.gelu, approximate=True)

_ACTIVATIONS = {
    "gelu": kernels.gelu,
    "gelu_10": lambda x: ops.clip(kernels.gelu(x), -10, 10),
    "gelu_accurate": _gelu_tanh,
    "gelu_fast": _gelu_tanh,
    "gelu_new": _gelu_tanh,
    "gelu_python": kernels.gelu,
    "gelu_python_tanh": _gelu_tanh,
    "gelu_pytorch_tanh": _gelu_tanh,
    "laplace": lambda x: 0.5 * (1.0 + ops.erf((x - 0.707107) / (0.282095 * 2.0**0.5))),
    "leaky_relu": functools.partial(ops.leaky_relu, negative_slope=0.01),  # Keras's own: 0.2
    "quick_gelu": lambda x: x * ops.sigmoid(1.702 * x),
    "relu2": lambda x: ops.square(ops.relu(x)),
    "swish": ops.silu,
}


def get_activation(name):
    """The function that `hidden_act` names: transformers' names first, then Keras's.

    Args:
        name: "gelu" (exact), "gelu_new" (tanh), "relu", "selu", another Keras activation's name,
            "package>name" of a function registered with Keras, or a callable, which is returned
            as it is.

    Raises:
        ValueError: no activation has that name.
    """
    if callable(name):
        return name
    if name in _ACTIVATIONS:
        return _ACTIVATIONS[name]
    registered = keras.saving.get_registered_object(name)
    if registered is not None:
        return registered
    try:
        return keras.activations.get(name)
    except ValueError:
        raise ValueError(
            f"hidden_act is {name!r}, which is no known activation; "
            'use "gelu", "gelu_new", "relu", "selu" or the name of a Keras activation'
        ) from None


def with_functions(config):
    """A layer's config from a file, in which an activation that was a function is one again."""
    saved = {
        name: keras.saving.deserialize_keras_object(config[name])
        for name in ("hidden_act", "activation")
        if isinstance(config.get(name), dict)
    }
    return {**config, **saved}
