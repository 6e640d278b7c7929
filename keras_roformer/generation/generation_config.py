"""The parameters of `generate`."""

import dataclasses
import json
import logging
import numbers
import pathlib

import numpy as np

from keras_roformer import hub
from keras_roformer.arrays import to_numpy
from keras_roformer.config import read_json
from keras_roformer.saving import atomic, make_directory

GENERATION_CONFIG_NAME = "generation_config.json"

logger = logging.getLogger("keras_roformer")

# Parameters of transformers' that are not here, by the value with which they do nothing.
_OFF = {
    **dict.fromkeys(
        "assistant_model cache_config cache_implementation compile_config constraints "
        "custom_generate decoder_start_token_id exponential_decay_length_penalty force_words_ids "
        "generation_kwargs guidance_scale low_memory "
        "negative_prompt_attention_mask negative_prompt_ids penalty_alpha past_key_values "
        "prompt_lookup_num_tokens sequence_bias token_healing "
        "use_model_defaults watermarking_config".split()
    ),
    **{"diversity_penalty": 0.0, "num_beam_groups": 1},
    **{"output_attentions": False, "output_hidden_states": False, "synced_gpus": False},
}


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
        min_p: sample only from tokens with at least that share of the best one's probability.
        typical_p: sample from the most typical tokens only, whose probabilities sum up to it.
        epsilon_cutoff, eta_cutoff: sample from tokens of at least that probability only; eta's is
            lower where the distribution is flat. 0 is off.
        repetition_penalty: divides the (positive) logits of tokens that occurred.
        encoder_repetition_penalty: multiplies the (positive) logits of the prompt's tokens.
        no_repeat_ngram_size: no n-gram of that size comes twice; 0 is off.
        encoder_no_repeat_ngram_size: no n-gram of that size in the prompt comes; 0 is off.
        bad_words_ids: lists of tokens that never come one after the other.
        suppress_tokens, begin_suppress_tokens: tokens that never come, or not as the first.
        forced_bos_token_id: the token after a prompt of one token.
        forced_eos_token_id: the token at `max_length`, an int or a list to choose from.
        remove_invalid_values: take finite numbers in the place of NaN and infinite scores.
        max_time: seconds after which to stop.
        stop_strings: a string or several, at which a row ends; `generate` needs `tokenizer`.
        renormalize_logits: make log-probabilities of the scores after all changes.
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
    min_p: float | None = None
    typical_p: float = 1.0
    epsilon_cutoff: float = 0.0
    eta_cutoff: float = 0.0
    repetition_penalty: float = 1.0
    encoder_repetition_penalty: float = 1.0
    no_repeat_ngram_size: int = 0
    encoder_no_repeat_ngram_size: int = 0
    bad_words_ids: list[list[int]] | None = None
    suppress_tokens: list[int] | None = None
    begin_suppress_tokens: list[int] | None = None
    forced_bos_token_id: int | None = None
    forced_eos_token_id: int | list[int] | None = None
    remove_invalid_values: bool = False
    max_time: float | None = None
    stop_strings: str | list[str] | None = None
    renormalize_logits: bool = False
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
    def from_pretrained(cls, pretrained_model_name_or_path, **kwargs):
        """Load the generation_config.json of a checkpoint.

        Args:
            pretrained_model_name_or_path: a directory, the file itself, a preset in the box or a
                hub id.
            kwargs: fields to override; `cache_dir`, `force_download`, `local_files_only`, `token`,
                `revision`, `subfolder` for the hub.
        """
        location = {name: kwargs.pop(name) for name in hub.HUB_ARGUMENTS if name in kwargs}
        path = pathlib.Path(pretrained_model_name_or_path)
        if not path.is_file():
            path = hub.resolve(path, weights=(), **location) / GENERATION_CONFIG_NAME
        return cls.from_dict(read_json(path), **kwargs)

    @classmethod
    def from_dict(cls, config_dict, **kwargs):
        """The parameters in a generation_config.json, with `kwargs` in the place of some.

        Parameters of transformers' that are not here are left out, with a warning.
        """
        fields = cls.changes(config_dict)
        unknown = sorted(set(fields) - set(cls.field_names()))
        if unknown:
            logger.warning(
                "generate has no %s; it is left out of what generation_config.json says",
                ", ".join(f"{name}={fields[name]!r}" for name in unknown),
            )
        known = {name: value for name, value in fields.items() if name not in unknown}
        return cls().with_changes(known).with_changes(kwargs)

    def save_pretrained(self, save_directory):
        """Write generation_config.json into a directory, which is made if it is not there."""
        with atomic(make_directory(save_directory) / GENERATION_CONFIG_NAME) as temporary:
            temporary.write_text(self.to_json_string(), "utf-8")

    def to_dict(self):
        """All parameters."""
        return dataclasses.asdict(self)

    def to_diff_dict(self):
        """The parameters that do not have their default."""
        default = GenerationConfig()
        return {k: v for k, v in self.to_dict().items() if v != getattr(default, k)}

    def to_json_string(self):
        """JSON text of `to_diff_dict`, as transformers writes it."""
        return json.dumps(self.to_diff_dict(), indent=2, sort_keys=True) + "\n"

    @staticmethod
    def changes(given):
        """A mapping, or what a configuration object has that is not its default, as a dict; without
        what is no parameter, and those of transformers' that do nothing."""
        given = given.to_diff_dict() if hasattr(given, "to_diff_dict") else given
        return {
            name: value
            for name, value in given.items()
            if not (
                name.startswith("_")
                or name == "transformers_version"
                or (name in _OFF and value in (None, _OFF[name]))
            )
        }

    @classmethod
    def field_names(cls):
        return [field.name for field in dataclasses.fields(cls)]

    def with_changes(self, changes):
        """A copy with other values.

        Args:
            changes: mapping, or a configuration object (ours, or transformers' `GenerationConfig`),
                whose defaults change nothing. None is a parameter's default, which for most means
                off.

        Raises:
            TypeError: it has a parameter that is not known here.
        """
        changes = self.changes(changes)
        unknown = sorted(set(changes) - set(self.field_names()))
        if unknown:
            raise TypeError(
                f"generate has no argument {', '.join(map(repr, unknown))}; its parameters are "
                f"{', '.join(self.field_names())}"
            )
        default = GenerationConfig()
        for name, value in changes.items():
            if value is None and name != "top_k":  # where None is a value of its own: all tokens
                changes[name] = getattr(default, name)
        return dataclasses.replace(self, **changes)

    def eos_token_ids(self):
        """The tokens that end a sequence, as a list."""
        return _as_list(self.eos_token_id)

    def forced_eos_token_ids(self):
        """The tokens to choose the last one from, as a list."""
        return _as_list(self.forced_eos_token_id)

    def check(self, vocab_size):
        """Raise a ValueError if a value makes no sense for a model with so many tokens."""
        for fields, makes_sense, wanted in _RULES:
            for name in fields.split():
                value = getattr(self, name)
                _require(makes_sense(value), name, value, wanted)
        for name, ids in (
            ("bad_words_ids", sum(map(list, self.bad_words_ids or []), [])),
            ("suppress_tokens", self.suppress_tokens or []),
            ("begin_suppress_tokens", self.begin_suppress_tokens or []),
            ("forced_eos_token_id", self.forced_eos_token_ids()),
        ):
            for token in ids:
                _require(0 <= token < vocab_size, name, token, f"ids from 0 to {vocab_size - 1}")
        beams, sequences = self.num_beams, self.num_return_sequences
        if beams == 1 and not self.do_sample:
            _require(
                sequences == 1, "num_return_sequences", sequences, "1 without beams or do_sample"
            )
        if beams > 1:
            wanted = f"at most num_beams ({beams})"
            _require(sequences <= beams, "num_return_sequences", sequences, wanted)

    def warn_of_unused(self):
        """Warn of values without effect."""
        if not self.do_sample and (self.temperature, self.top_p) != (1.0, 1.0):
            logger.warning("temperature and top_p have no effect without do_sample=True")


def _is_count(value):
    return value is None or isinstance(value, numbers.Integral) and value >= 1


def _are_words(value):
    return all(isinstance(word, (list, tuple)) and word for word in value or ())


# (fields, whether a value makes sense, what it must be)
_RULES = (
    ("num_beams num_return_sequences max_length", _is_count, "an integer of at least 1"),
    ("max_new_tokens", _is_count, "an integer of at least 1"),
    ("temperature repetition_penalty", lambda x: x > 0, "greater than 0"),
    ("encoder_repetition_penalty", lambda x: x > 0, "greater than 0"),
    ("top_k", lambda x: x is None or x >= 0, "at least 0"),
    ("top_p", lambda x: 0 <= x <= 1, "between 0 and 1"),
    ("min_p", lambda x: x is None or 0 <= x <= 1, "from 0 to 1"),
    ("typical_p", lambda x: 0 < x <= 1, "above 0 and at most 1"),
    ("epsilon_cutoff eta_cutoff", lambda x: 0 <= x < 1, "at least 0 and below 1"),
    ("bad_words_ids", _are_words, "a list of non-empty lists of token ids"),
    ("no_repeat_ngram_size encoder_no_repeat_ngram_size", lambda x: (x or 0) >= 0, "at least 0"),
    ("early_stopping", lambda x: x in (True, False, "never"), "True, False or 'never'"),
)


def _require(condition, name, value, wanted):
    if not condition:
        raise ValueError(f"{name} must be {wanted}, got {value!r}")


def _as_list(tokens):
    """None, a number, or several, as a list of integers."""
    return [] if tokens is None else [int(token) for token in np.ravel(to_numpy(tokens))]
