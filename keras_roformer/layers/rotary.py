"""Rotary position embedding (Su et al., 2021, https://arxiv.org/abs/2104.09864, section 3.4.2)."""

import math

import keras
import numpy as np
from keras import ops

from keras_roformer.layers import kernels

BASE = 10000.0


def rotary_frequencies(head_size):
    """Turns (of 2π) by which each pair rotates per position, as three float32 parts of their sum.

    The first two parts have 8 significant bits, so that their product with a position below 65,536
    is exact in float32; the rest is below 2^-16 of the whole. Whole turns can then be dropped
    without loss, where `sin(position * frequency)` would lose five digits at position 1,000.

    Raises:
        ValueError: an odd head size.
    """
    if head_size % 2:
        raise ValueError(
            f"the head size must be even, as rotary embeddings turn pairs; got {head_size} "
            "(hidden size / number of heads, where it is not given)"
        )
    rest = BASE ** (-np.arange(0, head_size, 2) / head_size) / (2 * math.pi)
    parts = []
    for _ in range(2):
        mantissa, exponent = np.frexp(rest)
        part = np.ldexp(np.round(mantissa * 256) / 256, exponent)
        parts.append(part)
        rest = rest - part
    # Python's floats: compilers that trace `call` take them for constants.
    return tuple(tuple(part.tolist()) for part in (*parts, rest))


def rotary_angles(positions, frequencies):
    """Sines and cosines of each position's rotation, in float32 whatever the dtype policy.

    Args:
        positions: integer tensor (L,) or (B, L), in tokens from the start of the sequence.
        frequencies: `rotary_frequencies` of the even head size H; pair j of H/2 turns by
            `10000^(-2j/H)` radians per position.

    Returns:
        The rotation that `apply_rotary` takes, in the form that suits the backend.
    """
    positions = ops.expand_dims(ops.cast(positions, "float32"), -1)
    parts = (ops.convert_to_tensor(part, dtype="float32") for part in frequencies)
    turns = sum(_fraction(positions * part) for part in parts)
    angles = _fraction(turns) * (2 * math.pi)  # (..., L, H/2)
    return kernels.make_rotation(ops.sin(angles), ops.cos(angles))


def _fraction(turns):
    return turns - ops.round(turns)


def rotation_from_table(table):
    """The rotation of a reference table (L, H) with the H/2 sines first and then the cosines."""
    return kernels.make_rotation(*ops.split(table, 2, axis=-1))


def apply_rotary(x, rotation):
    """Rotate the pairs (0, 1), (2, 3), … of every head by the angles of its position.

    Args:
        x: (B, L, N, H) queries, keys or values.
        rotation: `rotary_angles` of the L positions.

    Returns:
        (B, L, N, H) in the dtype of `x`; lengths are kept, and the product of a rotated query and a
        rotated key depends on the distance of their positions only.
    """
    return kernels.rotate(x, rotation)


@keras.saving.register_keras_serializable(package="keras_roformer")
class RotaryEmbedding(keras.layers.Layer):
    """Rotary position embedding as a layer without weights, for queries and keys of any length.

    Call arguments:
        x: (B, L, N, H) tensor; H must be even.
        positions: integer (L,) or (B, L) positions; by default `offset`, `offset + 1`, ….
        offset: position of the first token, e.g. the number of tokens in a cache.

    Returns:
        (B, L, N, H) rotated tensor.

    Raises:
        ValueError: H is odd.

    Example:

    ```python
    import numpy as np
    from keras_roformer.layers import RotaryEmbedding

    queries = np.random.normal(size=(1, 6, 2, 8)).astype("float32")
    rotated = RotaryEmbedding()(queries)
    ```
    """

    def build(self, input_shape):
        if input_shape[-1] % 2:
            raise ValueError(
                f"the head size must be even to rotate pairs, got {input_shape[-1]} "
                f"in an input of shape {tuple(input_shape)}"
            )
        self._frequencies = rotary_frequencies(input_shape[-1])

    def call(self, x, positions=None, offset=0):
        if positions is None:
            positions = ops.arange(ops.shape(x)[1], dtype="int32") + offset
        return apply_rotary(x, rotary_angles(positions, self._frequencies))

    def compute_output_shape(self, input_shape):
        return input_shape
