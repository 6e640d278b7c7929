"""The arguments of a call that say how sequences become model inputs."""

import logging
import operator
from dataclasses import dataclass, field, fields
from enum import StrEnum

from keras_roformer.tokenizers.input_checks import check_side, is_whole

logger = logging.getLogger(__name__)

LARGE_INTEGER = int(1e20)  # a model_max_length above this is none


class _Choice(StrEnum):
    @classmethod
    def _missing_(cls, value):
        raise ValueError(
            f"{value!r} is not a valid {cls.__name__}; choose one of {[m.value for m in cls]}, "
            "True or False."
        )


class PaddingStrategy(_Choice):
    """Values of `padding`: to the longest row, to `max_length`, or not at all."""

    LONGEST = "longest"
    MAX_LENGTH = "max_length"
    DO_NOT_PAD = "do_not_pad"


class TruncationStrategy(_Choice):
    """Values of `truncation`: which sequence of a pair loses tokens."""

    ONLY_FIRST = "only_first"
    ONLY_SECOND = "only_second"
    LONGEST_FIRST = "longest_first"
    DO_NOT_TRUNCATE = "do_not_truncate"


@dataclass(slots=True)
class Options:
    """How sequences become model inputs: arguments of one call, by their names in `__call__`."""

    add_special_tokens: bool = True
    padding: bool | str = False
    truncation: bool | str | None = None
    max_length: int | None = None
    stride: int = 0
    is_split_into_words: bool = False
    pad_to_multiple_of: int | None = None
    padding_side: str | None = None
    return_tensors: str | None = None
    return_token_type_ids: bool | None = None
    return_attention_mask: bool | None = None
    return_overflowing_tokens: bool = False
    return_special_tokens_mask: bool = False
    return_offsets_mapping: bool = False
    return_length: bool = False
    verbose: bool = True
    split_special_tokens: bool | None = None
    # Settings of the tokenizer that no argument of a call replaces.
    truncation_side: str = field(init=False)
    pad_token_type_id: int = field(init=False)

    @classmethod
    def of(cls, tokenizer, arguments):
        """The checked `arguments` of a call, a dict; the tokenizer's settings fill what is open.

        Raises:
            TypeError: an argument that is none of those above.
            ValueError: a value that is not allowed, or values that contradict each other.
        """
        try:
            options = cls(**arguments)
        except TypeError:
            unknown = sorted(arguments.keys() - {own.name for own in fields(cls) if own.init})
            name = type(tokenizer).__name__
            raise TypeError(f"{name} got unexpected arguments {unknown}.") from None
        options.truncation_side = tokenizer.truncation_side
        options.pad_token_type_id = tokenizer.pad_token_type_id
        options._settle_strategies(tokenizer)
        side = options.padding_side or tokenizer.padding_side
        options.padding_side = check_side("padding_side", side)
        if not is_whole(options.stride) or options.stride < 0:
            raise ValueError(f"stride={options.stride!r} must be a whole number >= 0.")
        names = tokenizer.model_input_names
        if options.return_token_type_ids is None:
            options.return_token_type_ids = "token_type_ids" in names
        if options.return_attention_mask is None:
            options.return_attention_mask = "attention_mask" in names
        if options.split_special_tokens is None:
            options.split_special_tokens = tokenizer.split_special_tokens
        return options

    @property
    def pads(self):
        return self.padding is not PaddingStrategy.DO_NOT_PAD

    @property
    def truncates(self):
        return self.truncation is not TruncationStrategy.DO_NOT_TRUNCATE

    def padded_length(self, lengths):
        """The length that rows of `lengths` are padded to, or None."""
        if not self.pads:
            return None
        to_longest = self.padding is PaddingStrategy.LONGEST
        length = max(lengths, default=0) if to_longest else self.max_length
        multiple = self.pad_to_multiple_of
        return -(-length // multiple) * multiple if multiple else length

    def _settle_strategies(self, tokenizer):
        """Makes strategies of `padding` and `truncation` and checks them with the lengths."""
        multiple = self.pad_to_multiple_of
        if multiple is not None and (not is_whole(multiple) or multiple < 0):
            raise ValueError(f"pad_to_multiple_of={multiple!r} must be a whole number, or None.")
        if self.padding is False and not self.truncation and self.max_length is None:
            # Most calls end here; looking up strategies by name would take longer than the rest.
            self.padding = PaddingStrategy.DO_NOT_PAD
            self.truncation = TruncationStrategy.DO_NOT_TRUNCATE
            return
        if self.truncation is None and self.max_length is not None and self.padding is False:
            if self.verbose:
                logger.warning(
                    "`max_length` is given without `truncation`: truncating 'longest_first'. Pass "
                    "truncation=True to say so, or truncation=False to keep long rows."
                )
            self.truncation = True
        self.padding = _strategy(PaddingStrategy, self.padding, "longest", "do_not_pad")
        self.truncation = _strategy(
            TruncationStrategy, self.truncation, "longest_first", "do_not_truncate"
        )
        if self.truncates:
            check_side("truncation_side", self.truncation_side)
        self._settle_max_length(tokenizer.model_max_length)
        if not self.pads:
            return
        if tokenizer.pad_token is None:
            raise ValueError(
                "Asking to pad but the tokenizer does not have a padding token: set "
                "tokenizer.pad_token, or tokenizer.add_special_tokens({'pad_token': '[PAD]'})."
            )
        if self.truncates and multiple and self.max_length % multiple:
            raise ValueError(
                "Truncation and padding are both activated but truncation length "
                f"({self.max_length}) is not a multiple of pad_to_multiple_of ({multiple})."
            )

    def _settle_max_length(self, model_max_length):
        """Takes the model's limit where a strategy needs a length and the call gives none."""
        to_max_length = self.padding is PaddingStrategy.MAX_LENGTH
        if self.max_length is None and (to_max_length or self.truncates):
            if model_max_length <= LARGE_INTEGER:
                self.max_length = model_max_length
            else:
                if self.verbose:
                    logger.warning(
                        "Asked to pad or truncate to max_length, but none is given and the "
                        "tokenizer has no model_max_length: rows keep their lengths."
                    )
                if to_max_length:
                    self.padding = PaddingStrategy.DO_NOT_PAD
                self.truncation = TruncationStrategy.DO_NOT_TRUNCATE
        if self.max_length is not None:
            if not is_whole(self.max_length) or self.max_length < 0:
                raise ValueError(f"max_length={self.max_length!r} must be a whole number >= 0.")
            self.max_length = operator.index(self.max_length)


def _strategy(choices, value, when_true, when_false):
    """The strategy that `value`, a bool, None, name, or enum of another library, stands for."""
    if value is True:
        value = when_true
    return choices(getattr(value, "value", value) or when_false)
