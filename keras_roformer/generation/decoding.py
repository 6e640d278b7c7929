"""The network, one token at a time.

A prompt is read once (`_prefill`), then the network sees one token at a time and a cache of the
keys and values of the earlier ones (`_step`). These two functions are compiled on JAX and
TensorFlow, where every shape costs a compilation: prompts and caches are padded to a few lengths.
"""

import collections
import dataclasses
import functools
import warnings

import keras
import numpy as np
from keras import ops

from keras_roformer.arrays import to_numpy
from keras_roformer.batches import bucket
from keras_roformer.generation.processors import NO_TOKEN


def _prefill(network, cache_length, inputs):
    """Read prompts; gives the logits at `logits_positions`, (B, V), and the cache.

    The cache is padded to `cache_length` tokens; None makes no cache.
    """
    outputs = network(**inputs, use_cache=cache_length is not None, training=False)
    logits = ops.cast(outputs["logits"][:, 0], "float32")
    cache = outputs.get("past_key_values")
    for layer in cache or ():
        layer["cache"] = tuple(
            ops.pad(x, ((0, 0), (0, cache_length - x.shape[1]), (0, 0), (0, 0)))
            if cache_length > x.shape[1]
            else x
            for x in layer["cache"]
        )
    return logits, cache


def _step(network, cache, rows, inputs):
    """Read one more token per row; gives the (B, V) logits and the cache with the token in it.

    `rows`, (B,), says which row of the cache each row continues; None: its own.
    """
    cache = _reorder(cache, rows)
    outputs = network(**inputs, past_key_values=cache, use_cache=True, training=False)
    return ops.cast(outputs["logits"][:, 0], "float32"), outputs["past_key_values"]


def _reorder(cache, rows):
    """Rows of the cache; those of a context are alike for all beams of a prompt and stay."""
    if rows is None:
        return cache
    return [
        {**layer, "cache": tuple(ops.take(x, rows, axis=0) for x in layer["cache"])}
        for layer in cache
    ]


class _Runner:
    """How a backend runs a model's network, `_prefill` and `_step`; what it has of its own.

    `variables` are what the network reads, kept alive so that no other has an id of `identity`.
    """

    pads_prompts = True

    def __init__(self, network, variables):
        self.network, self.variables = network, variables
        self.made_for = self.identity(variables)

    @staticmethod
    def identity(variables):
        """What changes when compiled functions no longer fit: other variables (resized, pruned)."""
        return list(map(id, variables))


class _JaxRunner(_Runner):
    """`_prefill` and `_step` as compiled functions of the weights; the cache is donated."""

    def __init__(self, network, variables):
        super().__init__(network, variables)
        import jax

        def pure(function):
            def run(values, first, *rest):
                with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                    return function(network, first, *rest)

            return run

        self.prefill = jax.jit(pure(_prefill), static_argnums=1)
        self.step = jax.jit(pure(_step), donate_argnums=1)


class _TensorFlowRunner(_Runner):
    """`_prefill` and `_step` as graphs."""

    def __init__(self, network, variables):
        super().__init__(network, variables)
        import tensorflow as tf

        self._prefill = tf.function(functools.partial(_prefill, network))
        self._step = tf.function(functools.partial(_step, network))

    def prefill(self, values, cache_length, inputs):
        return self._prefill(cache_length, inputs)

    def step(self, values, cache, rows, inputs):
        return self._step(cache, rows, inputs)


class _TorchRunner(_Runner):
    """`_prefill` as it is; `_step` too, until a shape has come often enough to trace it.

    Of a step with a small model, nine tenths of the time go into Python; a trace runs without it
    but takes as long to make as some 70 steps.
    """

    pads_prompts = False
    STEPS_BEFORE_TRACE = 64

    def __init__(self, network, variables):
        super().__init__(network, variables)
        self._counts = collections.Counter()
        self._traces = {}

    @staticmethod
    def identity(variables):
        """Also when they are elsewhere (another device or dtype)."""
        return [*map(id, variables), *(parameter.data_ptr() for parameter in variables)]

    def prefill(self, values, cache_length, inputs):
        # Not Keras's `__call__`, whose bookkeeping costs time.
        return _prefill(self.network.call, cache_length, inputs)

    def step(self, values, cache, rows, inputs):
        flat = [*keras.tree.flatten(_reorder(cache, rows)), *inputs.values()]
        key = (tuple(inputs), *((x.shape, x.dtype, x.device) for x in flat))
        self._counts[key] += 1
        if key not in self._traces and self._counts[key] > self.STEPS_BEFORE_TRACE:
            self._traces[key] = self._trace(cache, tuple(inputs), flat)
        if key in self._traces:
            return self._traces[key](*flat), _like(cache, flat)  # the cache is changed in place
        return _step(self.network.call, _like(cache, flat), None, inputs)

    def _trace(self, cache, names, flat):
        import torch

        call = self.network.call

        class Step(torch.nn.Module):
            def __init__(self, parameters):
                super().__init__()
                # A trace has these as its parameters; any other tensor would be a constant of it.
                self.weights = torch.nn.ParameterList(parameters)

            def forward(self, *flat):
                inputs = dict(zip(names, flat[-len(names) :], strict=True))
                return _step(call, _like(cache, flat), None, inputs)[0]

        with warnings.catch_warnings():
            # It warns of tensors' shapes used as numbers: the trace is for these shapes only.
            warnings.simplefilter("ignore")
            return torch.jit.trace(Step(self.variables), tuple(flat), check_trace=False)


def _like(cache, flat):
    """The leading tensors of `flat` in the structure of `cache`."""
    return keras.tree.pack_sequence_as(cache, flat[: len(keras.tree.flatten(cache))])


RUNNERS = {"": _TorchRunner, "TF": _TensorFlowRunner, "Flax": _JaxRunner}  # by family


class Decoding:
    """A batch of prompts on the way through the network.

    A runner of `RUNNERS` takes the weights as `values`; `extras` are arguments of the network that
    stay the same at each step, as tensors; `max_length` is how many columns there are at the end.
    """

    def __init__(self, runner, values, prompt, extras, max_length, use_cache):
        self.runner = runner
        self.values = values
        self.prompt = prompt
        self.extras = extras
        self.use_cache = use_cache
        self.tokens = prompt.tokens
        self.length = prompt.tokens.shape[1]
        self.size = bucket(max_length)  # of the cache
        self.mask = np.ones((len(prompt.tokens), self.size), "int32")
        self.mask[:, : self.length] = prompt.mask
        self.cache = None

    def start(self, copies):
        """Logits of the token after the prompts, each prompt `copies` times: (B * copies, V)."""
        logits = self._read_all()
        if copies > 1:
            self.tokens, self.mask, logits = (
                np.repeat(x, copies, axis=0) for x in (self.tokens, self.mask, logits)
            )
            self.prompt = self.prompt.repeat(copies)
            # Not `ops.repeat`: on torch the copies of a single row would share its memory, in which
            # each of them writes.
            rows = np.repeat(np.arange(len(self.tokens) // copies, dtype="int32"), copies)
            repeat = functools.partial(ops.take, indices=ops.convert_to_tensor(rows), axis=0)
            self.extras = {
                name: repeat(x) if name.startswith("encoder_") else x
                for name, x in self.extras.items()
            }
            if self.cache is not None:
                self.cache = keras.tree.map_structure(repeat, self.cache)
        return logits

    def advance(self, tokens, rows=None):
        """Logits after one more token per row: (rows, V).

        `tokens` are (rows,) integers; `rows` says which row each continues, by default its own.
        """
        if rows is not None:
            self.tokens = self.tokens[rows]
        self.tokens = np.concatenate([self.tokens, tokens[:, None]], axis=1)
        self.length += 1
        if not self.use_cache:
            return self._read_all()
        index = self.length - 1
        inputs = self._inputs(slice(index, self.length))
        inputs["cache_index"] = np.asarray(index, "int32")
        inputs["attention_mask"] = self.mask
        rows = None if rows is None else ops.convert_to_tensor(rows.astype("int32"))
        logits, self.cache = self.runner.step(
            self.values, self.cache, rows, {**_tensors(inputs), **self.extras}
        )
        return to_numpy(logits)

    def _read_all(self):
        """Logits after all tokens so far; makes the cache if there is one."""
        width = min(bucket(self.length), self.size) if self.runner.pads_prompts else self.length
        inputs = self._inputs(slice(0, width))
        inputs["attention_mask"] = self.mask[:, :width].copy()
        inputs["attention_mask"][:, self.length :] = 0
        inputs["logits_positions"] = np.full((len(self.tokens), 1), self.length - 1, "int32")
        logits, self.cache = self.runner.prefill(
            self.values,
            self.size if self.use_cache else None,
            {**_tensors(inputs), **self.extras},
        )
        return to_numpy(logits)

    def _inputs(self, columns):
        """The arguments of the network that have a value per token, for these columns."""
        tokens = np.zeros((len(self.tokens), columns.stop), "int32")
        tokens[:, : self.length] = self.tokens
        positions = np.arange(columns.stop, dtype="int32") - self.prompt.shift[:, None]
        inputs = {"input_ids": tokens, "position_ids": np.maximum(positions, 0)}
        if self.prompt.token_types is not None:
            # New tokens have the type of the prompt's last.
            given = self.prompt.token_types
            more = columns.stop - given.shape[1]
            inputs["token_type_ids"] = np.pad(given, ((0, 0), (0, max(more, 0))), "edge")
        return {name: value[:, columns] for name, value in inputs.items()}


def _tensors(arrays):
    return {name: ops.convert_to_tensor(array) for name, array in arrays.items()}


@dataclasses.dataclass
class Prompt:
    """Prompts with the last real token of each row in the last column.

    A row with padding on its right is turned until its last real token is the last; `shift` says by
    how many columns, which its positions are less than the column's number. What went from the
    right to the left is hidden from the network, and from the processors (NO_TOKEN).
    """

    tokens: np.ndarray
    mask: np.ndarray
    token_types: np.ndarray | None
    shift: np.ndarray
    history: np.ndarray

    @classmethod
    def make(cls, tokens, mask, token_types):
        length = tokens.shape[1]
        after = np.argmax(mask[:, ::-1] != 0, axis=1)  # padding right of the last real token
        columns = (np.arange(length) - after[:, None]) % length
        tokens, mask = (np.take_along_axis(x, columns, axis=1) for x in (tokens, mask))
        if token_types is not None:
            token_types = np.take_along_axis(token_types, columns, axis=1)
        turned = np.arange(length) < after[:, None]
        return cls(tokens, mask, token_types, after, np.where(turned, NO_TOKEN, tokens))

    def repeat(self, copies):
        """Each row `copies` times."""
        values = vars(self).values()
        return Prompt(*(x if x is None else np.repeat(x, copies, axis=0) for x in values))
