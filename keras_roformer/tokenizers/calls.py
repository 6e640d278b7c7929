"""The calls: from text to model inputs."""

import logging
import operator
from typing import NamedTuple

from keras_roformer.limits import shortened
from keras_roformer.tokenizers.core import Pieces
from keras_roformer.tokenizers.packing import (
    BatchEncoding,
    Encoding,
    PaddingStrategy,
    TruncationStrategy,
    kept_lengths,
    pad_row,
    padded_length,
)

logger = logging.getLogger(__name__)

LARGE_INTEGER = int(1e20)  # a model_max_length above this is none
_HINTS = {
    "bytes": "Decode bytes first: text.decode('utf-8').",
    "ndarray": "Give array.tolist().",
    "Series": "Give series.tolist().",
    "generator": "Give a list, or use encode_iter.",
}
_BAD_TEXT = (
    "text input must be of type `str` (single example), `list[str]` (batch or single pretokenized "
    "example) or `list[list[str]]` (batch of pretokenized examples)"
)


class Options(NamedTuple):
    """How rows become model inputs: the checked arguments of one call."""

    add_special_tokens: bool
    padding: PaddingStrategy
    truncation: TruncationStrategy
    max_length: int | None
    stride: int
    split: bool
    multiple: int | None
    side: str
    tensors: object
    type_ids: bool
    attention_mask: bool
    overflowing: bool
    special_mask: bool
    offsets: bool
    length: bool
    split_special: bool


class Calls:
    """The part of a tokenizer that turns texts into model inputs."""

    def tokenize(self, text, pair=None, add_special_tokens=False, **kwargs):
        """The tokens of a text or pair as strings; ``kwargs`` are those of ``__call__``."""
        if not kwargs.get("is_split_into_words"):
            check_text(text)
        if pair is None and not add_special_tokens and not kwargs:  # the quick way for most calls
            return self.core.pieces(text, self.split_special_tokens).tokens
        return self.encode_plus(text, pair, add_special_tokens, **kwargs).tokens()

    def encode_words(self, text):
        """``(ids, word_index)`` of a text without special tokens, quickly.

        ``word_index[i]`` counts jieba's words (without jieba, BERT's), so the pieces of one word
        share a number: mask these together for whole word masking.
        """
        check_text(text)
        return self.core.words(text)

    def encode(self, text, text_pair=None, add_special_tokens=True, **kwargs):
        """The ids of a text or pair, special tokens included: ``self(text).input_ids``."""
        return self.encode_plus(text, text_pair, add_special_tokens, **kwargs)["input_ids"]

    def __call__(
        self,
        text=None,
        text_pair=None,
        text_target=None,
        text_pair_target=None,
        add_special_tokens=True,
        padding=False,
        truncation=None,
        max_length=None,
        stride=0,
        is_split_into_words=False,
        **kwargs,
    ):
        """Model inputs of a text, a pair, or a batch of either.

        Args:
            text: a str, a list of str (a batch or, with ``is_split_into_words``, the words of one
                text) or a list of lists of str (a batch of split texts).
            text_pair: the second sequences, shaped like ``text``.
            text_target, text_pair_target: texts whose ids are returned as ``labels``.
            add_special_tokens: whether to add ``[CLS]`` and ``[SEP]``.
            padding: True or "longest", "max_length", False or "do_not_pad".
            truncation: True or "longest_first", "only_first", "only_second", False or
                "do_not_truncate".
            max_length: tokens a row has at most; the model's limit if left out.
            stride: tokens that overflowing rows share with their neighbours.
            is_split_into_words: whether lists of str are the words of one text.
            pad_to_multiple_of, padding_side: how to pad.
            return_tensors: "np", "pt", "tf" or "jax" for tensors instead of lists.
            return_token_type_ids, return_attention_mask: on unless the model does not use them.
            return_overflowing_tokens: whether to return what truncation cut off: as further rows
                with ``overflow_to_sample_mapping`` (fast) or as ``overflowing_tokens`` (slow).
            return_special_tokens_mask, return_offsets_mapping, return_length: further outputs.
            split_special_tokens: whether special tokens in the text are text.

        Returns:
            BatchEncoding with lists of ints: ``input_ids``, ``token_type_ids``, ``attention_mask``.

        Raises:
            ValueError: for input that is no text, or arguments that contradict each other.
        """
        arguments = dict(
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
            **kwargs,
        )
        if text is None and text_target is None:
            raise ValueError("You need to specify either `text` or `text_target`.")
        if text is None:
            return self._call_one(text_target, text_pair_target, arguments)
        inputs = self._call_one(text, text_pair, arguments)
        if text_target is not None:
            targets = self._call_one(text_target, text_pair_target, arguments)
            inputs["labels"] = targets["input_ids"]
        return inputs

    def _call_one(self, text, text_pair, arguments):
        for value in (text,) if text_pair is None else (text, text_pair):
            if not _is_text_input(value):
                kind = type(value).__name__
                item = value[0] if isinstance(value, (list, tuple)) else value
                hint = _HINTS.get(type(item).__name__, "")
                raise ValueError(f"{_BAD_TEXT}; got {kind}: {shorten(value)}. {hint}".rstrip())
        if arguments["is_split_into_words"]:
            batched = (
                isinstance(text, (list, tuple)) and text and isinstance(text[0], (list, tuple))
            )
        else:
            batched = isinstance(text, (list, tuple))
        if not batched:
            return self.encode_plus(text, text_pair, **arguments)
        if text_pair is None:
            return self.batch_encode_plus(text, **arguments)
        if isinstance(text_pair, str):
            raise TypeError(
                "when tokenizing batches of text, `text_pair` must be a list or tuple with the "
                "same length as `text`."
            )
        if len(text) != len(text_pair):
            raise ValueError(
                f"batch length of `text`: {len(text)} does not match batch length of `text_pair`: "
                f"{len(text_pair)}."
            )
        return self._encode(self._pairs(text, text_pair), True, arguments)

    def _pairs(self, first, second):
        """Rows of pairs; to the slow tokenizer, a None for the second text is none."""
        for at, source in enumerate(second):
            if source is None and self.is_fast:
                raise TypeError(
                    f"text_pair[{at}] is None, and so no text: give every text a pair, or call the "
                    "tokenizer with text alone for those that have none."
                )
        return list(zip(first, second, strict=True))

    def encode_plus(self, text, text_pair=None, add_special_tokens=True, **kwargs):
        """``__call__`` for one text or pair; also takes a list of tokens or of ids as a text."""
        if self.is_fast and not text_pair:
            text_pair = None  # an empty second text is none, as in transformers' fast tokenizer
        return self._encode(
            [(text, text_pair)], False, {"add_special_tokens": add_special_tokens, **kwargs}
        )

    def batch_encode_plus(self, batch_text_or_text_pairs, **kwargs):
        """``__call__`` for a list of texts, or of ``(text, pair)`` tuples."""
        batch = batch_text_or_text_pairs
        if not isinstance(batch, (list, tuple)):
            raise TypeError(
                f"batch_text_or_text_pairs has to be a list or a tuple (got {type(batch)})"
            )
        split = kwargs.get("is_split_into_words", False)
        rows = []
        for index, item in enumerate(batch):
            if isinstance(item, str):
                rows.append((item, None))
            elif not isinstance(item, (list, tuple)):
                raise ValueError(
                    f"Item {index} of the batch is not valid: {shorten(item)}. {_BAD_TEXT}."
                )
            elif split and not (item and isinstance(item[0], (list, tuple))):
                rows.append((item, None))
            elif item and is_whole(item[0]):
                rows.append((item, None))
            elif len(item) == 2:
                rows.append(tuple(item))
            else:
                raise ValueError(
                    f"Item {index} of the batch is a {type(item).__name__} of {len(item)}: give a "
                    "str, a (text, pair) tuple, or set is_split_into_words=True for lists of words."
                )
        return self._encode(rows, True, kwargs)

    def encode_iter(self, texts, batch_size=256, **kwargs):
        """Encodes any iterable of texts in constant memory; yields one list of ids a text.

        ``kwargs`` are those of ``__call__`` that leave single rows alone (truncation, max_length,
        add_special_tokens, split_special_tokens).
        """
        if isinstance(texts, str):
            raise TypeError(f"texts must be an iterable of texts, not one: {shorten(texts)}.")
        if not is_whole(batch_size) or batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r} must be a whole number >= 1.")
        batch = []
        for text in texts:
            batch.append(text)
            if len(batch) == batch_size:
                yield from self(batch, **kwargs)["input_ids"]
                batch = []
        if batch:
            yield from self(batch, **kwargs)["input_ids"]

    def _options(
        self,
        add_special_tokens=True,
        padding=False,
        truncation=None,
        max_length=None,
        stride=0,
        is_split_into_words=False,
        pad_to_multiple_of=None,
        padding_side=None,
        return_tensors=None,
        return_token_type_ids=None,
        return_attention_mask=None,
        return_overflowing_tokens=False,
        return_special_tokens_mask=False,
        return_offsets_mapping=False,
        return_length=False,
        verbose=True,
        split_special_tokens=None,
        **unknown,
    ):
        if unknown:
            raise TypeError(f"{type(self).__name__} got unexpected arguments {sorted(unknown)}.")
        padding, truncation, max_length = self._strategies(
            padding, truncation, max_length, pad_to_multiple_of, verbose
        )
        side = check_side("padding_side", padding_side or self.padding_side)
        if not is_whole(stride) or stride < 0:
            raise ValueError(f"stride={stride!r} must be a whole number >= 0.")
        names = self.model_input_names
        if return_token_type_ids is None:
            return_token_type_ids = "token_type_ids" in names
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in names
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        return Options(
            add_special_tokens, padding, truncation, max_length, stride, is_split_into_words,
            pad_to_multiple_of, side, return_tensors,
            return_token_type_ids, return_attention_mask, return_overflowing_tokens,
            return_special_tokens_mask, return_offsets_mapping, return_length, split_special_tokens,
        )  # fmt: skip

    def _strategies(self, padding, truncation, max_length, multiple, verbose):
        """The padding and truncation strategies and length that the arguments mean."""
        if multiple is not None and (not is_whole(multiple) or multiple < 0):
            raise ValueError(f"pad_to_multiple_of={multiple!r} must be a whole number, or None.")
        if padding is False and not truncation and max_length is None:
            return PaddingStrategy.DO_NOT_PAD, TruncationStrategy.DO_NOT_TRUNCATE, None
        if truncation is None and max_length is not None and padding is False:
            if verbose:
                logger.warning(
                    "`max_length` is given without `truncation`: truncating 'longest_first'. Pass "
                    "truncation=True to say so, or truncation=False to keep long rows."
                )
            truncation = True
        if padding is True:
            padding = PaddingStrategy.LONGEST
        else:
            padding = PaddingStrategy(getattr(padding, "value", padding) or "do_not_pad")
        if truncation is True:
            truncation = TruncationStrategy.LONGEST_FIRST
        else:
            truncation = TruncationStrategy(
                getattr(truncation, "value", truncation) or "do_not_truncate"
            )
        pads = padding is not PaddingStrategy.DO_NOT_PAD
        truncates = truncation is not TruncationStrategy.DO_NOT_TRUNCATE
        if truncates:
            check_side("truncation_side", self.truncation_side)
        if max_length is None and (padding is PaddingStrategy.MAX_LENGTH or truncates):
            if self.model_max_length > LARGE_INTEGER:
                if verbose:
                    logger.warning(
                        "Asked to pad or truncate to max_length, but none is given and the "
                        "tokenizer has no model_max_length: rows keep their lengths."
                    )
                if padding is PaddingStrategy.MAX_LENGTH:
                    padding, pads = PaddingStrategy.DO_NOT_PAD, False
                truncation, truncates = TruncationStrategy.DO_NOT_TRUNCATE, False
            else:
                max_length = self.model_max_length
        if max_length is not None and (not is_whole(max_length) or max_length < 0):
            raise ValueError(f"max_length={max_length!r} must be a whole number >= 0.")
        max_length = None if max_length is None else operator.index(max_length)
        if pads and self.pad_token is None:
            raise ValueError(
                "Asking to pad but the tokenizer does not have a padding token: set "
                "tokenizer.pad_token, or tokenizer.add_special_tokens({'pad_token': '[PAD]'})."
            )
        if pads and truncates and multiple and max_length is not None and max_length % multiple:
            raise ValueError(
                f"Truncation and padding are both activated but truncation length ({max_length}) "
                f"is not a multiple of pad_to_multiple_of ({multiple})."
            )
        return padding, truncation, max_length

    def _source_ids(self, source, options, core):
        """The ids of a sequence: a text, its words, its tokens, or its ids."""
        if isinstance(source, str):
            return core.ids(str(source), options.split_special)
        if isinstance(source, (list, tuple)):
            if all(isinstance(item, str) for item in source):
                if options.split:
                    return [i for word in source for i in core.ids(word, options.split_special)]
                if source:
                    return [core.id_of(token) for token in source]
            elif all(map(is_whole, source)) and not options.split:
                return list(map(operator.index, source))
        raise ValueError(
            f"Input {shorten(source)} is not valid: a sequence is a str, a list of str or of ids."
        )

    def _source_pieces(self, source, options, core):
        """A sequence's ids with tokens, offsets and word indices."""
        if isinstance(source, str):
            return core.pieces(str(source), options.split_special)
        if source and isinstance(source[0], str) and options.split:
            parts = [core.pieces(word, options.split_special) for word in source]
            merged = [[value for part in parts for value in part[field]] for field in range(3)]
            return Pieces(*merged, [i for i, part in enumerate(parts) for _ in part.ids])
        ids = self._source_ids(source, options, core)
        tokens = [self._token_of(index) for index in ids]
        return Pieces(ids, tokens, [(0, 0)] * len(ids), [None] * len(ids))

    def _encode(self, rows, batched, arguments):
        """The one road from sequences to a BatchEncoding.

        A plan has a tuple for each row of the output: the sample that it is from, and the ranges
        of that one's first and second sequence that it holds, None for all.
        """
        options = self._options(**arguments)
        core = self.core
        whole = options.truncation is TruncationStrategy.DO_NOT_TRUNCATE and not options.overflowing
        if whole:
            plan, extra = [(sample, None, None) for sample in range(len(rows))], {}
        if whole and not options.offsets:
            made = self._whole_rows(rows, options, core)
        else:
            sequences = [
                [self._read(source, options, core) for source in row if source is not None]
                for row in rows
            ]
            if not whole:
                plan, extra = self._plan(sequences, options, core)
            made = self._cut_rows(sequences, plan, options, core)
        data, lengths = self._columns(*made, options, core, batched)
        data = {**data, **extra} if self.is_fast else {**extra, **data}

        def encodings():
            return self._encodings(rows, plan, lengths, options, core)

        if not batched and options.tensors is None and not (self.is_fast and options.overflowing):
            # As in transformers, the fast tokenizer leaves the length of a single row in a list.
            keep = ("length",) if self.is_fast else ()
            data = {key: value if key in keep else value[0] for key, value in data.items()}
        pairs = bool(rows) and rows[0][1] is not None
        return BatchEncoding(
            data,
            encodings,
            tensor_type=options.tensors,
            n_sequences=(2 if pairs else 1) if rows else None,
            is_fast=self.is_fast,
        )

    def _read(self, source, options, core):
        """``(ids, offsets or None)`` of a sequence."""
        if not options.offsets:
            return self._source_ids(source, options, core), None
        if isinstance(source, str):
            return core.offsets(str(source), options.split_special)
        pieces = self._source_pieces(source, options, core)
        return pieces.ids, pieces.offsets

    def _frame(self, options, core):
        """The special tokens before a row and after each of its sequences."""
        return (core.prefix, core.suffix) if options.add_special_tokens else ((), ())

    def _whole_rows(self, rows, options, core):
        """Rows of ids with special tokens; how long each is up to its second sequence; None."""
        prefix, suffix = self._frame(options, core)
        ids_of, split = core.ids, options.split_special
        ids, sizes = [], []
        for first, second in rows:
            if type(first) is str:
                row = ids_of(first, split, prefix)
            else:
                row = [*prefix, *self._source_ids(first, options, core)]
            row += suffix
            sizes.append(len(row))
            if second is not None:
                row += self._source_ids(second, options, core)
                row += suffix
            ids.append(row)
        return ids, sizes, None

    def _cut_rows(self, sequences, plan, options, core):
        """`_whole_rows` of the ranges that ``plan`` keeps."""
        prefix, suffix = self._frame(options, core)
        before, after = [(0, 0)] * len(prefix), [(0, 0)] * len(suffix)
        ids, sizes, offsets = [], [], []
        for sample, *ranges in plan:
            row, spans = list(prefix), list(before)
            for number, (sequence, sequence_spans) in enumerate(sequences[sample]):
                kept = ranges[number]
                row += sequence if kept is None else sequence[slice(*kept)]
                row += suffix
                if number == 0:
                    sizes.append(len(row))
                if sequence_spans is not None:
                    spans += sequence_spans if kept is None else sequence_spans[slice(*kept)]
                    spans += after
            ids.append(row)
            offsets.append(spans)
        return ids, sizes, offsets if options.offsets else None

    def _columns(self, ids, sizes, offsets, options, core, batched):
        """The outputs beside the ids, all of them padded; and the rows' lengths."""
        lengths = list(map(len, ids))
        data = {"input_ids": ids}
        if options.type_ids:
            if sizes == lengths or not (options.add_special_tokens or self.is_fast):
                data["token_type_ids"] = [[0] * length for length in lengths]
            else:
                data["token_type_ids"] = [
                    [0] * size + [1] * (length - size)
                    for size, length in zip(sizes, lengths, strict=True)
                ]
        if options.attention_mask:
            data["attention_mask"] = [[1] * length for length in lengths]
        if options.special_mask:
            head, tail = map(len, self._frame(options, core))
            data["special_tokens_mask"] = masks = []
            for size, length in zip(sizes, lengths, strict=True):
                mask = [1] * head + [0] * (size - head - tail) + [1] * tail
                rest = length - size
                masks.append(mask + [0] * (rest - tail) + [1] * tail if rest else mask)
        if offsets is not None:
            data["offset_mapping"] = offsets
        if options.max_length is None:
            self._warn_too_long(lengths)
        padded = lengths
        target = padded_length(options.padding, lengths, options.max_length, options.multiple)
        if target is not None:
            padded = [max(length, target) for length in lengths]
            fill = {**self._fill(), "offset_mapping": (0, 0)}
            for key, column in data.items():
                data[key] = [pad_row(row, target, fill[key], options.side) for row in column]
        if options.length:
            # The slow tokenizer counts a batch's rows before it pads them.
            data["length"] = list(lengths if batched and not self.is_fast else padded)
        return data, padded

    def _fill(self):
        """What padding holds in each output."""
        return {
            "input_ids": self.pad_token_id,
            "token_type_ids": self.pad_token_type_id,
            "attention_mask": 0,
            "special_tokens_mask": 1,
        }

    def _encodings(self, rows, plan, lengths, options, core):
        """The rows of ``plan`` as `Encoding` objects."""
        sequences = [
            [self._source_pieces(s, options, core) for s in row if s is not None] for row in rows
        ]
        frame = [
            Pieces(ids, [self._token_of(i) for i in ids], [(0, 0)] * len(ids), [None] * len(ids))
            for ids in self._frame(options, core)
        ]
        second_type = 1 if options.add_special_tokens or self.is_fast else 0
        encodings, leader = [], {}
        for (sample, *ranges), length in zip(plan, lengths, strict=True):
            parts = [(frame[0], (0, len(frame[0].ids)), 0, None)]
            for number, pieces in enumerate(sequences[sample]):
                kept = ranges[number] or (0, len(pieces.ids))
                type_id = second_type if number else 0
                parts.append((pieces, kept, type_id, number))
                parts.append((frame[1], (0, len(frame[1].ids)), type_id, None))
            encoding = Encoding.of(parts, len(sequences[sample]))
            encoding.pad(
                length,
                side=options.side,
                pad_id=self.pad_token_id,
                pad_token=self.pad_token,
                pad_type_id=self.pad_token_type_id,
            )
            if sample in leader:
                leader[sample].overflowing.append(encoding)
            leader.setdefault(sample, encoding)
            encodings.append(encoding)
        return encodings

    def _room(self, pair, options, core):
        """How many tokens of text ``max_length`` leaves room for."""
        added = 0
        if options.add_special_tokens:
            added = len(core.prefix) + len(core.suffix) * (2 if pair else 1)
        if options.max_length < added:
            raise ValueError(
                f"max_length={options.max_length} leaves no room: {added} special tokens are added "
                f"to {'a pair' if pair else 'each text'}."
            )
        return options.max_length - added

    def _cut(self, sequences, room, strategy, stride):
        """The ranges of one or two sequences of ids that fit into ``room``, and what overflows."""
        left = self.truncation_side == "left"
        lengths = list(map(len, sequences))
        kept = kept_lengths(lengths, room, strategy, odd_to_first=True)
        ranges = [
            (length - keep, length) if left else (0, keep)
            for length, keep in zip(lengths, kept, strict=True)
        ]
        if strategy is TruncationStrategy.LONGEST_FIRST and len(sequences) == 2:
            return ranges, []
        which = int(strategy is TruncationStrategy.ONLY_SECOND)
        ids, length = sequences[which], lengths[which]
        window = min(length, stride + length - kept[which])
        return ranges, ids[:window] if left else ids[length - window :]

    def _warn_too_long(self, lengths):
        if max(lengths, default=0) > self.model_max_length and not self._warned:
            self._warned = True
            logger.warning(
                "A row has %d tokens; the model takes %d. Pass truncation=True.",
                max(lengths),
                self.model_max_length,
            )


def _is_text_input(value):
    """Whether ``value`` may be text: a str, list of str, or list of lists of str."""
    if isinstance(value, str):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    if not value or isinstance(value[0], str):
        return True
    return isinstance(value[0], (list, tuple)) and (not value[0] or isinstance(value[0][0], str))


def check_text(text):
    if not isinstance(text, str):
        raise ValueError(f"A text must be a str, not {type(text).__name__}: {shorten(text)}.")


def is_whole(value):
    """Whether ``value`` is a whole number: an int, or one of NumPy's or a tensor's."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def check_side(name, side):
    """``side``, if it is one."""
    if side not in ("right", "left"):
        raise ValueError(f"{name}={side!r} must be 'right' or 'left'.")
    return side


def shorten(value):
    """``repr(value)``, cut off where it would fill an error message."""
    return shortened(repr(value), 79)
