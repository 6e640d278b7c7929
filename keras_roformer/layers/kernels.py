"""The only code that differs between backends: fused attention, and writing into a cache."""

import keras
from keras import ops

# Whether `fused_attention` can drop probabilities.
FUSES_DROPOUT = keras.config.backend() == "torch"


def fused_attention(query, key, value, bias=None, dropout=0.0):
    """Softmax attention that does not give its probabilities.

    Args:
        query: (B, L, N, H).
        key, value: (B, S, N, H).
        bias: additive (B or 1, 1 or N, 1 or L, S) bias of the scores, in the dtype of `query`.
        dropout: rate on the probabilities; only where `FUSES_DROPOUT`.

    Returns:
        (B, L, N, H) tensor.
    """
    if keras.config.backend() != "torch":
        return ops.dot_product_attention(query, key, value, bias=bias)
    # Not through Keras's op: that asks for flash attention in a way torch.compile cannot trace, and
    # copies its inputs; torch itself chooses the fastest kernel.
    from torch.nn.functional import scaled_dot_product_attention

    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    y = scaled_dot_product_attention(query, key, value, attn_mask=bias, dropout_p=dropout)
    return y.transpose(1, 2)


def write_cache(cache, new, index):
    """Write `new`, (B, L, N, H), at the integer `index` of a (B, S, N, H) cache of fixed size.

    Returns:
        The cache with `new` in it. On torch it is the given one, changed in place: a copy of the
        whole cache in every layer would cost more than the rest of a small layer.
    """
    if keras.config.backend() != "torch":
        return ops.slice_update(cache, (0, index, 0, 0), new)
    return cache.index_copy_(1, ops.arange(new.shape[1], dtype="int64") + index, new)
