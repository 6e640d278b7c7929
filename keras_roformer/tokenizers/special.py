"""Special and added tokens, and the vocabulary with them."""

import operator
from collections.abc import Iterable, Mapping

from tokenizers import AddedToken

SPECIAL_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip


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

    role = name.removesuffix("_token")
    get.__doc__, get_id.__doc__ = f"The {role} token, or None.", f"The id of the {role} token."
    return property(get, set_), property(get_id, set_id)


class SpecialTokens:
    """The part of a tokenizer that knows its tokens.

    State: ``_vocab`` (token -> id) and ``_tokens`` (id -> token) without added tokens, ``_added``
    (id -> AddedToken) and ``_added_ids`` (content -> id), ``_special`` (role -> token),
    ``_additional`` special tokens.
    """

    for _name in SPECIAL_TOKENS:
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
        """The ids of ``additional_special_tokens``."""
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
        return token in self._vocab or token in self._added_ids

    @property
    def vocab_size(self):
        """Number of tokens in the vocabulary, without added tokens."""
        return len(self._vocab)

    def __len__(self):
        both = sum(map(self._vocab.__contains__, self._added_ids))
        return len(self._vocab) + len(self._added_ids) - both

    def __bool__(self):
        return True

    def get_vocab(self):
        """Token -> id, with the added tokens."""
        return {**self._vocab, **self._added_ids}

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
        """Sets special tokens by role and adds them; returns how many were added.

        Example: ``tokenizer.add_special_tokens({"additional_special_tokens": ["<speaker>"]})``.
        """
        if special_tokens_dict is not None and not isinstance(special_tokens_dict, Mapping):
            raise TypeError(f"Give a dict of role: token, not {special_tokens_dict!r}.")
        added = {}
        for name, value in (special_tokens_dict or {}).items():
            if name not in (*self.SPECIAL_TOKENS_ATTRIBUTES, *self.extra_special_tokens):
                raise ValueError(
                    f"{name!r} is not a special token; choose of {self.SPECIAL_TOKENS_ATTRIBUTES}."
                )
            if name == "additional_special_tokens":
                if isinstance(value, str):
                    raise ValueError(f"{name}={value!r} must be a list of str or AddedToken.")
                tokens = [as_added(token, special=True) for token in value]
                if replace_additional_special_tokens:
                    self._additional = tokens or self._additional
                else:
                    known = set(self.additional_special_tokens)
                    tokens = [token for token in tokens if str(token) not in known]
                    self._additional = self._additional + tokens
            else:
                tokens = [as_added(value, special=True)]
                self._special[name] = tokens[0]
            added |= dict.fromkeys(tokens)
        self._changed()
        return self.add_tokens(list(added), special_tokens=True)

    def _add_tokens(self, new_tokens, special_tokens=False):
        """Adds tokens; returns the number of new ids (fast: of tokens not added before)."""
        count = 0
        special_now = set(self.all_special_tokens)
        ids = self._added_ids
        next_id = max([*self._vocab.values(), *self._added], default=-1) + 1
        for token in new_tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(f"Token {token!r} must be a str or AddedToken.")
        for token in new_tokens:
            content = str(token)
            if not content or (content in ids and (self.is_fast or isinstance(token, str))):
                continue
            if isinstance(token, str):
                special = special_tokens or content in special_now
                token = AddedToken(content, normalized=not special, special=special)
            else:
                special = token.special or special_tokens or content in special_now
                token = copy_added(token, special=special)
            if content in ids and self._added[ids[content]].__getstate__() == token.__getstate__():
                continue
            if not self.is_fast and not special and token.normalized and self._lowers():
                token = copy_added(token, content=content.lower())
                content = str(token)
            if not self._known(content):
                ids[content] = next_id
                next_id += 1
                count += 1
            else:
                ids.setdefault(content, self._vocab.get(content))
                count += self.is_fast
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
        if isinstance(tokens, int):
            raise TypeError(f"Tokens are str, not {tokens!r}; convert_ids_to_tokens takes ids.")
        return [core.id_of(token) for token in tokens]

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """The token of an id, or a list of tokens."""
        if hasattr(ids, "tolist"):
            ids = ids.tolist()
        if isinstance(ids, int):
            return self._token_of(ids)
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TypeError(f"Ids are whole numbers, not {ids!r}; convert_tokens_to_ids takes str.")
        skip = self.core.special_ids if skip_special_tokens else ()
        plain, added = self._tokens, self._added
        return [
            plain[index] if index in plain and index not in added else self._token_of(index)
            for index in map(operator.index, ids)
            if index not in skip
        ]

    def _convert_id_to_token(self, index):
        """`convert_ids_to_tokens` of one id; transformers' data collators ask for it."""
        return self._token_of(operator.index(index))

    def _token_of(self, index):
        if index < 0:
            raise ValueError(
                f"There is no token {index}; ids are >= 0. Replace the -100 of ignored labels "
                "first, with pad_token_id for instance."
            )
        if index in self._added:
            return str(self._added[index])
        return self._tokens.get(index, None if self.is_fast else self.unk_token)

    def convert_tokens_to_string(self, tokens):
        """Tokens joined by spaces, ``##`` pieces joined to the piece before."""
        return " ".join(tokens).replace(" ##", "").strip()


def copy_added(token, **changes):
    return AddedToken(**{**token.__getstate__(), **changes})


def as_added(token, special=False):
    """An AddedToken from a str, an AddedToken or a saved dict."""
    if isinstance(token, Mapping):
        fields = {key: value for key, value in token.items() if key != "__type"}
        token = AddedToken(**({**fields, "special": True} if special else fields))
    if isinstance(token, str):
        return AddedToken(token, normalized=not special, special=special)
    if not isinstance(token, AddedToken):
        raise ValueError(f"Token {token!r} must be a str or AddedToken.")
    return copy_added(token, special=True) if special else token
