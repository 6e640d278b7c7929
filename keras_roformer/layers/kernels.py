"""The only code that differs between backends: a few functions with a fastest way on each."""

import functools
import math
import warnings

import keras
import numpy as np
from keras import StatelessScope, ops
from keras.src.backend import AutocastScope
from keras.src.backend.common.stateless_scope import in_stateless_scope

if keras.config.backend() == "torch":
    import torch

    # glibc gives freed memory back to the system, page by page to be had again in the next layer,
    # unless it has seen a block of this size (its largest) come and go: a tenth of a forward pass.
    torch.empty((1 << 25) - (1 << 16), dtype=torch.uint8)
elif keras.config.backend() == "jax":
    import jax
elif keras.config.backend() == "tensorflow":
    import tensorflow as tf

# Whether `fused_attention` can drop probabilities.
FUSES_DROPOUT = keras.config.backend() == "torch"


def dense(layer, x):
    """The output of a built `keras.layers.Dense` without activation, outside of `__call__`."""
    if keras.config.backend() != "torch" or x.dtype != (kernel := _tensor(layer.kernel)).dtype:
        return layer.call(x)
    return linear(x, kernel.T, None if layer.bias is None else layer.bias.value)


def tied_product(layer, x):
    """The products of `x` with all vectors of a built `ReversibleEmbedding`, as `dense`."""
    if keras.config.backend() == "torch" and x.dtype == (weight := _tensor(layer.embeddings)).dtype:
        return linear(x, weight)
    y = layer.call(x, reverse=True)
    if keras.config.backend() == "jax" and all(size == 1 for size in y.shape[:-1]):
        # XLA would make one loop of a single row's product and what is added to it, which on a CPU
        # takes ten times as long as the product alone.
        y = jax.lax.optimization_barrier(y)
    return y


def _tensor(variable):
    return getattr(variable, "value", variable)  # with LoRA it is a tensor already


def linear(x, weight, bias=None):
    """The product with an (out, in) weight on torch, which adds the bias within the product."""
    if _onednn_is_faster(x, weight):
        product = _OneDNNProduct.apply if torch.is_grad_enabled() else _onednn_product
        return product(x, weight, bias)
    return torch.nn.functional.linear(x, weight, bias)


def layer_norm(layer, x):
    """The output of a built `keras.layers.LayerNormalization` over the last axis, as `dense`."""
    if keras.config.backend() != "torch" or x.dtype != (gamma := layer.gamma.value).dtype:
        return layer.call(x)
    # In float32 whatever the dtype. ONNX's tracer does not know the shape of `x`, so not that.
    return torch.nn.functional.layer_norm(
        x, layer.gamma.shape, gamma, layer.beta.value, layer.epsilon
    )


def gelu(x):
    """GELU with the error function, not its tanh approximation."""
    if keras.config.backend() != "tensorflow":
        return ops.gelu(x, approximate=False)
    # TensorFlow's own has the operation Erfc, which no ONNX file and no LiteRT kernel has.
    return 0.5 * x * (1.0 + ops.erf(x * math.sqrt(0.5)))


def empty(shape, dtype):
    """A tensor for `fill`, whose values do not matter."""
    if keras.config.backend() == "torch":
        # Lies in memory as `fill` leaves a kernel.
        return torch.empty(tuple(shape)[::-1], dtype=getattr(torch, dtype)).T
    return ops.zeros(shape, dtype)


def fill(variable, array):
    """Set a variable to an array, whose memory it may keep."""
    if keras.config.backend() != "torch" or variable.value.device.type != "cpu":
        variable.assign(array)
        return
    if str(array.dtype) == "bfloat16":
        array = array.astype("float32")  # torch has no bridge from NumPy's
    tensor = torch.from_numpy(np.require(array, requirements="W")).to(variable.value.dtype)
    if hasattr(variable, "set_data"):  # one that reads a parameter of a module
        variable.set_data(tensor)
    else:
        variable.value.data = tensor


def recomputed(layer, function, x):
    """The value of a function of `x` that calls `layer`, computed again in the backward pass.

    It must drop the same numbers again, in the dtypes of the first time: the function reads the
    states of the seeds as they were, and they go on outside (torch's own generator is torch's
    business).
    """
    parts = layer._flatten_layers()
    generators = [part.seed_generator for part in parts if hasattr(part, "seed_generator")]
    states = [(generator.state, generator.state.value * 1) for generator in generators]  # copies
    # An outer scope's values of the weights: as arguments, so that gradients flow to them.
    seeds = {id(state) for state, _ in states}
    weights = [v for v in layer.variables if id(v) not in seeds] if in_stateless_scope() else []
    draws = []

    def run(x, *values):
        scope = _CountingScope([*states, *zip(weights, values, strict=True)])
        with scope, AutocastScope(layer.compute_dtype):
            y = function(x)
        draws.append(scope.updates)
        return y

    y = keras.remat(run)(x, *(weight.value for weight in weights))
    for generator in generators:
        for _ in range(draws[0].count(id(generator.state))):
            generator.next()
    return y


class _CountingScope(StatelessScope):
    """A scope that keeps the ids of the variables that are assigned in it."""

    def __init__(self, state_mapping):
        super().__init__(state_mapping=state_mapping)
        self.updates = []

    def add_update(self, update):
        self.updates.append(id(update[0]))
        super().add_update(update)


def split_heads(x, num_heads):
    """(B, L, N * H) → (B, L, N, H)."""
    if keras.config.backend() == "torch":
        return x.view(*x.shape[:-1], num_heads, -1)  # a tenth of the time of Keras's op
    return ops.reshape(x, (*ops.shape(x)[:2], num_heads, x.shape[-1] // num_heads))


def merge_heads(x):
    """(B, L, N, H) → (B, L, N * H)."""
    if keras.config.backend() == "torch":
        return x.flatten(2)
    return ops.reshape(x, (*ops.shape(x)[:2], x.shape[2] * x.shape[3]))


def _onednn_is_faster(x, weight):
    """Whether to take oneDNN's product in place of torch's own, which is MKL's on x86.

    Measured: with AVX-512, oneDNN's float32 product is 1.1 to 2 times as fast; with AVX2 only
    where reading a large weight for a few rows is the work (1.1 to 2.2 times; with many rows 0.8).
    """
    if _HAS_AVX512:
        is_faster = weight.numel() >= 1 << 19 or x.numel() * weight.shape[0] >= 1 << 22
    else:
        is_faster = weight.numel() >= 1 << 20 and x.numel() <= 32 * x.shape[-1]
    return (
        _HAS_ONEDNN
        and is_faster
        and x.dtype == torch.float32
        and type(x) is torch.Tensor
        and x.device.type == "cpu"
        and torch.backends.mkldnn.enabled
        and not torch.is_autocast_enabled("cpu")
        and torch._C._functorch.peek_interpreter_stack() is None
        and _is_eager()
    )


def _onednn_product(x, weight, bias=None):
    if torch.jit.is_tracing():
        return _scripted_product()(x, weight, bias)
    return torch.ops.mkldnn._linear_pointwise.default(x, weight, bias, "none", [], "")


@functools.cache
def _scripted_product():
    """`_onednn_product` for traces (of decoding steps), which cannot record its list of scalars."""

    def product(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None):
        scalars: list[number | None] = []  # noqa: F821, TorchScript's name
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", scalars, "")

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return torch.jit.script(product)


if keras.config.backend() == "torch":

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
            product = (
                torch.matmul if torch.is_grad_enabled() else lambda a, b: _onednn_product(a, b.T)
            )
            rows = gradient.flatten(0, -2)  # (B * L, out)
            of_x, of_weight, of_bias = ctx.needs_input_grad
            return (
                product(gradient, weight) if of_x else None,
                rows.T @ x.flatten(0, -2) if of_weight else None,
                rows.sum(0) if of_bias else None,
            )


def cross_entropy(logits, classes):
    """Cross-entropy of (..., C) float32 logits and (...) integer classes."""
    if keras.config.backend() == "torch":
        values = torch.nn.functional.cross_entropy(
            logits.flatten(0, -2), classes.flatten().long(), reduction="none"
        )
        return values.view(classes.shape)
    chosen = ops.take_along_axis(logits, classes[..., None], axis=-1)[..., 0]
    return ops.logsumexp(logits, axis=-1) - chosen


def _is_eager():
    return not (torch.compiler.is_compiling() or torch.onnx.is_in_onnx_export())


def is_traced():
    """Whether torch traces or transforms what runs, so that values cannot be looked at."""
    return (
        not _is_eager()
        or torch.jit.is_tracing()
        or torch._C._functorch.peek_interpreter_stack() is not None
        or torch._C._len_torch_dispatch_stack() > 0  # fake tensors, make_fx
    )


_HAS_ONEDNN = (
    keras.config.backend() == "torch"
    and torch.backends.mkldnn.is_available()
    and hasattr(torch.ops.mkldnn, "_linear_pointwise")
)
_HAS_AVX512 = _HAS_ONEDNN and torch.backends.cpu.get_cpu_capability() == "AVX512"


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
    if not isinstance(rotation, tuple):
        # A pair is a complex number, and the product one pass over the memory instead of six.
        numbers = x if x.dtype.itemsize >= 4 else x.float()
        numbers = torch.view_as_complex(numbers.contiguous().view(*x.shape[:-1], -1, 2))
        return torch.view_as_real(numbers * rotation).flatten(-2).to(x.dtype)
    shape = (*ops.shape(x)[:-1], x.shape[-1])
    pairs = (*shape[:-1], x.shape[-1] // 2, 2)
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
    backend = keras.config.backend()
    if backend == "torch":
        # Not through Keras's op: that asks for flash attention in a way torch.compile cannot trace,
        # and copies its inputs; torch itself chooses the fastest kernel.
        query, key, value = (x.transpose(1, 2) for x in (query, key, value))
        y = torch.nn.functional.scaled_dot_product_attention(
            query, key, value, attn_mask=bias, dropout_p=dropout
        )
        return y.transpose(1, 2)
    if backend == "jax" and jax.default_backend() != "cpu":
        return ops.dot_product_attention(query, key, value, bias=bias)
    query = query * (1 / math.sqrt(query.shape[-1]))
    query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    pays = _looping_pays(query.shape, key.shape[2])
    attend = _attention_in_blocks if pays else _attention
    return ops.transpose(attend(query, key, value, bias), (0, 2, 1, 3))


def fused_gradient_fails(biases, training):
    """Whether the gradient of `fused_attention` would be wrong, as it is on torch where a query has
    no key to attend to: its backward pass works out the probabilities again, from a sum in which
    the lowest value leaves nothing of the scores. Under torch.func's transforms it fails anyway: it
    has no forward mode (`jvp`, `hessian`), and `vmap` runs it row by row.

    Args:
        biases: `padding_bias`es of the scores, or None.
        training: the answer where their values cannot be looked at, since something traces them.
    """
    if keras.config.backend() != "torch" or not torch.is_grad_enabled():
        return False
    if _is_eager() and torch._C._functorch.peek_interpreter_stack() is not None:
        return True
    biases = [bias for bias in biases if bias is not None and not bias.is_meta]
    if is_traced():
        return training and bool(biases)
    return any((bias.amax(-1) < 0).any() for bias in biases)


def _attention(query, key, value, bias):
    """Attention of (…, L, H) scaled queries over (…, S, H) keys."""
    scores = ops.cast(ops.matmul(query, ops.swapaxes(key, -1, -2)), "float32")  # (…, L, S)
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    probabilities = ops.cast(ops.softmax(scores, axis=-1), value.dtype)
    return ops.matmul(probabilities, value)


# Queries that attend at once: a block's scores should stay in the processor's cache.
_BLOCK = 512

# Scores from which a loop pays; run eagerly, on TensorFlow, it saves memory but takes more time.
_MANY_SCORES = 1 << 21
_MANY_SCORES_EAGERLY = 1 << 24


def _looping_pays(shape, key_length):
    """Whether the (B, N, L, S) scores are known to be too many to have them all at once."""
    sizes = (*shape[:3], key_length)
    known = all(isinstance(size, int) for size in sizes)
    eager = keras.config.backend() == "tensorflow" and tf.executing_eagerly()
    many = _MANY_SCORES_EAGERLY if eager else _MANY_SCORES
    return known and shape[2] >= 128 and math.prod(sizes) >= many


def _attention_in_blocks(query, key, value, bias):
    """`_attention` of a head and up to `_BLOCK` queries at a time; all shapes are known."""
    batch, heads, length, size = query.shape
    blocks = -(-length // _BLOCK)
    rows = -(-length // blocks)  # per block
    padding = ((0, 0), (0, 0), (0, blocks * rows - length), (0, 0))
    query = ops.reshape(ops.pad(query, padding), (batch * heads * blocks, rows, size))
    key, value = (ops.reshape(x, (batch * heads, -1, size)) for x in (key, value))
    if bias is not None:
        if bias.shape[2] > 1:
            bias = ops.pad(bias, padding)
        # (B or 1, 1 or N, 1 or blocks, 1 or rows, S)
        bias_blocks = blocks if bias.shape[2] > 1 else 1
        bias = ops.reshape(bias, (*bias.shape[:2], bias_blocks, -1, bias.shape[3]))

    def attend(i):
        head, block = i // blocks, i % blocks
        here = (head // heads, head % heads, block)
        own = bias
        for index in here if bias is not None else ():
            own = own[index if own.shape[0] > 1 else 0]
        return _attention(query[i], key[head], value[head], own)

    y = ops.map(attend, ops.arange(batch * heads * blocks))
    return ops.reshape(y, (batch, heads, blocks * rows, size))[:, :, :length]


def write_cache(cache, new, index):
    """Write `new`, (B, L, N, H), at the integer `index` of a (B, S, N, H) cache of fixed size.

    Returns:
        The cache with `new` in it. On torch it is the given one, changed in place: a copy of the
        whole cache in every layer would cost more than the rest of a small layer.
    """
    if keras.config.backend() != "torch":
        return ops.slice_update(cache, (0, index, 0, 0), new)
    return cache.index_copy_(1, ops.arange(new.shape[1], dtype="int64") + index, new)
