"""The kernels that TensorFlow computes another way than `plain`."""

import math

import tensorflow as tf
from keras import ops

from keras_roformer.layers.kernels import plain

# Run eagerly, a loop saves memory but takes more time.
MANY_SCORES_EAGERLY = 1 << 24


def gelu(x):
    """See `plain.gelu`."""
    # TensorFlow's own has the operation Erfc, which no ONNX file and no LiteRT kernel has.
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


def fused_attention(query, key, value, bias=None, dropout=0.0):
    """See `plain.fused_attention`."""
    many_scores = MANY_SCORES_EAGERLY if tf.executing_eagerly() else plain.MANY_SCORES
    return plain.fused_attention(query, key, value, bias, many_scores=many_scores)
