"""A tokenizer's tokens: its vocabulary, added tokens and special tokens."""

import copy
import functools
from collections.abc import Mapping

from tokenizers import AddedToken

SPECIAL_TOKENS = (
    "bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token",
)  # fmt: skip
ROLES = (*SPECIAL_TOKENS, "additional_special_tokens")


class TokenTable:
    """The tokens of one tokenizer, which its methods change; `snapshot` is what they are now.

    Attributes:
        vocab: token -> id, without added tokens; never changes.
        added: id -> AddedToken.
        added_ids: added token -> id.
        special: role ("unk_token") -> special token, as str or AddedToken, or None.
        extra: further roles of special tokens -> token.
        additional: list of special tokens without a role.
    """

    def __init__(self, vocab, *, special, extra, additional, added, flavour, lowers):
        self.vocab = vocab
        self.special, self.extra, self.additional = special, extra, additional
        self.added = {int(index): as_added(token) for index, token in sorted(added.items())}
        self.added_ids = {str(token): index for index, token in self.added.items()}
        self.flavour = flavour
        self.lowers = lowers  # whether `add` brings "normalized" tokens to lower case
        self._snapshot = None

    def __getstate__(self):
        """The state of a copy: of its own where it may change, without the snapshot."""
        changing = ("added", "added_ids", "special", "additional")
        own = {name: copy.copy(getattr(self, name)) for name in changing}
        return {**self.__dict__, **own, "_snapshot": None}

    def __len__(self):
        both = sum(map(self.vocab.__contains__, self.added_ids))
        return len(self.vocab) + len(self.added_ids) - both

    def __contains__(self, token):
        return token in self.vocab or token in self.added_ids

    @property
    def snapshot(self):
        """The `TokenSnapshot`: the same object until the tokens change."""
        snapshot = self._snapshot
        if snapshot is None:
            snapshot = self._snapshot = TokenSnapshot(self)
        return snapshot

    def special_by_role(self):
        """Role -> special token, as str or AddedToken, for those that are set."""
        roles = {**self.special, **self.extra, "additional_special_tokens": list(self.additional)}
        return {name: value for name, value in roles.items() if value}

    def all_special(self):
        """Content -> special token, as str or AddedToken, in the order of their roles."""
        tokens = {}
        for value in self.special_by_role().values():
            for token in value if isinstance(value, list) else [value]:
                tokens.setdefault(str(token), token)
        return tokens

    def set_special(self, role, value):
        if value is not None and not isinstance(value, (str, AddedToken)):
            raise ValueError(f"Cannot set {value!r} as the {role}: it must be a str or AddedToken.")
        self.special[role] = value
        self._snapshot = None

    def set_additional(self, tokens):
        self.additional = list(tokens or [])
        self._snapshot = None

    def set_extra(self, tokens_by_role):
        self.extra = dict(tokens_by_role or {})
        self._snapshot = None

    def add_special(self, tokens_by_role, replace_additional=True):
        """Sets special tokens by role and adds them; returns how many count as new."""
        if tokens_by_role is not None and not isinstance(tokens_by_role, Mapping):
            raise TypeError(f"Give a dict of role: token, not {tokens_by_role!r}.")
        added = {}
        for role, value in (tokens_by_role or {}).items():
            if role not in (*ROLES, *self.extra):
                raise ValueError(f"{role!r} is not a special token; choose of {list(ROLES)}.")
            if role != ROLES[-1]:
                tokens = [as_added(value, special=True)]
                self.set_special(role, tokens[0])
            elif isinstance(value, str):
                raise ValueError(f"{role}={value!r} must be a list of str or AddedToken.")
            else:
                tokens = [as_added(token, special=True) for token in value]
                if not replace_additional:
                    known = set(map(str, self.additional))
                    tokens = [token for token in tokens if str(token) not in known]
                    self.set_additional(self.additional + tokens)
                elif tokens:
                    self.set_additional(tokens)
            added |= dict.fromkeys(tokens)
        return self.add(added, special=True)

    def add(self, new_tokens, special=False):
        """Adds tokens; those not known get ids at the end. Returns how many count as new."""
        flavour, ids, count = self.flavour, self.added_ids, 0
        special_now = set(self.all_special())
        next_id = max([*self.vocab.values(), *self.added], default=-1) + 1
        for token in new_tokens:
            if not isinstance(token, (str, AddedToken)):
                raise TypeError(f"Token {token!r} must be a str or AddedToken.")
        for token in new_tokens:
            content, is_str = str(token), isinstance(token, str)
            if not content or (content in ids and (is_str or not flavour.replaces_added_tokens)):
                continue
            is_special = special or content in special_now or (not is_str and token.special)
            if is_str:
                token = AddedToken(content, normalized=not is_special, special=is_special)
            else:
                token = _copied(token, special=is_special)
            if content in ids and self.added[ids[content]].__getstate__() == token.__getstate__():
                continue
            if self.lowers and not is_special and token.normalized:
                token = _copied(token, content=content.lower())
                content = str(token)
            if content not in self:
                ids[content] = next_id
                next_id += 1
                count += 1
            else:
                ids.setdefault(content, self.vocab.get(content))
                count += flavour.counts_known_tokens
            if is_special and content not in special_now and flavour.lists_special_tokens:
                self.additional.append(token)
                special_now.add(content)
            self.added[ids[content]] = token
        self._snapshot = None
        return count


class TokenSnapshot:
    """The tokens of a `TokenTable` at one moment: cores and results keep it, it never changes.

    Attributes:
        vocab: token -> id, without added tokens.
        added: added token -> (id, AddedToken).
        unk_token, unk_id: what stands for an unknown token, None for an error.
        pad_token, pad_id: what fills rows up, or None.
        special: all special tokens, in the order of their roles.
        special_ids: ids that `skip_special_tokens` skips.
        kept: tokens that stand apart from their neighbours in decoded text.
        prefix, suffix: ids before a row, and after each of its sequences.
    """

    def __init__(self, table):
        self.vocab = table.vocab
        self.added = {str(token): (index, token) for index, token in table.added.items()}
        self._added_names = {index: str(token) for index, token in table.added.items()}
        roles = {r: None if t is None else str(t) for r, t in table.special.items()}
        self.unk_token, self.unk_id = roles["unk_token"], None
        self.unk_id = self.id_of(self.unk_token)
        self._unknown = self.unk_token if table.flavour.names_unknown_ids else None
        self.special = list(table.all_special())
        self.special_ids = frozenset(map(self.id_of, self.special))
        if table.flavour.skips_added_specials:
            self.special_ids |= {i for i, token in table.added.items() if token.special}
        self.kept = frozenset(self.special) | self.added.keys()
        self.pad_token = roles["pad_token"]
        self.pad_id = None if self.pad_token is None else self.id_of(self.pad_token)
        self.prefix, self.suffix = (
            [] if token is None else [self.id_of(token)]
            for token in (roles["cls_token"], roles["sep_token"])
        )

    @functools.cached_property  # most calls need no names, and there may be 50,000
    def names(self):
        """Id -> token, with the added ones."""
        names = {index: token for token, index in self.vocab.items()}
        return names | self._added_names

    def id_of(self, token):
        """The id of a token, the unknown token's for one that is in no vocabulary."""
        if token in self.added:
            return self.added[token][0]
        return self.vocab.get(token, self.unk_id)

    def token_of(self, index):
        """The token of an id."""
        if index < 0:
            raise ValueError(
                f"There is no token {index}; ids are >= 0. Replace the -100 of ignored labels "
                "first, with pad_token_id for instance."
            )
        return self.names.get(index, self._unknown)


def _copied(token, **changes):
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
    return _copied(token, special=True) if special else token
