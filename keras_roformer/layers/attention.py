"""Multi-head attention with rotary positions."""

import math

import keras
from keras import ops

from keras_roformer.layers.block import Block
from keras_roformer.layers.kernels import (
    FUSES_DROPOUT,
    fused_attention,
    merge_heads,
    split_heads,
    write_cache,
)
from keras_roformer.layers.rotary import apply_rotary


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
        context: (B, S, D') states to attend to (cross-attention); by default `x`.
        bias: additive (B or 1, 1 or N, 1 or L, S) bias of the scores, see `padding_bias`.
        rotation: `rotary_angles` of the L positions, or None for no rotation.
        head_mask: factors of the heads' probabilities, shape (N,).
        cache: `(keys, values)` of earlier tokens, each (B, S', N, H), keys already rotated.
        cache_index: where to write into a cache of fixed size S'; None appends to the cache.
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
        super().__init__(
            dict(
                num_heads=num_heads,
                head_size=head_size,
                hidden_size=hidden_size or num_heads * head_size,
                dropout=dropout,
                rotary_value=rotary_value,
                initializer_range=initializer_range,
            ),
            **kwargs,
        )
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
        query = split_heads(self.run(self.query, x), self.num_heads)  # (B, L, N, H)
        if rotation is not None:
            query = apply_rotary(query, rotation)
        if context is not None and cache is not None:
            key, value = cache  # the context's keys and values never change
        else:
            source = x if context is None else context
            key = split_heads(self.run(self.key, source), self.num_heads)  # (B, S, N, H)
            value = split_heads(self.run(self.value, source), self.num_heads)
            if rotation is not None:
                key = apply_rotary(key, rotation)
                value = apply_rotary(value, rotation) if self.rotary_value else value
            if cache is not None:
                key = _extend(cache[0], key, cache_index)
                value = _extend(cache[1], value, cache_index)

        dropout = self.rate_of(self.drop, training)
        if return_attention_scores or head_mask is not None or (dropout and not FUSES_DROPOUT):
            scores = self._probabilities(query, key, bias, head_mask, training)  # (B, N, L, S)
            y = ops.einsum("bnls,bsnh->blnh", scores, value)
        else:
            y = fused_attention(query, key, value, bias, dropout)  # (B, L, N, H)
        y = self.run(self.output_dense, merge_heads(y))  # (B, L, D)

        extras = {}
        if return_cache:
            extras["cache"] = (key, value)
        if return_attention_scores:
            extras["attentions"] = scores
        return (y, extras) if extras else y

    def compute_output_shape(self, x_shape, context_shape=None):
        return (*x_shape[:2], self.hidden_size)

    def _probabilities(self, query, key, bias, head_mask, training):
        query = query * (1 / math.sqrt(self.head_size))
        scores = ops.cast(ops.einsum("blnh,bsnh->bnls", query, key), "float32")
        if bias is not None:
            scores = scores + ops.cast(bias, "float32")
        scores = ops.cast(ops.softmax(scores, axis=-1), self.compute_dtype)
        scores = self.dropped(self.drop, scores, training)
        if head_mask is not None:
            scores = scores * ops.cast(head_mask, scores.dtype)[:, None, None]
        return scores


def _extend(past, new, index):
    """Append `new` to `past` along the length, or write it at `index` of a fixed-size `past`."""
    new = ops.cast(new, past.dtype)
    if index is None:
        return ops.concatenate([past, new], axis=1)
    return write_cache(past, new, index)
