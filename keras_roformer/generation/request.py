"""What a call of `generate` asks for: its arguments, read and checked.

`read_request` makes arrays, settings and functions of the arguments; `mixin` runs the request.
"""

import dataclasses
import functools
import time

import numpy as np

from keras_roformer.arrays import to_numpy
from keras_roformer.generation.decoding import Prompt
from keras_roformer.generation.generation_config import GenerationConfig
from keras_roformer.generation.processors import NO_TOKEN, make_processors
from keras_roformer.limits import check_memory


@dataclasses.dataclass
class Hooks:
    """The functions and objects that a call of `generate` was given, which see tensors."""

    model: object  # makes the tensors
    logits_processor: list | None = None
    stopping_criteria: list | None = None
    prefix_allowed_tokens_fn: object = None
    tokenizer: object = None
    streamer: object = None

    def processors(self):
        """Functions of arrays (tokens, scores) → scores."""
        return [functools.partial(self._call, f) for f in self.logits_processor or ()]

    def stops(self, config):
        """Functions of arrays (tokens, scores) → which rows end: those given, a
        `GenerationConfig`'s time, and its strings."""
        stops = [functools.partial(self._call, f) for f in self.stopping_criteria or ()]
        if config.max_time is not None:
            latest = time.monotonic() + config.max_time
            stops.append(lambda tokens, scores: time.monotonic() > latest)
        if config.stop_strings:
            if self.tokenizer is None:
                raise ValueError(
                    "stop_strings need the tokenizer: generate(…, tokenizer=tokenizer)"
                )
            strings = config.stop_strings
            strings = [strings] if isinstance(strings, str) else list(strings)
            stops.append(functools.partial(_end_at_strings, strings, self.tokenizer))
        return stops

    def allowed(self):
        """Function of a prompt's number and its tokens so far → the tokens that may be next."""
        allow = self.prefix_allowed_tokens_fn
        return allow and (lambda number, tokens: to_numpy(allow(number, self._shown(tokens))))

    def start(self, tokens):
        """Give the streamer the prompt."""
        if hasattr(self.streamer, "put"):
            self.streamer.put(self.model.to_tensor(tokens))

    def emit(self, tokens):
        """Give the streamer the tokens of a step."""
        put = getattr(self.streamer, "put", self.streamer)
        if put is not None:
            put(self.model.to_tensor(tokens))

    def end(self):
        """Tell the streamer that there is no more."""
        if hasattr(self.streamer, "end"):
            self.streamer.end()

    def _call(self, function, tokens, scores):
        return to_numpy(function(self._shown(tokens), self.model.to_tensor(scores)))

    def _shown(self, tokens):
        """Tokens with the padding that was moved out of a prompt as padding again, a tensor."""
        pad = self.model.config.pad_token_id or 0
        return self.model.to_tensor(np.where(tokens == NO_TOKEN, pad, tokens))


@dataclasses.dataclass
class Request:
    """A call of `generate`, read and checked."""

    inputs: object  # the prompt as it was given, which says what tensors the answer has
    tokens: np.ndarray  # (B, L), as given
    prompt: Prompt  # the same for the network
    config: GenerationConfig
    max_length: int  # columns of prompt and continuation at most
    extras: dict  # further arguments of the network, by name
    processors: list  # functions (tokens, scores) → scores
    stops: list  # functions (tokens, scores) → which rows end, (rows,) or one for all
    rng: np.random.Generator
    hooks: Hooks

    @property
    def steps(self):
        """The largest number of new tokens."""
        return self.max_length - self.tokens.shape[1]


def read_request(model, prompt, extras, hooks, settings, seeds):
    """Read and check the arguments of `generate`.

    `prompt` are `inputs`, `attention_mask` and `token_type_ids`, `extras` the further arguments of
    the network (None for those not given), `settings` the `generation_config` and a dict of the
    fields that go before it, `seeds` are `seed` and `prng_key`. See `generate` for the errors.
    """
    generation_config, fields = settings
    config = model.generation_config
    if generation_config is not None:
        config = config.with_changes(generation_config)
    config = config.with_changes(fields)
    config.check(model.config.vocab_size)
    config.warn_of_unused()
    if hooks.streamer is not None and config.num_beams > 1:
        raise ValueError("a streamer needs num_beams=1: beam search ends before it knows")

    arrays = read_prompt(config, *prompt)
    tokens = arrays["input_ids"]
    context = ("encoder_hidden_states", "encoder_attention_mask")
    given = {**arrays, **{name: extras[name] for name in context}}
    model.check_inputs({name: value for name, value in given.items() if value is not None})
    is_default = fields.get("max_length") is None
    max_length = read_max_length(tokens.shape, config, model.config, is_default)
    if config.pad_token_id is None and config.eos_token_ids():
        config = dataclasses.replace(config, pad_token_id=config.eos_token_ids()[0])

    prompt_arrays = Prompt.make(*arrays.values())
    processors = make_processors(
        config, prompt_arrays.history, max_length, hooks.allowed(), hooks.processors()
    )
    return Request(
        inputs=prompt[0],
        tokens=tokens,
        prompt=prompt_arrays,
        config=config,
        max_length=max_length,
        extras={name: value for name, value in extras.items() if value is not None},
        processors=processors,
        stops=hooks.stops(config),
        rng=np.random.default_rng(read_seed(model, *seeds) if config.do_sample else 0),
        hooks=hooks,
    )


def read_prompt(config, inputs=None, attention_mask=None, token_type_ids=None):
    """The arrays `input_ids`, `attention_mask` and, or None, `token_type_ids` of a prompt."""
    if inputs is None:
        if config.bos_token_id is None:
            raise ValueError(
                "generate needs a prompt: pass input_ids, or bos_token_id to start with"
            )
        inputs = np.array([[config.bos_token_id]])
    tokens = to_numpy(inputs).astype("int32")
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
        mask = to_numpy(attention_mask).astype("int32")
    types = None if token_type_ids is None else to_numpy(token_type_ids).astype("int32")
    for name, value in (("attention_mask", mask), ("token_type_ids", types)):
        if value is not None and value.shape != tokens.shape:
            raise ValueError(
                f"{name} must have the shape of input_ids, {tokens.shape}, got {value.shape}"
            )
    return dict(input_ids=tokens, attention_mask=mask, token_type_ids=types)


def read_max_length(shape, config, model_config, is_default):
    """Columns at most of a prompt of `shape` (B, L) and its continuation. `is_default`: the call
    itself gives no `max_length`."""
    batch, length = shape
    if config.max_new_tokens is not None:
        max_length = length + config.max_new_tokens
    else:
        max_length = config.max_length
        if is_default and max_length == GenerationConfig.max_length:
            max_length = min(length + max_length, model_config.max_position_embeddings)
    if max_length <= length:
        raise ValueError(
            f"the prompt has {length} columns, and max_length is {max_length}: there is no "
            "room for a new token; increase max_new_tokens or max_length"
        )
    rows = batch * max(config.num_beams, config.num_return_sequences)
    check_memory(
        8 * rows * max_length * model_config.num_hidden_layers * model_config.hidden_size,
        f"a cache for {rows} rows of {max_length} tokens",
        "decrease max_new_tokens or max_length",
    )
    return max_length


def read_seed(model, seed=None, prng_key=None):
    """The seed of NumPy's generator: of a JAX key, given, the family's, or drawn."""
    if prng_key is not None:
        return model.seed_of_key(prng_key)
    if seed is not None:
        seeds = [int(x) for x in np.ravel(to_numpy(seed))]
        if min(seeds, default=-1) < 0:
            raise ValueError(f"seed must be an integer of at least 0, or several, got {seed!r}")
        return seeds
    return model.draw_seed() if model.default_seed is None else model.default_seed


def _end_at_strings(strings, tokenizer, tokens, scores):
    """Which rows have a string that the last token has a part of."""
    longest = max(map(len, strings))
    ends = []
    for row in tokens:
        row = [int(token) for token in row if token != NO_TOKEN][-longest - 1 :]
        text, before = tokenizer.decode(row), tokenizer.decode(row[:-1])
        ends.append(any(s in text[max(0, len(before) - len(s) + 1) :] for s in strings))
    return np.array(ends)
