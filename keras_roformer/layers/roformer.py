"""Embeddings, encoder and pooler in one layer: the model without a head."""

import keras

from keras_roformer.layers.block import Block
from keras_roformer.layers.embeddings import RoFormerEmbeddings
from keras_roformer.layers.encoder import RoFormerEncoder
from keras_roformer.layers.heads import RoFormerPooler
from keras_roformer.limits import check_memory


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormer(Block):
    """Token ids → hidden states (documented class: RoFormerModel).

    Args:
        vocab_size, type_vocab_size, pad_token_id, embedding_size: see `RoFormerEmbeddings`; an
            embedding size other than `hidden_size` (the default) adds a projection.
        num_layers, hidden_size, num_heads, intermediate_size, head_size, hidden_act, dropout,
        attention_dropout, rotary_value, add_cross_attention, causal, layer_norm_eps,
        initializer_range: see `RoFormerEncoder`.
        add_pooler: have a `RoFormerPooler`.

    Call arguments:
        token_ids, token_type_ids, inputs_embeds: see `RoFormerEmbeddings`.
        The others: see `RoFormerEncoder`.

    Returns:
        (B, L, D) tensor and a dict: `pooler_output` (B, D) with a pooler, and what the encoder was
        asked for.

    Raises:
        ValueError: neither or both of token_ids and inputs_embeds; context without
            cross-attention; more weights than this machine has memory for.
    """

    has_flags = True

    def __init__(
        self,
        vocab_size,
        num_layers,
        hidden_size,
        num_heads,
        intermediate_size,
        embedding_size=None,
        head_size=None,
        type_vocab_size=2,
        pad_token_id=0,
        hidden_act="gelu",
        dropout=0.1,
        attention_dropout=0.1,
        rotary_value=False,
        add_cross_attention=False,
        causal=False,
        add_pooler=False,
        layer_norm_eps=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        embedding_size = embedding_size or hidden_size
        weights = (vocab_size + type_vocab_size + hidden_size) * embedding_size
        weights += num_layers * hidden_size * (4 * hidden_size + 2 * intermediate_size)
        check_memory(
            4 * weights,
            f"a RoFormer with vocab_size={vocab_size}, {embedding_size=}, {num_layers=}, "
            f"{hidden_size=} and {intermediate_size=}",
            "correct the config",
        )
        encoder = dict(
            num_layers=num_layers,
            hidden_size=hidden_size,
            num_heads=num_heads,
            intermediate_size=intermediate_size,
            head_size=head_size,
            hidden_act=hidden_act,
            dropout=dropout,
            attention_dropout=attention_dropout,
            rotary_value=rotary_value,
            add_cross_attention=add_cross_attention,
            causal=causal,
            layer_norm_eps=layer_norm_eps,
            initializer_range=initializer_range,
        )
        super().__init__(
            dict(
                vocab_size=vocab_size,
                embedding_size=embedding_size,
                type_vocab_size=type_vocab_size,
                pad_token_id=pad_token_id,
                add_pooler=add_pooler,
                **encoder,
            ),
            **kwargs,
        )
        self.embeddings = RoFormerEmbeddings(
            vocab_size,
            embedding_size,
            type_vocab_size=type_vocab_size,
            pad_token_id=pad_token_id,
            dropout=dropout,
            layer_norm_eps=layer_norm_eps,
            initializer_range=initializer_range,
            dtype=self.dtype_policy,
            name="embeddings",
        )
        if embedding_size != hidden_size:
            self.embeddings_project = self.dense(hidden_size, "embeddings_project")
        self.encoder = RoFormerEncoder(dtype=self.dtype_policy, name="encoder", **encoder)
        if add_pooler:
            self.pooler = RoFormerPooler(
                hidden_size, initializer_range, dtype=self.dtype_policy, name="pooler"
            )

    def build(self, token_ids_shape=None):
        self.embeddings.build()
        if self.embedding_size != self.hidden_size:
            self.embeddings_project.build((None, None, self.embedding_size))
        self.encoder.build()
        if self.add_pooler:
            self.pooler.build()

    def call(
        self,
        token_ids=None,
        token_type_ids=None,
        inputs_embeds=None,
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
        training=False,
    ):
        if (token_ids is None) == (inputs_embeds is None):
            given = "neither" if token_ids is None else "both"
            raise ValueError(
                "You have to specify exactly one of input_ids and inputs_embeds, "
                f"got {given}; pass the token ids, or the vectors to use in their place"
            )
        x = self.run(
            self.embeddings,
            token_ids,
            token_type_ids=token_type_ids,
            inputs_embeds=inputs_embeds,
            training=training,
        )  # (B, L, E)
        if self.embedding_size != self.hidden_size:
            x = self.run(self.embeddings_project, x)  # (B, L, D)
        y = self.run(
            self.encoder,
            x,
            attention_mask=attention_mask,
            position_ids=position_ids,
            head_mask=head_mask,
            context=context,
            context_mask=context_mask,
            context_head_mask=context_head_mask,
            cache=cache,
            cache_index=cache_index,
            return_cache=return_cache,
            return_attention_scores=return_attention_scores,
            return_hidden_states=return_hidden_states,
            training=training,
        )
        x, extras = y if isinstance(y, tuple) else (y, {})
        if self.add_pooler:
            extras = {"pooler_output": self.run(self.pooler, x), **extras}
        return x, extras

    def compute_output_shape(self, token_ids_shape=None, inputs_embeds_shape=None, **shapes):
        batch, length = (token_ids_shape or inputs_embeds_shape)[:2]
        extras = {"pooler_output": (batch, self.hidden_size)} if self.add_pooler else {}
        return (batch, length, self.hidden_size), extras
