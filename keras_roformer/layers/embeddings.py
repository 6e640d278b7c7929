"""Token and token-type embeddings; RoFormer adds no position here."""

import keras
from keras import ops

from keras_roformer.layers.block import Block, arguments_in


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerEmbeddings(Block):
    """Sum of token and token-type embeddings, normalised (documented class: RoFormerModel).

    Args:
        vocab_size, type_vocab_size: numbers of tokens (V) and of token types.
        embedding_size: E.
        pad_token_id: the token whose vector gets no gradient from the look-up, or None.
        dropout: rate after the normalisation.
        layer_norm_eps, initializer_range: epsilon and standard deviation.

    Call arguments:
        token_ids: (B, L) integers; or None with `inputs_embeds`.
        token_type_ids: (B, L) integers, by default 0.
        inputs_embeds: (B, L, E) vectors to use in place of the token embeddings.
        training: whether dropout is on.

    Returns:
        (B, L, E) tensor.
    """

    def __init__(
        self,
        vocab_size,
        embedding_size,
        type_vocab_size=2,
        pad_token_id=0,
        dropout=0.1,
        layer_norm_eps=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        super().__init__(arguments_in(locals()), **kwargs)
        self.word_embeddings = keras.layers.ReversibleEmbedding(
            vocab_size,
            embedding_size,
            embeddings_initializer=self.initializer(),
            dtype=self.dtype_policy,
            name="word_embeddings",
        )
        self.token_type_embeddings = keras.layers.Embedding(
            type_vocab_size,
            embedding_size,
            embeddings_initializer=self.initializer(),
            dtype=self.dtype_policy,
            name="token_type_embeddings",
        )
        self.norm = self.layer_norm("layer_norm")
        self.drop = self.dropout_layer(dropout, "dropout")

    def build(self, input_shape=None):
        for embedding in (self.word_embeddings, self.token_type_embeddings):
            if not embedding.built:
                embedding.build((None, None))
        self.norm.build((None, None, self.embedding_size))

    def call(self, token_ids=None, token_type_ids=None, inputs_embeds=None, training=False):
        if inputs_embeds is None:
            x = self.run(self.word_embeddings, token_ids)  # (B, L, E)
            if self.pad_token_id is not None:
                # Not `[..., None]`, which LiteRT has no operation for on booleans.
                padding = ops.expand_dims(ops.equal(token_ids, self.pad_token_id), -1)
                x = ops.where(padding, ops.stop_gradient(x), x)
        else:
            x = ops.cast(inputs_embeds, self.compute_dtype)
        if token_type_ids is None:
            token_type_ids = ops.zeros_like(x[..., 0], dtype="int32")
        x = x + self.run(self.token_type_embeddings, token_type_ids)
        x = self.run(self.norm, x)
        return self.dropped(self.drop, x, training)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.embedding_size)
