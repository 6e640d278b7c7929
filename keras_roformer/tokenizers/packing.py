"""Sequences of ids -> model inputs: truncation, special tokens, type ids and masks, padding."""

import operator
from functools import partial
from typing import NamedTuple

from keras_roformer.tokenizers.batch_encoding import BatchEncoding, Encoding, pad_row
from keras_roformer.tokenizers.core import Pieces
from keras_roformer.tokenizers.input_checks import is_whole, shorten
from keras_roformer.tokenizers.options import TruncationStrategy


def share_longest_first(n_first, n_second, length, odd_to_first=False):
    """How many tokens each of a pair keeps so that together they are at most `length`.

    The longer one loses tokens until they are level, then both lose in turn. The token left over
    when they share an odd `length` goes to the longer one (or to the first, as the slow
    tokenizer has it).
    """
    short, long = min(n_first, n_second), max(n_first, n_second)
    if short + long > length:
        long = max(length - short, 0)
    if long < short:
        short, long = length // 2, length - length // 2
        if odd_to_first:
            return long, short
    return (short, long) if n_first <= n_second else (long, short)


def kept_lengths(lengths, room, strategy, odd_to_first=False):
    """How many tokens each of one or two sequences keeps so that together they are at most `room`.

    Raises:
        ValueError: the sequence that is to lose the tokens has too few of them, or is not there.
    """
    if strategy is TruncationStrategy.LONGEST_FIRST and len(lengths) == 2:
        return share_longest_first(*lengths, room, odd_to_first)
    which = int(strategy is TruncationStrategy.ONLY_SECOND)
    if which == len(lengths):
        raise ValueError("truncation='only_second' needs a pair, but a text came alone.")
    kept, remove = list(lengths), sum(lengths) - room
    if kept[which] <= remove and strategy is not TruncationStrategy.LONGEST_FIRST:
        raise ValueError(
            f"Cannot truncate: {remove} tokens must go but the {('first', 'second')[which]} "
            f"sequence has only {kept[which]}. Use truncation='longest_first', or a larger "
            "max_length."
        )
    kept[which] = max(kept[which] - remove, 0)
    return kept


def windows(length, size, stride, side):
    """Ranges of `size` tokens that cover `length` tokens, neighbours sharing `stride`.

    From the right end when `side` is "left". The first range is the truncated sequence, the
    others are its overflow.
    """
    if size >= length:
        return [(0, length)]
    if size == 0:
        return [(0, 0), (0, length)]
    if stride >= size:
        raise ValueError(
            f"stride={stride} must be smaller than the {size} tokens that fit beside the special "
            "tokens (and, in a pair, beside the other sequence) in max_length."
        )
    ranges, step = [], size - stride
    if side == "right":
        for start in range(0, length, step):
            ranges.append((start, min(start + size, length)))
            if ranges[-1][1] == length:
                break
    else:
        for stop in range(length, 0, -step):
            ranges.append((max(stop - size, 0), stop))
            if ranges[-1][0] == 0:
                break
    return ranges


def cut(sequences, room, strategy, stride, side):
    """The ranges of one or two sequences of ids that fit into `room`, and the ids that overflow.

    As the slow tokenizer does: the overflow is in one piece, with `stride` ids of what stays.
    """
    left = side == "left"
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


def padding_values(tokens, options):
    """What padding holds in each input of a model; `tokens` are a `TokenSnapshot`."""
    return {
        "input_ids": tokens.pad_id,
        "token_type_ids": options.pad_token_type_id,
        "attention_mask": 0,
        "special_tokens_mask": 1,
    }


class Packed(NamedTuple):
    """Rows of ids with their special tokens, cut but not padded."""

    ids: list
    firsts: list  # the length of each row up to the end of its first sequence
    offsets: list | None  # `(start, end)` in its text for each id
    # A tuple for each row: the index of its sample, and the ranges of the sample's two sequences
    # that the row holds, None for a whole one. No plan: each row is a whole sample.
    plan: list | None
    overflow: dict  # columns that tell what truncation cut off


class Packer:
    """Makes model inputs of sequences as one call asks for them.

    A sequence is a text, a list of words (`is_split_into_words`), of tokens, or of ids; a sample
    is a tuple of one sequence and a second one or None.
    """

    __slots__ = ("core", "options", "flavour", "prefix", "suffix")

    def __init__(self, core, options, flavour):
        self.core, self.options, self.flavour = core, options, flavour
        if options.add_special_tokens:
            self.prefix, self.suffix = core.tokens.prefix, core.tokens.suffix
        else:
            self.prefix = self.suffix = ()

    def rows(self, samples):
        """The `Packed` rows of `samples`."""
        options = self.options
        whole = not options.truncates and not options.return_overflowing_tokens
        if whole and not options.return_offsets_mapping:
            return self._whole_rows(samples)
        sequences = [
            [self._read(source) for source in sample if source is not None] for sample in samples
        ]
        if whole:
            plan, overflow = _whole_plan(samples), {}
        elif self.flavour.overflow_is_rows:
            plan, overflow = self._plan_rows(sequences)
        else:
            plan, overflow = self._plan_columns(sequences)
        return self._cut_rows(sequences, plan, overflow)

    def batch(self, samples, packed, batched):
        """The BatchEncoding of `packed` rows or, not `batched`, of the one row."""
        options, flavour = self.options, self.flavour
        data, lengths = self._columns(packed, batched)
        if packed.overflow:
            first = flavour.overflow_stands_first
            data = {**packed.overflow, **data} if first else {**data, **packed.overflow}
        has_rows = flavour.overflow_is_rows and options.return_overflowing_tokens
        if not batched and options.return_tensors is None and not has_rows:
            keep = ("length",) if flavour.keeps_length_list else ()
            data = {key: value if key in keep else value[0] for key, value in data.items()}
        pairs = bool(samples) and samples[0][1] is not None
        return BatchEncoding(
            data,
            partial(self.encodings, samples, packed.plan, lengths),
            tensor_type=options.return_tensors,
            n_sequences=(2 if pairs else 1) if samples else None,
            is_fast=flavour.is_fast,
        )

    # Sequences -> ids

    def _source_ids(self, source):
        """The ids of a sequence."""
        core, split = self.core, self.options.split_special_tokens
        if isinstance(source, str):
            return core.ids(str(source), split)
        if isinstance(source, (list, tuple)):
            words = self.options.is_split_into_words
            if all(isinstance(item, str) for item in source):
                if words:
                    return [index for word in source for index in core.ids(word, split)]
                if source:
                    return list(map(core.tokens.id_of, source))
            elif all(map(is_whole, source)) and not words:
                return list(map(operator.index, source))
        raise ValueError(
            f"Input {shorten(source)} is not valid: a sequence is a str, a list of str or of ids."
        )

    def _source_pieces(self, source):
        """The `Pieces` of a sequence: ids with tokens, offsets and word indices."""
        core, split = self.core, self.options.split_special_tokens
        if isinstance(source, str):
            return core.pieces(str(source), split)
        if source and isinstance(source[0], str) and self.options.is_split_into_words:
            parts = [core.pieces(word, split) for word in source]
            merged = [[value for part in parts for value in part[field]] for field in range(3)]
            return Pieces(*merged, [i for i, part in enumerate(parts) for _ in part.ids])
        return self._bare_pieces(self._source_ids(source))

    def _bare_pieces(self, ids):
        """The `Pieces` of ids that stand in no text."""
        tokens = list(map(self.core.tokens.token_of, ids))
        return Pieces(ids, tokens, [(0, 0)] * len(ids), [None] * len(ids))

    def _read(self, source):
        """`(ids, offsets or None)` of a sequence."""
        if not self.options.return_offsets_mapping:
            return self._source_ids(source), None
        if isinstance(source, str):
            return self.core.offsets(str(source), self.options.split_special_tokens)
        pieces = self._source_pieces(source)
        return pieces.ids, pieces.offsets

    # Ids -> rows

    def _whole_rows(self, samples):
        prefix, suffix = self.prefix, self.suffix
        ids_of, split = self.core.ids, self.options.split_special_tokens
        ids, firsts = [], []
        for first, second in samples:
            if type(first) is str:
                row = ids_of(first, split, prefix)
            else:
                row = [*prefix, *self._source_ids(first)]
            row += suffix
            firsts.append(len(row))
            if second is not None:
                row += self._source_ids(second)
                row += suffix
            ids.append(row)
        return Packed(ids, firsts, None, None, {})

    def _cut_rows(self, sequences, plan, overflow):
        """`Packed` rows of the ranges that `plan` keeps of the `(ids, offsets)` `sequences`."""
        before, after = [(0, 0)] * len(self.prefix), [(0, 0)] * len(self.suffix)
        ids, firsts, offsets = [], [], []
        for sample, *ranges in plan:
            row, spans = list(self.prefix), list(before)
            for number, (sequence, sequence_spans) in enumerate(sequences[sample]):
                kept = ranges[number]
                row += sequence if kept is None else sequence[slice(*kept)]
                row += self.suffix
                if number == 0:
                    firsts.append(len(row))
                if sequence_spans is not None:
                    spans += sequence_spans if kept is None else sequence_spans[slice(*kept)]
                    spans += after
            ids.append(row)
            offsets.append(spans)
        offsets = offsets if self.options.return_offsets_mapping else None
        return Packed(ids, firsts, offsets, plan, overflow)

    def _room(self, pair):
        """How many tokens of text `max_length` leaves room for."""
        most, added = self.options.max_length, len(self.prefix) + len(self.suffix) * (1 + pair)
        if most < added:
            raise ValueError(
                f"max_length={most} leaves no room: {added} special tokens are added "
                f"to {'a pair' if pair else 'each text'}."
            )
        return most - added

    def _plan_columns(self, sequences):
        """One row a sample; what truncation cuts off becomes columns."""
        options = self.options
        overflows, truncates = options.return_overflowing_tokens, options.truncates
        if overflows and options.truncation is TruncationStrategy.LONGEST_FIRST:
            if any(len(sequence) == 2 for sequence in sequences):
                raise ValueError(
                    "Not possible to return overflowing tokens for pair of sequences with the "
                    "`longest_first`. Please select another truncation strategy than "
                    "`longest_first`, for instance `only_second` or `only_first`."
                )
        plan, overflowing, truncated = [], [], []
        for sample, sequence in enumerate(sequences):
            ranges, over, removed = (None, None), [], 0
            if options.max_length is not None:
                ids = [ids for ids, _ in sequence]
                room = self._room(len(ids) == 2)
                removed = sum(map(len, ids)) - room
                if truncates and removed > 0:
                    ranges, over = cut(
                        ids, room, options.truncation, options.stride, options.truncation_side
                    )
            plan.append((sample, *ranges))
            overflowing.append(over)
            truncated.append(removed)
        if not overflows:
            return plan, {}
        return plan, {"overflowing_tokens": overflowing, "num_truncated_tokens": truncated}

    def _plan_rows(self, sequences):
        """A row for each sample and, with `return_overflowing_tokens`, rows of its overflow."""
        plan = _whole_plan(sequences)
        if self.options.truncates:
            last = None if self.options.return_overflowing_tokens else 1
            plan = [
                (sample, *ranges)
                for sample, sequence in enumerate(sequences)
                for ranges in self._windows([len(ids) for ids, _ in sequence])[:last]
            ]
        if not self.options.return_overflowing_tokens:
            return plan, {}
        return plan, {"overflow_to_sample_mapping": [row[0] for row in plan]}

    def _windows(self, lengths):
        """The ranges of the row and of its overflow, in the order of `tokenizers`."""
        options, room = self.options, self._room(len(lengths) == 2)
        if sum(lengths) <= room:
            return [(None, None)]
        kept = kept_lengths(lengths, room, options.truncation)
        ranges = [
            windows(length, size, options.stride, options.truncation_side)
            for length, size in zip(lengths, kept, strict=True)
        ]
        if len(ranges) == 1:
            return [(range_,) for range_ in ranges[0]]
        main, *others = ranges[0]
        rows = [(a, b) for a in others for b in ranges[1]]
        return [(main, ranges[1][0]), *rows, *((main, b) for b in ranges[1][1:])]

    # Rows -> columns

    def _columns(self, packed, batched):
        """The inputs that the call asks for, padded; and the lengths of the padded rows."""
        options, firsts = self.options, packed.firsts
        lengths = list(map(len, packed.ids))
        data = {"input_ids": packed.ids}
        if options.return_token_type_ids:
            typed = options.add_special_tokens or self.flavour.types_bare_pairs
            if firsts == lengths or not typed:
                data["token_type_ids"] = [[0] * length for length in lengths]
            else:
                data["token_type_ids"] = [
                    [0] * first + [1] * (length - first)
                    for first, length in zip(firsts, lengths, strict=True)
                ]
        if options.return_attention_mask:
            data["attention_mask"] = [[1] * length for length in lengths]
        if options.return_special_tokens_mask:
            head, tail = len(self.prefix), len(self.suffix)
            data["special_tokens_mask"] = masks = []
            for first, length in zip(firsts, lengths, strict=True):
                mask = [1] * head + [0] * (first - head - tail) + [1] * tail
                rest = length - first
                masks.append(mask + [0] * (rest - tail) + [1] * tail if rest else mask)
        if packed.offsets is not None:
            data["offset_mapping"] = packed.offsets
        padded = lengths
        target = options.padded_length(lengths)
        if target is not None:
            padded = [max(length, target) for length in lengths]
            fill = {**padding_values(self.core.tokens, options), "offset_mapping": (0, 0)}
            for key, column in data.items():
                data[key] = [
                    pad_row(row, target, fill[key], options.padding_side) for row in column
                ]
        if options.return_length:
            unpadded = batched and self.flavour.counts_before_padding
            data["length"] = list(lengths if unpadded else padded)
        return data, padded

    def encodings(self, samples, plan, lengths):
        """The rows of a plan, padded to `lengths`, as `Encoding` objects."""
        options, tokens = self.options, self.core.tokens
        sequences = [
            [self._source_pieces(source) for source in sample if source is not None]
            for sample in samples
        ]
        prefix, suffix = self._bare_pieces(self.prefix), self._bare_pieces(self.suffix)
        second_type = int(options.add_special_tokens or self.flavour.types_bare_pairs)
        encodings, leader = [], {}
        for (sample, *ranges), length in zip(plan or _whole_plan(samples), lengths, strict=True):
            parts = [(prefix, (0, len(prefix.ids)), 0, None)]
            for number, pieces in enumerate(sequences[sample]):
                kept = ranges[number] or (0, len(pieces.ids))
                type_id = second_type if number else 0
                parts.append((pieces, kept, type_id, number))
                parts.append((suffix, (0, len(suffix.ids)), type_id, None))
            encoding = Encoding.of(parts, len(sequences[sample]))
            encoding.pad(
                length,
                side=options.padding_side,
                pad_id=tokens.pad_id,
                pad_token=tokens.pad_token,
                pad_type_id=options.pad_token_type_id,
            )
            if sample in leader:
                leader[sample].overflowing.append(encoding)
            leader.setdefault(sample, encoding)
            encodings.append(encoding)
        return encodings


def _whole_plan(samples):
    return [(sample, None, None) for sample in range(len(samples))]
