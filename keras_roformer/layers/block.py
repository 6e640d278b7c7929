"""What all RoFormer blocks share: the ways to make, build and call their sub-layers.

Shapes in this package use these letters:

    B batch, L sequence (query) length, S key length, N heads, H head size, D hidden size = N * H,
    E embedding size, F feed-forward size, V vocabulary size, C classes
"""

import keras
import ml_dtypes
from keras import ops

from keras_roformer.layers import kernels
from keras_roformer.layers.activations import get_activation, with_functions
from keras_roformer.layers.initializers import InitialWeights
from keras_roformer.layers.policies import parts_config, restore_quantizers, settle_policies
from keras_roformer.layers.stand_in import stand_in
from keras_roformer.upstream import for_keras


class Block(for_keras.AfterBuild, keras.layers.Layer):
    """Base of the layers that are made of other Keras layers.

    `arguments` are the constructor arguments (plain numbers, strings and booleans) that make an
    equal block again; they are kept as attributes and returned by `get_config`. `parts`
    tell how sub-layers were quantised, see `parts_config`.
    """

    # Whether a call has flags that change what it gives, which `compute_output_shape` does not see.
    has_flags = False

    def __init__(self, arguments, parts=None, **kwargs):
        super().__init__(**kwargs)
        self._quantizers = parts["quantizers"] if parts else {}
        self._argument_names = tuple(arguments)
        for name, value in arguments.items():
            setattr(self, name, value)

    def after_build(self):
        settle_policies(self)
        restore_quantizers(self, self._quantizers)

    def compute(self, *args, **kwargs):
        """What `call` computes, for the block around; its arguments, and what it gives, are fixed.

        A block with flags takes in their stead a tuple `give` of the names of what it is to give
        beside its states, and always gives `(states, extras)`, where the dict `extras` has that.
        """
        return self.call(*args, **kwargs)

    def run(self, layer, *args, **kwargs):
        """Call the built `layer`, which must be a part of this block.

        Inside one outer Keras call, a built sub-layer with the same compute dtype needs none of
        the bookkeeping of `Layer.__call__` (about 0.1 ms each on torch, which is most of the time
        of a small model). Quantised layers and layers of another dtype take the whole way, and what
        they give is cast to this block's compute dtype. What stands in for a layer is called as it
        is.
        """
        substitute = stand_in(layer)
        if substitute is not None:
            return substitute(*args, **kwargs)
        if layer.quantization_mode is None and layer.compute_dtype == self.compute_dtype:
            if type(layer) in kernels.FAST:
                return kernels.FAST[type(layer)](layer, *args, **kwargs)
            call = layer.compute if isinstance(layer, Block) else layer.call
            return call(*args, **kwargs)
        call = layer._compute_in_own_dtype if isinstance(layer, Block) else layer
        return keras.tree.map_structure(self._cast, call(*args, **kwargs))

    def _compute_in_own_dtype(self, *args, **kwargs):
        """`compute` on arguments and weights in this block's dtype, as `__call__` would do it.

        Not by `__call__`, which takes no argument that mixes tensors with other things.
        """
        args, kwargs = keras.tree.map_structure(self._convert, (args, kwargs))
        with for_keras.autocast(self.compute_dtype):
            return self.compute(*args, **kwargs)

    def _convert(self, x):
        return self.dtype_policy.convert_input(x, self.autocast, self.compute_dtype)

    def _cast(self, x):
        floating = keras.backend.is_float_dtype(keras.backend.standardize_dtype(x.dtype))
        return ops.cast(x, self.compute_dtype) if floating else x

    def dropped(self, dropout, x, training):
        """`x` after a dropout layer, which is a part of this block."""
        substitute = stand_in(dropout)
        if substitute is not None:
            return substitute(x)
        return self.run(dropout, x, training=True) if training else x

    def rate_of(self, dropout, training):
        """The rate at which `dropped` drops, for an attention that drops by itself."""
        substitute = stand_in(dropout)
        if substitute is not None:
            return substitute.dropout_rate
        return dropout.rate if training else 0.0

    def compute_output_spec(self, *args, **kwargs):
        # `Layer.__call__` casts variables for `call`; this method, called by itself, does not, and
        # `run` does not leave it to the parts.
        with for_keras.autocast(self.compute_dtype):
            if self.has_flags:
                return keras.Operation.compute_output_spec(self, *args, **kwargs)  # by tracing it
            return super().compute_output_spec(*args, **kwargs)

    def dense(self, units, name):
        """A Dense sub-layer with RoFormer's initialiser."""
        return keras.layers.Dense(
            units, kernel_initializer=self.initializer(), dtype=self.dtype_policy, name=name
        )

    def initializer(self):
        return InitialWeights(stddev=self.initializer_range)

    def layer_norm(self, name):
        return keras.layers.LayerNormalization(
            epsilon=self.layer_norm_eps, dtype=self.dtype_policy, name=name
        )

    def dropout_layer(self, rate, name):
        return keras.layers.Dropout(rate, dtype=self.dtype_policy, name=name)

    def activate(self, x):
        return get_activation(self.hidden_act)(x)

    def get_config(self):
        arguments = {name: getattr(self, name) for name in self._argument_names}
        return {**super().get_config(), **parts_config(self), **arguments}

    @classmethod
    def from_config(cls, config):
        return super().from_config(with_functions(config))


def arguments_in(values):
    """The `arguments` of a block whose constructor names them all: from its first `locals()`."""
    return {n: v for n, v in values.items() if n not in ("self", "kwargs", "__class__")}


def asked_for(cache=False, attentions=False, hidden_states=False):
    """The names of what the flags of a `call` ask for, as `compute` takes them."""
    flags = {"cache": cache, "attentions": attentions, "hidden_states": hidden_states}
    return tuple(name for name, flag in flags.items() if flag)


def with_extras(x, extras):
    """What the `call` of a block with flags gives, from what its `compute` gives."""
    return (x, extras) if extras else x


def padding_bias(attention_mask, dtype):
    """Additive attention bias of a mask: 0 where it is 1, the dtype's lowest value where it is 0.

    Args:
        attention_mask: (B, S) mask of keys, or (B, L, S) mask of query-key pairs, 1 to attend.
        dtype: the floating dtype of the attention scores.

    Returns:
        (B, 1, 1, S) or (B, 1, L, S) tensor of `dtype`.

    Raises:
        ValueError: the mask has neither 2 nor 3 dimensions.
    """
    rank = len(attention_mask.shape)
    if rank not in (2, 3):
        raise ValueError(
            "attention_mask must have shape (batch, keys) or (batch, queries, keys), "
            f"got {tuple(attention_mask.shape)}"
        )
    mask = ops.cast(attention_mask, dtype)
    # Not by indexing with None, which has no operation in LiteRT.
    mask = ops.expand_dims(mask, (1, 2) if rank == 2 else 1)
    return (1.0 - mask) * lowest(dtype)


def causal_bias(query_length, key_length, offset, dtype):
    """Additive bias that hides the keys after each query.

    Args:
        query_length, key_length: L and S.
        offset: position of the first query among the keys (int or integer scalar tensor).
        dtype: the floating dtype of the attention scores.

    Returns:
        (1, 1, L, S) tensor of `dtype`.
    """
    queries = positions(query_length, offset)
    visible = positions(key_length)[None, :] <= queries[:, None]
    return (1.0 - ops.cast(visible, dtype))[None, None] * lowest(dtype)


def positions(length, offset=0):
    """The integers from `offset` to `offset + length - 1`, (L,)."""
    return ops.arange(length, dtype="int32") + offset  # the dtype of a symbolic length is unknown


def lowest(dtype):
    """The finite stand-in for minus infinity; a row without any key then stays finite."""
    return _LOWEST[keras.backend.standardize_dtype(dtype)]


# Worked out here, since compilers that trace `call` cannot.
_LOWEST = {name: float(ml_dtypes.finfo(name).min) for name in ("float16", "bfloat16", "float32")}
# Scores can be float32 where the rest is float64, and JAX may have no float64 at all.
_LOWEST["float64"] = _LOWEST["float32"]
