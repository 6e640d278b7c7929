"""Small layers between backbone and head, without weights."""

import keras
from keras import ops


@keras.saving.register_keras_serializable(package="keras_roformer")
class FoldChoices(keras.layers.Layer):
    """(B, C, L) ids or masks → (B * C, L)."""

    def call(self, x):
        return ops.reshape(x, (-1, ops.shape(x)[-1]))

    def compute_output_spec(self, x):
        return keras.KerasTensor((None, x.shape[-1]), dtype=x.dtype)


@keras.saving.register_keras_serializable(package="keras_roformer")
class UnfoldChoices(keras.layers.Layer):
    """(B * C, 1) scores → (B, C), the first two sizes of the second argument."""

    def call(self, scores, like):
        return ops.reshape(scores, ops.shape(like)[:2])

    def compute_output_spec(self, scores, like):
        return keras.KerasTensor(like.shape[:2], dtype=scores.dtype)


@keras.saving.register_keras_serializable(package="keras_roformer")
class Pooling(keras.layers.Layer):
    """One vector of a text's states.

    Args:
        mode: "mean" of the states of real tokens, or "cls" for the first token's.

    Call arguments: states, (B, L, D); padding_mask, (B, L). Returns: (B, D).

    Raises:
        ValueError: unknown mode.
    """

    def __init__(self, mode, **kwargs):
        if mode not in ("mean", "cls"):
            raise ValueError(f'pooling_mode must be "mean", "cls" or "pooler", got {mode!r}')
        super().__init__(**kwargs)
        self.mode = mode

    def call(self, states, padding_mask):
        if self.mode == "cls":
            return states[:, 0]
        weights = ops.cast(padding_mask, "float32")[..., None]
        total = ops.sum(ops.cast(states, "float32") * weights, axis=1)
        return ops.cast(total / ops.maximum(ops.sum(weights, axis=1), 1.0), states.dtype)

    def compute_output_spec(self, states, padding_mask):
        return keras.KerasTensor((states.shape[0], states.shape[-1]), dtype=states.dtype)

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}
