"""The kernels that torch computes another way than `plain`."""

import functools
import warnings

import numpy as np
import torch
from keras import ops

from keras_roformer.layers.kernels import plain
from keras_roformer.upstream import for_torch

HAS_ONEDNN = torch.backends.mkldnn.is_available() and for_torch.has_onednn_product()
HAS_AVX512 = HAS_ONEDNN and torch.backends.cpu.get_cpu_capability() == "AVX512"


def keep_freed_memory():
    """Have glibc keep the memory that a layer frees for the next one: a tenth of a forward pass.

    It gives freed memory back to the system, page by page to be had again in the next layer, unless
    it has seen a block of this size (its largest) come and go.
    """
    torch.empty((1 << 25) - (1 << 16), dtype=torch.uint8)


keep_freed_memory()


def is_traced():
    """See `plain.is_traced`."""
    return (
        not is_eager()
        or torch.jit.is_tracing()
        or for_torch.is_transformed()
        or for_torch.is_dispatched()  # fake tensors, make_fx
    )


def is_eager():
    """Whether what runs is neither compiled nor exported to ONNX."""
    return not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export())


def dense(layer, x):
    """See `plain.dense`."""
    kernel = _tensor(layer.kernel)
    if x.dtype != kernel.dtype:
        return layer.call(x)
    return linear(x, kernel.T, None if layer.bias is None else layer.bias.value)


def layer_norm(layer, x):
    """See `plain.layer_norm`."""
    gamma = layer.gamma.value
    if x.dtype != gamma.dtype:
        return layer.call(x)
    # In float32 whatever the dtype. ONNX's tracer does not know the shape of `x`, so not that.
    return torch.nn.functional.layer_norm(
        x, layer.gamma.shape, gamma, layer.beta.value, layer.epsilon
    )


def embedding(layer, x, reverse=False):
    """See `plain.embedding`."""
    if reverse and x.dtype == (weight := _tensor(layer.embeddings)).dtype:
        return linear(x, weight)
    return layer.call(x, reverse=reverse)


def _tensor(variable):
    return getattr(variable, "value", variable)  # with LoRA it is a tensor already


def linear(x, weight, bias=None):
    """The product with an (out, in) weight, which adds the bias within the product."""
    if onednn_is_faster(x, weight):
        product = _OneDNNProduct.apply if torch.is_grad_enabled() else _onednn_product
        return product(x, weight, bias)
    return torch.nn.functional.linear(x, weight, bias)


def onednn_is_faster(x, weight):
    """Whether to take oneDNN's product in place of torch's own, which is MKL's on x86.

    Measured: with AVX-512, oneDNN's float32 product is 1.1 to 2 times as fast; with AVX2 only
    where reading a large weight for a few rows is the work (1.1 to 2.2 times; with many rows 0.8).
    """
    if HAS_AVX512:
        is_faster = weight.numel() >= 1 << 19 or x.numel() * weight.shape[0] >= 1 << 22
    else:
        is_faster = weight.numel() >= 1 << 20 and x.numel() <= 32 * x.shape[-1]
    return (
        HAS_ONEDNN
        and is_faster
        and x.dtype == torch.float32
        and type(x) is torch.Tensor
        and x.device.type == "cpu"
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
        and not for_torch.is_transformed()
        and is_eager()
    )


def _onednn_product(x, weight, bias=None):
    if torch.jit.is_tracing():
        return _scripted_product()(x, weight, bias)
    return for_torch.onednn_product(x, weight, bias)


@functools.cache
def _scripted_product():
    """`_onednn_product` for traces (of decoding steps), which cannot record its list of scalars."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(for_torch.onednn_product_to_script)


class _OneDNNProduct(torch.autograd.Function):
    """`_onednn_product` with gradients."""

    @staticmethod
    def forward(ctx, x, weight, bias):
        ctx.save_for_backward(x, weight)
        return _onednn_product(x, weight, bias)

    @staticmethod
    def backward(ctx, gradient):
        x, weight = ctx.saved_tensors
        # With create_graph=True, only differentiable products.
        product = torch.matmul if torch.is_grad_enabled() else lambda a, b: _onednn_product(a, b.T)
        rows = gradient.flatten(0, -2)  # (B * L, out)
        of_x, of_weight, of_bias = ctx.needs_input_grad
        return (
            product(gradient, weight) if of_x else None,
            rows.T @ x.flatten(0, -2) if of_weight else None,
            rows.sum(0) if of_bias else None,
        )


def empty(shape, dtype):
    """See `plain.empty`; it lies in memory as `fill` leaves a kernel."""
    return torch.empty(tuple(shape)[::-1], dtype=getattr(torch, dtype)).T


def fill(variable, array):
    """See `plain.fill`."""
    if variable.value.device.type != "cpu":
        variable.assign(array)
        return
    if str(array.dtype) == "bfloat16":
        array = array.astype("float32")  # torch has no bridge from NumPy's
    tensor = torch.from_numpy(np.require(array, requirements="W")).to(variable.value.dtype)
    if hasattr(variable, "set_data"):  # one that reads a parameter of a module
        variable.set_data(tensor)
    else:
        variable.value.data = tensor


def cross_entropy(logits, classes):
    """See `plain.cross_entropy`."""
    values = torch.nn.functional.cross_entropy(
        logits.flatten(0, -2), classes.flatten().long(), reduction="none"
    )
    return values.view(classes.shape)


def split_heads(x, num_heads):
    """See `plain.split_heads`."""
    return x.view(*x.shape[:-1], num_heads, -1)  # a tenth of the time of Keras's op


def merge_heads(x):
    """See `plain.merge_heads`."""
    return x.flatten(2)


def make_rotation(sin, cos):
    """See `plain.make_rotation`; complex numbers where no compiler runs, which knows none."""
    return torch.complex(cos, sin)[..., None, :] if is_eager() else plain.make_rotation(sin, cos)


def rotate(x, rotation):
    """See `plain.rotate`."""
    if isinstance(rotation, tuple):
        return plain.rotate(x, rotation)
    # A pair is a complex number, and the product one pass over the memory instead of six.
    numbers = x if x.dtype.itemsize >= 4 else x.float()
    numbers = torch.view_as_complex(numbers.contiguous().view(*x.shape[:-1], -1, 2))
    return torch.view_as_real(numbers * rotation).flatten(-2).to(x.dtype)


def write_cache(cache, new, index):
    """See `plain.write_cache`; in place, as a copy of the whole cache in every layer would cost
    more than the rest of a small layer."""
    return cache.index_copy_(1, ops.arange(new.shape[1], dtype="int64") + index, new)


def can_fuse(dropout):
    """See `plain.can_fuse`."""
    return True


def gradient_needs_probabilities(biases, training):
    """See `plain.gradient_needs_probabilities`.

    The gradient is wrong where a query has no key to attend to: the backward pass works out the
    probabilities again, from a sum in which the lowest value leaves nothing of the scores. Under
    torch.func's transforms there is none: it has no forward mode (`jvp`, `hessian`), and `vmap`
    runs it row by row.
    """
    if not torch.is_grad_enabled():
        return False
    if is_eager() and for_torch.is_transformed():
        return True
    biases = [bias for bias in biases if bias is not None and not bias.is_meta]
    if is_traced():
        return training and bool(biases)
    return any((bias.amax(-1) < 0).any() for bias in biases)


def fused_attention(query, key, value, bias=None, dropout=0.0):
    """See `plain.fused_attention`."""
    # Not through Keras's op: that asks for flash attention in a way torch.compile cannot trace,
    # and copies its inputs; torch itself chooses the fastest kernel.
    query, key, value = (x.transpose(1, 2) for x in (query, key, value))
    y = torch.nn.functional.scaled_dot_product_attention(
        query, key, value, attn_mask=bias, dropout_p=dropout
    )
    return y.transpose(1, 2)


def random_state():
    """See `plain.random_state`; `fused_attention` drops probabilities by torch's generator."""
    return {"torch": torch.get_rng_state().numpy()}


def set_random_state(arrays):
    """See `plain.set_random_state`."""
    torch.set_rng_state(torch.from_numpy(arrays["torch"]))
