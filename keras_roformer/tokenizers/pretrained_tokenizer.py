"""What both tokenizers do alike beside their calls: settings, tokens, training, files."""

import copy
import difflib
import inspect
import logging
import tempfile
from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from math import isfinite
from numbers import Real

from tokenizers import AddedToken

from keras_roformer.config import IGNORED_ARGUMENTS
from keras_roformer.hub import push
from keras_roformer.saving import atomic, make_directory
from keras_roformer.tokenizers.calls import Calls
from keras_roformer.tokenizers.input_checks import check_side, is_whole
from keras_roformer.tokenizers.segment import Segmenter
from keras_roformer.tokenizers.token_table import ROLES, SPECIAL_TOKENS, TokenTable
from keras_roformer.tokenizers.tokenizer_files import (
    find_files,
    json_text,
    read_settings,
    tokens_to_json,
    vocab_text,
)
from keras_roformer.tokenizers.train import count_words, make_vocab

logger = logging.getLogger(__name__)

UPLOAD_MESSAGE = "Upload tokenizer"
VERY_LARGE_INTEGER = int(1e30)  # model_max_length of a tokenizer that has no limit


def _special_token(role):
    """The properties `<role>_token` and `<role>_token_id` of a tokenizer."""
    name = f"{role}_token"

    def get(self):
        value = self._table.special[name]
        return None if value is None else str(value)

    def put(self, value):
        self._table.set_special(name, value)

    def get_id(self):
        return self.convert_tokens_to_ids(get(self))

    def put_id(self, value):
        put(self, None if value is None else self.convert_ids_to_tokens(int(value)))

    token = property(get, put, doc=f"The {role} token, or None.")
    return token, property(get_id, put_id, doc=f"The id of the {role} token.")


class TokenizerBase(Calls):
    """The documented base-class API; see `RoFormerTokenizer` for arguments and an example.

    A tokenizer is a `TokenTable` and settings. Its core (`core.py`) is made of these when it is
    first needed and again after a change, and is left out when the tokenizer is pickled or copied.
    """

    SPECIAL_TOKENS_ATTRIBUTES = list(ROLES)
    vocab_files_names = {"vocab_file": "vocab.txt", "tokenizer_file": "tokenizer.json"}
    model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
    padding_side = "right"
    truncation_side = "right"
    pad_token_type_id = 0

    def __init__(self, vocab, special, init_kwargs, kwargs, /):
        """Sets up everything but what the classes differ in.

        `vocab` is token -> id, `special` role -> token of the roles that every tokenizer has,
        `init_kwargs` are the class's own settings, `kwargs` the constructor's other arguments.
        """
        self._core = None
        extra = kwargs.get("extra_special_tokens")
        if isinstance(extra, (list, tuple)):  # what transformers 5 calls additional_special_tokens
            tokens = {str(t): t for t in [*(kwargs.get("additional_special_tokens") or []), *extra]}
            kwargs["additional_special_tokens"] = list(tokens.values())
            del kwargs["extra_special_tokens"]
        elif not isinstance(extra, (Mapping, type(None))):
            raise TypeError(f"extra_special_tokens={extra!r} must be a list, or a dict of roles.")
        self.init_kwargs = {**init_kwargs, **kwargs}
        tokens = self._set_settings(**kwargs)
        self._set_tokens(vocab, special, **tokens)

    def _set_settings(
        self,
        /,
        *,
        use_jieba=True,
        user_dict=None,
        model_max_length=None,
        max_len=None,
        padding_side=None,
        truncation_side=None,
        model_input_names=None,
        clean_up_tokenization_spaces=False,
        split_special_tokens=False,
        chat_template=None,
        name_or_path="",
        verbose=False,
        **tokens,
    ):
        """Takes the settings; gives the remaining arguments."""
        self.verbose, self.name_or_path = verbose, name_or_path
        maximum = max_len if model_max_length is None else model_max_length
        self.model_max_length = VERY_LARGE_INTEGER if maximum is None else maximum
        self.padding_side = check_side("padding_side", padding_side or self.padding_side)
        side = truncation_side or self.truncation_side
        self.truncation_side = check_side("truncation_side", side)
        self.model_input_names = list(
            self.model_input_names if model_input_names is None else model_input_names
        )
        self.clean_up_tokenization_spaces = clean_up_tokenization_spaces
        self.split_special_tokens = split_special_tokens
        self.chat_template = chat_template
        self.use_jieba = use_jieba
        if user_dict is not None and not use_jieba:
            raise ValueError("user_dict is for jieba, and use_jieba is False: leave one out.")
        self.segmenter = Segmenter(user_dict, self._prepared) if use_jieba else None
        if self.segmenter and self.segmenter.words:
            self.init_kwargs["user_dict"] = self.segmenter.words
        return tokens

    def _set_tokens(
        self,
        vocab,
        special,
        /,
        *,
        extra_special_tokens=None,
        additional_special_tokens=None,
        added_tokens_decoder=None,
        **more,
    ):
        """Takes the tokens and adds the special ones, with a warning for those without an id."""
        named = {name: more.pop(name) for name in SPECIAL_TOKENS if name in more}
        roles = {**dict.fromkeys(SPECIAL_TOKENS), **special, **named}
        for name, value in roles.items():
            if value is not None and not isinstance(value, (str, AddedToken)):
                raise TypeError(f"{name}={value!r} must be a str or AddedToken.")
        for name in more:
            near = difflib.get_close_matches(name, self._arguments(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else "."
            raise TypeError(f"{type(self).__name__} has no argument {name!r}{hint}")
        self._table = table = TokenTable(
            vocab,
            special=roles,
            extra=dict(extra_special_tokens or {}),
            additional=list(additional_special_tokens or []),
            added=added_tokens_decoder or {},
            flavour=self._flavour,
            lowers=self._lowers_added_tokens(),
        )
        missing = [str(roles[name]) for name in roles if name in special and roles[name]]
        missing = [token for token in missing if token not in table]
        new = [token for name, token in table.all_special().items() if name not in table.added_ids]
        table.add(new, special=True)
        if missing:
            logger.warning(
                "The vocabulary lacks the special token(s) %s; they were added at its end as %s. "
                "The model's embeddings must have rows for these ids.",
                missing,
                self.convert_tokens_to_ids(missing),
            )

    @classmethod
    def _arguments(cls):
        """The names of the constructor's arguments."""
        methods = (cls.__init__, cls._set_settings, cls._set_tokens)
        parameters = [p for m in methods for p in inspect.signature(m).parameters.values()]
        by_name = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        named = [p.name for p in parameters if p.kind in by_name and p.name != "self"]
        return [*named, *SPECIAL_TOKENS, "vocab"]

    def __getstate__(self):
        return {**self.__dict__, "_table": copy.copy(self._table), "_core": None, "_warned": False}

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

    @property
    def core(self):
        """Text -> ids, for the tokens and settings as they are now."""
        tokens, core = self._tokens, self._core
        if core is None or core.tokens is not tokens:
            core = self._core = self._make_core(tokens)
        return core

    @property
    def _tokens(self):
        return self._table.snapshot

    # Tokens

    bos_token, bos_token_id = _special_token("bos")
    eos_token, eos_token_id = _special_token("eos")
    unk_token, unk_token_id = _special_token("unk")
    sep_token, sep_token_id = _special_token("sep")
    pad_token, pad_token_id = _special_token("pad")
    cls_token, cls_token_id = _special_token("cls")
    mask_token, mask_token_id = _special_token("mask")

    @property
    def additional_special_tokens(self):
        """Special tokens beside the named ones."""
        return list(map(str, self._table.additional))

    @additional_special_tokens.setter
    def additional_special_tokens(self, value):
        self._table.set_additional(value)

    @property
    def additional_special_tokens_ids(self):
        """The ids of `additional_special_tokens`."""
        return self.convert_tokens_to_ids(self.additional_special_tokens)

    @property
    def extra_special_tokens(self):
        """Role -> special token, for roles that other tokenizers do not have."""
        return self._table.extra

    @extra_special_tokens.setter
    def extra_special_tokens(self, value):
        self._table.set_extra(value)

    @property
    def special_tokens_map_extended(self):
        """Role -> special token, as str or AddedToken, for those that are set."""
        return self._table.special_by_role()

    @property
    def special_tokens_map(self):
        """Role -> special token as str, for those that are set."""
        return {
            name: list(map(str, value)) if isinstance(value, list) else str(value)
            for name, value in self.special_tokens_map_extended.items()
        }

    @property
    def all_special_tokens_extended(self):
        """The special tokens, each once, as str or AddedToken."""
        return list(self._table.all_special().values())

    @property
    def all_special_tokens(self):
        """The special tokens, each once."""
        return list(self._table.all_special())

    @property
    def all_special_ids(self):
        """The ids of `all_special_tokens`."""
        return self.convert_tokens_to_ids(self.all_special_tokens)

    @property
    def vocab_size(self):
        """Number of tokens in the vocabulary, without added tokens."""
        return len(self._table.vocab)

    def __len__(self):
        return len(self._table)

    def __bool__(self):
        return True

    def get_vocab(self):
        """Token -> id, with the added tokens."""
        return {**self._table.vocab, **self._table.added_ids}

    @property
    def added_tokens_decoder(self):
        """Id -> AddedToken."""
        return dict(sorted(self._table.added.items()))

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
        return self._table.add(new_tokens, special_tokens)

    def add_special_tokens(self, special_tokens_dict, replace_additional_special_tokens=True):
        """Sets special tokens by role and adds them; returns how many were added.

        Example: `tokenizer.add_special_tokens({"additional_special_tokens": ["<speaker>"]})`.
        """
        return self._table.add_special(special_tokens_dict, replace_additional_special_tokens)

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
            ValueError: the texts hold no words, or `vocab_size` leaves no room for any.

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
        special = {
            n: rename.get(str(v), v) for n, v in self._table.special.items() if v is not None
        }
        more = [*self._table.additional, *(new_special_tokens or [])]
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

        `kwargs` go to the constructor, over what the files say. Files are data: no code in them
        is run, whatever `trust_remote_code` says. A directory whose files name BertTokenizer
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
        for name in (*IGNORED_ARGUMENTS, "use_fast", "from_slow", "config"):
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
            push_to_hub: whether to upload these files to `repo_id` (default: the directory's
                name) as well; further arguments are those of `push_to_hub`.

        Returns:
            tuple of the paths of the files.
        """
        if kwargs and not push_to_hub:
            raise TypeError(
                f"save_pretrained got unexpected arguments {sorted(kwargs)}; those of the hub need "
                "push_to_hub=True."
            )
        if legacy_format is False and not self._flavour.writes_tokenizer_json:
            raise ValueError("Only RoFormerTokenizerFast can be saved without vocab.txt.")
        directory = make_directory(save_directory)
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        special = tokens_to_json(self.special_tokens_map_extended, typed=False)
        contents = {
            "tokenizer_config.json": json_text(self._config()),
            "special_tokens_map.json": json_text(special),
        }
        vocab = self._table.vocab
        new = {t: i for t, i in self.added_tokens_encoder.items() if t not in vocab}
        if new:
            contents["added_tokens.json"] = json_text(new)
        if legacy_format is not False:
            contents["vocab.txt"] = vocab_text(vocab)
        if self._flavour.writes_tokenizer_json and legacy_format is not True:
            contents["tokenizer.json"] = self._json()
        paths = [directory / (prefix + name) for name in contents]
        with ExitStack() as renamed_at_its_end:
            for path, content in zip(paths, contents.values(), strict=True):
                temporary = renamed_at_its_end.enter_context(atomic(path))
                temporary.write_text(content, encoding="utf-8", newline="\n")
        if push_to_hub:
            push(directory, kwargs, message=UPLOAD_MESSAGE, files=[path.name for path in paths])
        return tuple(map(str, paths))

    def _config(self):
        """What tokenizer_config.json holds."""
        config = {
            key: value
            for key, value in self.init_kwargs.items()
            if key not in ("name_or_path", "vocab_file", "tokenizer_file", "use_jieba", "verbose")
        }
        config.update(self.special_tokens_map)
        for name in ("model_max_length", "clean_up_tokenization_spaces", "padding_side",
                     "truncation_side", "split_special_tokens"):  # fmt: skip
            config[name] = getattr(self, name)
        config["added_tokens_decoder"] = {
            str(index): token.__getstate__() for index, token in self.added_tokens_decoder.items()
        }
        # transformers' tokenizer without jieba is called BertTokenizer.
        config["tokenizer_class"] = "RoFormerTokenizer" if self.use_jieba else "BertTokenizer"
        return tokens_to_json(config)

    def save_vocabulary(self, save_directory, filename_prefix=None):
        """Writes vocab.txt into a directory; gives its path in a tuple."""
        prefix = f"{filename_prefix}-" if filename_prefix else ""
        path = make_directory(save_directory) / f"{prefix}vocab.txt"
        with atomic(path) as temporary:
            temporary.write_text(vocab_text(self._table.vocab), encoding="utf-8", newline="\n")
        return (str(path),)

    def push_to_hub(self, repo_id, **kwargs):
        """Saves the tokenizer and uploads its files to the hub; gives the hub's answer.

        Args:
            repo_id: "name" or "owner/name"; made, `private` or not, if it is not there.
            kwargs: `commit_message`, `commit_description`, `private`, `token`, `revision`
                (the branch; made if it is not there) and `create_pr`, as in huggingface_hub.
        """
        with tempfile.TemporaryDirectory() as directory:
            self.save_pretrained(directory)
            return push(directory, {"repo_id": repo_id, **kwargs}, message=UPLOAD_MESSAGE)

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
