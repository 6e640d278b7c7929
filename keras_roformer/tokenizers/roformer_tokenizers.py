"""RoFormerTokenizer and RoFormerTokenizerFast, what they do differently, and AutoTokenizer."""

import os
import warnings
from itertools import groupby
from typing import NamedTuple

from tokenizers import Tokenizer, decoders, models, normalizers, processors
from tokenizers.pre_tokenizers import BertPreTokenizer, PreTokenizer

from keras_roformer.hub import HUB_ARGUMENTS
from keras_roformer.tokenizers.core import FastCore, SlowCore
from keras_roformer.tokenizers.pretrained_tokenizer import TokenizerBase
from keras_roformer.tokenizers.tokenizer_files import (
    check_vocab,
    find_files,
    json_added_tokens,
    read_tokenizer_json,
    read_vocab,
    tokenizer_class,
)


class Flavour(NamedTuple):
    """What one tokenizer class decides about tokens and rows; the defaults are the slow class's.

    A comment says what True means. How the classes cut words into pieces stands in `rules.py`.
    """

    is_fast: bool = False
    # Tokens
    replaces_added_tokens: bool = True  # an AddedToken given again replaces the first
    counts_known_tokens: bool = False  # `add_tokens` counts tokens that had an id before
    lists_special_tokens: bool = True  # `add_tokens` lists special ones as additional
    skips_added_specials: bool = False  # added tokens marked special are special ids
    names_unknown_ids: bool = True  # an id without a token is the unknown token, not None
    attaches_punctuation: bool = False  # `decode` joins it to the token before
    # Pairs
    takes_missing_pairs: bool = True  # None among a batch's second texts is no error
    takes_empty_pair: bool = True  # an empty second text is a sequence, not none
    types_bare_pairs: bool = False  # without special tokens type ids tell texts apart
    # Outputs
    overflow_is_rows: bool = False  # what truncation cuts off is rows, not a column
    overflow_stands_first: bool = True  # its columns come before the input ids
    counts_before_padding: bool = True  # a batch's `return_length` leaves padding out
    keeps_length_list: bool = False  # the length of a single row stays in a list
    # Files
    writes_tokenizer_json: bool = False


SLOW = Flavour()
# Each field is a difference: what the slow class does, the fast class does not.
FAST = Flavour(*(not decision for decision in SLOW))


def _load(vocab_file, tokenizer_file, arguments, kwargs, json_first=False):
    """The vocabulary and the rest of a tokenizer.json (or None) that a constructor was given.

    Settles what `arguments` leave open: by the normalizer of a tokenizer.json that is all there
    is, else by the defaults. Where the two files disagree there is a warning, and `json_first`
    says which one counts.
    """
    vocab = kwargs.pop("vocab", None)
    content = read_tokenizer_json(tokenizer_file) if tokenizer_file else None
    if vocab is not None:
        vocab = check_vocab(vocab, "vocab")
    elif vocab_file is not None:
        vocab = read_vocab(vocab_file)
        if content is not None and content["model"]["vocab"] != vocab:
            taken = tokenizer_file if json_first else vocab_file
            warnings.warn(
                f"{str(vocab_file)!r} and {str(tokenizer_file)!r} hold different vocabularies; "
                f"{os.path.basename(taken)} is taken. Remove the one that is out of date.",
                stacklevel=3,
            )
            if json_first:
                vocab = check_vocab(content["model"]["vocab"], str(tokenizer_file))
    elif content is not None:
        vocab = check_vocab(content["model"]["vocab"], str(tokenizer_file))
        normalizer = content.get("normalizer") or {}
        for key, name in (("lowercase", "do_lower_case"), ("strip_accents", "strip_accents")):
            if arguments[name] is _UNSET and key in normalizer:
                arguments[name] = normalizer[key]
        # RoFormer's normalizer leaves Chinese to jieba, BERT's sets spaces around it.
        kwargs.setdefault("use_jieba", not normalizer.get("handle_chinese_chars", False))
        if "added_tokens_decoder" not in kwargs:
            kwargs["added_tokens_decoder"] = json_added_tokens(content, tokenizer_file)
    else:
        raise ValueError("Give vocab_file (a vocab.txt) or tokenizer_file (a tokenizer.json).")
    for name, default in (("do_lower_case", True), ("strip_accents", None)):
        if arguments[name] is _UNSET:
            arguments[name] = default
    return vocab, content


class _Unset:
    """Marks an argument that was not given, where that differs from any value."""

    def __repr__(self):
        return "<default>"


_UNSET = _Unset()


class RoFormerTokenizer(TokenizerBase):
    """RoFormer's tokenizer: jieba words, and BERT's WordPiece for words not in the vocabulary.

    Gives the ids of transformers' (slow) RoFormerTokenizer or, with `use_jieba=False`, of its
    BertTokenizer, which the character-level checkpoints use.

    Args:
        vocab_file: path of a vocab.txt, one token a line.
        do_lower_case: whether to lower-case the text.
        do_basic_tokenize: whether to clean words and split them at punctuation before WordPiece.
        never_split: tokens that are kept as they are in basic tokenization.
        unk_token, sep_token, pad_token, cls_token, mask_token: the special tokens.
        tokenize_chinese_chars: whether a Chinese character is a word in basic tokenization.
        strip_accents: whether to take accents off; None for "if lower-casing".
        use_jieba: whether jieba cuts the text; False for character-level checkpoints.
        user_dict: further words for jieba: a path of a jieba dictionary, words, `(word,
            frequency)` tuples, or a mapping; saved with the tokenizer. Without a frequency jieba
            takes one that keeps the word whole where it can. A word that is not in the vocabulary
            is still split into its characters: `train_new_from_iterator` or `add_tokens` add it.
        tokenizer_file: path of a tokenizer.json to take the vocabulary from instead.
        vocab: a `{token: id}` mapping instead of a file.
        **kwargs: `bos_token`, `eos_token`, `additional_special_tokens`,
            `model_max_length`, `padding_side`, `truncation_side`, `model_input_names`,
            `clean_up_tokenization_spaces`, `split_special_tokens`, `added_tokens_decoder`.

    Raises:
        ImportError: if `use_jieba` and rjieba is not installed.
        ValueError: for a file that is no vocabulary.

    Example:
        >>> tokenizer = RoFormerTokenizer.from_pretrained("junnyu/roformer_chinese_base")
        >>> tokenizer.tokenize("今天天气非常好。")
        ['今', '天', '天', '气', '非常', '好', '。']
    """

    _flavour = SLOW
    is_fast = SLOW.is_fast

    def __init__(
        self,
        vocab_file=None,
        do_lower_case=_UNSET,
        do_basic_tokenize=True,
        never_split=None,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        tokenize_chinese_chars=True,
        strip_accents=_UNSET,
        tokenizer_file=None,
        **kwargs,
    ):
        arguments = dict(
            do_lower_case=do_lower_case,
            do_basic_tokenize=do_basic_tokenize,
            never_split=list(never_split) if never_split is not None else None,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
        )
        vocab, _ = _load(vocab_file, tokenizer_file, arguments, kwargs)
        special = dict(
            unk_token=unk_token, sep_token=sep_token, pad_token=pad_token, cls_token=cls_token,
            mask_token=mask_token,
        )  # fmt: skip
        super().__init__(vocab, special, arguments, kwargs)

    @property
    def vocab(self):
        """Token -> id, without added tokens."""
        return self._table.vocab

    @property
    def ids_to_tokens(self):
        """Id -> token, without added tokens."""
        return {index: token for token, index in self._table.vocab.items()}

    def _lowers_added_tokens(self):
        return self.do_lower_case and self.init_kwargs["do_basic_tokenize"]

    def _prepared(self, word):
        # By character, as the text's: the lower case of a whole word may end in another sigma.
        return "".join(map(str.lower, word)) if self._lowers_added_tokens() else word

    def _make_core(self, tokens):
        settings = self.init_kwargs
        return SlowCore(
            tokens,
            self.segmenter,
            lower=self.do_lower_case,
            basic=settings["do_basic_tokenize"],
            strip_accents=settings["strip_accents"],
            chinese=settings["tokenize_chinese_chars"],
            never_split=settings["never_split"],
        )

    def _split_unknown(self, word):
        """The parts of a word that is not in the vocabulary."""
        return self.core.rule.parts(word)


class RoFormerTokenizerFast(TokenizerBase):
    """RoFormer's fast tokenizer: `RoFormerTokenizer` with the ways of the `tokenizers` library.

    Gives the ids and offsets of transformers' RoFormerTokenizerFast or, with `use_jieba=False`,
    of its BertTokenizerFast. They differ from the slow one's on odd strings (see `rules.py`). It
    normalises with `tokenizers`, reads and writes tokenizer.json, and is pickled like any object.

    Args: as `RoFormerTokenizer`, without `do_basic_tokenize` and `never_split`; and
        tokenizer_file: path of a tokenizer.json.

    Example:
        >>> tokenizer = RoFormerTokenizerFast.from_pretrained("junnyu/roformer_chinese_base")
        >>> tokenizer("今天天气非常好。").word_ids()
        [None, 0, 1, 2, 3, 4, 5, 6, None]
    """

    _flavour = FAST
    is_fast = FAST.is_fast
    slow_tokenizer_class = RoFormerTokenizer

    def __init__(
        self,
        vocab_file=None,
        tokenizer_file=None,
        do_lower_case=_UNSET,
        unk_token="[UNK]",
        sep_token="[SEP]",
        pad_token="[PAD]",
        cls_token="[CLS]",
        mask_token="[MASK]",
        tokenize_chinese_chars=True,
        strip_accents=_UNSET,
        **kwargs,
    ):
        arguments = dict(
            do_lower_case=do_lower_case,
            tokenize_chinese_chars=tokenize_chinese_chars,
            strip_accents=strip_accents,
        )
        vocab, content = _load(vocab_file, tokenizer_file, arguments, kwargs, json_first=True)
        model = content["model"] if content else {}
        self._prefix = model.get("continuing_subword_prefix", "##")
        self._limit = model.get("max_input_chars_per_word", 100)
        special = dict(
            unk_token=unk_token, sep_token=sep_token, pad_token=pad_token, cls_token=cls_token,
            mask_token=mask_token,
        )  # fmt: skip
        super().__init__(vocab, special, arguments, kwargs)

    @property
    def vocab(self):
        """Token -> id, with added tokens."""
        return self.get_vocab()

    def _lowers_added_tokens(self):
        return False

    def _prepared(self, word):
        return normalizers.BertNormalizer(**self._normalizer()).normalize_str(word)

    def _normalizer(self):
        settings = self.init_kwargs
        return dict(
            clean_text=True,
            handle_chinese_chars=not self.use_jieba and settings["tokenize_chinese_chars"],
            strip_accents=settings["strip_accents"],
            lowercase=self.do_lower_case,
        )

    def _make_core(self, tokens):
        return FastCore(
            tokens,
            self.segmenter,
            normalizer=self._normalizer(),
            prefix=self._prefix,
            limit=self._limit,
        )

    def _split_unknown(self, word):
        """The parts of a word that is not in the vocabulary."""
        return [word[start:end] for start, end in self.core.rule.splits(word, known=False)]

    # The `tokenizers` library's own object

    def _make_backend(self, pre_tokenizer):
        unk = self.unk_token
        backend = Tokenizer(
            models.WordPiece(
                self._table.vocab,
                unk_token=unk,
                continuing_subword_prefix=self._prefix,
                max_input_chars_per_word=self._limit,
            )
        )
        backend.normalizer = normalizers.BertNormalizer(**self._normalizer())
        backend.pre_tokenizer = pre_tokenizer
        cls, sep = self.cls_token, self.sep_token
        if cls is not None and sep is not None:
            ids = self._tokens.prefix[0], self._tokens.suffix[0]
            backend.post_processor = processors.TemplateProcessing(
                single=f"{cls}:0 $A:0 {sep}:0",
                pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
                special_tokens=[(cls, ids[0]), (sep, ids[1])],
            )
        backend.decoder = decoders.WordPiece(prefix=self._prefix)
        # In runs: with every call it builds its matcher anew.
        tokens = self.added_tokens_decoder.values()
        for special, run in groupby(tokens, key=lambda token: token.special):
            (backend.add_special_tokens if special else backend.add_tokens)(list(run))
        return backend

    @property
    def backend_tokenizer(self):
        """A `tokenizers.Tokenizer` that does the same, built anew each time; changing it does not
        change this tokenizer."""
        if not self.use_jieba:
            return self._make_backend(BertPreTokenizer())
        return self._make_backend(PreTokenizer.custom(JiebaPreTokenizer(self)))

    @property
    def decoder(self):
        """The `tokenizers` decoder."""
        return decoders.WordPiece(prefix=self._prefix)

    def _json(self):
        """tokenizer.json. It cannot name jieba: as in transformers, BERT's pre-tokenizer stands
        there and the tokenizer class says the rest."""
        return self._make_backend(BertPreTokenizer()).to_str(pretty=True)

    def set_truncation_and_padding(self, *args, **kwargs):
        raise NotImplementedError(
            "This tokenizer keeps no truncation or padding state; pass truncation, padding and "
            "max_length to the call."
        )


class JiebaPreTokenizer:
    """jieba as a custom pre-tokenizer for `tokenizers.Tokenizer`."""

    def __init__(self, tokenizer):
        self.segmenter = tokenizer.segmenter
        self.rule = tokenizer.core.rule

    def _split(self, _, text):
        parts, start = [], 0
        for word in self.segmenter(str(text)):
            parts += [text[start + s : start + e] for s, e in self.rule.splits(word)]
            start += len(word)
        return parts

    def pre_tokenize(self, text):
        text.split(self._split)


_KNOWN = ("RoFormerTokenizer", "RoFormerTokenizerFast", "BertTokenizer", "BertTokenizerFast")


class AutoTokenizer:
    """Makes RoFormerTokenizerFast or, with `use_fast=False`, RoFormerTokenizer."""

    def __init__(self):
        raise OSError("Use AutoTokenizer.from_pretrained(name_or_path).")

    @classmethod
    def from_pretrained(cls, pretrained_model_name_or_path, *inputs, use_fast=True, **kwargs):
        """See `RoFormerTokenizer.from_pretrained`.

        Raises ValueError if the files name a tokenizer that is not RoFormer's or BERT's.
        """
        hub = {name: kwargs.pop(name) for name in HUB_ARGUMENTS if name in kwargs}
        path = find_files(pretrained_model_name_or_path, **hub)
        named = None if path.is_file() else tokenizer_class(path)
        if named is not None and named not in _KNOWN:
            raise ValueError(
                f"{str(pretrained_model_name_or_path)!r} names the tokenizer {named!r}; this "
                f"package has {', '.join(_KNOWN)}."
            )
        made = RoFormerTokenizerFast if use_fast else RoFormerTokenizer
        kwargs.setdefault("name_or_path", str(pretrained_model_name_or_path))
        return made.from_pretrained(path, *inputs, **kwargs)
