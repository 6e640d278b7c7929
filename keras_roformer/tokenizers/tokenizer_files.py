"""Finding a tokenizer's files, reading what they say, and its tokens as JSON.

Reading never runs code.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken

from keras_roformer.config import read_json
from keras_roformer.hub import resolve
from keras_roformer.tokenizers.token_table import as_added
from keras_roformer.tokenizers.vocab import json_added_tokens

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
