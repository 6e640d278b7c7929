"""What both tokenizers do alike beside their calls: set-up, padding, decoding, training, files."""

import copy
import difflib
import functools
import inspect
import json
import logging
import re
import tempfile
from collections.abc import Iterable, Mapping, Sized
from contextlib import ExitStack
from math import isfinite
from numbers import Real

from tokenizers import AddedToken

from keras_roformer.hub import upload
from keras_roformer.saving import atomic, make_directory
from keras_roformer.tokenizers.calls import Calls, check_side, is_whole, shorten
from keras_roformer.tokenizers.packing import (
    BatchEncoding,
    TruncationStrategy,
    pad_row,
    padded_length,
    to_lists,
)
from keras_roformer.tokenizers.segment import Segmenter
from keras_roformer.tokenizers.special import SPECIAL_TOKENS, SpecialTokens, as_added
from keras_roformer.tokenizers.tokenizer_files import find_files, read_settings
from keras_roformer.tokenizers.train import count_words, make_vocab
from keras_roformer.tokenizers.vocab import vocab_text

logger = logging.getLogger(__name__)

UPLOAD_MESSAGE = "Upload tokenizer"
VERY_LARGE_INTEGER = int(1e30)  # model_max_length of a tokenizer that has no limit
# Chinese and its punctuation, kana, fullwidth forms: written without spaces around them.
_UNSPACED = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u31a0-\u9fff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uff65\U00020000-\U0003ffff‘’“”…—·"
)
_is_unspaced = functools.lru_cache(1 << 15)(re.compile(f"[{_UNSPACED}]").match)  # of a character


# The constructors' arguments beside those in their signatures and the special tokens.
_MORE_ARGUMENTS = (
    "vocab", "use_jieba", "user_dict", "model_max_length", "max_len", "padding_side",
    "truncation_side", "model_input_names", "clean_up_tokenization_spaces", "split_special_tokens",
    "chat_template", "extra_special_tokens", "additional_special_tokens", "added_tokens_decoder",
    "name_or_path", "verbose",
)  # fmt: skip
# What the fast tokenizer's decoder joins to the token before it.
_ATTACHED = (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")


class TokenizerBase(SpecialTokens, Calls):
    """The documented base-class API over a core (`core.py`); see RoFormerTokenizer for arguments.

    A tokenizer is a vocabulary, added tokens and settings. Its core is derived from these, is
    built when first needed and again after a change, and is left out when the tokenizer is
    pickled or copied.
    """

    SPECIAL_TOKENS_ATTRIBUTES = [*SPECIAL_TOKENS, "additional_special_tokens"]
    vocab_files_names = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    padding_side = "right"
    truncation_side = "right"
    is_fast = False

    def _start(self, vocab, special, init_kwargs, kwargs):
        """Sets up everything but what the classes differ in; ``kwargs`` are the rest arguments."""
        self._core = None
        self._warned = False
        extra = kwargs.get("extra_special_tokens")
        if isinstance(extra, (list, tuple)):  # what transformers 5 calls additional_special_tokens
            tokens = {str(t): t for t in [*(kwargs.get("additional_special_tokens") or []), *extra]}
            kwargs["additional_special_tokens"] = list(tokens.values())
            del kwargs["extra_special_tokens"]
        elif not isinstance(extra, (Mapping, type(None))):
            raise TypeError(f"extra_special_tokens={extra!r} must be a list, or a dict of roles.")
        self.init_kwargs = {**init_kwargs, **kwargs}
        self._set_settings(kwargs)
        self._set_tokens(vocab, special, kwargs)
        for name in kwargs:
            near = difflib.get_close_matches(name, self._arguments(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise TypeError(f"{type(self).__name__} has no argument {name!r}{hint}")
        self._add_special_tokens(special)

    def _set_settings(self, kwargs):
        """Takes the settings out of ``kwargs``."""
        self.verbose = kwargs.pop("verbose", False)
        self.name_or_path = kwargs.pop("name_or_path", "")
        maximum = kwargs.pop("model_max_length", kwargs.pop("max_len", None))
        self.model_max_length = VERY_LARGE_INTEGER if maximum is None else maximum
        for name in ("padding_side", "truncation_side"):
            setattr(self, name, check_side(name, kwargs.pop(name, None) or getattr(self, name)))
        self.model_input_names = list(kwargs.pop("model_input_names", self.model_input_names))
        self.clean_up_tokenization_spaces = kwargs.pop("clean_up_tokenization_spaces", False)
        self.split_special_tokens = kwargs.pop("split_special_tokens", False)
        self.chat_template = kwargs.pop("chat_template", None)
        self.use_jieba = kwargs.pop("use_jieba", True)
        user_dict = kwargs.pop("user_dict", None)
        if user_dict is not None and not self.use_jieba:
            raise ValueError("user_dict is for jieba, and use_jieba is False: leave one out.")
        self.segmenter = Segmenter(user_dict, self._prepared) if self.use_jieba else None
        if self.segmenter and self.segmenter.words:
            self.init_kwargs["user_dict"] = self.segmenter.words

    def _set_tokens(self, vocab, special, kwargs):
        """Takes the tokens out of ``kwargs``; ``special`` are those that the classes name."""
        self._vocab = vocab
        self._tokens = {index: token for token, index in vocab.items()}
        self._special = dict.fromkeys(SPECIAL_TOKENS)
        self._special.update(special)
        self._special.update({name: kwargs.pop(name) for name in SPECIAL_TOKENS if name in kwargs})
        for name, value in self._special.items():
            if value is not None and not isinstance(value, (str, AddedToken)):
                raise TypeError(f"{name}={value!r} must be a str or AddedToken.")
        self.extra_special_tokens = dict(kwargs.pop("extra_special_tokens", None) or {})
        self._additional = list(kwargs.pop("additional_special_tokens", None) or [])
        added = kwargs.pop("added_tokens_decoder", None) or {}
        self._added = {int(index): as_added(token) for index, token in sorted(added.items())}
        self._added_ids = {str(token): index for index, token in self._added.items()}

    def _add_special_tokens(self, special):
        """Adds the special tokens, with a warning for those of ``special`` that have no id yet."""
        missing = [
            str(value)
            for name, value in self._special.items()
            if name in special and value and not self._known(str(value))
        ]
        self._add_tokens(
            [t for t in self.all_special_tokens_extended if str(t) not in self._added_ids],
            special_tokens=True,
        )
        if missing:
            logger.warning(
                "The vocabulary lacks the special token(s) %s; they were added at its end as %s. "
                "The model's embeddings must have rows for these ids.",
                missing,
                self.convert_tokens_to_ids(missing),
            )

    @property
    def model_max_length(self):
        """Tokens that the model takes at most."""
        return self._model_max_length

    @model_max_length.setter
    def model_max_length(self, value):
        if not isinstance(value, Real) or not isfinite(value) or value != int(value):
            raise ValueError(f"model_max_length={value!r} must be a whole number.")
        self._model_max_length = int(value)

    @property
    def do_lower_case(self):
        """Whether text is lower-cased; settled when the tokenizer is made."""
        return self.init_kwargs["do_lower_case"]

    @classmethod
    def _arguments(cls):
        """The names of the constructor's arguments."""
        named = list(inspect.signature(cls.__init__).parameters)[1:-1]
        return [*named, *SPECIAL_TOKENS, *_MORE_ARGUMENTS]

    @property
    def core(self):
        core = self._core
        if core is None:
            core = self._make_core()
            core.special_ids = frozenset(core.id_of(token) for token in self.all_special_tokens) | {
                i for i, t in self._added.items() if t.special and self.is_fast
            }
            # Tokens that stand apart from their neighbours in decoded text.
            core.kept = frozenset(self.all_special_tokens) | self.added_tokens_encoder.keys()
            core.prefix = [core.id_of(t) for t in (self.cls_token,) if t is not None]
            core.suffix = [core.id_of(t) for t in (self.sep_token,) if t is not None]
            self._core = core
        return core

    def __getstate__(self):
        changing = ("_added", "_added_ids", "_additional", "_special")
        own = {key: copy.copy(self.__dict__[key]) for key in changing}
        return {**self.__dict__, **own, "_core": None, "_warned": False}

    def __deepcopy__(self, memo):
        other = type(self).__new__(type(self))
        other.__dict__.update(copy.deepcopy(self.__getstate__(), memo))
        return other

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

    def truncate_sequences(
        self,
        ids,
        pair_ids=None,
        num_tokens_to_remove=0,
        truncation_strategy="longest_first",
        stride=0,
    ):
        """``(ids, pair_ids, overflowing ids)`` with ``num_tokens_to_remove`` ids taken off.

        ``truncation_side`` says from which end; the overflowing ids are those taken off and
        ``stride`` of their neighbours.
        """
        if num_tokens_to_remove <= 0:
            return ids, pair_ids, []
        sequences = [ids] if pair_ids is None else [ids, pair_ids]
        room = sum(map(len, sequences)) - num_tokens_to_remove
        ranges, over = self._cut(sequences, room, TruncationStrategy(truncation_strategy), stride)
        cut = [ids[slice(*kept)] for ids, kept in zip(sequences, ranges, strict=True)]
        return cut[0], cut[1] if len(cut) == 2 else None, over

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

        What a tokenizer makes is padded, other entries (labels) stay as they are. Tensors become
        lists and then tensors of the same framework again.

        Raises:
            ValueError: there are no input_ids, or rows differ in what they have.
        """
        if isinstance(encoded_inputs, (list, tuple)) and encoded_inputs:
            if isinstance(encoded_inputs[0], Mapping):
                encoded_inputs = _columns(encoded_inputs)
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
        fill = self._fill()
        inputs = {key: to_lists(value) if key in fill else value for key, value in inputs.items()}
        single = not isinstance(inputs[main][0], (list, tuple))
        if single:
            inputs = {key: [value] for key, value in inputs.items()}
        if len({len(value) for value in inputs.values()}) != 1:
            sizes = {key: len(value) for key, value in inputs.items()}
            raise ValueError(f"The entries differ in their number of rows: {sizes}.")
        padding, _, max_length = self._strategies(
            padding, False, max_length, pad_to_multiple_of, verbose
        )
        if return_attention_mask is None:
            return_attention_mask = "attention_mask" in self.model_input_names
        lengths = list(map(len, inputs[main]))
        if return_attention_mask and "attention_mask" not in inputs:
            inputs["attention_mask"] = [[1] * length for length in lengths]
        target = padded_length(padding, lengths, max_length, pad_to_multiple_of)
        side = check_side("padding_side", padding_side or self.padding_side)
        if target is not None:
            for key in fill.keys() & inputs.keys():
                inputs[key] = [pad_row(list(row), target, fill[key], side) for row in inputs[key]]
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
        min_frequency=0,
        show_progress=False,
    ):
        """A tokenizer like this one with a vocabulary made from texts.

        The vocabulary gets the special tokens, every character of the texts, the most frequent of
        jieba's words, and WordPiece's pieces of what is not Chinese. The same texts always give
        the same vocabulary.

        Args:
            text_iterator: texts, or lists of texts.
            vocab_size: tokens the vocabulary has at most.
            length: not needed; taken for compatibility.
            new_special_tokens: special tokens to have beside the present ones.
            special_tokens_map: present special token -> what it is to be called.
            min_frequency: how often a word, or a pair that WordPiece joins, stands in the texts
                at least.
            show_progress: whether WordPiece's trainer shows its progress.

        Raises:
            ValueError: the texts hold no words, or ``vocab_size`` leaves no room for any.

        Example:
            >>> texts = ["今天天气很好", "天气预报说今天有雨"]
            >>> tokenizer = RoFormerTokenizer.from_pretrained("roformer_tiny_zh")
            >>> tokenizer.train_new_from_iterator(texts, 20).tokenize("今天天气")
            ['今天', '天气']
        """
        if isinstance(text_iterator, str) or not isinstance(text_iterator, Iterable):
            kind = type(text_iterator).__name__
            raise TypeError(f"text_iterator must be an iterable of texts, not {kind}.")
        if not is_whole(vocab_size):
            raise TypeError(f"vocab_size={vocab_size!r} must be a whole number.")
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
            counts,
            self._split_unknown,
            tokens,
            vocab_size,
            self.use_jieba,
            min_frequency,
            show_progress=show_progress,
        )
        left_out = ("added_tokens_decoder", "vocab_file", "tokenizer_file", "name_or_path")
        settings = {
            name: self.init_kwargs[name]
            for name in self._arguments()
            if name in self.init_kwargs and name not in left_out
        }
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
        ids = to_lists(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        if isinstance(ids, str) or not {list, str}.isdisjoint(map(type, ids or ())):
            advice = "batch_decode takes rows" if isinstance(ids, list) else "encode gives ids"
            raise TypeError(f"decode takes ids, not {shorten(token_ids)}; {advice}.")
        tokens = [t for t in self.convert_ids_to_tokens(ids, skip_special_tokens) if t is not None]
        kept = self.core.kept
        text, after_kept = "", False
        for token in tokens:
            is_kept = token in kept
            if not text or (token.startswith("##") and not is_kept):
                text += token.removeprefix("##") if text else token
            elif self.is_fast and token.startswith(_ATTACHED):
                text += token
            elif is_kept or after_kept:
                text += (" " if spaces_between_special_tokens else "") + token
            elif _is_unspaced(text[-1]) or _is_unspaced(token[0]):
                text += token
            else:
                text += " " + token
            after_kept = is_kept
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self, sequences, skip_special_tokens=False, clean_up_tokenization_spaces=None, **kwargs
    ):
        """The text of each row of ids."""
        return [
            self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **kwargs)
            for row in to_lists(sequences)
        ]

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

        Args:
            pretrained_model_name_or_path: a directory, also a bare vocab.txt or tokenizer.json;
                else a preset (`keras-roformer presets` lists them); else a hub id, "owner/name".
            cache_dir, force_download, local_files_only, token, revision: for the hub.
            subfolder: the folder in there that has the files.

        Raises:
            ValueError: there is no such checkpoint, or its files are broken.
            OSError: the hub cannot be reached.

        Example:
            >>> tokenizer = RoFormerTokenizer.from_pretrained("roformer_tiny_zh")
            >>> tokenizer.tokenize("今天天气很好")
            ['今', '天', '天', '气', '很', '好']
        """
        for name in (
            "trust_remote_code",
            "use_fast",
            "from_slow",
            "use_auth_token",
            "config",
            "proxies",
            "resume_download",
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
        settings, known = read_settings(path), cls._arguments()
        # Kept for saving: what other versions and classes wrote and this class has no use for.
        foreign = {name: settings.pop(name) for name in list(settings) if name not in known}
        kwargs.setdefault("name_or_path", str(pretrained_model_name_or_path))
        tokenizer = cls(*init_inputs, **{**settings, **kwargs})
        tokenizer.init_kwargs.update(foreign)
        return tokenizer

    def save_pretrained(
        self,
        save_directory,
        legacy_format=None,
        filename_prefix=None,
        push_to_hub=False,
        **kwargs,
    ):
        """Writes the files that `from_pretrained`, here and in transformers, reads again.

        A process killed while it writes leaves the old files.

        Args:
            save_directory: made if it is not there.
            legacy_format: True leaves out tokenizer.json, False (fast class only) vocab.txt; None
                writes what the class has.
            filename_prefix: goes before the files' names, with a dash.
            push_to_hub: whether to upload these files to ``repo_id`` (default: the directory's
                name) as well; further arguments are those of `push_to_hub`.

        Returns:
            tuple of the paths of the files.
        """
        if kwargs and not push_to_hub:
            raise TypeError(
                f"save_pretrained got unexpected arguments {sorted(kwargs)}; those of the hub need "
                "push_to_hub=True."
            )
        if legacy_format is False and not self.is_fast:
            raise ValueError("Only RoFormerTokenizerFast can be saved without vocab.txt.")
        directory = make_directory(save_directory)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        contents = {
            "tokenizer_config.json": _dump(self._config()),
            "special_tokens_map.json": _dump(
                _to_json(self.special_tokens_map_extended, typed=False)
            ),
        }
        new = {t: i for t, i in self.added_tokens_encoder.items() if t not in self._vocab}
        if new:
            contents["added_tokens.json"] = _dump(new)
        if legacy_format is not False:
            contents["vocab.txt"] = vocab_text(self._vocab)
        if self.is_fast and legacy_format is not True:
            contents["tokenizer.json"] = self._json()
        paths = [directory / (prefix + name) for name in contents]
        with ExitStack() as renamed_at_its_end:
            for path, content in zip(paths, contents.values(), strict=True):
                temporary = renamed_at_its_end.enter_context(atomic(path))
                temporary.write_text(content, encoding="utf-8", newline="\n")
        if push_to_hub:
            hub = {"repo_id": directory.name, "commit_message": UPLOAD_MESSAGE, **kwargs}
            upload(directory, files=[path.name for path in paths], **hub)
        return tuple(map(str, paths))

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
        """Writes vocab.txt into a directory; gives its path in a tuple."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = make_directory(save_directory) / (prefix + "vocab.txt")
        with atomic(path) as temporary:
            temporary.write_text(vocab_text(self._vocab), encoding="utf-8", newline="\n")
        return (str(path),)

    def push_to_hub(self, repo_id, **kwargs):
        """Saves the tokenizer and uploads its files to the hub; gives the hub's answer.

        Args:
            repo_id: "name" or "owner/name"; made, ``private`` or not, if it is not there.
            kwargs: ``commit_message``, ``commit_description``, ``private``, ``token``, ``revision``
                (the branch; made if it is not there) and ``create_pr``, as in huggingface_hub.
        """
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            return upload(directory, repo_id, **{"commit_message": UPLOAD_MESSAGE, **kwargs})

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


def _dump(content):
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


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


def _columns(rows):
    """A list of dicts as a dict of lists."""
    names = rows[0].keys()
    for index, row in enumerate(rows):
        if not isinstance(row, Mapping) or row.keys() != names:
            has = list(row) if isinstance(row, Mapping) else row
            raise ValueError(
                f"Row {index} has {shorten(has)} and row 0 {list(names)}: give every row the same "
                "entries."
            )
    return {name: [row[name] for row in rows] for name in names}


def _tensor_kind(value):
    """Which framework's tensors ``value`` is made of, or None for lists."""
    while isinstance(value, (list, tuple)) and len(value):
        value = value[0]
    module = type(value).__module__.partition(".")[0]
    return {"numpy": "np", "torch": "pt", "tensorflow": "tf", "jaxlib": "jax"}.get(module)
