"""The encoder: attention and feed-forward layers with post-normalisation."""

import dataclasses
import typing

import keras
from keras import ops

from keras_roformer.layers import kernels
from keras_roformer.layers.attention import AttentionInputs, RoFormerAttention
from keras_roformer.layers.block import (
    Block,
    asked_for,
    causal_bias,
    lowest,
    padding_bias,
    positions,
    with_extras,
)
from keras_roformer.layers.policies import parts_of
from keras_roformer.layers.rotary import rotary_angles, rotary_frequencies
from keras_roformer.layers.spec import OF_MODEL, OF_STACK, takes_spec
from keras_roformer.upstream import for_keras


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerEncoderLayer(Block):
    """One layer: self-attention, cross-attention if asked for, feed-forward; each normalised after.

    Args:
        hidden_size, num_heads, intermediate_size, head_size, hidden_act, dropout,
        attention_dropout, rotary_value, add_cross_attention, layer_norm_eps, initializer_range:
            see `EncoderSpec`.

    Call arguments:
        x: (B, L, D) states.
        bias, rotation, head_mask, cache, cache_index: see `AttentionInputs`.
        context: (B, S, D) encoder states, `context_bias` their bias, `context_cache` their keys
            and values from an earlier call, `context_head_mask` the head mask of cross-attention.
        return_cache, return_attention_scores: give these too.
        training: whether dropout is on.

    Returns:
        (B, L, D) tensor; with a `return_` flag `(tensor, extras)` where the dict `extras` has what
        was asked for: `cache`, `context_cache`, `attentions`, `cross_attentions`.
    """

    has_flags = True

    @takes_spec(but=(*OF_MODEL, *OF_STACK))
    def __init__(self, spec, **kwargs):
        arguments = spec.arguments_of(RoFormerEncoderLayer, head_size=spec.size_of_heads)
        super().__init__(arguments, **kwargs)
        self.attention = self._attention(spec, "attention")
        self.attention_norm = self.layer_norm("attention_norm")
        if spec.add_cross_attention:
            self.cross_attention = self._attention(spec, "cross_attention", rotary_value=False)
            self.cross_attention_norm = self.layer_norm("cross_attention_norm")
        self.intermediate_dense = self.dense(spec.intermediate_size, "intermediate_dense")
        self.output_dense = self.dense(spec.hidden_size, "output_dense")
        self.output_norm = self.layer_norm("output_norm")
        self.drop = self.dropout_layer(spec.dropout, "dropout")

    def _attention(self, spec, name, **others):
        others |= dict(head_size=self.head_size, dropout=self.attention_dropout)
        arguments = spec.arguments_of(RoFormerAttention, **others)
        return RoFormerAttention(**arguments, dtype=self.dtype_policy, name=name)

    def build(self, x_shape=None):
        shape = (None, None, self.hidden_size)
        self.attention.build(shape)
        self.attention_norm.build(shape)
        if self.add_cross_attention:
            self.cross_attention.build(shape)
            self.cross_attention_norm.build(shape)
        self.intermediate_dense.build(shape)
        self.output_dense.build((None, None, self.intermediate_size))
        self.output_norm.build(shape)

    def call(
        self,
        x,
        bias=None,
        rotation=None,
        head_mask=None,
        cache=None,
        cache_index=None,
        context=None,
        context_bias=None,
        context_cache=None,
        context_head_mask=None,
        return_cache=False,
        return_attention_scores=False,
        training=False,
    ):
        own = AttentionInputs(None, bias, rotation, head_mask, cache, cache_index)
        cross = AttentionInputs(context, context_bias, None, context_head_mask, context_cache)
        give = asked_for(return_cache, return_attention_scores)
        return with_extras(*self.compute(x, own, cross, give, training))

    def compute(self, x, own, cross, give, training):
        """See `Block.compute`; `own` and `cross` are the `AttentionInputs` of self-attention and,
        where it has a context, cross-attention."""
        if cross.context is not None and not self.add_cross_attention:
            raise ValueError(
                "context (encoder_hidden_states) was given to a layer without cross-attention; set "
                "add_cross_attention=True (and is_decoder=True) in the config"
            )
        y, extras = self.run(self.attention, x, own, give, training)
        x = self._add_and_norm(x, y, self.attention_norm, training)

        if cross.context is not None:
            y, more = self.run(self.cross_attention, x, cross, give, training)
            x = self._add_and_norm(x, y, self.cross_attention_norm, training)
            names = {"cache": "context_cache", "attentions": "cross_attentions"}
            extras = {**extras, **{names[name]: value for name, value in more.items()}}

        y = self.activate(self.run(self.intermediate_dense, x))  # (B, L, F)
        y = self.run(self.output_dense, y)  # (B, L, D)
        return self._add_and_norm(x, y, self.output_norm, training), extras

    def compute_output_shape(self, x_shape, **shapes):
        return x_shape

    def _add_and_norm(self, x, y, norm, training):
        return self.run(norm, x + self.dropped(self.drop, y, training))


class EncoderInputs(typing.NamedTuple):
    """What an encoder reads beside its states; each may be None.

    Attributes:
        attention_mask: (B, S) or (B, L, S), 1 to attend, 0 to hide. A (B, L, S) mask says all, as
            in transformers: no causal mask is added to it.
        position_ids: (L,) or (B, L) positions, by default counted on from the cache.
        head_mask, context_head_mask: (N,) or (layers, N) factors of the heads' probabilities in
            self- and in cross-attention (by default the same as self-attention's).
        context, context_mask: (B, S', D) encoder states and their (B, S') or (B, L, S') mask.
        cache: list with a dict per layer: `cache` and, with cross-attention, `context_cache`.
        cache_index: number of tokens in a fixed-size cache; None for a cache that grows.
    """

    attention_mask: object = None
    position_ids: object = None
    head_mask: object = None
    context: object = None
    context_mask: object = None
    context_head_mask: object = None
    cache: object = None
    cache_index: object = None


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerEncoder(Block):
    """A stack of `RoFormerEncoderLayer`s over inputs of any length.

    Args:
        num_layers, hidden_size, num_heads, intermediate_size, head_size, hidden_act, dropout,
        attention_dropout, rotary_value, add_cross_attention, causal, gradient_checkpointing,
        layer_norm_eps, initializer_range: see `EncoderSpec`.

    Call arguments:
        x: (B, L, D) embeddings.
        attention_mask, position_ids, head_mask, context, context_mask, context_head_mask, cache,
        cache_index: see `EncoderInputs`.
        return_cache, return_attention_scores, return_hidden_states: give these too.
        mask: Keras's own mask of `x`, (B, L), which comes from a layer before (`mask_zero`); used
            as the attention_mask where none is given, and handed on.
        training: whether dropout is on.

    Returns:
        (B, L, D) tensor; with a `return_` flag `(tensor, extras)` where the dict `extras` has what
        was asked for: `cache` (as the argument), `attentions`, `cross_attentions` (tuples with a
        (B, N, L, S) tensor per layer), `hidden_states` (the input and each layer's output).

    Example:

    ```python
    import numpy as np
    from keras_roformer.layers import RoFormerEncoder

    encoder = RoFormerEncoder(num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32)
    states = encoder(np.random.normal(size=(1, 5, 16)))  # (1, 5, 16)
    ```
    """

    has_flags = True

    @takes_spec(but=OF_MODEL)
    def __init__(self, spec, **kwargs):
        size = spec.size_of_heads
        super().__init__(spec.arguments_of(RoFormerEncoder, head_size=size), **kwargs)
        self.supports_masking = True
        self.blocks = [
            RoFormerEncoderLayer(
                spec=dataclasses.replace(spec, num_heads=num_heads, head_size=size),
                dtype=self.dtype_policy,
                name=f"layer_{i}",
            )
            for i, num_heads in enumerate(spec.heads_of_layers)
        ]

    def build(self, x_shape=None):
        # Once and outside of `call`, which compilers trace: this is NumPy.
        self._frequencies = rotary_frequencies(self.head_size)
        for block in self.blocks:
            block.build((None, None, self.hidden_size))
        # A map of policies can have layers in float16, where a wider dtype's lowest is infinite.
        self._clips_bias = self.compute_dtype != "float16" and any(
            part.compute_dtype == "float16" for part in parts_of(self)
        )

    def call(
        self,
        x,
        attention_mask=None,
        position_ids=None,
        head_mask=None,
        context=None,
        context_mask=None,
        context_head_mask=None,
        cache=None,
        cache_index=None,
        return_cache=False,
        return_attention_scores=False,
        return_hidden_states=False,
        mask=None,
        training=False,
    ):
        if attention_mask is None and cache is None:
            # Keras passes `mask` where `x` is the only tensor.
            attention_mask = for_keras.mask_of(x) if mask is None else mask
        inputs = EncoderInputs(
            attention_mask,
            position_ids,
            head_mask,
            context,
            context_mask,
            context_head_mask,
            cache,
            cache_index,
        )
        give = asked_for(return_cache, return_attention_scores, return_hidden_states)
        return with_extras(*self.compute(x, inputs, give, training))

    def compute(self, x, inputs, give, training):
        """See `Block.compute`; `inputs` are `EncoderInputs`."""
        own, cross = self._attention_inputs(x, inputs)
        of_layers = give
        if kernels.gradient_needs_probabilities((own.bias, cross.bias), training):
            of_layers = (*give, "attentions")

        collected = {}
        hidden_states = (x,)
        for i, block in enumerate(self.blocks):
            past = {} if inputs.cache is None else inputs.cache[i]
            x, extras = self._run_block(
                block,
                x,
                own._replace(head_mask=_of_layer(own.head_mask, i), cache=past.get("cache")),
                cross._replace(
                    head_mask=_of_layer(cross.head_mask, i), cache=past.get("context_cache")
                ),
                of_layers,
                training,
            )
            hidden_states += (x,)
            for name, value in extras.items():
                collected.setdefault(name, []).append(value)

        extras = {
            name: tuple(collected[name])
            for name in ("attentions", "cross_attentions")
            if "attentions" in give and name in collected
        }
        if "cache" in give:
            parts = ("cache", "context_cache")
            extras["cache"] = [
                {part: collected[part][i] for part in parts if part in collected}
                for i in range(self.num_layers)
            ]
        if "hidden_states" in give:
            extras["hidden_states"] = hidden_states
        return x, extras

    def compute_output_shape(self, x_shape, **shapes):
        return x_shape

    @property
    def layer(self):
        """`blocks`, by the name that transformers' encoders have for them."""
        return self.blocks

    def _run_block(self, block, x, own, cross, give, training):
        if training and self.gradient_checkpointing:
            return kernels.recomputed(
                block, lambda y: self.run(block, y, own, cross, give, training), x
            )
        return self.run(block, x, own, cross, give, training)

    def _attention_inputs(self, x, inputs):
        """`AttentionInputs` of all layers, for self- and for cross-attention; without caches."""
        past_length, key_length = self._lengths(x, inputs.cache, inputs.cache_index)
        position_ids = inputs.position_ids
        if position_ids is None:
            position_ids = positions(ops.shape(x)[1], past_length)
        own = AttentionInputs(
            bias=self._clipped(self._bias(x, inputs.attention_mask, past_length, key_length)),
            rotation=rotary_angles(position_ids, self._frequencies),
            head_mask=inputs.head_mask,
            cache_index=inputs.cache_index,
        )
        if inputs.context is None:
            return own, AttentionInputs()
        bias, head_mask = None, inputs.context_head_mask
        if inputs.context_mask is not None:
            bias = self._clipped(padding_bias(inputs.context_mask, self.compute_dtype))
        head_mask = inputs.head_mask if head_mask is None else head_mask
        return own, AttentionInputs(inputs.context, bias, head_mask=head_mask)

    def _lengths(self, x, cache, cache_index):
        """Number of tokens before `x`, and the number of keys S."""
        length = ops.shape(x)[1]
        if cache is None:
            return 0, length
        cached = ops.shape(cache[0]["cache"][0])[1]
        return (cached, cached + length) if cache_index is None else (cache_index, cached)

    def _bias(self, x, attention_mask, past_length, key_length):
        dtype = self.compute_dtype
        bias = None if attention_mask is None else padding_bias(attention_mask, dtype)
        if not self.causal or (attention_mask is not None and len(attention_mask.shape) == 3):
            return bias
        causal = causal_bias(ops.shape(x)[1], key_length, past_length, dtype)
        # The minimum, not the sum: two lowest values would add up to minus infinity. The cast:
        # Keras's minimum of two float64 tensors is float32, which torch's attention misreads.
        return causal if bias is None else ops.cast(ops.minimum(causal, bias), dtype)

    def _clipped(self, bias):
        return (
            ops.maximum(bias, lowest("float16")) if self._clips_bias and bias is not None else bias
        )


def _of_layer(head_mask, index):
    """Row of a (layers, N) head mask; a (N,) mask serves every layer."""
    if head_mask is None or len(head_mask.shape) == 1:
        return head_mask
    return head_mask[index]
