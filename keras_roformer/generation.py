"""Text generation for the causal classes: greedy, beam search and sampling, on every backend.

A prompt is read once (`_prefill`), then the network sees one token at a time and a cache of the
keys and values of the earlier ones (`_step`). These two functions are compiled on JAX and
TensorFlow, where every shape costs a compilation: prompts and caches are padded to a few lengths.
What to do with the (rows, V) scores of the next token is decided in NumPy, the same for all.
"""

import contextlib
import dataclasses
import functools
import logging

import keras
import numpy as np
from keras import ops

from keras_roformer.outputs import ModelOutput

logger = logging.getLogger("keras_roformer")

NEVER = np.float32(-1e9)  # score of a beam that must not win, as in the reference
NO_TOKEN = -1  # in the tokens that processors see: padding moved out of a right-padded prompt


# Parameters


@dataclasses.dataclass
class GenerationConfig:
    """Parameters of `generate`, with transformers' names and defaults.

    Attributes:
        max_length: length of prompt and continuation together; where neither this nor
            `max_new_tokens` is given, 20 new tokens, but not beyond `max_position_embeddings`.
        max_new_tokens: length of the continuation; goes before `max_length`.
        min_length, min_new_tokens: the lengths before which no end of sequence is allowed.
        do_sample: draw tokens at random, else take the most probable.
        num_beams: beams of beam search; 1 is no beam search.
        early_stopping: beam search ends when there are `num_beams` finished beams (True), when
            better ones are unlikely (False), or when there can be none ("never").
        length_penalty: power of the length that divides a beam's score.
        num_return_sequences: continuations per prompt.
        temperature: divides the logits before sampling.
        top_k: sample from that many most probable tokens only; 0 or None for all.
        top_p: sample from the fewest tokens whose probabilities sum up to it only.
        repetition_penalty: divides the (positive) logits of tokens that occurred.
        no_repeat_ngram_size: no n-gram of that size comes twice; 0 is off.
        use_cache: keep keys and values; else read the whole sequence anew for each token.
        pad_token_id, bos_token_id, eos_token_id: padding after the end, start of an empty prompt,
            end of a sequence (an int or a list).
        return_dict_in_generate: return an output object, not the sequences alone.
        output_scores, output_logits: keep the scores (processed) and logits of each step in it.
    """

    max_length: int = 20
    max_new_tokens: int | None = None
    min_length: int = 0
    min_new_tokens: int | None = None
    do_sample: bool = False
    num_beams: int = 1
    early_stopping: bool | str = False
    length_penalty: float = 1.0
    num_return_sequences: int = 1
    temperature: float = 1.0
    top_k: int | None = 50
    top_p: float = 1.0
    repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    use_cache: bool = True
    pad_token_id: int | None = None
    bos_token_id: int | None = None
    eos_token_id: int | list[int] | None = None
    return_dict_in_generate: bool = False
    output_scores: bool = False
    output_logits: bool = False

    @classmethod
    def from_model_config(cls, config):
        """The parameters that a `RoFormerConfig` has, else the defaults."""
        values = {name: getattr(config, name, None) for name in cls.field_names()}
        return cls(**{name: value for name, value in values.items() if value is not None})

    @classmethod
    def field_names(cls):
        return [field.name for field in dataclasses.fields(cls)]

    def with_changes(self, changes):
        """A copy with other values.

        Args:
            changes: mapping, or a configuration object (ours, or transformers' `GenerationConfig`).

        Raises:
            TypeError: it has a parameter that is not known here.
        """
        if isinstance(changes, GenerationConfig):
            default = GenerationConfig()
            changes = {k: v for k, v in vars(changes).items() if v != getattr(default, k)}
        elif hasattr(changes, "to_diff_dict"):
            changes = changes.to_diff_dict()
            changes.pop("transformers_version", None)
        changes = {k: v for k, v in changes.items() if not k.startswith("_")}
        unknown = sorted(set(changes) - set(self.field_names()))
        if unknown:
            raise TypeError(
                f"generate has no argument {', '.join(map(repr, unknown))}; its parameters are "
                f"{', '.join(self.field_names())}"
            )
        return dataclasses.replace(self, **changes)

    def eos_token_ids(self):
        """The tokens that end a sequence, as a list."""
        if self.eos_token_id is None:
            return []
        return [int(token) for token in np.ravel(_numpy(self.eos_token_id))]

    def check(self):
        """Raise a ValueError if a value makes no sense, warn of one without effect."""
        for name in ("num_beams", "num_return_sequences"):
            _require(getattr(self, name) >= 1, name, getattr(self, name), "at least 1")
        for name in ("temperature", "repetition_penalty"):
            _require(getattr(self, name) > 0, name, getattr(self, name), "greater than 0")
        _require(self.top_k is None or self.top_k >= 0, "top_k", self.top_k, "at least 0")
        _require(0 <= self.top_p <= 1, "top_p", self.top_p, "between 0 and 1")
        _require(
            self.no_repeat_ngram_size is None or self.no_repeat_ngram_size >= 0,
            "no_repeat_ngram_size",
            self.no_repeat_ngram_size,
            "at least 0",
        )
        _require(
            self.early_stopping in (True, False, "never"),
            "early_stopping",
            self.early_stopping,
            "True, False or 'never'",
        )
        beams, sequences = self.num_beams, self.num_return_sequences
        if beams == 1 and not self.do_sample:
            _require(
                sequences == 1, "num_return_sequences", sequences, "1 without beams or do_sample"
            )
        if beams > 1:
            wanted = f"at most num_beams ({beams})"
            _require(sequences <= beams, "num_return_sequences", sequences, wanted)
        if not self.do_sample and (self.temperature, self.top_p) != (1.0, 1.0):
            logger.warning("temperature and top_p have no effect without do_sample=True")


def _require(condition, name, value, wanted):
    if not condition:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


def _numpy(value):
    """A tensor, number or list as an array."""
    return ops.convert_to_numpy(value) if hasattr(value, "shape") else np.asarray(value)


# Outputs


class GenerateDecoderOnlyOutput(ModelOutput):
    """Output of greedy search and sampling; `scores` and `logits`: a (rows, V) tensor per step."""

    _fields = ("sequences", "scores", "logits")


class GenerateBeamDecoderOnlyOutput(ModelOutput):
    """Output of beam search; `beam_indices` (rows, steps) tell which beam each token continued."""

    _fields = ("sequences", "sequences_scores", "scores", "logits", "beam_indices")


class TFGreedySearchDecoderOnlyOutput(ModelOutput):
    """Output of greedy search."""

    _fields = GenerateDecoderOnlyOutput._fields


class TFSampleDecoderOnlyOutput(ModelOutput):
    """Output of sampling."""

    _fields = GenerateDecoderOnlyOutput._fields


class TFBeamSearchDecoderOnlyOutput(ModelOutput):
    """Output of beam search."""

    _fields = GenerateBeamDecoderOnlyOutput._fields


class TFBeamSampleDecoderOnlyOutput(ModelOutput):
    """Output of beam search with sampling."""

    _fields = GenerateBeamDecoderOnlyOutput._fields


class FlaxGreedySearchOutput(ModelOutput):
    """Output of greedy search: (rows, max_length) sequences."""

    _fields = ("sequences",)


class FlaxSampleOutput(ModelOutput):
    """Output of sampling: (rows, max_length) sequences."""

    _fields = ("sequences",)


class FlaxBeamSearchOutput(ModelOutput):
    """Output of beam search: (rows, max_length) sequences and their scores."""

    _fields = ("sequences", "scores")


# (family, beam search, sampling) → output class
OUTPUTS = {
    ("", False, False): GenerateDecoderOnlyOutput,
    ("", False, True): GenerateDecoderOnlyOutput,
    ("", True, False): GenerateBeamDecoderOnlyOutput,
    ("", True, True): GenerateBeamDecoderOnlyOutput,
    ("TF", False, False): TFGreedySearchDecoderOnlyOutput,
    ("TF", False, True): TFSampleDecoderOnlyOutput,
    ("TF", True, False): TFBeamSearchDecoderOnlyOutput,
    ("TF", True, True): TFBeamSampleDecoderOnlyOutput,
    ("Flax", False, False): FlaxGreedySearchOutput,
    ("Flax", False, True): FlaxSampleOutput,
    ("Flax", True, False): FlaxBeamSearchOutput,
    ("Flax", True, True): FlaxBeamSearchOutput,
}


# Processors: functions of the tokens so far (rows, columns) and the scores (rows, V) of the next.


def make_processors(config, prompt_length, custom=()):
    """The functions that change the scores, in the reference's order.

    Args:
        config: `GenerationConfig`.
        prompt_length: columns of the prompt.
        custom: further functions (tokens, scores) → scores, applied before sampling's.
    """
    processors = []
    ends = config.eos_token_ids()
    if config.repetition_penalty != 1.0:
        processors.append(functools.partial(penalise_repetition, config.repetition_penalty))
    if config.no_repeat_ngram_size:
        processors.append(functools.partial(ban_repeated_ngrams, config.no_repeat_ngram_size))
    min_length = config.min_length or 0
    if config.min_new_tokens is not None:
        min_length = prompt_length + config.min_new_tokens
    if ends and min_length > prompt_length:
        processors.append(functools.partial(ban_early_end, min_length, ends))
    processors.extend(custom)
    if config.do_sample:
        # A beam must have a way to go on.
        at_least = len(ends or [None]) + 1 if config.num_beams > 1 else 1
        if config.temperature != 1.0:
            processors.append(lambda tokens, scores: scores / np.float32(config.temperature))
        if config.top_k:
            processors.append(functools.partial(keep_top_k, max(config.top_k, at_least)))
        if config.top_p < 1.0:
            processors.append(functools.partial(keep_top_p, config.top_p, at_least))
    return processors


def penalise_repetition(penalty, tokens, scores):
    """Make tokens that occurred less probable (Keskar et al., 2019, section 4.1)."""
    rows, size = scores.shape
    occurred = np.zeros((rows, size + 1), dtype=bool)  # NO_TOKEN is the last column
    occurred[np.arange(rows)[:, None], tokens] = True
    penalised = np.where(scores < 0, scores * np.float32(penalty), scores / np.float32(penalty))
    return np.where(occurred[:, :size], penalised, scores)


def ban_repeated_ngrams(size, tokens, scores):
    """Ban the tokens that would end an n-gram that occurred."""
    if tokens.shape[1] < size:
        return scores
    ngrams = np.lib.stride_tricks.sliding_window_view(tokens, size, axis=1)  # (rows, m, size)
    start = tokens[:, None, tokens.shape[1] + 1 - size :]
    again = (ngrams[..., :-1] == start).all(axis=-1) & (ngrams[..., -1] != NO_TOKEN)
    rows, places = np.nonzero(again)
    scores = scores.copy()
    scores[rows, ngrams[rows, places, -1]] = -np.inf
    return scores


def ban_early_end(min_length, ends, tokens, scores):
    """Ban the end of the sequence before `min_length` columns."""
    if tokens.shape[1] < min_length:
        scores = scores.copy()
        scores[:, ends] = -np.inf
    return scores


def keep_top_k(k, tokens, scores):
    """Ban all tokens but the k most probable ones."""
    k = min(k, scores.shape[1])
    least = np.partition(scores, -k, axis=1)[:, -k, None]
    return np.where(scores < least, -np.inf, scores)


def keep_top_p(p, at_least, tokens, scores):
    """Ban the least probable tokens, whose probabilities sum up to 1 - p at most."""
    order = np.argsort(scores, axis=1, kind="stable")
    sums = np.cumsum(np.exp(log_softmax(np.take_along_axis(scores, order, axis=1))), axis=1)
    ban = sums <= 1 - p
    ban[:, -at_least:] = False
    banned = np.empty_like(ban)
    np.put_along_axis(banned, order, ban, axis=1)
    return np.where(banned, -np.inf, scores)


def log_softmax(scores):
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def draw(rng, scores):
    """One token per row, with the probabilities of the scores' softmax."""
    sums = np.cumsum(np.exp(log_softmax(scores.astype("float64"))), axis=1)
    sums /= sums[:, -1:]
    thresholds = rng.random(len(scores))
    return np.array(
        [np.searchsorted(row, x, side="right") for row, x in zip(sums, thresholds, strict=True)]
    )


def best(scores, count):
    """Indices of the `count` largest scores of each row, the largest first."""
    if count < scores.shape[1] // 8:
        some = np.sort(np.argpartition(-scores, count, axis=1)[:, :count], axis=1)
    else:
        some = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order[:, :count], axis=1)


# The network, one token at a time


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
    if rows is not None:
        cache = [
            {**layer, "cache": tuple(ops.take(x, rows, axis=0) for x in layer["cache"])}
            for layer in cache
        ]
    outputs = network(**inputs, past_key_values=cache, use_cache=True, training=False)
    return ops.cast(outputs["logits"][:, 0], "float32"), outputs["past_key_values"]


class _JaxRunner:
    """`_prefill` and `_step` as compiled functions of the weights; the cache is donated."""

    fixed_size = True

    def __init__(self, network, variables):
        self.variables = variables
        import jax

        def pure(function):
            def run(values, first, *rest):
                with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
                    return function(network, first, *rest)

            return run

        self._prefill = jax.jit(pure(_prefill), static_argnums=1)
        self._step = jax.jit(pure(_step), donate_argnums=1)

    def prefill(self, values, *args):
        return self._prefill(values, *args)

    def step(self, values, *args):
        return self._step(values, *args)


class _TensorFlowRunner:
    """`_prefill` and `_step` as graphs."""

    fixed_size = True

    def __init__(self, network, variables):
        self.variables = variables
        import tensorflow as tf

        self._prefill = tf.function(functools.partial(_prefill, network))
        self._step = tf.function(functools.partial(_step, network))

    def prefill(self, values, cache_length, inputs):
        return self._prefill(cache_length, inputs)

    def step(self, values, cache, rows, inputs):
        return self._step(cache, rows, inputs)


class _TorchRunner:
    """`_prefill` and `_step` as they are; the cache grows."""

    fixed_size = False

    def __init__(self, network, variables):
        self.variables = variables
        self.call = network.call

    def prefill(self, values, cache_length, inputs):
        return _prefill(self.call, cache_length, inputs)

    def step(self, values, cache, rows, inputs):
        return _step(self.call, cache, rows, inputs)


RUNNERS = {"jax": _JaxRunner, "tensorflow": _TensorFlowRunner, "torch": _TorchRunner}


def _bucket(length):
    """The length to pad to: a power of two from 32 to 256, a multiple of 256 beyond."""
    return max(32, 1 << (length - 1).bit_length()) if length <= 256 else -(-length // 256) * 256


class _Decoding:
    """A batch of prompts on the way through the network.

    Args:
        runner: one of `RUNNERS`.
        values: weights, for a runner that takes them.
        prompt: `_Prompt`.
        extras: arguments of the network that stay the same at each step, as tensors.
        max_length: columns at the end.
        use_cache: keep keys and values.
    """

    def __init__(self, runner, values, prompt, extras, max_length, use_cache):
        self.runner = runner
        self.values = values
        self.prompt = prompt
        self.extras = extras
        self.use_cache = use_cache
        self.tokens = prompt.tokens
        self.length = prompt.tokens.shape[1]
        # One length of the mask for prompt and steps, so that both fit a compiled shape.
        self.size = _bucket(max_length) if runner.fixed_size else max_length
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
            repeat = functools.partial(ops.repeat, repeats=copies, axis=0)
            self.extras = {
                name: repeat(x) if name.startswith("encoder_") else x
                for name, x in self.extras.items()
            }
            if self.cache is not None:
                self.cache = keras.tree.map_structure(repeat, self.cache)
        return logits

    def advance(self, tokens, rows=None):
        """Logits after one more token per row: (rows, V).

        Args:
            tokens: (rows,) integers.
            rows: (rows,) row that each token continues; by default its own.
        """
        if rows is not None:
            self.tokens = self.tokens[rows]
        self.tokens = np.concatenate([self.tokens, tokens[:, None]], axis=1)
        self.length += 1
        if not self.use_cache:
            return self._read_all()
        index = self.length - 1
        inputs = self._inputs(slice(index, self.length))
        if self.runner.fixed_size:
            inputs["cache_index"] = np.asarray(index, "int32")
            inputs["attention_mask"] = self.mask
        else:
            inputs["attention_mask"] = self.mask[:, : self.length]
        rows = None if rows is None else ops.convert_to_tensor(rows.astype("int32"))
        logits, self.cache = self.runner.step(
            self.values, self.cache, rows, {**_tensors(inputs), **self.extras}
        )
        return _numpy(logits)

    def _read_all(self):
        """Logits after all tokens so far; makes the cache if there is one."""
        width = min(_bucket(self.length), self.size) if self.runner.fixed_size else self.length
        inputs = self._inputs(slice(0, width))
        inputs["attention_mask"] = self.mask[:, :width].copy()
        inputs["attention_mask"][:, self.length :] = 0
        inputs["logits_positions"] = np.full((len(self.tokens), 1), self.length - 1, "int32")
        size = self.size if self.runner.fixed_size else self.length
        logits, self.cache = self.runner.prefill(
            self.values,
            size if self.use_cache else None,
            {**_tensors(inputs), **self.extras},
        )
        return _numpy(logits)

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
class _Prompt:
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
        return _Prompt(
            *(
                None if value is None else np.repeat(value, copies, axis=0)
                for value in (getattr(self, field.name) for field in dataclasses.fields(self))
            )
        )


# The loops


@dataclasses.dataclass
class _Result:
    """Continuations of all rows: (rows, steps) tokens and what else was asked for."""

    tokens: np.ndarray
    scores: list
    logits: list
    sequence_scores: np.ndarray | None = None
    beam_indices: np.ndarray | None = None


def _follow(decoding, config, processors, steps, rng, emit):
    """Greedy search and sampling.

    Args:
        decoding: `_Decoding`.
        steps: the largest number of new tokens.
        rng: NumPy generator.
        emit: function called with the (rows,) new tokens of each step.
    """
    logits = decoding.start(config.num_return_sequences)
    history = decoding.prompt.history
    ends = config.eos_token_ids()
    running = np.ones(len(logits), dtype=bool)
    all_scores, all_logits = [], []
    for step in range(steps):
        scores = logits
        for process in processors:
            scores = process(history, scores)
        all_scores.append(scores if config.output_scores else None)
        all_logits.append(logits if config.output_logits else None)
        tokens = draw(rng, scores) if config.do_sample else np.argmax(scores, axis=1)
        if ends:
            tokens = np.where(running, tokens, config.pad_token_id)
            running &= ~np.isin(tokens, ends)
        tokens = tokens.astype("int32")
        history = np.concatenate([history, tokens[:, None]], axis=1)
        emit(tokens)
        if not running.any() or step == steps - 1:
            break
        logits = decoding.advance(tokens)
    return _Result(history[:, -(step + 1) :], all_scores, all_logits)


def _search_beams(decoding, config, processors, steps, rng):
    """Beam search, and beam search with sampling; after the reference's, step by step."""
    beams, ends = config.num_beams, config.eos_token_ids()
    logits = decoding.start(beams)  # (B * beams, V)
    batch, size = len(logits) // beams, logits.shape[1]
    history = decoding.prompt.history
    width = max(2, 1 + len(ends)) * beams  # enough for `beams` that go on when others end
    # The reference pads with the end of the sequence if the padding's number is 0.
    fill = (config.pad_token_id or ends[0]) if ends else NO_TOKEN
    first_rows = np.arange(batch)[:, None] * beams

    running = np.full((batch, beams, steps), fill, "int32")  # new tokens of the open beams
    running_parents = np.full((batch, beams, steps), -1, "int32")
    running_scores = np.tile(np.where(np.arange(beams) == 0, np.float32(0), NEVER), (batch, 1))
    done, done_parents = running.copy(), running_parents.copy()  # the best finished ones
    done_scores = np.full((batch, beams), NEVER)
    is_done = np.zeros((batch, beams), dtype=bool)
    improvable = np.ones((batch, 1), dtype=bool)
    all_scores, all_logits = [], []

    for step in range(steps):
        log_probs = log_softmax(logits)
        for process in processors:
            log_probs = process(history, log_probs)
        all_scores.append(log_probs if config.output_scores else None)
        all_logits.append(logits if config.output_logits else None)

        # The best continuations of each prompt's beams.
        total = log_probs.reshape(batch, beams, size) + running_scores[..., None]
        total = total.reshape(batch, beams * size).astype("float32")
        noise = rng.gumbel(size=total.shape) if config.do_sample else 0
        chosen = best(total + noise, width)  # with the noise: drawn without replacement
        scores = np.take_along_axis(total, chosen, axis=1)  # (B, width)
        parents, tokens = chosen // size, chosen % size
        candidates = _take_beams(running, parents)
        candidates[..., step] = tokens
        candidate_parents = _take_beams(running_parents, parents)
        candidate_parents[..., step] = parents + first_rows
        ended = np.isin(tokens, ends) | (step == steps - 1)

        # Those that go on.
        open_scores = scores + ended * NEVER
        going_on = best(open_scores, beams)
        running = _take_beams(candidates, going_on)
        running_parents = _take_beams(candidate_parents, going_on)
        running_scores = _take_beams(open_scores, going_on)

        # Those that ended, if among the first `beams`, against the finished ones.
        length = step + 1
        just_done = ended & (np.arange(width) < beams)
        full = is_done.all(axis=1, keepdims=True) & (config.early_stopping is True)
        scores = scores / np.float32(length**config.length_penalty)
        scores = scores + (full * NEVER + ~improvable * NEVER + ~just_done * NEVER)
        merged_scores = np.concatenate([done_scores, scores], axis=1)
        kept = best(merged_scores, beams)
        done = _take_beams(np.concatenate([done, candidates], axis=1), kept)
        done_parents = _take_beams(np.concatenate([done_parents, candidate_parents], axis=1), kept)
        done_scores = _take_beams(merged_scores, kept)
        is_done = _take_beams(np.concatenate([is_done, just_done], axis=1), kept)

        # Can the open beams still become better than the finished ones?
        hopeful = config.early_stopping == "never" and config.length_penalty > 0
        best_length = steps if hopeful else length
        possible = running_scores[:, :1] / np.float32(best_length**config.length_penalty)
        worst = np.where(is_done, done_scores.min(axis=1, keepdims=True), NEVER)
        improvable &= (possible > worst).any(axis=1, keepdims=True)
        stop = (is_done.all() and config.early_stopping is True) or ended.all()
        if stop or not improvable.any():
            break
        rows = running_parents[..., step].reshape(-1)
        tokens = running[..., step].reshape(-1)
        history = np.concatenate([history[rows], tokens[:, None]], axis=1)
        logits = decoding.advance(tokens, rows)

    count = config.num_return_sequences
    done, parents = (x[:, :count].reshape(batch * count, steps) for x in (done, done_parents))
    longest = (parents >= 0).sum(axis=1).max()
    return _Result(
        done[:, :longest],
        all_scores,
        all_logits,
        done_scores[:, :count].reshape(-1),
        parents[:, :longest],
    )


def _take_beams(values, index):
    """Choose along the second axis: (B, m, …) by (B, n) → (B, n, …)."""
    return np.take_along_axis(values, index.reshape(*index.shape, *[1] * (values.ndim - 2)), axis=1)


# The method


class GenerationMixin:
    """Gives a causal class `generate`."""

    _generation_config = None
    _kept_runner = None

    @property
    def generation_config(self):
        """The model's own `GenerationConfig`, by default what its config says."""
        if self._generation_config is None:
            return GenerationConfig.from_model_config(self.config)
        return self._generation_config

    @generation_config.setter
    def generation_config(self, value):
        self._generation_config = GenerationConfig().with_changes(value)

    def can_generate(self):
        return True

    def generate(
        self,
        inputs=None,
        generation_config=None,
        *,
        input_ids=None,
        attention_mask=None,
        token_type_ids=None,
        head_mask=None,
        encoder_hidden_states=None,
        encoder_attention_mask=None,
        cross_attn_head_mask=None,
        logits_processor=None,
        streamer=None,
        seed=None,
        params=None,
        prng_key=None,
        trace=True,
        **parameters,
    ):
        """Continue prompts, as transformers 4.57's `generate` does.

        Prompts may be padded on either side. Padding on the left counts as positions and as
        tokens of the penalties, as in transformers. After padding on the right (which transformers
        takes for a part of the text) a row goes on after its last real token, as the row alone
        would; its new tokens stand in the columns after the padding nonetheless.

        Args:
            inputs, input_ids: (B, L) token ids; by default one row with `bos_token_id`.
            generation_config: `GenerationConfig`, a dict, or transformers' object; what it leaves
                at the defaults comes from `model.generation_config`.
            attention_mask: (B, L), 1 for real tokens; by default, all tokens but padding.
            token_type_ids: (B, L); new tokens have the type of the last one.
            head_mask, encoder_hidden_states, encoder_attention_mask, cross_attn_head_mask: see the
                documented class.
            logits_processor: functions (tokens, scores) → scores, which change the (rows, V)
                scores of the next token.
            streamer: object whose `put` gets the prompt and then each step's tokens, and whose
                `end` is called last; or a function of each step's tokens.
            seed: of sampling, an int or several; by default drawn from the framework's global
                generator. The same seed and logits give the same tokens on every backend.
            params, prng_key: Flax only: parameters to use, key in place of a seed.
            trace: Flax only, without effect.
            parameters: fields of `GenerationConfig`, which go before those of `generation_config`.

        Returns:
            (B * num_return_sequences, length) tensor of prompts and continuations, padded with
            `pad_token_id`; an output object that has it as `sequences` with
            `return_dict_in_generate`, and always for Flax, where the length is `max_length`.

        Raises:
            TypeError: unknown argument.
            ValueError: a value that makes no sense; no room after the prompt.
        """
        if inputs is not None and input_ids is not None:
            raise ValueError("generate got the prompt twice, as inputs and as input_ids")
        inputs = input_ids if inputs is None else inputs
        is_flax = self.family == "Flax"
        for name, value in (("params", params), ("prng_key", prng_key)):
            if value is not None and not is_flax:
                raise TypeError(f"{type(self).__name__}.generate has no argument {name!r}")
        config = self.generation_config
        if generation_config is not None:
            config = config.with_changes(generation_config)
        config = config.with_changes(parameters)
        config.check()
        if streamer is not None and config.num_beams > 1:
            raise ValueError("a streamer needs num_beams=1: beam search ends before it knows")

        tokens, mask, types = self._prompt_arrays(inputs, attention_mask, token_type_ids, config)
        batch, length = tokens.shape
        max_length = self._max_length(length, config, parameters)
        if config.pad_token_id is None and config.eos_token_ids():
            config = dataclasses.replace(config, pad_token_id=config.eos_token_ids()[0])

        custom = [functools.partial(self._process, f) for f in logits_processor or ()]
        processors = make_processors(config, length, custom)
        rng = np.random.default_rng(self._seed(seed, prng_key) if config.do_sample else 0)
        if streamer is not None and hasattr(streamer, "put"):
            streamer.put(self._tensor(tokens))

        extras = dict(
            head_mask=head_mask,
            encoder_hidden_states=encoder_hidden_states,
            encoder_attention_mask=encoder_attention_mask,
            cross_attn_head_mask=cross_attn_head_mask,
        )
        with _inference(self):
            decoding = _Decoding(
                *self._runner(params),
                _Prompt.make(tokens, mask, types),
                {name: ops.convert_to_tensor(x) for name, x in extras.items() if x is not None},
                max_length,
                # Without a causal mask, earlier states change with each token.
                use_cache=config.use_cache and self.config.is_decoder,
            )
            arguments = (decoding, config, processors, max_length - length, rng)
            if config.num_beams > 1:
                result = _search_beams(*arguments)
            else:
                result = _follow(*arguments, emit=self._emitter(streamer))
        if streamer is not None and hasattr(streamer, "end"):
            streamer.end()

        rows = len(result.tokens) // batch
        sequences = np.concatenate([np.repeat(tokens, rows, axis=0), result.tokens], axis=1)
        if is_flax:
            missing = max_length - sequences.shape[1]
            fill = 0 if config.pad_token_id is None else config.pad_token_id
            sequences = np.pad(sequences, ((0, 0), (0, missing)), constant_values=fill)
        sequences = self._tensor(sequences, like=inputs)
        if not (is_flax or config.return_dict_in_generate):
            return sequences
        return self._generated(config, sequences, result)

    def _prompt_arrays(self, inputs, attention_mask, token_type_ids, config):
        """Prompt, mask and token types as arrays."""
        if inputs is None:
            if config.bos_token_id is None:
                raise ValueError(
                    "generate needs a prompt: pass input_ids, or bos_token_id to start with"
                )
            inputs = np.array([[config.bos_token_id]])
        tokens = _numpy(inputs).astype("int32")
        if tokens.ndim != 2 or not tokens.size:
            raise ValueError(
                f"input_ids must have shape (batch, length) and a token, got shape {tokens.shape}"
            )
        if attention_mask is None:
            mask = np.ones_like(tokens)
            pad = config.pad_token_id
            if pad is not None and pad not in config.eos_token_ids():
                mask = (tokens != pad).astype("int32")
        else:
            mask = _numpy(attention_mask).astype("int32")
        types = None if token_type_ids is None else _numpy(token_type_ids).astype("int32")
        for name, value in (("attention_mask", mask), ("token_type_ids", types)):
            if value is not None and value.shape != tokens.shape:
                raise ValueError(
                    f"{name} must have the shape of input_ids, {tokens.shape}, got {value.shape}"
                )
        return tokens, mask, types

    def _max_length(self, length, config, parameters):
        """Columns of prompt and continuation at most."""
        if config.max_new_tokens is not None:
            max_length = length + config.max_new_tokens
        else:
            max_length = config.max_length
            if parameters.get("max_length") is None and max_length == GenerationConfig.max_length:
                max_length = min(length + max_length, self.config.max_position_embeddings)
        if max_length <= length:
            raise ValueError(
                f"the prompt has {length} columns, and max_length is {max_length}: there is no "
                "room for a new token; increase max_new_tokens or max_length"
            )
        return max_length

    def _runner(self, params):
        """The runner of this model's network, and the weights that it takes."""
        variables, values = self.network.variables, None
        if self.family == "Flax":
            variables = [variable for _, variable in self._paths()]
            values = self._ordered(self.params if params is None else params)
        runner = self._kept_runner
        # Compiled functions are kept until the network has other variables (resized, pruned).
        if runner is None or list(map(id, runner.variables)) != list(map(id, variables)):
            runner = RUNNERS[keras.config.backend()](self.network, variables)
            self._kept_runner = runner
        return runner, values

    def _seed(self, seed, prng_key):
        if prng_key is not None:
            import jax

            if jax.dtypes.issubdtype(prng_key.dtype, jax.dtypes.prng_key):
                prng_key = jax.random.key_data(prng_key)
            return [int(word) for word in np.asarray(prng_key)]
        if seed is not None:
            return [int(x) for x in np.ravel(_numpy(seed))]
        if keras.config.backend() == "torch":
            import torch

            return int(torch.randint(2**62, ()))
        if keras.config.backend() == "tensorflow":
            import tensorflow as tf

            return int(tf.random.uniform((), maxval=2**62, dtype="int64"))
        return 0  # Flax's generate has a fixed key by default

    def _process(self, function, tokens, scores):
        """Call a processor of the user's with tensors."""
        pad = self.config.pad_token_id or 0
        tokens = np.where(tokens == NO_TOKEN, pad, tokens)
        return _numpy(function(self._tensor(tokens), self._tensor(scores)))

    def _emitter(self, streamer):
        put = getattr(streamer, "put", streamer)
        return (lambda tokens: None) if put is None else lambda tokens: put(self._tensor(tokens))

    def _tensor(self, array, like=None):
        """An array as the framework gives it: on the device and with the integer dtype of `like`.

        Without `like`, what a streamer or a processor gets: an array, or a torch tensor.
        """
        if keras.config.backend() == "torch":
            import torch

            tensor = torch.from_numpy(np.ascontiguousarray(array))
            tensor = tensor if tensor.is_floating_point() else tensor.long()
            return tensor.to(like.device) if isinstance(like, torch.Tensor) else tensor
        if like is None:
            return array
        is_integer = array.dtype.kind == "i" and "int" in str(getattr(like, "dtype", ""))
        dtype = keras.backend.standardize_dtype(like.dtype) if is_integer else None
        return ops.convert_to_tensor(array, dtype=dtype)

    def _generated(self, config, sequences, result):
        cls = OUTPUTS[self.family, config.num_beams > 1, config.do_sample]
        if self.family == "Flax":
            values = dict(sequences=sequences)
            if config.num_beams > 1:
                values["scores"] = self._tensor(result.sequence_scores, like=sequences)
            return cls(**values)
        values = dict(sequences=sequences)
        if config.output_scores:
            values["scores"] = tuple(self._tensor(x, like=sequences) for x in result.scores)
        if config.output_logits:
            values["logits"] = tuple(self._tensor(x, like=sequences) for x in result.logits)
        if config.num_beams > 1:
            values["beam_indices"] = self._tensor(result.beam_indices, like=sequences)
            if config.output_scores:
                values["sequences_scores"] = self._tensor(result.sequence_scores, like=sequences)
        return cls(**values)


def _inference(model):
    """No gradients, and the device of the model (torch)."""
    stack = contextlib.ExitStack()
    if keras.config.backend() == "torch":
        import torch

        stack.enter_context(torch.no_grad())
        stack.enter_context(keras.device(str(model.device)))
    return stack
