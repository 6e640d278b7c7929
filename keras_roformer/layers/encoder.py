"""The encoder: attention and feed-forward layers with post-normalisation."""

import keras
from keras import ops
from keras.src.backend import get_keras_mask

from keras_roformer.layers import kernels
from keras_roformer.layers.attention import RoFormerAttention
from keras_roformer.layers.block import Block, causal_bias, lowest, padding_bias, positions
from keras_roformer.layers.policies import parts_of
from keras_roformer.layers.rotary import rotary_angles, rotary_frequencies


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerEncoderLayer(Block):
    """One layer: self-attention, cross-attention if asked for, feed-forward; each normalised after.

    Args:
        hidden_size, num_heads, intermediate_size: D, N and F.
        head_size: H, by default D / N (another value only after heads were pruned).
        hidden_act: activation of the feed-forward part, see `get_activation`.
        dropout, attention_dropout: rates on the outputs of each part and on the probabilities.
        rotary_value: rotate the values of self-attention too.
        add_cross_attention: have a cross-attention part.
        layer_norm_eps, initializer_range: epsilon and standard deviation.

    Call arguments:
        x: (B, L, D) states.
        bias, rotation, head_mask, cache, cache_index: see `RoFormerAttention`.
        context: (B, S, D) encoder states, `context_bias` their bias, `context_cache` their keys
            and values from an earlier call, `context_head_mask` the head mask of cross-attention.
        return_cache, return_attention_scores: give these too.
        training: whether dropout is on.

    Returns:
        (B, L, D) tensor; with a `return_` flag `(tensor, extras)` where the dict `extras` has what
        was asked for: `cache`, `context_cache`, `attentions`, `cross_attentions`.
    """

    has_flags = True

    def __init__(
        self,
        hidden_size,
        num_heads,
        intermediate_size,
        head_size=None,
        hidden_act="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        rotary_value=False,
        add_cross_attention=False,
        layer_norm_eps=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        super().__init__(
            dict(
                hidden_size=hidden_size,
                num_heads=num_heads,
                intermediate_size=intermediate_size,
                head_size=head_size or hidden_size // num_heads,
                hidden_act=hidden_act,
                dropout=dropout,
                attention_dropout=attention_dropout,
                rotary_value=rotary_value,
                add_cross_attention=add_cross_attention,
                layer_norm_eps=layer_norm_eps,
                initializer_range=initializer_range,
            ),
            **kwargs,
        )
        self.attention = self._attention("attention", rotary_value)
        self.attention_norm = self.layer_norm("attention_norm")
        if add_cross_attention:
            self.cross_attention = self._attention("cross_attention", False)
            self.cross_attention_norm = self.layer_norm("cross_attention_norm")
        self.intermediate_dense = self.dense(intermediate_size, "intermediate_dense")
        self.output_dense = self.dense(hidden_size, "output_dense")
        self.output_norm = self.layer_norm("output_norm")
        self.drop = self.dropout_layer(dropout, "dropout")

    def _attention(self, name, rotary_value):
        return RoFormerAttention(
            self.num_heads,
            self.head_size,
            hidden_size=self.hidden_size,
            dropout=self.attention_dropout,
            rotary_value=rotary_value,
            initializer_range=self.initializer_range,
            dtype=self.dtype_policy,
            name=name,
        )

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
        if context is not None and not self.add_cross_attention:
            raise ValueError(
                "context (encoder_hidden_states) was given to a layer without cross-attention; set "
                "add_cross_attention=True (and is_decoder=True) in the config"
            )
        flags = dict(
            return_cache=return_cache,
            return_attention_scores=return_attention_scores,
            training=training,
        )
        y = self.run(
            self.attention,
            x,
            bias=bias,
            rotation=rotation,
            head_mask=head_mask,
            cache=cache,
            cache_index=cache_index,
            **flags,
        )
        y, extras = y if isinstance(y, tuple) else (y, {})
        x = self._add_and_norm(x, y, self.attention_norm, training)

        if context is not None:
            y = self.run(
                self.cross_attention,
                x,
                context=context,
                bias=context_bias,
                head_mask=context_head_mask,
                cache=context_cache,
                **flags,
            )
            y, cross = y if isinstance(y, tuple) else (y, {})
            x = self._add_and_norm(x, y, self.cross_attention_norm, training)
            names = {"cache": "context_cache", "attentions": "cross_attentions"}
            extras = {**extras, **{names[name]: value for name, value in cross.items()}}

        y = self.activate(self.run(self.intermediate_dense, x))  # (B, L, F)
        y = self.run(self.output_dense, y)  # (B, L, D)
        x = self._add_and_norm(x, y, self.output_norm, training)
        return (x, extras) if extras else x

    def compute_output_shape(self, x_shape, **shapes):
        return x_shape

    def _add_and_norm(self, x, y, norm, training):
        return self.run(norm, x + self.dropped(self.drop, y, training))


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerEncoder(Block):
    """A stack of `RoFormerEncoderLayer`s over inputs of any length.

    Args:
        num_layers: number of layers.
        num_heads: N, or a list with one N per layer (after heads were pruned).
        causal: hide the keys after each query (a decoder).
        gradient_checkpointing: in training, recompute each layer in the backward pass.
        The others are those of `RoFormerEncoderLayer`.

    Call arguments:
        x: (B, L, D) embeddings.
        attention_mask: (B, S) or (B, L, S), 1 to attend, 0 to hide. A (B, L, S) mask says all, as
            in transformers: no causal mask is added to it.
        position_ids: (L,) or (B, L) positions, by default counted on from the cache.
        head_mask, context_head_mask: (N,) or (layers, N) factors of the heads' probabilities in
            self- and in cross-attention (by default the same as self-attention's).
        context, context_mask: (B, S', D) encoder states and their (B, S') or (B, L, S') mask.
        cache: list with a dict per layer: `cache` and, with cross-attention, `context_cache`.
        cache_index: number of tokens in a fixed-size cache; None for a cache that grows.
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

    def __init__(
        self,
        num_layers,
        hidden_size,
        num_heads,
        intermediate_size,
        head_size=None,
        hidden_act="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        rotary_value=False,
        add_cross_attention=False,
        causal=False,
        gradient_checkpointing=False,
        layer_norm_eps=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        heads = num_heads if isinstance(num_heads, (list, tuple)) else [num_heads] * num_layers
        shared = dict(
            hidden_size=hidden_size,
            intermediate_size=intermediate_size,
            head_size=head_size or hidden_size // max(heads, default=1),
            hidden_act=hidden_act,
            dropout=dropout,
            attention_dropout=attention_dropout,
            rotary_value=rotary_value,
            add_cross_attention=add_cross_attention,
            layer_norm_eps=layer_norm_eps,
            initializer_range=initializer_range,
        )
        super().__init__(
            dict(
                num_layers=num_layers,
                num_heads=num_heads,
                causal=causal,
                gradient_checkpointing=gradient_checkpointing,
                **shared,
            ),
            **kwargs,
        )
        self.supports_masking = True
        self.blocks = [
            RoFormerEncoderLayer(num_heads=n, dtype=self.dtype_policy, name=f"layer_{i}", **shared)
            for i, n in enumerate(heads)
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
            attention_mask = get_keras_mask(x) if mask is None else mask
        past_length, key_length = self._lengths(x, cache, cache_index)
        if position_ids is None:
            position_ids = positions(ops.shape(x)[1], past_length)
        rotation = rotary_angles(position_ids, self._frequencies)
        bias = self._bias(x, attention_mask, past_length, key_length)
        context_bias = (
            padding_bias(context_mask, self.compute_dtype) if context_mask is not None else None
        )
        if self._clips_bias:
            bias, context_bias = (
                None if b is None else ops.maximum(b, lowest("float16"))
                for b in (bias, context_bias)
            )
        context_head_mask = head_mask if context_head_mask is None else context_head_mask
        need_scores = return_attention_scores or kernels.fused_gradient_fails(
            (bias, context_bias), training
        )

        collected = {}
        hidden_states = (x,)
        for i, block in enumerate(self.blocks):
            past = cache[i] if cache is not None else {}
            y = self._run_block(
                block,
                x,
                training=training,
                bias=bias,
                rotation=rotation,
                head_mask=_of_layer(head_mask, i),
                cache=past.get("cache"),
                cache_index=cache_index,
                context=context,
                context_bias=context_bias,
                context_cache=past.get("context_cache"),
                context_head_mask=_of_layer(context_head_mask, i),
                return_cache=return_cache,
                return_attention_scores=need_scores,
            )
            x, extras = y if isinstance(y, tuple) else (y, {})
            hidden_states += (x,)
            for name, value in extras.items():
                collected.setdefault(name, []).append(value)

        extras = {
            name: tuple(collected[name])
            for name in ("attentions", "cross_attentions")
            if return_attention_scores and name in collected
        }
        if return_cache:
            parts = ("cache", "context_cache")
            extras["cache"] = [
                {part: collected[part][i] for part in parts if part in collected}
                for i in range(self.num_layers)
            ]
        if return_hidden_states:
            extras["hidden_states"] = hidden_states
        return (x, extras) if extras else x

    def compute_output_shape(self, x_shape, **shapes):
        return x_shape

    @property
    def layer(self):
        """`blocks`, by the name that transformers' encoders have for them."""
        return self.blocks

    def _run_block(self, block, x, training, **kwargs):
        if training and self.gradient_checkpointing:
            return kernels.recomputed(
                block, lambda y: self.run(block, y, training=True, **kwargs), x
            )
        return self.run(block, x, training=training, **kwargs)

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


def _of_layer(head_mask, index):
    """Row of a (layers, N) head mask; a (N,) mask serves every layer."""
    if head_mask is None or len(head_mask.shape) == 1:
        return head_mask
    return head_mask[index]
