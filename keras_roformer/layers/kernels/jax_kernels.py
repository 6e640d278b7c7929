"""The kernels that JAX computes another way than `plain`."""

import jax
from keras import ops

from keras_roformer.layers.kernels import plain


def embedding(layer, x, reverse=False):
    """See `plain.embedding`."""
    y = layer.call(x, reverse=reverse)
    if reverse and all(size == 1 for size in y.shape[:-1]):
        # XLA would make one loop of a single row's product and what is added to it, which on a CPU
        # takes ten times as long as the product alone (jax 0.10).
        y = jax.lax.optimization_barrier(y)
    return y


def fused_attention(query, key, value, bias=None, dropout=0.0):
    """See `plain.fused_attention`."""
    if jax.default_backend() != "cpu":
        return ops.dot_product_attention(query, key, value, bias=bias)
    return plain.fused_attention(query, key, value, bias)
