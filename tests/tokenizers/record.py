"""Records what transformers 4.57.6 makes of `strings.py`, and of random calls.

Run in the oracle's environment (transformers==4.57.6 rjieba) from the checkout's root:
    python -m tests.tokenizers.record
It writes `hashes.json` (a hash for each group of strings: ids, and for the fast tokenizer offsets
and word ids as well) and `calls.json.xz` (random calls with their outputs).
"""

import hashlib
import json
import lzma
import random
import tempfile
import unicodedata
from pathlib import Path

from tests.tokenizers.strings import FUZZED, GROUP, committed_lines, corpus_lines, fuzzed

HERE = Path(__file__).parent
VOCAB = str(HERE / "vocab.txt")

# name -> (with jieba, constructor arguments, strings, and whether the fast class takes them too)
SETTINGS = {
    "jieba": (True, {}, FUZZED, True),
    "char": (False, {}, 30_000, True),
    "jieba cased": (True, {"do_lower_case": False}, 10_000, True),
    "char cased": (False, {"do_lower_case": False}, 10_000, True),
    "jieba accents": (True, {"strip_accents": False}, 5_000, True),
    "char accents": (False, {"strip_accents": False}, 5_000, True),
    "jieba cased, no accents": (True, {"do_lower_case": False, "strip_accents": True}, 5_000, True),
    "jieba, no chinese": (True, {"tokenize_chinese_chars": False}, 5_000, True),
    "char, no chinese": (False, {"tokenize_chinese_chars": False}, 5_000, True),
    "jieba, no basic": (True, {"do_basic_tokenize": False}, 5_000, False),
    "char, no basic": (False, {"do_basic_tokenize": False}, 5_000, False),
    "jieba, never split": (True, {"never_split": ["hello", "WORLD", "3.14", "中国"]}, 5_000, False),
    "char, never split": (False, {"never_split": ["hello", "WORLD", "3.14", "中国"]}, 5_000, False),
}
# Added tokens: (content, AddedToken arguments)
ADDED = [
    ("旋转位置编码", {}),
    ("Transformer", {}),
    ("hello", {"single_word": True}),
    ("<x>", {"special": True, "normalized": False}),
    ("<x>y", {"lstrip": True}),
    ("天气", {"rstrip": True, "normalized": False}),
    ("@", {"lstrip": True, "rstrip": True, "normalized": False}),
]


def digest(values):
    return hashlib.sha1(json.dumps(values).encode()).hexdigest()[:12]


def groups(strings):
    return [strings[i : i + GROUP] for i in range(0, len(strings), GROUP)]


def slow_hashes(tokenizer, strings):
    """A hash of the slow tokenizer's ids for each group."""
    return [digest([tokenizer(text)["input_ids"] for text in group]) for group in groups(strings)]


def in_order(text):
    """Whether canonical decomposition leaves the characters of ``text`` in order.

    Where it does not, `tokenizers` mixes up the offsets of the marks that it reorders.
    """
    kept = [c for c in text if unicodedata.category(c)[0] != "C"]
    apart = "".join(unicodedata.normalize("NFD", c) for c in kept)
    return apart == unicodedata.normalize("NFD", "".join(kept))


def fast_hashes(tokenizer, strings):
    """A hash of the fast tokenizer's ids, offsets and word ids for each group."""
    hashes = []
    for group in groups(strings):
        rows = []
        for text in group:
            row = tokenizer(text, return_offsets_mapping=True)
            offsets = row["offset_mapping"] if in_order(text) else None
            rows.append([row["input_ids"], offsets, row.word_ids()])
        hashes.append(digest(rows))
    return hashes


def random_call(rng, texts):
    """A random method call as JSON: (method, arguments, keyword arguments)."""
    pair, split = rng.random() < 0.5, rng.random() < 0.25
    batched = rng.random() < 0.5

    def text():
        value = texts[rng.randrange(len(texts))][: rng.randint(0, 40)]
        return (value.split() or ["空"]) if split else value

    size = rng.randint(1, 3)
    first = [text() for _ in range(size)] if batched else text()
    args = [first]
    if pair:
        args.append([text() for _ in range(size)] if batched else text())
    kwargs = {}
    if split:
        kwargs["is_split_into_words"] = True

    def maybe(chance, key, *values):
        if rng.random() < chance:
            kwargs[key] = values[rng.randrange(len(values))]

    maybe(0.6, "padding", True, "longest", "max_length", False)
    maybe(0.7, "truncation", True, "longest_first", "only_first", "only_second", False)
    maybe(0.7, "max_length", 5, 8, 12, 16, 24, 32)
    maybe(0.3, "stride", 1, 2, 4)
    maybe(0.2, "pad_to_multiple_of", 8, 4)
    maybe(0.2, "padding_side", "left", "right")
    maybe(0.3, "return_overflowing_tokens", True)
    maybe(0.3, "return_special_tokens_mask", True)
    maybe(0.3, "return_length", True)
    maybe(0.2, "return_token_type_ids", True, False)
    maybe(0.2, "return_attention_mask", True, False)
    maybe(0.15, "add_special_tokens", False)
    maybe(0.1, "split_special_tokens", True)
    return args, kwargs


def call(tokenizer, args, kwargs, fast):
    """The call's output as JSON, or the name of what it raised."""
    if fast:
        kwargs = {**kwargs, "return_offsets_mapping": True}
    args = [list(a) if isinstance(a, list) else a for a in args]
    try:
        output = tokenizer(*args, **kwargs)
    except BaseException as error:  # a panic of the Rust code is no Exception
        return {"raises": type(error).__name__}
    data = dict(output)
    if fast:
        rows = range(len(output.encodings))
        data["word_ids"] = [output.word_ids(i) for i in rows]
        data["sequence_ids"] = [output.sequence_ids(i) for i in rows]
        data["tokens"] = [output.tokens(i) for i in rows]
    return json.loads(json.dumps(data))


def add_tokens(tokenizer, added_token):
    """Adds `ADDED`; returns what add_tokens returned."""
    return tokenizer.add_tokens([added_token(content, **flags) for content, flags in ADDED])


def added_texts(rng):
    """Strings full of added tokens."""
    parts = [content for content, _ in ADDED] + [
        "[MASK]", "[SEP]", " ", "  ", "hello", "HELLO", "<X>", "天", "气", "x", "y", "。", "\n",
        "你好", "transformer", "ｈｅｌｌｏ", "旋转", "位置",
    ]  # fmt: skip
    return [
        "".join(parts[rng.randrange(len(parts))] for _ in range(rng.randint(1, 9)))
        for _ in range(3000)
    ]


def main():
    import transformers
    from tokenizers import AddedToken
    from transformers import (
        BertTokenizer,
        BertTokenizerFast,
        RoFormerTokenizer,
        RoFormerTokenizerFast,
    )

    assert transformers.__version__ == "4.57.6", transformers.__version__
    classes = {
        True: (RoFormerTokenizer, RoFormerTokenizerFast),
        False: (BertTokenizer, BertTokenizerFast),
    }
    lines, random_strings, news = committed_lines(), fuzzed(), corpus_lines()
    hashes = {}
    for name, (jieba, arguments, count, fast_too) in SETTINGS.items():
        slow_class, fast_class = classes[jieba]
        sets = {"fuzz": random_strings[:count]}
        if not arguments:
            sets |= {"lines": lines} | ({"corpus": news} if news else {})
        hashes[name] = {}
        for label, strings in sets.items():
            hashes[name][f"slow {label}"] = slow_hashes(slow_class(VOCAB, **arguments), strings)
            if fast_too:
                fast = fast_class(VOCAB, **arguments)
                hashes[name][f"fast {label}"] = fast_hashes(fast, strings)
            print(name, label, len(strings), flush=True)
    texts = added_texts(random.Random(3))
    hashes["added"] = {}
    for jieba, word in ((True, "jieba"), (False, "char")):
        slow, fast = (cls(VOCAB) for cls in classes[jieba])
        counts = [add_tokens(slow, AddedToken), add_tokens(fast, AddedToken)]
        hashes["added"][word] = {
            "counts": counts,
            "slow": slow_hashes(slow, texts),
            "fast": fast_hashes(fast, texts),
        }
    (HERE / "hashes.json").write_text(json.dumps(hashes, indent=0) + "\n")
    record_calls(classes, lines[:60] + lines[10_000:10_400])
    record_saved(classes)


def record_calls(classes, texts):
    rng = random.Random(11)
    calls = []
    for jieba, (slow_class, fast_class) in classes.items():
        for truncation_side in ("right", "left"):
            slow = slow_class(VOCAB, truncation_side=truncation_side, model_max_length=20)
            fast = fast_class(VOCAB, truncation_side=truncation_side, model_max_length=20)
            for _ in range(600):
                args, kwargs = random_call(rng, texts)
                # A fresh call each: transformers keeps state between calls.
                outputs = [call(slow, args, kwargs, False), call(fast, args, kwargs, True)]
                calls.append([jieba, truncation_side, args, kwargs, *outputs])
    data = json.dumps(calls, ensure_ascii=False, separators=(",", ":")).encode()
    (HERE / "calls.json.xz").write_bytes(lzma.compress(data, preset=9))


def record_saved(classes):
    """Directories that transformers saves, as {file: content}, and what their tokenizers give."""
    from tokenizers import AddedToken

    vocab = Path(VOCAB).read_text(encoding="utf-8").split("\n")[:400]
    texts = committed_lines()[:12] + added_texts(random.Random(5))[:100]
    saved = {}
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "vocab.txt"
        path.write_text("\n".join(vocab) + "\n", encoding="utf-8")
        for pair in classes.values():
            for cls in pair:
                tokenizer = cls(str(path), model_max_length=50, do_lower_case=False)
                add_tokens(tokenizer, AddedToken)
                tokenizer.add_special_tokens({"additional_special_tokens": ["<e>"]})
                # Before saving: transformers' fast class loses its segmenter by that.
                ids = [tokenizer(text)["input_ids"] for text in texts]
                folder = Path(directory) / cls.__name__
                tokenizer.save_pretrained(folder)
                files = {p.name: p.read_text(encoding="utf-8") for p in folder.iterdir()}
                saved[cls.__name__] = {"files": files, "texts": texts, "ids": ids}
    data = json.dumps(saved, ensure_ascii=False).encode()
    (HERE / "saved.json.xz").write_bytes(lzma.compress(data, preset=9))


if __name__ == "__main__":
    main()
