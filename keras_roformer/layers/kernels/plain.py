"""The kernels in Keras's operations: what every backend can do."""

import math

import keras
from keras import StatelessScope, ops

from keras_roformer.upstream import for_keras

# Queries that attend at once: a block's scores should stay in the processor's cache.
BLOCK = 512

# Scores from which a loop over blocks pays in a compiled program.
MANY_SCORES = 1 << 21


def is_traced():
    """Whether something traces or transforms what runs, so that values cannot be looked at."""
    return False


def dense(layer, x):
    """The output of a built `keras.layers.Dense` without activation."""
    return layer.call(x)


def layer_norm(layer, x):
    """The output of a built `keras.layers.LayerNormalization` over the last axis."""
    return layer.call(x)


def embedding(layer, x, reverse=False):
    """The output of a built `ReversibleEmbedding`: vectors of ids, or with `reverse` the products
    of `x` with all vectors."""
    return layer.call(x, reverse=reverse)


def empty(shape, dtype):
    """A tensor for `fill`, whose values do not matter."""
    return ops.zeros(shape, dtype)


def fill(variable, array):
    """Set a variable to an array, whose memory it may keep."""
    variable.assign(array)


def gelu(x):
    """GELU with the error function, not its tanh approximation."""
    return ops.gelu(x, approximate=False)


def cross_entropy(logits, classes):
    """Cross-entropy of (..., C) float32 logits and (...) integer classes."""
    chosen = ops.take_along_axis(logits, classes[..., None], axis=-1)[..., 0]
    return ops.logsumexp(logits, axis=-1) - chosen


def split_heads(x, num_heads):
    """(B, L, N * H) → (B, L, N, H)."""
    return ops.reshape(x, (*ops.shape(x)[:2], num_heads, x.shape[-1] // num_heads))


def merge_heads(x):
    """(B, L, N, H) → (B, L, N * H)."""
    return ops.reshape(x, (*ops.shape(x)[:2], x.shape[2] * x.shape[3]))


def make_rotation(sin, cos):
    """What `rotate` wants to have of each position's sines and cosines, (..., L, H/2) each."""
    # (..., L, 1, H), interleaved; the sine of a pair's first component is negated.
    pairs = (ops.stack(pair, axis=-1) for pair in ((-sin, sin), (cos, cos)))
    shape = (*ops.shape(sin)[:-1], 1, 2 * sin.shape[-1])
    return tuple(ops.reshape(pair, shape) for pair in pairs)


def rotate(x, rotation):
    """Rotate the pairs (0, 1), (2, 3), … of `x`, (B, L, N, H), by `make_rotation`."""
    shape = (*ops.shape(x)[:-1], x.shape[-1])
    pairs = (*shape[:-1], x.shape[-1] // 2, 2)
    sin, cos = (ops.cast(table, x.dtype) for table in rotation)
    swapped = ops.reshape(ops.flip(ops.reshape(x, pairs), axis=-1), shape)
    return x * cos + swapped * sin


def write_cache(cache, new, index):
    """Write `new`, (B, L, N, H), at the integer `index` of a (B, S, N, H) cache of fixed size.

    Returns:
        The cache with `new` in it, which may be the given one, changed in place.
    """
    return ops.slice_update(cache, (0, index, 0, 0), new)


def can_fuse(dropout):
    """Whether `fused_attention` can drop probabilities at this rate."""
    return not dropout


def gradient_needs_probabilities(biases, training):
    """Whether the gradient of `fused_attention` would be wrong or missing.

    Args:
        biases: `padding_bias`es of the scores, or None.
        training: the answer where their values cannot be looked at, since something traces them.
    """
    return False


def fused_attention(query, key, value, bias=None, dropout=0.0, many_scores=MANY_SCORES):
    """Softmax attention that does not give its probabilities.

    Args:
        query: (B, L, N, H).
        key, value: (B, S, N, H).
        bias: additive (B or 1, 1 or N, 1 or L, S) bias of the scores, in the dtype of `query`.
        dropout: rate on the probabilities, one that `can_fuse` takes.
        many_scores: scores from which to loop over blocks of them.

    Returns:
        (B, L, N, H) tensor.
    """
    query = query * (1 / math.sqrt(query.shape[-1]))
    query, key, value = (ops.transpose(x, (0, 2, 1, 3)) for x in (query, key, value))
    pays = _looping_pays(query.shape, key.shape[2], many_scores)
    attend = _attention_in_blocks if pays else _attention
    return ops.transpose(attend(query, key, value, bias), (0, 2, 1, 3))


def _looping_pays(shape, key_length, many_scores):
    """Whether the (B, N, L, S) scores are known to be too many to have them all at once."""
    sizes = (*shape[:3], key_length)
    known = all(isinstance(size, int) for size in sizes)
    return known and shape[2] >= 128 and math.prod(sizes) >= many_scores


def _attention(query, key, value, bias):
    """Attention of (…, L, H) scaled queries over (…, S, H) keys."""
    scores = ops.cast(ops.matmul(query, ops.swapaxes(key, -1, -2)), "float32")  # (…, L, S)
    if bias is not None:
        scores = scores + ops.cast(bias, "float32")
    probabilities = ops.cast(ops.softmax(scores, axis=-1), value.dtype)
    return ops.matmul(probabilities, value)


def _attention_in_blocks(query, key, value, bias):
    """`_attention` of a head and up to `BLOCK` queries at a time; all shapes are known."""
    batch, heads, length, size = query.shape
    blocks = -(-length // BLOCK)
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


def recomputed(layer, function, x):
    """The value of a function of `x` that calls `layer`, computed again in the backward pass.

    It must drop the same numbers again, in the dtypes of the first time: the function reads the
    states of the seeds as they were, and they go on outside (torch's own generator is torch's
    business).
    """
    parts = for_keras.flat_layers(layer)
    generators = [part.seed_generator for part in parts if hasattr(part, "seed_generator")]
    states = [(generator.state, generator.state.value * 1) for generator in generators]  # copies
    # An outer scope's values of the weights: as arguments, so that gradients flow to them.
    seeds = {id(state) for state, _ in states}
    is_stateless = for_keras.in_stateless_scope()
    weights = [v for v in layer.variables if id(v) not in seeds] if is_stateless else []
    draws = []

    def run(x, *values):
        scope = _CountingScope([*states, *zip(weights, values, strict=True)])
        with scope, for_keras.autocast(layer.compute_dtype):
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


def random_state():
    """The state of the random generator that the kernels draw from, as arrays by name: nothing
    where Keras's seed generators, which are variables, are all that draws."""
    return {}


def set_random_state(arrays):
    """Set the random generator to a state that `random_state` gave; others in `arrays` are left."""
