"""Task heads: last hidden states → logits."""

import keras
from keras import ops

from keras_roformer.layers.activations import get_activation
from keras_roformer.layers.block import Block, arguments_in


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerPooler(Block):
    """Dense and tanh over the first token's state (RoFormer-Sim; TFRoFormerModel documents it).

    Args:
        hidden_size: D.
        initializer_range: standard deviation of the initial kernel.

    Call arguments: x, (B, L, D). Returns: (B, D).
    """

    def __init__(self, hidden_size, initializer_range=0.02, **kwargs):
        super().__init__(arguments_in(locals()), **kwargs)
        self.pooler_dense = self.dense(hidden_size, "pooler_dense")

    def build(self, input_shape=None):
        self.pooler_dense.build((None, self.hidden_size))

    def call(self, x):
        return ops.tanh(self.run(self.pooler_dense, x[:, 0]))

    def compute_mask(self, inputs, previous_mask):
        return None  # no sequence is left

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.hidden_size)


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerLMHead(Block):
    """Language-modelling head: dense, activation, normalisation, product with the token embeddings.

    Args:
        vocab_size, hidden_size: V and D.
        embedding_size: E, the size of the token embeddings, by default D.
        tied: multiply with the token embeddings given in the call; else with a kernel of its own.
        hidden_act, layer_norm_eps, initializer_range: see `RoFormerEncoderLayer`.

    Call arguments:
        x: (B, L, D) states.
        word_embeddings: the built embedding layer (`ReversibleEmbedding`) to multiply with.
        positions: (B, P) indices of the tokens whose logits are wanted, by default all.

    Returns:
        (B, L, V), or (B, P, V), logits.
    """

    def __init__(
        self,
        vocab_size,
        hidden_size,
        embedding_size=None,
        tied=True,
        hidden_act="gelu",
        layer_norm_eps=1e-12,
        initializer_range=0.02,
        **kwargs,
    ):
        embedding_size = embedding_size or hidden_size
        super().__init__(arguments_in(locals()), **kwargs)
        self.transform = self.dense(self.embedding_size, "transform")
        self.norm = self.layer_norm("layer_norm")
        if not tied:
            self.decoder = keras.layers.Dense(
                vocab_size,
                use_bias=False,
                kernel_initializer=self.initializer(),
                dtype=self.dtype_policy,
                name="decoder",
            )

    def build(self, x_shape=None):
        self.transform.build((None, None, self.hidden_size))
        self.norm.build((None, None, self.embedding_size))
        if not self.tied:
            self.decoder.build((None, None, self.embedding_size))
        self.bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", name="bias")

    def call(self, x, word_embeddings=None, positions=None):
        if positions is not None:
            x = rows_at(x, positions)  # (B, P, D)
        x = self.activate(self.run(self.transform, x))
        x = self.run(self.norm, x)  # (B, L, E)
        if self.tied:
            x = self.run(word_embeddings, x, reverse=True)
        else:
            x = self.run(self.decoder, x)
        return ops.add(x, self.bias)  # (B, L, V); `+` would miss the autocast on JAX

    def compute_output_shape(self, x_shape, positions_shape=None):
        return (*(positions_shape or x_shape)[:2], self.vocab_size)


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerClassificationHead(Block):
    """Sentence classification: first token → dropout → dense → activation → dropout → projection.

    Args:
        num_labels, hidden_size: C and D.
        dropout: rate before both products.
        hidden_act, initializer_range: see `RoFormerEncoderLayer`.

    Call arguments: x, (B, L, D); training. Returns: (B, C) logits.
    """

    def __init__(
        self,
        num_labels,
        hidden_size,
        dropout=0.1,
        hidden_act="gelu",
        initializer_range=0.02,
        **kwargs,
    ):
        super().__init__(arguments_in(locals()), **kwargs)
        self.hidden_dense = self.dense(hidden_size, "hidden_dense")
        self.out_proj = self.dense(num_labels, "out_proj")
        self.drop = self.dropout_layer(dropout, "dropout")

    def build(self, input_shape=None):
        self.hidden_dense.build((None, self.hidden_size))
        self.out_proj.build((None, self.hidden_size))

    def call(self, x, training=False):
        x = self.dropped(self.drop, x[:, 0], training)  # (B, D)
        x = self.activate(self.run(self.hidden_dense, x))
        x = self.dropped(self.drop, x, training)
        return self.run(self.out_proj, x)  # (B, C)

    def compute_mask(self, inputs, previous_mask):
        return None  # no sequence is left

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.num_labels)


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerTokenHead(Block):
    """Projection of every token: token classification, and question answering with two labels.

    Args:
        num_labels, hidden_size: C and D.
        dropout: rate before the product.
        initializer_range: standard deviation of the initial kernel.

    Call arguments: x, (B, L, D); training. Returns: (B, L, C) logits.
    """

    def __init__(self, num_labels, hidden_size, dropout=0.1, initializer_range=0.02, **kwargs):
        super().__init__(arguments_in(locals()), **kwargs)
        self.supports_masking = True
        self.projection = self.dense(num_labels, "projection")
        self.drop = self.dropout_layer(dropout, "dropout")

    def build(self, input_shape=None):
        self.projection.build((None, None, self.hidden_size))

    def call(self, x, training=False):
        return self.run(self.projection, self.dropped(self.drop, x, training))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:2], self.num_labels)


@keras.saving.register_keras_serializable(package="keras_roformer")
class RoFormerSummaryHead(Block):
    """One score per sequence from a summary of its states (multiple choice).

    Args:
        hidden_size: D.
        summary_type: "last" position (the reference's default), "first", "mean" over all
            positions, or "cls_index" (without an index: the last position).
        projection_size: size of a projection of the summary, or None for none.
        activation: name of an activation after it, or None.
        first_dropout, last_dropout: rates before the projection and after the activation.
        initializer_range: standard deviation of the initial kernels.

    Call arguments: x, (B, L, D); training. Returns: (B, 1) scores.

    Raises:
        ValueError: unknown `summary_type`.
    """

    def __init__(
        self,
        hidden_size,
        summary_type="last",
        projection_size=None,
        activation=None,
        first_dropout=0.0,
        last_dropout=0.0,
        initializer_range=0.02,
        **kwargs,
    ):
        if summary_type not in ("last", "first", "mean", "cls_index"):
            raise ValueError(
                f"summary_type is {summary_type!r}; use 'last', 'first', 'mean' or 'cls_index'"
            )
        super().__init__(arguments_in(locals()), **kwargs)
        if projection_size:
            self.summary = self.dense(projection_size, "summary")
        self.classifier = self.dense(1, "classifier")
        self.drop_first = self.dropout_layer(first_dropout, "first_dropout")
        self.drop_last = self.dropout_layer(last_dropout, "last_dropout")

    def build(self, input_shape=None):
        if self.projection_size:
            self.summary.build((None, self.hidden_size))
        self.classifier.build((None, self.projection_size or self.hidden_size))

    def call(self, x, training=False):
        if self.summary_type == "first":
            x = x[:, 0]
        elif self.summary_type == "mean":
            x = ops.mean(x, axis=1)
        else:
            x = x[:, -1]
        x = self.dropped(self.drop_first, x, training)  # (B, D)
        if self.projection_size:
            x = self.run(self.summary, x)
        if self.activation:
            x = get_activation(self.activation)(x)
        x = self.dropped(self.drop_last, x, training)
        return self.run(self.classifier, x)  # (B, 1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], 1)


def rows_at(x, positions):
    """The rows of (B, L, D) `x` at (B, P) `positions`.

    As one look-up of whole rows: `take_along_axis` would look up every number, and compares sizes
    in a way that ties a torch export to those it was traced with.
    """
    batch, length = ops.shape(x)[:2]
    first = length * ops.arange(batch, dtype=positions.dtype)  # (B,)
    return ops.take(ops.reshape(x, (-1, x.shape[-1])), positions + first[:, None], axis=0)
