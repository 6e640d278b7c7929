"""The only code that differs between backends: a few functions that each has its fastest way for."""

import keras
from keras import ops

if keras.config.backend() == "torch":
    import torch

# Whether `fused_attention` can drop probabilities.
FUSES_DROPOUT = keras.config.backend() == "torch"


def dense(layer, x):
    """The output of a built `keras.layers.Dense` without activation, outside of `__call__`."""
    if keras.config.backend() != "torch":
        return layer.call(x)
    kernel, bias = layer.kernel, layer.bias
    weight = getattr(kernel, "value", kernel).T  # with LoRA the kernel is a tensor
    if x.dtype != weight.dtype:
        return layer.call(x)
    bias = None if bias is None else bias.value
    if _onednn_is_faster(x, weight):
        # torch's float32 products on x86 are MKL's; with few rows oneDNN's take half the time.
        return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")
    return torch.nn.functional.linear(x, weight, bias)  # adds the bias within the product


def _onednn_is_faster(x, weight):
    """Whether to take oneDNN's product, which has no gradient: float32, no small matrix, eager."""
    return (
        _HAS_ONEDNN
        and weight.numel() >= 1 << 16
        and x.dtype == torch.float32
        and type(x) is torch.Tensor
        and x.device.type == "cpu"
        and torch.backends.mkldnn.enabled
        and not (torch.is_grad_enabled() and (x.requires_grad or weight.requires_grad))
        and not torch.is_autocast_enabled("cpu")
        and torch._C._functorch.peek_interpreter_stack() is None
        and _is_eager()
    )


def _is_eager():
    return not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export())


_HAS_ONEDNN = (
    keras.config.backend() == "torch"
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)


def make_rotation(sin, cos):
    """What `rotate` wants to have of each position's sines and cosines, (..., L, H/2) each."""
    if keras.config.backend() == "torch" and _is_eager():
        return torch.complex(cos, sin)[..., None, :]
    # (..., L, 1, H), interleaved; the sine of a pair's first component is negated.
    pairs = (ops.stack(pair, axis=-1) for pair in ((-sin, sin), (cos, cos)))
    shape = (*ops.shape(sin)[:-1], 1, 2 * sin.shape[-1])
    return tuple(ops.reshape(pair, shape) for pair in pairs)


def rotate(x, rotation):
    """Rotate the pairs (0, 1), (2, 3), … of `x`, (B, L, N, H), by `make_rotation`."""
    shape = (*ops.shape(x)[:-1], x.shape[-1])
    pairs = (*shape[:-1], x.shape[-1] // 2, 2)
    if not isinstance(rotation, tuple):
        # A pair is a complex number, and the product one pass over the memory instead of six.
        numbers = torch.view_as_complex(x.to(rotation.real.dtype).reshape(pairs))
        return torch.view_as_real(numbers * rotation).reshape(shape).to(x.dtype)
    sin, cos = (ops.cast(table, x.dtype) for table in rotation)
    swapped = ops.reshape(ops.flip(ops.reshape(x, pairs), axis=-1), shape)
    return x * cos + swapped * sin


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
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    y = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, dropout_p=dropout
    )
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
