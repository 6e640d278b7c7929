"""Multi-head attention with rotary positions."""

import math
import typing

import keras
from keras import ops

from keras_roformer.layers import kernels
from keras_roformer.layers.block import Block, arguments_in, asked_for, with_extras
from keras_roformer.layers.rotary import apply_rotary


class AttentionInputs(typing.NamedTuple):
    """What an attention reads beside the states of its queries; each may be None.

    Attributes:
        context: (B, S, D') states to attend to (cross-attention); by default the queries' own.
        bias: additive (B or 1, 1 or N, 1 or L, S) bias of the scores, see `padding_bias`.
        rotation: `rotary_angles` of the L positions; None for no rotation.
        head_mask: factors of the heads' probabilities, shape (N,).
        cache: `(keys, values)` of earlier tokens, each (B, S', N, H), keys already rotated.
        cache_index: where to write into a cache of fixed size S'; None appends to the cache.
    """

    context: object = None
    bias: object = None
    rotation: object = None
    head_mask: object = None
    cache: object = None
    cache_index: object = None


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerAttention(Block):
    """Multi-head self- or cross-attention (Su et al., 2021, section 3.2), with output projection.

    Args:
        num_heads, head_size: N and H.
        hidden_size: D of the output; by default N * H.
        dropout: rate on the attention probabilities.
        rotary_value: rotate the values too.
        initializer_range: standard deviation of the initial kernels.

    Call arguments:
        x: (B, L, D) queries' states.
        context, bias, rotation, head_mask, cache, cache_index: see `AttentionInputs`.
        return_cache, return_attention_scores: give these too.
        training: whether dropout is on.

    Returns:
        (B, L, D) tensor; with a `return_` flag `(tensor, extras)`, where the dict `extras` has
        `cache`, `(keys, values)` to pass in the next call, or `attentions`, the (B, N, L, S)
        probabilities after dropout and head mask, which are what multiplies the values.
    """

    has_flags = True

    def __init__(
        self,
        num_heads,
        head_size,
        hidden_size=None,
        dropout=0.1,
        rotary_value=False,
        initializer_range=0.02,
        **kwargs,
    ):
        hidden_size = hidden_size or num_heads * head_size
        super().__init__(arguments_in(locals()), **kwargs)
        self.query = self.dense(num_heads * head_size, "query")
        self.key = self.dense(num_heads * head_size, "key")
        self.value = self.dense(num_heads * head_size, "value")
        self.output_dense = self.dense(self.hidden_size, "output_dense")
        self.drop = self.dropout_layer(dropout, "dropout")

    def build(self, x_shape=None, context_shape=None):
        x_shape = x_shape or (None, None, self.hidden_size)
        self.query.build(x_shape)
        self.key.build(context_shape or x_shape)
        self.value.build(context_shape or x_shape)
        self.output_dense.build((None, None, self.num_heads * self.head_size))

    def call(
        self,
        x,
        context=None,
        bias=None,
        rotation=None,
        head_mask=None,
        cache=None,
        cache_index=None,
        return_cache=False,
        return_attention_scores=False,
        training=False,
    ):
        inputs = AttentionInputs(context, bias, rotation, head_mask, cache, cache_index)
        give = asked_for(return_cache, return_attention_scores)
        return with_extras(*self.compute(x, inputs, give, training))

    def compute(self, x, inputs, give, training):
        query = kernels.split_heads(self.run(self.query, x), self.num_heads)  # (B, L, N, H)
        if inputs.rotation is not None:
            query = apply_rotary(query, inputs.rotation)
        if inputs.context is not None and inputs.cache is not None:
            key, value = inputs.cache  # the context's keys and values never change
        else:
            key, value = self._keys_and_values(x, inputs)  # (B, S, N, H)

        dropout = self.rate_of(self.drop, training)
        if "attentions" in give or inputs.head_mask is not None or not kernels.can_fuse(dropout):
            scores = self._probabilities(query, key, inputs, training)  # (B, N, L, S)
            y = ops.einsum("bnls,bsnh->blnh", scores, value)
        else:
            y = kernels.fused_attention(query, key, value, inputs.bias, dropout)  # (B, L, N, H)
        y = self.run(self.output_dense, kernels.merge_heads(y))  # (B, L, D)

        extras = {}
        if "cache" in give:
            extras["cache"] = (key, value)
        if "attentions" in give:
            extras["attentions"] = scores
        return y, extras

    def compute_output_shape(self, x_shape, context_shape=None):
        return (*x_shape[:2], self.hidden_size)

    def _keys_and_values(self, x, inputs):
        """Those of `x` or the context and, before them, of the cache."""
        source = x if inputs.context is None else inputs.context
        key = kernels.split_heads(self.run(self.key, source), self.num_heads)
        value = kernels.split_heads(self.run(self.value, source), self.num_heads)
        if inputs.rotation is not None:
            key = apply_rotary(key, inputs.rotation)
            value = apply_rotary(value, inputs.rotation) if self.rotary_value else value
        if inputs.cache is not None:
            key = _extend(inputs.cache[0], key, inputs.cache_index)
            value = _extend(inputs.cache[1], value, inputs.cache_index)
        return key, value

    def _probabilities(self, query, key, inputs, training):
        query = query * (1 / math.sqrt(self.head_size))
        scores = ops.cast(ops.einsum("blnh,bsnh->bnls", query, key), "float32")
        if inputs.bias is not None:
            scores = scores + ops.cast(inputs.bias, "float32")
        scores = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        scores = self.dropped(self.drop, scores, training)
        if inputs.head_mask is not None:
            scores = scores * ops.cast(inputs.head_mask, scores.dtype)[:, None, None]
        return scores


def _extend(past, new, index):
    """Append `new` to `past` along the length, or write it at `index` of a fixed-size `past`."""
    new = ops.cast(new, past.dtype)
    if index is None:
        return ops.concatenate([past, new], axis=1)
    return kernels.write_cache(past, new, index)
