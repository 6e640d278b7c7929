"""BatchEncoding, the result of a call: model inputs, and where in the texts they come from."""

import copy
from collections import UserDict
from numbers import Number
from typing import NamedTuple


class CharSpan(NamedTuple):
    """Half-open range of characters in the original text."""

    start: int
    end: int


class TokenSpan(NamedTuple):
    """Half-open range of tokens in an encoded sequence."""

    start: int
    end: int


def pad_row(values, length, value, side):
    """`values` with `value` added on `side` up to `length`."""
    if len(values) >= length:
        return values
    missing = [value] * (length - len(values))
    return values + missing if side == "right" else missing + values


class Encoding:
    """One encoded row in full: everything is a list with one entry a token.

    Attributes: ids, type_ids, tokens, offsets (`(start, end)` in the original text, `(0, 0)`
    for added tokens), word_ids and sequence_ids (None for added tokens), special_tokens_mask,
    attention_mask, overflowing (the other Encodings of a truncated text).
    """

    FIELDS = (
        "ids", "type_ids", "tokens", "offsets", "word_ids", "sequence_ids", "special_tokens_mask",
        "attention_mask",
    )  # fmt: skip

    def __init__(self, n_sequences=1, **fields):
        self.n_sequences = n_sequences
        self.overflowing = fields.pop("overflowing", [])
        for name in self.FIELDS:
            setattr(self, name, fields[name])

    @classmethod
    def of(cls, parts, n_sequences):
        """An Encoding of `(pieces, range, type id, sequence or None)` parts in order."""
        fields = {name: [] for name in cls.FIELDS}
        for pieces, (start, end), type_id, sequence in parts:
            size = end - start
            special = sequence is None
            fields["ids"] += pieces.ids[start:end]
            fields["tokens"] += pieces.tokens[start:end]
            fields["offsets"] += pieces.offsets[start:end]
            fields["word_ids"] += pieces.words[start:end]
            fields["type_ids"] += [type_id] * size
            fields["sequence_ids"] += [sequence] * size
            fields["special_tokens_mask"] += [int(special)] * size
            fields["attention_mask"] += [1] * size
        return cls(n_sequences, **fields)

    def pad(self, length, *, side, pad_id, pad_token, pad_type_id):
        """Adds padding up to `length`."""
        fill = dict(
            ids=pad_id, type_ids=pad_type_id, tokens=pad_token, offsets=(0, 0), word_ids=None,
            sequence_ids=None, special_tokens_mask=1, attention_mask=0,
        )  # fmt: skip
        for name in self.FIELDS:
            setattr(self, name, pad_row(getattr(self, name), length, fill[name], side))

    @property
    def words(self):
        return self.word_ids

    def __len__(self):
        return len(self.ids)

    def __repr__(self):
        return f"Encoding(num_tokens={len(self)}, attributes={list(self.FIELDS)})"

    def token_to_sequence(self, token):
        return self.sequence_ids[token] if 0 <= token < len(self) else None

    def token_to_word(self, token):
        return self.word_ids[token] if 0 <= token < len(self) else None

    def token_to_chars(self, token):
        return None if self.token_to_sequence(token) is None else self.offsets[token]

    def char_to_token(self, char, sequence=0):
        for i, (start, end) in enumerate(self.offsets):
            if self.sequence_ids[i] == sequence and start <= char < end:
                return i
        return None

    def word_to_tokens(self, word, sequence=0):
        places = enumerate(zip(self.sequence_ids, self.word_ids, strict=True))
        found = [i for i, place in places if place == (sequence, word)]
        return (found[0], found[-1] + 1) if found else None

    def word_to_chars(self, word, sequence=0):
        span = self.word_to_tokens(word, sequence)
        return span and (self.offsets[span[0]][0], self.offsets[span[1] - 1][1])

    def char_to_word(self, char, sequence=0):
        token = self.char_to_token(char, sequence)
        return None if token is None else self.word_ids[token]


def to_lists(value):
    """Tensors and arrays as nested lists of Python numbers."""
    if isinstance(value, (list, tuple)):
        return (
            [to_lists(item) for item in value] if value and not isinstance(value[0], int) else value
        )
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "numpy"):
        return value.numpy().tolist()
    return value


def tensor_kind(value):
    """The `return_tensors` of the framework that made the tensors in `value`, or None for lists."""
    while isinstance(value, (list, tuple)) and len(value):
        value = value[0]
    module = type(value).__module__.partition(".")[0]
    return {"numpy": "np", "torch": "pt", "tensorflow": "tf", "jaxlib": "jax"}.get(module)


def _leaves(value):
    """What stands in nested lists, in order."""
    for item in value if isinstance(value, (list, tuple)) else [value]:
        yield from _leaves(item) if isinstance(item, (list, tuple)) else [item]


def _shape(value):
    """The shape of nested lists, None if their lengths differ."""
    if not isinstance(value, (list, tuple)):
        return ()
    shapes = {_shape(item) for item in value} or {()}
    return None if len(shapes) > 1 or None in shapes else (len(value), *shapes.pop())


def _tensor_maker(tensor_type):
    """`lists or array -> tensor` of "np", "pt", "tf" or "jax"; imports the framework only here.

    The framework chooses the type: whole numbers become int64 (np, pt) or int32 (tf, jax), others
    its usual float, and arrays keep theirs.
    """
    kind = getattr(tensor_type, "value", tensor_type)
    if kind == "np":
        import numpy

        own, whole = numpy.ndarray, numpy.int64

        def make(value, dtype=None):
            array = numpy.asarray(value, dtype)
            if array.dtype == object:
                raise TypeError("NumPy has no type for these values but object")
            return array

    elif kind == "pt":
        import torch

        make, own, whole = torch.tensor, torch.Tensor, torch.int64
    elif kind == "tf":
        import tensorflow

        make, own, whole = tensorflow.convert_to_tensor, tensorflow.Tensor, tensorflow.int32
    elif kind == "jax":
        import jax

        make, own, whole = jax.numpy.asarray, jax.Array, jax.numpy.int32
    else:
        raise ValueError(
            f"return_tensors={tensor_type!r} is not known; use 'np', 'pt', 'tf' or 'jax', or leave "
            "it out for lists."
        )

    def tensor(value):
        if isinstance(value, own):
            return value
        if not isinstance(value, (list, tuple)):
            return make(value)
        value = to_lists(value)
        empty = not any(True for _ in _leaves(value))  # of nothing, frameworks make floats
        return make(value, dtype=whole) if empty else make(value)

    return tensor


def _left_out():
    """Stands for the encodings of a pickled BatchEncoding."""
    raise ValueError(
        "This BatchEncoding was pickled (sent to another process) before its alignments were asked "
        "for, so it has none. Read `batch.encodings` before that, to take them along."
    )


class BatchEncoding(UserDict):
    """A tokenizer's result: a dict of lists or tensors, attributes alike, plus alignments.

    The alignments (`tokens()`, `word_ids()`, `char_to_token` and so on) come from
    `encodings`, a list of `Encoding`, which is computed when it is first asked for. A pickle has
    them if they were asked for before: otherwise it would tokenize once more.
    """

    def __init__(
        self, data=None, encoding=None, tensor_type=None, prepend_batch_axis=False,
        n_sequences=None, is_fast=None,
    ):  # fmt: skip
        self.data = dict(data or {})
        self._encodings = [encoding] if isinstance(encoding, Encoding) else encoding
        self._n_sequences = n_sequences
        self._is_fast = encoding is not None if is_fast is None else is_fast
        self.convert_to_tensors(tensor_type, prepend_batch_axis)

    def __getitem__(self, item):
        if isinstance(item, str):
            return self.data[item]
        if isinstance(item, slice):
            return {key: value[item] for key, value in self.data.items()}
        if self.encodings is not None:
            return self.encodings[item]
        raise KeyError(f"{item!r} is no key: use a name of {list(self.data)}, or a slice.")

    def __getattr__(self, name):
        try:
            return self.__dict__["data"][name]
        except KeyError:
            raise AttributeError(
                f"{type(self).__name__!r} object has no attribute {name!r}"
            ) from None

    def __getstate__(self):
        left_out = callable(self._encodings)
        return {**self.__dict__, "_encodings": _left_out if left_out else self._encodings}

    def __setstate__(self, state):
        self.__dict__.update(state)

    def __deepcopy__(self, memo):
        other = copy.copy(self)
        other.data = copy.deepcopy(self.data, memo)
        return other

    @property
    def encodings(self):
        """The rows as `Encoding` objects, or None for a batch that no text went into."""
        if callable(self._encodings):
            self._encodings = self._encodings()
        return self._encodings

    @property
    def n_sequences(self):
        """1 for single texts, 2 for pairs, None if unknown."""
        if self._n_sequences is None and self.encodings:
            return self.encodings[0].n_sequences
        return self._n_sequences

    @property
    def is_fast(self):
        """Whether a RoFormerTokenizerFast made this."""
        return self._is_fast

    def _row(self, index):
        if not self.encodings:
            raise ValueError("This BatchEncoding was not made from text, so it has no alignments.")
        return self.encodings[index]

    def _pick(self, first, second, of_tokens=False):
        """The row and the index in it, from `(index)` or `(row, index)`."""
        row, index = (0, first) if second is None else (first, second)
        row = self._row(row)
        return row, index + len(row) if of_tokens and index < 0 else index

    def tokens(self, batch_index=0):
        """The tokens of one row as strings."""
        return self._row(batch_index).tokens

    def sequence_ids(self, batch_index=0):
        """For each token of a row the sequence it belongs to: 0, 1, or None for added tokens."""
        return self._row(batch_index).sequence_ids

    def word_ids(self, batch_index=0):
        """For each token of a row the index of its word, None for added tokens."""
        return self._row(batch_index).word_ids

    words = word_ids

    def token_to_sequence(self, batch_or_token_index, token_index=None):
        """Which sequence, 0 or 1, a token belongs to; None for an added one."""
        row, index = self._pick(batch_or_token_index, token_index, of_tokens=True)
        return row.token_to_sequence(index)

    def token_to_word(self, batch_or_token_index, token_index=None):
        """The index of a token's word; None for an added one."""
        row, index = self._pick(batch_or_token_index, token_index, of_tokens=True)
        return row.token_to_word(index)

    def token_to_chars(self, batch_or_token_index, token_index=None):
        """The characters of a token in its text, a `CharSpan`; None for an added one."""
        row, index = self._pick(batch_or_token_index, token_index, of_tokens=True)
        span = row.token_to_chars(index)
        return CharSpan(*span) if span else None

    def word_to_tokens(self, batch_or_word_index, word_index=None, sequence_index=0):
        """The tokens of a word, a `TokenSpan`; None if there are none."""
        row, index = self._pick(batch_or_word_index, word_index)
        span = row.word_to_tokens(index, sequence_index)
        return TokenSpan(*span) if span else None

    def word_to_chars(self, batch_or_word_index, word_index=None, sequence_index=0):
        """The characters of a word in its text, a `CharSpan`; None if there are none."""
        row, index = self._pick(batch_or_word_index, word_index)
        span = row.word_to_chars(index, sequence_index)
        return CharSpan(*span) if span else None

    def char_to_token(self, batch_or_char_index, char_index=None, sequence_index=0):
        """The token that a character of the text belongs to; None for white space."""
        row, index = self._pick(batch_or_char_index, char_index)
        return row.char_to_token(index, sequence_index)

    def char_to_word(self, batch_or_char_index, char_index=None, sequence_index=0):
        """The word that a character of the text belongs to; None for white space."""
        row, index = self._pick(batch_or_char_index, char_index)
        return row.char_to_word(index, sequence_index)

    def convert_to_tensors(self, tensor_type=None, prepend_batch_axis=False):
        """Turns every entry into a tensor of "np", "pt", "tf" or "jax", in place."""
        if tensor_type is None:
            return self
        make = _tensor_maker(tensor_type)
        for key, value in self.data.items():
            try:
                self.data[key] = make([value] if prepend_batch_axis else value)
            except (ValueError, TypeError, OverflowError, RuntimeError) as error:
                value = to_lists(value)
                other = [leaf for leaf in _leaves(value) if not isinstance(leaf, Number)]
                if other:
                    reason = f"{other[0]!r:.60} is no number; leave {key!r} out or make it numbers"
                elif _shape(value) is not None:
                    reason = f"{error}"
                else:
                    reason = "its rows differ in length; " + (
                        "RoFormerTokenizerFast returns them as further rows instead"
                        if key == "overflowing_tokens"
                        else "use padding=True and truncation=True to make the rows equally long"
                    )
                raise ValueError(f"Cannot make a tensor of {key!r}: {reason}.") from error
        return self

    def to(self, device, *, non_blocking=False):
        """Moves PyTorch tensors to `device`, in place."""
        for key, value in self.data.items():
            if hasattr(value, "to"):
                self.data[key] = value.to(device=device, non_blocking=non_blocking)
        return self

    def __copy__(self):
        other = type(self)()
        other.__dict__.update(self.__dict__, data=copy.copy(self.data))
        return other
