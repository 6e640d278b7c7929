"""Reading and writing vocabulary files: vocab.txt and the vocabulary inside a tokenizer.json."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path

from tokenizers import AddedToken

from keras_roformer.config import read_json


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
