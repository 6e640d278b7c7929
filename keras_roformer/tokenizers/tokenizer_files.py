"""A tokenizer's files: finding them, reading what they say, and their texts. No code is run."""

import json
import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken

from keras_roformer.config import read_json
from keras_roformer.hub import resolve
from keras_roformer.tokenizers.token_table import as_added

_NAMES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
          "added_tokens.json", "config.json")  # fmt: skip


def find_files(name_or_path, *, subfolder="", **hub):
    """The directory that holds the files of `name_or_path`: directory, preset or hub id."""
    if not isinstance(name_or_path, (str, os.PathLike)):
        raise TypeError(
            f"Give a directory, the name of a preset or a hub id, not {name_or_path!r}."
        )
    path = Path(name_or_path).expanduser()
    if path.is_file():
        return path
    return resolve(os.fspath(name_or_path), subfolder=subfolder or "", weights=(), **hub)


def _with_tokens(value, special=False):
    """`value` with AddedTokens in place of the dicts that stand for them: those that say so or,
    where all tokens are `special`, every one."""
    if isinstance(value, dict) and (special or value.get("__type") == "AddedToken"):
        return as_added(value, special)
    if isinstance(value, dict):
        return {key: _with_tokens(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_with_tokens(item, special) for item in value]
    return value


def tokenizer_class(directory):
    """The tokenizer class that the files in `directory` name, or None."""
    for name in ("tokenizer_config.json", "config.json"):
        path = Path(directory) / name
        if path.is_file():
            found = read_json(path).get("tokenizer_class")
            if found:
                return found
    return None


def read_settings(path):
    """The constructor arguments that a directory (or a bare vocab.txt or tokenizer.json) gives."""
    if path.is_file():
        return {"tokenizer_file" if path.suffix == ".json" else "vocab_file": str(path)}
    files = {name: path / name for name in _NAMES if (path / name).is_file()}
    if "vocab.txt" not in files and "tokenizer.json" not in files:
        raise ValueError(
            f"{str(path)!r} has neither a vocab.txt nor a tokenizer.json; it holds "
            f"{sorted(p.name for p in path.iterdir())[:10] if path.is_dir() else 'nothing'}."
        )
    settings = {}
    if "tokenizer_config.json" in files:
        settings = read_json(files["tokenizer_config.json"])
    for name in ("tokenizer_class", "auto_map", "tokenizer_file", "vocab_file", "device_map",
                 "special_tokens_map_file", "name_or_path", "init_inputs", "backend",
                 "is_local"):  # fmt: skip
        settings.pop(name, None)
    decoder = settings.pop("added_tokens_decoder", None)
    settings = {name: _with_tokens(value) for name, value in settings.items()}
    if decoder is None:
        added = _added_in_older_files(files, settings)
    else:
        added = {}
        for index, token in decoder.items():
            if not isinstance(token, dict) or "content" not in token or not index.isdecimal():
                raise ValueError(f"added_tokens_decoder[{index!r}]={token!r} is no token.")
            added[int(index)] = as_added(token)
    settings["added_tokens_decoder"] = added
    by_content = {str(token): token for token in added.values()}
    for key, value in settings.items():
        if key.endswith("_token") and isinstance(value, (str, AddedToken)):
            settings[key] = by_content.get(str(value), value)
    for name, argument in (("vocab.txt", "vocab_file"), ("tokenizer.json", "tokenizer_file")):
        if name in files:
            settings[argument] = str(files[name])
    named = tokenizer_class(path)
    if named is not None:
        settings["use_jieba"] = not named.startswith("Bert")
    return settings


def _added_in_older_files(files, settings):
    """The added tokens of a directory from before tokenizer_config.json had them: id -> AddedToken.

    `settings` get the special tokens that special_tokens_map.json names.
    """
    added = {}
    if "special_tokens_map.json" in files:
        for name, value in read_json(files["special_tokens_map.json"]).items():
            settings[name] = _with_tokens(value, special=True)
    if "added_tokens.json" in files:
        special = [str(v) for v in settings.values() if isinstance(v, (str, AddedToken))]
        special += [str(v) for v in settings.get("additional_special_tokens") or []]
        for token, index in read_json(files["added_tokens.json"]).items():
            if not isinstance(index, int):
                path = str(files["added_tokens.json"])
                raise ValueError(f"{path!r} maps {token!r} to {index!r}, which is no id.")
            is_special = token in special
            added[index] = AddedToken(token, normalized=not is_special, special=is_special)
    if "tokenizer.json" in files:
        path = files["tokenizer.json"]
        added |= json_added_tokens(read_json(path), path)
    return added


def json_text(content):
    """The text of a JSON file."""
    return json.dumps(content, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def tokens_to_json(value, typed=True):
    """`value` with its AddedTokens as dicts, as tokenizer_config.json has them."""
    if isinstance(value, AddedToken):
        state = value.__getstate__()
        if typed:
            return {**state, "__type": "AddedToken"}
        state.pop("special")
        return state
    if isinstance(value, Mapping):
        return {key: tokens_to_json(item, typed) for key, item in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [tokens_to_json(item, typed) for item in value]
    return value


# vocab.txt, and the vocabulary inside a tokenizer.json


def read_vocab(path):
    """`vocab.txt` as `{token: id}`: one token a line, its id is the line's number from 0.

    A byte order mark and CRLF line ends are taken off. A token on two lines keeps its last id, as
    in transformers, and a warning names it. Raises ValueError for a file that is no vocabulary.
    """
    if not os.path.isfile(path):
        raise ValueError(
            f"Can't find a vocabulary file at path {str(path)!r}. Give the path of a vocab.txt, or "
            "load a directory, preset or hub id with from_pretrained."
        )
    with open(path, "rb") as file:
        data = file.read()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"The vocabulary file {str(path)!r} is not UTF-8 text ({error}). Save it as UTF-8."
        ) from error
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    if lines[-1] == "":
        lines.pop()
    if not any(lines):
        raise ValueError(f"The vocabulary file {str(path)!r} is empty: it has no tokens.")
    vocab = {token: index for index, token in enumerate(lines)}
    if len(vocab) != len(lines):
        seen, repeated = set(), []
        for token in lines:
            if token in seen:
                repeated.append(token)
            seen.add(token)
        warnings.warn(
            f"The vocabulary file {str(path)!r} has {len(repeated)} token(s) on more than one line "
            f"({', '.join(map(repr, repeated[:5]))}); each keeps the id of its last line.",
            stacklevel=2,
        )
    return vocab


def check_vocab(vocab, source):
    """`vocab` as a dict, checked to map tokens to ids of their own; `source` is where from."""
    if not isinstance(vocab, Mapping) or not vocab:
        raise ValueError(f"{source} must map tokens to ids and not be empty; got {vocab!r:.60}.")
    for token, index in vocab.items():
        if not isinstance(token, str) or not isinstance(index, int) or index < 0:
            raise ValueError(
                f"{source} maps {token!r} to {index!r}; tokens are str and ids whole numbers >= 0."
            )
    if len(set(vocab.values())) != len(vocab):
        seen = {}
        for token, index in vocab.items():
            if seen.setdefault(index, token) != token:
                raise ValueError(f"{source} gives the id {index} to {seen[index]!r} and {token!r}.")
    return dict(vocab)


def vocab_text(vocab):
    """`{token: id}` as a `vocab.txt` has it; ids without a token are `[unusedN]` lines."""
    tokens = {index: token for token, index in vocab.items()}
    return "".join(tokens.get(i, f"[unused{i}]") + "\n" for i in range(max(tokens) + 1))


def read_tokenizer_json(path):
    """The content of a `tokenizer.json`, checked to be a WordPiece model; no code is run."""
    content = read_json(Path(path))
    model = content.get("model")
    kind = model.get("type") if isinstance(model, dict) else None
    if kind != "WordPiece" or not isinstance(model.get("vocab"), dict) or not model["vocab"]:
        raise ValueError(
            f"{str(path)!r} holds a tokenizer of the kind {kind!r}; RoFormer's are 'WordPiece' "
            "with a vocabulary."
        )
    normalizer = content.get("normalizer") or {}
    if normalizer.get("type", "BertNormalizer") != "BertNormalizer":
        raise ValueError(
            f"{str(path)!r} has the normalizer {normalizer['type']!r}; RoFormer's is "
            "'BertNormalizer'."
        )
    return content


def json_added_tokens(content, path):
    """The added tokens in the `content` of the tokenizer.json at `path`: id -> AddedToken."""
    tokens = {}
    for token in content.get("added_tokens") or []:
        known = isinstance(token, dict) and isinstance(token.get("content"), str)
        if not known or not isinstance(token.get("id"), int):
            raise ValueError(f"{str(path)!r} has the added token {token!r}, without content or id.")
        tokens[token["id"]] = AddedToken(**{k: v for k, v in token.items() if k != "id"})
    return tokens
