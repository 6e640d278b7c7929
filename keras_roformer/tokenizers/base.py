"""What both tokenizers do alike: special and added tokens, encoding calls, decoding, files."""

import copy
import json
import logging
import os
import re
import tempfile
from collections.abc import Mapping, Sized
from typing import NamedTuple

from tokenizers import AddedToken

from .core import Pieces
from .files import find_files, read_settings
from .packing import (
    BatchEncoding,
    Encoding,
    PaddingStrategy,
    TruncationStrategy,
    pad_row,
)
from .segment import Segmenter
from .train import count_words, make_vocab
from .vocab import write_vocab

logger = logging.getLogger(__name__)

VERY_LARGE_INTEGER = int(1e30)  # model_max_length of a tokenizer that has no limit
LARGE_INTEGER = int(1e20)
_SPECIAL = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
_BAD_TEXT = (
    "text input must be of type `str` (single example), `list[str]` (batch or single pretokenized "
    "example) or `list[list[str]]` (batch of pretokenized examples)"
)
# Chinese and its punctuation, kana, fullwidth forms: written without spaces around them.
_UNSPACED = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u31a0-\u9fff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uff65\U00020000-\U0003ffff‘’“”…—·"
)
_SPURIOUS_SPACE = re.compile(f"(?<=[{_UNSPACED}]) | (?=[{_UNSPACED}])")


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


class Row(NamedTuple):
    """A row of the output: which sample it is from and which ranges of its sequences it holds."""

    sample: int
    first: tuple
    second: tuple | None


def _special_properties(name):
    """The properties ``name`` (a token) and ``name_id`` (its id)."""

    def get(self):
        value = self._special[name]
        return None if value is None else str(value)

    def set_(self, value):
        if value is not None and not isinstance(value, (str, AddedToken)):
            raise ValueError(f"Cannot set {value!r} as the {name}: it must be a str or AddedToken.")
        self._special[name] = value
        self._changed()

    def get_id(self):
        token = get(self)
        return None if token is None else self.convert_tokens_to_ids(token)

    def set_id(self, value):
        set_(self, None if value is None else self.convert_ids_to_tokens(int(value)))

    return property(get, set_), property(get_id, set_id)


class TokenizerBase:
    """The documented base-class API over a core (`core.py`); see RoFormerTokenizer for arguments.

    A tokenizer is a vocabulary, added tokens and settings. Its core is derived from these, is
    built when first needed and again after a change, and is left out when the tokenizer is
    pickled or copied.
    """

    SPECIAL_TOKENS_ATTRIBUTES = [*_SPECIAL, "additional_special_tokens"]
    vocab_files_names = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    padding_side = "right"
    truncation_side = "right"
    is_fast = False

    def _start(self, vocab, special, init_kwargs, kwargs):
        """Sets up everything but what the classes differ in; ``kwargs`` are the rest arguments."""
        self._core = None
        self._warned = False
        self.init_kwargs = {**init_kwargs, **kwargs}
        self.verbose = kwargs.pop("verbose", False)
        self.name_or_path = kwargs.pop("name_or_path", "")
        maximum = kwargs.pop("model_max_length", kwargs.pop("max_len", None))
        self.model_max_length = VERY_LARGE_INTEGER if maximum is None else maximum
        for name in ("padding_side", "truncation_side"):
            side = kwargs.pop(name, None) or getattr(self, name)
            if side not in ("right", "left"):
                raise ValueError(f"{name}={side!r} must be 'right' or 'left'.")
            setattr(self, name, side)
        self.model_input_names = list(kwargs.pop("model_input_names", self.model_input_names))
        self.clean_up_tokenization_spaces = kwargs.pop("clean_up_tokenization_spaces", False)
        self.split_special_tokens = kwargs.pop("split_special_tokens", False)
        self.chat_template = kwargs.pop("chat_template", None)
        self.use_jieba = kwargs.pop("use_jieba", True)
        user_dict = kwargs.pop("user_dict", None)
        self.segmenter = Segmenter(user_dict) if self.use_jieba else None
        if self.segmenter and self.segmenter.words:
            self.init_kwargs["user_dict"] = self.segmenter.words
        self._vocab = vocab
        self._tokens = {index: token for token, index in vocab.items()}
        self._special = dict.fromkeys(_SPECIAL)
        self._special.update(special)
        self._special.update({name: kwargs.pop(name) for name in _SPECIAL if name in kwargs})
        for name, value in self._special.items():
            if value is not None and not isinstance(value, (str, AddedToken)):
                raise TypeError(f"{name}={value!r} must be a str or AddedToken.")
        self.extra_special_tokens = dict(kwargs.pop("extra_special_tokens", None) or {})
        self._additional = list(kwargs.pop("additional_special_tokens", None) or [])
        self._added = {}
        for index, token in sorted((kwargs.pop("added_tokens_decoder", None) or {}).items()):
            self._added[int(index)] = _as_added(token)
        missing = [
            str(value)
            for name, value in self._special.items()
            if name in special and value and not self._known(str(value))
        ]
        self._add_tokens(
            [t for t in self.all_special_tokens_extended if str(t) not in self._added_ids()],
            special_tokens=True,
        )
        if missing:
            logger.warning(
                "The vocabulary lacks the special token(s) %s; they were added at its end as %s. "
                "The model's embeddings must have rows for these ids.",
                missing,
                self.convert_tokens_to_ids(missing),
            )

    # Special tokens

    for _name in _SPECIAL:
        locals()[_name], locals()[f"{_name}_id"] = _special_properties(_name)
    del _name
    pad_token_type_id = 0

    @property
    def additional_special_tokens(self):
        """Special tokens beside the named ones."""
        return [str(token) for token in self._additional]

    @additional_special_tokens.setter
    def additional_special_tokens(self, value):
        self._additional = list(value or [])
        self._changed()

    @property
    def additional_special_tokens_ids(self):
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @property
    def special_tokens_map_extended(self):
        """Role -> special token, as str or AddedToken, for those that are set."""
        roles = {**self._special, **self.extra_special_tokens}
        roles["additional_special_tokens"] = list(self._additional)
        return {name: value for name, value in roles.items() if value}

    @property
    def special_tokens_map(self):
        """Role -> special token as str, for those that are set."""
        return {
            name: [str(token) for token in value] if isinstance(value, list) else str(value)
            for name, value in self.special_tokens_map_extended.items()
        }

    @property
    def all_special_tokens_extended(self):
        """The special tokens, each once, as str or AddedToken."""
        tokens = {}
        for value in self.special_tokens_map_extended.values():
            for token in value if isinstance(value, list) else [value]:
                tokens.setdefault(str(token), token)
        return list(tokens.values())

    @property
    def all_special_tokens(self):
        """The special tokens, each once."""
        return [str(token) for token in self.all_special_tokens_extended]

    @property
    def all_special_ids(self):
        """The ids of ``all_special_tokens``."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    # Vocabulary

    def _changed(self):
        self._core = None

    def _known(self, token):
        return token in self._vocab or token in self._added_ids()

    def _added_ids(self):
        return {str(token): index for index, token in self._added.items()}

    @property
    def core(self):
        core = self._core
        if core is None:
            core = self._make_core()
            core.special_ids = frozenset(core.id_of(token) for token in self.all_special_tokens) | {
                i for i, t in self._added.items() if t.special and self.is_fast
            }
            core.prefix = [core.id_of(t) for t in (self.cls_token,) if t is not None]
            core.suffix = [core.id_of(t) for t in (self.sep_token,) if t is not None]
            self._core = core
        return core

    def __getstate__(self):
        own = {key: copy.copy(self.__dict__[key]) for key in ("_added", "_additional", "_special")}
        return {**self.__dict__, **own, "_core": None}

    def __deepcopy__(self, memo):
        other = type(self).__new__(type(self))
        other.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return other

    @property
    def vocab_size(self):
        """Number of tokens in the vocabulary, without added tokens."""
        return len(self._vocab)

    def __len__(self):
        return len(self.get_vocab())

    def __bool__(self):
        return True

    def get_vocab(self):
        """Token -> id, with the added tokens."""
        return {**self._vocab, **self._added_ids()}

    @property
    def added_tokens_decoder(self):
        """Id -> AddedToken."""
        return dict(sorted(self._added.items()))

    @property
    def added_tokens_encoder(self):
        """Added token -> id."""
        return {str(token): index for index, token in self.added_tokens_decoder.items()}

    get_added_vocab = added_tokens_encoder.fget

    def add_tokens(self, new_tokens, special_tokens=False):
        """Adds tokens that are never split; those not in the vocabulary get new ids at its end.

        Returns how many were added. Give the model's embeddings the rows, len(tokenizer) of them.
        """
        if not new_tokens:
            return 0
        if not isinstance(new_tokens, (list, tuple)):
            new_tokens = [new_tokens]
        return self._add_tokens(new_tokens, special_tokens=special_tokens)

    def add_special_tokens(self, special_tokens_dict, replace_additional_special_tokens=True):
        """Sets special tokens by role and adds them; returns how many were added."""
        added = []
        for name, value in (special_tokens_dict or {}).items():
            if name not in (*self.SPECIAL_TOKENS_ATTRIBUTES, *self.extra_special_tokens):
                raise ValueError(
                    f"{name!r} is not a special token; choose of {self.SPECIAL_TOKENS_ATTRIBUTES}."
                )
            if name == "additional_special_tokens":
                if isinstance(value, str):
                    raise ValueError(f"{name}={value!r} must be a list of str or AddedToken.")
                tokens = [_as_added(token, special=True) for token in value]
                if replace_additional_special_tokens:
                    self._additional = tokens or self._additional
                else:
                    known = self.additional_special_tokens
                    tokens = [token for token in tokens if str(token) not in known]
                    self._additional = self._additional + tokens
            else:
                tokens = [_as_added(value, special=True)]
                self._special[name] = tokens[0]
            added += [token for token in tokens if token not in added]
        self._changed()
        return self.add_tokens(added, special_tokens=True)

    def _add_tokens(self, new_tokens, special_tokens=False):
        """Adds tokens; returns the number of new ids (fast: of tokens not added before)."""
        count = 0
        special_now = set(self.all_special_tokens)
        ids = self.get_vocab()
        next_id = max([*self._vocab.values(), *self._added], default=-1) + 1
        for token in new_tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(f"Token {token!r} must be a str or AddedToken.")
            content = str(token)
            if not content or (
                content in self._added_ids() and (self.is_fast or isinstance(token, str))
            ):
                continue
            if isinstance(token, str):
                special = special_tokens or content in special_now
                token = AddedToken(content, normalized=not special, special=special)
            else:
                special = token.special or special_tokens or content in special_now
                token = _copy_added(token, special=special)
            if token in self._added.values() and content in self._added_ids():
                if self._added[ids[content]].__getstate__() == token.__getstate__():
                    continue
            if not self.is_fast and not special and token.normalized and self._lowers():
                token = _copy_added(token, content=content.lower())
                content = str(token)
            if content not in ids:
                ids[content] = next_id
                next_id += 1
                count += 1
            elif self.is_fast:
                count += 1
            if special and content not in special_now and not self.is_fast:
                self._additional.append(token)
                special_now.add(content)
            self._added[ids[content]] = token
        self._changed()
        return count

    def convert_tokens_to_ids(self, tokens):
        """The id of a token, or a list of ids; the unknown token's id for one not known."""
        if tokens is None:
            return None
        core = self.core
        if isinstance(tokens, str):
            return core.id_of(tokens)
        return [core.id_of(token) for token in tokens]

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """The token of an id, or a list of tokens."""
        if hasattr(ids, "tolist"):
            ids = ids.tolist()
        if isinstance(ids, int):
            return self._token_of(ids)
        skip = self.core.special_ids if skip_special_tokens else ()
        return [self._token_of(index) for index in map(int, ids) if index not in skip]

    def _token_of(self, index):
        if index in self._added:
            return str(self._added[index])
        return self._tokens.get(index, None if self.is_fast else self.unk_token)

    def convert_tokens_to_string(self, tokens):
        """Tokens joined by spaces, ``##`` pieces joined to the piece before."""
        return " ".join(tokens).replace(" ##", "").strip()

    # Text -> inputs

    def tokenize(self, text, pair=None, add_special_tokens=False, **kwargs):
        """The tokens of a text as strings."""
        split_special = kwargs.pop("split_special_tokens", self.split_special_tokens)
        kwargs.pop("is_split_into_words", None)
        _check_text(text)
        tokens = self.core.pieces(text, split_special).tokens
        if pair is None and not add_special_tokens:
            return tokens
        pair_tokens = None if pair is None else self.core.pieces(pair, split_special).tokens
        if not add_special_tokens:
            return tokens + pair_tokens
        ends = self.convert_ids_to_tokens(self.core.suffix)
        tokens = self.convert_ids_to_tokens(self.core.prefix) + tokens + ends
        return tokens if pair is None else tokens + pair_tokens + ends

    def encode_words(self, text):
        """``(ids, word_index)`` of a text without special tokens, quickly.

        ``word_index[i]`` counts jieba's words (without jieba, BERT's), so the pieces of one word
        share a number: mask these together for whole word masking.
        """
        _check_text(text)
        return self.core.words(text)

    def encode(self, text, text_pair=None, **kwargs):
        """The ids of a text or pair, special tokens included: ``self(text).input_ids``."""
        return self.encode_plus(text, text_pair, **kwargs)["input_ids"]

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
                shown = repr(value) if len(repr(value)) < 60 else repr(value)[:57] + "..."
                raise ValueError(f"{_BAD_TEXT}; got {type(value).__name__}: {shown}.")
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
        return self._encode(list(zip(text, text_pair, strict=True)), True, arguments)

    def encode_plus(self, text, text_pair=None, **kwargs):
        """``__call__`` for one text or pair; also takes a list of tokens or of ids as a text."""
        if self.is_fast and not text_pair:
            text_pair = None  # an empty second text is none, as in transformers' fast tokenizer
        return self._encode([(text, text_pair)], False, kwargs)

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
            if isinstance(item, str) or not isinstance(item, (list, tuple)):
                rows.append((item, None))
            elif split and not (item and isinstance(item[0], (list, tuple))):
                rows.append((item, None))
            elif item and isinstance(item[0], int):
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
        if padding_side not in (None, "left", "right"):
            raise ValueError(f"padding_side={padding_side!r} must be 'right' or 'left'.")
        names = self.model_input_names
        if return_token_type_ids is None:
            return_token_type_ids = "token_type_ids" in names
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in names
        if split_special_tokens is None:
            split_special_tokens = self.split_special_tokens
        return Options(
            add_special_tokens, padding, truncation, max_length, stride, is_split_into_words,
            pad_to_multiple_of, padding_side or self.padding_side, return_tensors,
            return_token_type_ids, return_attention_mask, return_overflowing_tokens,
            return_special_tokens_mask, return_offsets_mapping, return_length, split_special_tokens,
        )  # fmt: skip

    def _strategies(self, padding, truncation, max_length, multiple, verbose):
        """The padding and truncation strategies and length that the arguments mean."""
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
        if max_length is not None and (not isinstance(max_length, int) or max_length < 0):
            raise ValueError(f"max_length={max_length!r} must be a whole number >= 0.")
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
            elif all(isinstance(item, int) for item in source) and not options.split:
                return list(source)
        raise ValueError(
            f"Input {source!r} is not valid: a sequence is a str, or a list of str or of ids."
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
        """The one road from sequences to a BatchEncoding."""
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
        head, tail = map(len, self._frame(options, core))
        type_ids = special = None
        if options.type_ids:
            if options.add_special_tokens or self.is_fast:
                type_ids = [
                    [0] * size if size == len(row) else [0] * size + [1] * (len(row) - size)
                    for row, size in zip(ids, sizes, strict=True)
                ]
            else:
                type_ids = [[0] * len(row) for row in ids]
        if options.special_mask:
            special = []
            for row, size in zip(ids, sizes, strict=True):
                mask = [1] * head + [0] * (size - head - tail) + [1] * tail
                rest = len(row) - size
                special.append(mask + [0] * (rest - tail) + [1] * tail if rest else mask)
        lengths = list(map(len, ids))
        if options.max_length is None:
            self._warn_too_long(lengths)
        masks = [[1] * length for length in lengths] if options.attention_mask else None
        target = self._padded_length(options.padding, lengths, options.max_length, options.multiple)
        columns = {
            "input_ids": (ids, self.pad_token_id),
            "token_type_ids": (type_ids, self.pad_token_type_id),
            "attention_mask": (masks, 0),
            "special_tokens_mask": (special, 1),
            "offset_mapping": (offsets, (0, 0)),
        }
        data = {}
        for key, (column, fill) in columns.items():
            if column is not None:
                if target is not None:
                    column = [
                        pad_row(row, target, fill, options.side) if len(row) < target else row
                        for row in column
                    ]
                data[key] = column
        padded = list(map(len, data["input_ids"]))
        if options.length:
            # The slow tokenizer counts a batch's rows before it pads them.
            data["length"] = lengths if batched and not self.is_fast else padded
        return data, padded

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

    def _too_short(self, which, length, remove):
        raise ValueError(
            f"Cannot truncate: {remove} tokens must go but the {which} sequence has only {length}. "
            "Use truncation='longest_first', or a larger max_length."
        )

    def _padded_length(self, padding, lengths, max_length, multiple):
        if padding is PaddingStrategy.DO_NOT_PAD:
            return None
        longest = max_length if padding is PaddingStrategy.MAX_LENGTH else max(lengths, default=0)
        return -(-longest // multiple) * multiple if multiple else longest

    def _warn_too_long(self, lengths):
        if max(lengths, default=0) > self.model_max_length and not self._warned:
            self._warned = True
            logger.warning(
                "A row has %d tokens; the model takes %d. Pass truncation=True.",
                max(lengths),
                self.model_max_length,
            )

    # Ids -> inputs

    def num_special_tokens_to_add(self, pair=False):
        """How many special tokens ``__call__`` adds to a text, or to a pair."""
        core = self.core
        return len(core.prefix) + len(core.suffix) * (2 if pair else 1)

    @property
    def max_len_single_sentence(self):
        """Tokens of text that fit into ``model_max_length``."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self):
        """Tokens of a pair that fit into ``model_max_length``."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """``[CLS] A [SEP]`` or ``[CLS] A [SEP] B [SEP]`` from ids."""
        core = self.core
        ids = [*core.prefix, *token_ids_0, *core.suffix]
        return ids if token_ids_1 is None else [*ids, *token_ids_1, *core.suffix]

    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        """0 for ``[CLS] A [SEP]``, 1 for ``B [SEP]``."""
        core = self.core
        type_ids = [0] * (len(core.prefix) + len(token_ids_0) + len(core.suffix))
        return (
            type_ids + [1] * (len(token_ids_1) + len(core.suffix))
            if token_ids_1 is not None
            else type_ids
        )

    def get_special_tokens_mask(
        self, token_ids_0, token_ids_1=None, already_has_special_tokens=False
    ):
        """1 where ``build_inputs_with_special_tokens`` puts a special token, else 0.

        With ``already_has_special_tokens``, ``token_ids_0`` is a complete row: 1 for special ids.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError(
                    "You should not supply a second sequence if the provided sequence of ids is "
                    "already formatted with special tokens for the model."
                )
            special = self.core.special_ids
            return [int(index in special) for index in token_ids_0]
        head, tail = [1] * len(self.core.prefix), [1] * len(self.core.suffix)
        mask = head + [0] * len(token_ids_0) + tail
        return mask if token_ids_1 is None else mask + [0] * len(token_ids_1) + tail

    def prepare_for_model(self, ids, pair_ids=None, **kwargs):
        """``__call__`` for ids: truncation, special tokens, padding."""
        prepend = kwargs.pop("prepend_batch_axis", False)
        tensors = kwargs.pop("return_tensors", None)
        kwargs.pop("return_offsets_mapping", None)
        inputs = self._encode(
            [(list(ids), None if pair_ids is None else list(pair_ids))], False, kwargs
        )
        return inputs.convert_to_tensors(tensors, prepend_batch_axis=prepend)

    def pad(
        self,
        encoded_inputs,
        padding=True,
        max_length=None,
        pad_to_multiple_of=None,
        padding_side=None,
        return_attention_mask=None,
        return_tensors=None,
        verbose=True,
    ):
        """Pads a BatchEncoding, dict of lists or list of dicts; for data collators.

        Tensors become lists and then tensors of the same framework again.
        """
        if isinstance(encoded_inputs, (list, tuple)) and encoded_inputs:
            if isinstance(encoded_inputs[0], Mapping):
                encoded_inputs = {
                    key: [example[key] for example in encoded_inputs] for key in encoded_inputs[0]
                }
        main = self.model_input_names[0]
        if not isinstance(encoded_inputs, Mapping) or main not in encoded_inputs:
            given = list(encoded_inputs) if isinstance(encoded_inputs, Mapping) else encoded_inputs
            raise ValueError(
                "You should supply an encoding or a list of encodings to this method that includes "
                f"{main}, but you provided {given!r}"
            )
        inputs = dict(encoded_inputs.items())
        if isinstance(inputs[main], Sized) and len(inputs[main]) == 0:
            if return_attention_mask:
                inputs["attention_mask"] = []
            return BatchEncoding(inputs)
        kind = _tensor_kind(inputs[main])
        return_tensors = return_tensors or kind
        inputs = {key: _to_lists(value) for key, value in inputs.items()}
        single = not isinstance(inputs[main][0], (list, tuple))
        if single:
            inputs = {key: [value] for key, value in inputs.items()}
        if len({len(value) for value in inputs.values()}) != 1:
            sizes = {key: len(value) for key, value in inputs.items()}
            raise ValueError(f"The entries differ in their number of rows: {sizes}.")
        padding, _, max_length = self._strategies(padding, False, max_length, None, verbose)
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        lengths = list(map(len, inputs[main]))
        if return_attention_mask and "attention_mask" not in inputs:
            inputs["attention_mask"] = [[1] * length for length in lengths]
        target = self._padded_length(padding, lengths, max_length, pad_to_multiple_of)
        fills = {
            main: self.pad_token_id,
            "token_type_ids": self.pad_token_type_id,
            "attention_mask": 0,
            "special_tokens_mask": 1,
        }
        side = padding_side or self.padding_side
        if target is not None:
            for key in fills.keys() & inputs.keys():
                inputs[key] = [pad_row(list(row), target, fills[key], side) for row in inputs[key]]
        if single:
            inputs = {key: value[0] for key, value in inputs.items()}
        return BatchEncoding(inputs, tensor_type=return_tensors)

    # Training

    def train_new_from_iterator(
        self,
        text_iterator,
        vocab_size,
        length=None,
        new_special_tokens=None,
        special_tokens_map=None,
        **kwargs,
    ):
        """A tokenizer like this one with a vocabulary made from texts.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: tokens the vocabulary has at most.
            length: not needed; taken for compatibility.
            new_special_tokens: special tokens to have beside the present ones.
            special_tokens_map: present special token -> what it is to be called.
            **kwargs: arguments of `tokenizers.trainers.WordPieceTrainer`, which makes the pieces
                of what is not Chinese.
        """
        rename = special_tokens_map or {}
        special = {n: rename.get(str(v), v) for n, v in self._special.items() if v is not None}
        more = [*self._additional, *(new_special_tokens or [])]
        more = [rename.get(str(token), token) for token in more]
        # BERT's order: padding is token 0.
        first = [special.get(f"{name}_token") for name in ("pad", "unk", "cls", "sep", "mask")]
        order = [*first, *special.values(), *more]
        tokens = list(dict.fromkeys(str(token) for token in order if token is not None))
        if vocab_size <= len(tokens):
            raise ValueError(f"vocab_size={vocab_size} has no room beside {tokens}.")
        counts = count_words(self.core, text_iterator)
        vocab = make_vocab(
            counts, self._split_unknown, tokens, vocab_size, self.use_jieba, **kwargs
        )
        settings = {k: v for k, v in self.init_kwargs.items() if k != "added_tokens_decoder"}
        settings |= {"vocab": vocab, "use_jieba": self.use_jieba, **special}
        return type(self)(**{**settings, "additional_special_tokens": more})

    # Ids -> text

    def decode(
        self,
        token_ids,
        skip_special_tokens=False,
        clean_up_tokenization_spaces=None,
        spaces_between_special_tokens=True,
        **kwargs,
    ):
        """The text of a row of ids. Chinese comes without spaces between its words.

        (transformers puts a space between any two tokens; `convert_tokens_to_string` does so here.)
        """
        kwargs.pop("use_source_tokenizer", None)
        if kwargs:
            raise TypeError(f"decode got unexpected arguments {sorted(kwargs)}.")
        ids = _to_lists(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        tokens = [t for t in self.convert_ids_to_tokens(ids, skip_special_tokens) if t is not None]
        kept = set(self.all_special_tokens) | self.added_tokens_encoder.keys()
        text, after_kept = "", False
        for token in tokens:
            is_kept = token in kept
            if not text or (token.startswith("##") and not is_kept):
                text += token.removeprefix("##") if text else token
            elif is_kept or after_kept:
                text += (" " if spaces_between_special_tokens else "") + token
            elif self.is_fast and token.startswith(_ATTACHED):
                text += token
            else:
                text += token if _SPURIOUS_SPACE.search(text[-1] + " " + token[0]) else " " + token
            after_kept = is_kept
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def batch_decode(self, sequences, **kwargs):
        """The text of each row of ids."""
        return [self.decode(row, **kwargs) for row in _to_lists(sequences)]

    @staticmethod
    def clean_up_tokenization(out_string):
        """Takes out the spaces that English does not have before punctuation and contractions."""
        for spaced in (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're"):
            if spaced == " n't":
                out_string = out_string.replace(" ' ", "'")
            out_string = out_string.replace(spaced, spaced[1:])
        return out_string

    # Files

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path,
        *init_inputs,
        cache_dir=None,
        force_download=False,
        local_files_only=False,
        token=None,
        revision=None,
        subfolder="",
        **kwargs,
    ):
        """A tokenizer from a directory, the name of a preset in the box, or a hub id.

        ``kwargs`` go to the constructor, over what the files say. Files are data: no code in them
        is run, whatever ``trust_remote_code`` says. A directory whose files name BertTokenizer
        gives a character-level tokenizer, which does not use jieba.
        """
        for name in (
            "trust_remote_code",
            "use_fast",
            "from_slow",
            "use_auth_token",
            "_commit_hash",
        ):
            kwargs.pop(name, None)
        path = find_files(
            pretrained_model_name_or_path,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
        )
        settings = {**read_settings(path), **kwargs}
        settings["name_or_path"] = str(pretrained_model_name_or_path)
        return cls(*init_inputs, **settings)

    def save_pretrained(
        self,
        save_directory,
        legacy_format=None,
        filename_prefix=None,
        push_to_hub=False,
        **kwargs,
    ):
        """Writes the files that `from_pretrained`, here and in transformers, reads again."""
        directory = os.fspath(save_directory)
        if os.path.isfile(directory):
            raise ValueError(f"save_directory={directory!r} is a file; give a directory.")
        if legacy_format is False and not self.is_fast:
            raise ValueError("Only RoFormerTokenizerFast can be saved without vocab.txt.")
        os.makedirs(directory, exist_ok=True)
        prefix = f"{filename_prefix}-" if filename_prefix else ""

        def write(name, content):
            path = os.path.join(directory, prefix + name)
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                json.dump(content, file, indent=2, sort_keys=True, ensure_ascii=False)
                file.write("\n")
            return path

        paths = [
            write("tokenizer_config.json", self._config()),
            write(
                "special_tokens_map.json", _to_json(self.special_tokens_map_extended, typed=False)
            ),
        ]
        new = {t: i for t, i in self.added_tokens_encoder.items() if t not in self._vocab}
        if new:
            paths.append(write("added_tokens.json", new))
        if legacy_format is not False:
            paths += self.save_vocabulary(directory, filename_prefix)
        if self.is_fast and legacy_format is not True:
            path = os.path.join(directory, prefix + "tokenizer.json")
            with open(path, "w", encoding="utf-8", newline="\n") as file:
                file.write(self._json())
            paths.append(path)
        if push_to_hub:
            self.push_to_hub(kwargs.pop("repo_id", os.path.basename(directory)), **kwargs)
        return tuple(paths)

    def _config(self):
        """What tokenizer_config.json holds."""
        config = {
            key: value
            for key, value in self.init_kwargs.items()
            if key not in ("name_or_path", "vocab_file", "tokenizer_file", "use_jieba", "verbose")
        }
        config.update(self.special_tokens_map)
        config.update(
            {
                name: getattr(self, name)
                for name in ("model_max_length", "clean_up_tokenization_spaces", "padding_side",
                             "truncation_side", "split_special_tokens")
            }
        )  # fmt: skip
        config["added_tokens_decoder"] = {
            str(index): token.__getstate__() for index, token in self.added_tokens_decoder.items()
        }
        # transformers' tokenizer without jieba is called BertTokenizer.
        config["tokenizer_class"] = "RoFormerTokenizer" if self.use_jieba else "BertTokenizer"
        return _to_json(config)

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Writes vocab.txt into a directory."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = os.path.join(save_directory, prefix + "vocab.txt")
        write_vocab(self._vocab, path)
        return (path,)

    def push_to_hub(self, repo_id, *, token=None, private=None, commit_message=None, **kwargs):
        """Saves the tokenizer and uploads its files to a repository on the hub."""
        from huggingface_hub import HfApi

        api = HfApi(token=token)
        repo_id = api.create_repo(repo_id, private=private, exist_ok=True).repo_id
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            return api.upload_folder(
                repo_id=repo_id,
                folder_path=directory,
                commit_message=commit_message or "Upload tokenizer",
                **kwargs,
            )

    def __repr__(self):
        added = "".join(f"\n\t{i}: {t!r}," for i, t in self.added_tokens_decoder.items())
        return (
            f"{type(self).__name__}(name_or_path={self.name_or_path!r}, "
            f"vocab_size={self.vocab_size}, model_max_length={self.model_max_length}, "
            f"is_fast={self.is_fast}, padding_side={self.padding_side!r}, "
            f"truncation_side={self.truncation_side!r}, special_tokens={self.special_tokens_map}, "
            f"clean_up_tokenization_spaces={self.clean_up_tokenization_spaces}, "
            f"added_tokens_decoder={{{added}\n}})"
        )


# What the fast tokenizer's decoder joins to the token before it.
_ATTACHED = (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")


def _copy_added(token, **changes):
    return AddedToken(**{**token.__getstate__(), **changes})


def _as_added(token, special=False):
    """An AddedToken from a str, an AddedToken or a saved dict."""
    if isinstance(token, Mapping):
        token = AddedToken(**{key: value for key, value in token.items() if key != "__type"})
    if isinstance(token, str):
        return AddedToken(token, normalized=not special, special=special)
    if not isinstance(token, AddedToken):
        raise ValueError(f"Token {token!r} must be a str or AddedToken.")
    return _copy_added(token, special=True) if special else token


def _to_json(value, typed=True):
    """``value`` with its AddedTokens as dicts, as tokenizer_config.json has them."""
    if isinstance(value, AddedToken):
        state = value.__getstate__()
        if typed:
            return {**state, "__type": "AddedToken"}
        state.pop("special")
        return state
    if isinstance(value, Mapping):
        return {key: _to_json(item, typed) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_to_json(item, typed) for item in value]
    return value


def _is_text_input(value):
    """Whether ``value`` may be text: a str, list of str, or list of lists of str."""
    if isinstance(value, str):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    if not value or isinstance(value[0], str):
        return True
    return isinstance(value[0], (list, tuple)) and (not value[0] or isinstance(value[0][0], str))


def _check_text(text):
    if not isinstance(text, str):
        raise ValueError(f"A text must be a str, not {type(text).__name__}: {text!r}.")


def _tensor_kind(value):
    """Which framework's tensors ``value`` is made of, or None for lists."""
    while isinstance(value, (list, tuple)) and len(value):
        value = value[0]
    module = type(value).__module__.partition(".")[0]
    return {"numpy": "np", "torch": "pt", "tensorflow": "tf", "jaxlib": "jax"}.get(module)


def _to_lists(value):
    """Tensors and arrays as nested lists of Python numbers."""
    if isinstance(value, (list, tuple)):
        return (
            [_to_lists(item) for item in value]
            if value and not isinstance(value[0], int)
            else value
        )
    if hasattr(value, "tolist"):
        return value.tolist()
    if hasattr(value, "numpy"):
        return value.numpy().tolist()
    return value
