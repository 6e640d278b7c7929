"""Embeddings, encoder and pooler in one layer: the model without a head."""

import keras

from keras_roformer.layers.block import Block, asked_for
from keras_roformer.layers.embeddings import RoFormerEmbeddings
from keras_roformer.layers.encoder import EncoderInputs, RoFormerEncoder
from keras_roformer.layers.heads import RoFormerPooler
from keras_roformer.layers.spec import takes_spec
from keras_roformer.limits import check_memory


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormer(Block):
    """Token ids → hidden states (documented class: RoFormerModel).

    Args:
        vocab_size, num_layers, hidden_size, num_heads, intermediate_size, embedding_size,
        head_size, type_vocab_size, pad_token_id, hidden_act, dropout, attention_dropout,
        rotary_value, add_cross_attention, causal, add_pooler, layer_norm_eps, initializer_range:
            see `EncoderSpec`.

    Call arguments:
        token_ids, token_type_ids, inputs_embeds: see `RoFormerEmbeddings`.
        The others: see `RoFormerEncoder`.

    Returns:
        (B, L, D) tensor and a dict: `pooler_output` (B, D) with a pooler, and what the encoder was
        asked for.

    Raises:
        ValueError: neither or both of token_ids and inputs_embeds; context without
            cross-attention; more weights than this machine has memory for.

    Example:

    ```python
    import numpy as np
    from keras_roformer.layers import RoFormer

    model = RoFormer(
        vocab_size=100, num_layers=2, hidden_size=16, num_heads=2, intermediate_size=32
    )
    states, extras = model(np.array([[5, 7, 9]]))  # (1, 3, 16), {}
    ```
    """

    has_flags = True

    @takes_spec(but=("gradient_checkpointing",))
    def __init__(self, spec, **kwargs):
        _check_memory(spec)
        super().__init__(spec.arguments_of(RoFormer), **kwargs)
        self.embeddings = RoFormerEmbeddings(
            **spec.arguments_of(RoFormerEmbeddings, dtype=self.dtype_policy, name="embeddings")
        )
        if spec.embedding_size != spec.hidden_size:
            self.embeddings_project = self.dense(spec.hidden_size, "embeddings_project")
        self.encoder = RoFormerEncoder(spec=spec, dtype=self.dtype_policy, name="encoder")
        if spec.add_pooler:
            self.pooler = RoFormerPooler(
                **spec.arguments_of(RoFormerPooler, dtype=self.dtype_policy, name="pooler")
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
        return self.compute(token_ids, token_type_ids, inputs_embeds, inputs, give, training)

    def compute(self, token_ids, token_type_ids, inputs_embeds, inputs, give, training):
        """See `Block.compute`; `inputs` are `EncoderInputs`."""
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
        x, extras = self.run(self.encoder, x, inputs, give, training)
        if self.add_pooler:
            extras = {"pooler_output": self.run(self.pooler, x), **extras}
        return x, extras

    def compute_output_shape(self, token_ids_shape=None, inputs_embeds_shape=None, **shapes):
        batch, length = (token_ids_shape or inputs_embeds_shape)[:2]
        extras = {"pooler_output": (batch, self.hidden_size)} if self.add_pooler else {}
        return (batch, length, self.hidden_size), extras


def _check_memory(spec):
    """Raise for more weights than this machine has memory for."""
    weights = (spec.vocab_size + spec.type_vocab_size + spec.hidden_size) * spec.embedding_size
    of_layer = spec.hidden_size * (4 * spec.hidden_size + 2 * spec.intermediate_size)
    sizes = ("vocab_size", "embedding_size", "num_layers", "hidden_size", "intermediate_size")
    *sizes, last = (f"{name}={getattr(spec, name)}" for name in sizes)
    check_memory(
        4 * (weights + spec.num_layers * of_layer),
        f"a RoFormer with {', '.join(sizes)} and {last}",
        "correct the config",
    )
