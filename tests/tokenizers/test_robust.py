"""Copies, processes, threads, files, bad input, and what is beyond transformers."""

import builtins
import copy
import json
import multiprocessing
import os
import pickle
import random
import re
import subprocess
import sys
import time
import unicodedata
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from keras_roformer.tokenizers import (
    AddedToken,
    AutoTokenizer,
    BatchEncoding,
    RoFormerTokenizer,
    RoFormerTokenizerFast,
)
from keras_roformer.tokenizers.core import _PLAIN_WORD, _UNPLAIN, _Finder
from keras_roformer.tokenizers.packing import Packer
from keras_roformer.tokenizers.roformer_tokenizers import FAST, SLOW
from keras_roformer.tokenizers.rules import FastRule

from .record import VOCAB
from .strings import committed_lines, fuzzed

BOTH = pytest.mark.parametrize("cls", [RoFormerTokenizer, RoFormerTokenizerFast])
JIEBA = pytest.mark.parametrize("use_jieba", [True, False], ids=["jieba", "char"])
LINES = committed_lines()[:40] + committed_lines()[10_000:10_060] + fuzzed(60)
TEXT = "今天天气非常好。Hello [MASK] café 中華人民共和國"


def ids(tokenizer):
    return [tokenizer(line)["input_ids"] for line in LINES]


def changed(cls, **kwargs):
    """A tokenizer with everything that a copy might lose."""
    tokenizer = cls(VOCAB, do_lower_case=False, model_max_length=64, padding_side="left", **kwargs)
    tokenizer.add_tokens(["旋转位置编码", AddedToken("hello", single_word=True)])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<x>"], "bos_token": "<s>"})
    return tokenizer


@BOTH
@JIEBA
def test_copies_are_the_same_and_leave_the_original_alone(cls, use_jieba, tmp_path):
    tokenizer = changed(cls, use_jieba=use_jieba)
    expected = ids(tokenizer)
    tokenizer.save_pretrained(tmp_path)
    copies = {
        "pickle": pickle.loads(pickle.dumps(tokenizer)),
        "deepcopy": copy.deepcopy(tokenizer),
        "copy": copy.copy(tokenizer),
        "saved": cls.from_pretrained(tmp_path),
    }
    for name, other in copies.items():
        assert ids(other) == expected, name
        assert other.get_vocab() == tokenizer.get_vocab(), name
        assert other.special_tokens_map == tokenizer.special_tokens_map, name
        assert (other.model_max_length, other.padding_side) == (64, "left"), name
        assert repr(other.added_tokens_decoder) == repr(tokenizer.added_tokens_decoder), name
        other.add_tokens(["天气"])
    assert ids(tokenizer) == expected
    assert "天气" not in tokenizer.get_added_vocab()


@BOTH
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes(cls, method):
    if method == "fork" and "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system cannot fork")
    tokenizer = changed(cls)
    expected = ids(tokenizer)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # frameworks that other tests loaded warn of os.fork
        with multiprocessing.get_context(method).Pool(2) as pool:
            assert pool.map(ids, [tokenizer] * 2) == [expected] * 2


def test_datasets_map_with_two_processes():
    """Also: `datasets` finds its cache by a hash of the pickle, so that must not vary."""
    pytest.importorskip("datasets")
    fingerprints = {
        subprocess.run(
            [sys.executable, "-W", "ignore", "-m", "tests.tokenizers.map_dataset"],
            check=True,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONHASHSEED": seed},
            cwd=Path(__file__).parents[2],
        ).stdout
        for seed in ("1", "2")
    }
    assert len(fingerprints) == 1 and len(fingerprints.pop().split()) == 2


@BOTH
def test_threads(cls):
    tokenizer = changed(cls)
    expected = ids(tokenizer)
    fresh = changed(cls)  # its tables fill while eight threads use them
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(ids, [fresh] * 16)) == [expected] * 16


@BOTH
def test_an_added_token_is_no_word_of_jiebas(cls, tmp_path):
    """Where it may not be cut out, its characters are what they were, also after loading."""
    tokenizer = cls(VOCAB)
    expected = tokenizer.tokenize("在污泥中")
    assert "污泥" not in tokenizer.get_vocab() and "[UNK]" not in expected
    tokenizer.add_tokens([AddedToken("污泥", single_word=True)])
    tokenizer.save_pretrained(tmp_path)
    for other in (tokenizer, cls.from_pretrained(tmp_path), pickle.loads(pickle.dumps(tokenizer))):
        assert other.tokenize("在污泥中") == expected
        assert other.tokenize("污泥") == ["污泥"]


@BOTH
@JIEBA
@pytest.mark.parametrize("kept", ["vocab.txt", "tokenizer.json", "both"])
def test_any_file_is_enough(cls, use_jieba, kept, tmp_path):
    RoFormerTokenizerFast(VOCAB, use_jieba=use_jieba).save_pretrained(tmp_path)
    expected = ids(cls(VOCAB, use_jieba=use_jieba))
    for path in tmp_path.iterdir():
        if path.name != kept and kept != "both" and path.name != "config.json":
            path.unlink()
    if kept == "vocab.txt" and not use_jieba:  # the vocabulary alone cannot say
        (tmp_path / "config.json").write_text('{"tokenizer_class": "BertTokenizer"}')
    assert ids(cls.from_pretrained(tmp_path)) == expected
    assert ids(AutoTokenizer.from_pretrained(tmp_path, use_fast=cls.is_fast)) == expected


@BOTH
def test_what_transformers_5_saves(cls, tmp_path, capfd):
    """It writes a list where 4.57 writes a dict, and the added tokens into tokenizer.json alone."""
    expected = RoFormerTokenizerFast(VOCAB, additional_special_tokens=["<e1>", "<e2>"])
    expected.save_pretrained(tmp_path, legacy_format=False)
    for name in ("added_tokens.json", "special_tokens_map.json"):
        (tmp_path / name).unlink()
    path = tmp_path / "tokenizer_config.json"
    config = json.loads(path.read_text())
    config["extra_special_tokens"] = config.pop("additional_special_tokens")
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "added_tokens_decoder"}))
    tokenizer = cls.from_pretrained(tmp_path)
    assert capfd.readouterr() == ("", "")  # "Ignored unknown kwarg option id"
    assert tokenizer.additional_special_tokens == ["<e1>", "<e2>"]
    assert tokenizer("今天<e1>")["input_ids"] == expected("今天<e1>")["input_ids"]
    more = cls.from_pretrained(tmp_path, extra_special_tokens=["<a>"])
    assert more.additional_special_tokens == ["<a>"]
    assert more.tokenize("今天<e1><a>") == ["今天", "<e1>", "<a>"]
    tokenizer.save_pretrained(tmp_path / "again")
    assert ids(cls.from_pretrained(tmp_path / "again")) == ids(tokenizer)
    named = cls(VOCAB, extra_special_tokens=["<a>"], additional_special_tokens=["<b>", "<a>"])
    assert named.additional_special_tokens == ["<b>", "<a>"] and len(named) == len(expected)
    with pytest.raises(TypeError, match="extra_special_tokens='<a>' must be a list"):
        cls(VOCAB, extra_special_tokens="<a>")


@JIEBA
def test_tokenizer_class_names_the_segmenter(use_jieba, tmp_path):
    RoFormerTokenizer(VOCAB, use_jieba=use_jieba).save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert config["tokenizer_class"] == ("RoFormerTokenizer" if use_jieba else "BertTokenizer")
    for cls in (RoFormerTokenizer, RoFormerTokenizerFast):
        assert cls.from_pretrained(tmp_path).use_jieba is use_jieba


def test_auto_tokenizer_names_a_class_it_does_not_have(tmp_path):
    (tmp_path / "vocab.txt").write_text("a\n")
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "GPT2Tokenizer"}')
    with pytest.raises(ValueError, match="GPT2Tokenizer"):
        AutoTokenizer.from_pretrained(tmp_path)


@BOTH
@pytest.mark.parametrize(
    "text", [None, b"bytes", 5, 1.5, {"a": 1}, [1, 2], [None], ["a", None], [["a"], 3], [b"x"]]
)
def test_what_is_no_text_is_an_error(cls, text):
    with pytest.raises((ValueError, TypeError)) as error:
        cls(VOCAB)(text)
    assert len(str(error.value)) > 20


@BOTH
def test_empty_input(cls):
    tokenizer = cls(VOCAB)
    assert tokenizer([]).data == {"input_ids": [], "token_type_ids": [], "attention_mask": []}
    assert tokenizer("")["input_ids"] == [2, 3]
    assert tokenizer(["", "今"], padding=True)["input_ids"][0] == [2, 3, 0]
    assert tokenizer.decode([]) == ""


@BOTH
@JIEBA
def test_lone_surrogates_are_removed_like_other_non_characters(cls, use_jieba):
    tokenizer = cls(VOCAB, use_jieba=use_jieba)
    row = tokenizer("今\ud800天\udfff非常好", return_offsets_mapping=True)
    assert row.data == tokenizer("今\x00天\x00非常好", return_offsets_mapping=True).data
    assert row["offset_mapping"][-2] == (6, 7)


@BOTH
@JIEBA
@pytest.mark.parametrize("char", ["a", "的", "é", "[", "\u0301", "\x00", "İ", "😀"])
def test_time_is_linear(cls, use_jieba, char):
    tokenizer = cls(VOCAB, use_jieba=use_jieba)
    tokenizer.encode(char * 1000)

    def seconds(length):
        begin = time.process_time()
        tokenizer(char * length, return_offsets_mapping=True)
        return time.process_time() - begin

    assert seconds(80_000) < 30 * max(seconds(10_000), 0.005)


@BOTH
def test_many_added_tokens(cls, tmp_path):
    """Time grows with their number (with its square it would be minutes)."""
    tokenizer = cls(VOCAB)
    tokens = [f"旋{index}转" for index in range(20_000)]
    start = time.perf_counter()
    assert tokenizer.add_tokens(tokens[:10_000]) == 10_000
    special = {"additional_special_tokens": tokens[10_000:]}
    assert tokenizer.add_special_tokens(special) == 10_000
    assert [len(tokenizer) for _ in range(500)] == [12_288 + 20_000] * 500
    tokenizer.save_pretrained(tmp_path)
    again = cls.from_pretrained(tmp_path)
    assert again.added_tokens_encoder == tokenizer.added_tokens_encoder
    assert again.tokenize("今天旋9转旋19999转") == ["今天", "旋9转", "旋19999转"]
    assert time.perf_counter() - start < 15
    if cls.is_fast:
        assert tokenizer.backend_tokenizer.get_vocab() == tokenizer.get_vocab()


def test_strings_are_found_as_a_regular_expression_finds_them():
    rng = random.Random(1)
    alphabet = "ab今[^]-\\😀𠀀"
    for _ in range(2_000):
        contents = ["".join(rng.choices(alphabet, k=rng.randint(0, 5))) for _ in range(12)]
        text = "".join(rng.choices(alphabet + " ", k=40))
        longest = sorted(contents, key=len, reverse=True)
        for finder, order in ((_Finder(contents), contents), (_Finder.longest(contents), longest)):
            pattern = re.compile("|".join(map(re.escape, filter(None, order))))
            expected = [(m.group(), *m.span()) for m in pattern.finditer(text)]
            assert list(finder(text)) == expected
    assert list(_Finder([])("text")) == list(_Finder([""])("text")) == []


@BOTH
@pytest.mark.parametrize("first", [0x4E00, 0x20000])
def test_added_tokens_are_found_quickly_however_many(cls, first):
    """An expression of all of them took 20 ms a 1,000 characters."""
    tokenizer = cls(VOCAB)
    tokenizer.add_tokens([f"{chr(first + index // 5)}{index % 5}转" for index in range(20_000)])
    text = "[MASK]" + "".join(LINES)
    text = (text * (20_000 // len(text) + 1))[:20_000]
    tokenizer(text)
    start = time.perf_counter()
    tokenizer(text)
    assert time.perf_counter() - start < 0.2
    assert tokenizer.tokenize(f"今天{chr(first)}3转天气") == ["今天", f"{chr(first)}3转", "天气"]


@BOTH
def test_a_token_that_is_none_leaves_the_tokenizer_as_it_was(cls):
    tokenizer = cls(VOCAB)
    with pytest.raises(TypeError, match="Token 3 must be a str"):
        tokenizer.add_tokens(["旋转位置编码", 3])
    assert len(tokenizer) == tokenizer.vocab_size


@BOTH
@pytest.mark.parametrize(("char", "tokens"), [("a", 1), ("的", 3_333_333), ("\u0301", 0)])
def test_ten_megabytes_of_one_character(cls, char, tokens):
    tokenizer = cls(VOCAB)
    text = char * (10_000_000 // len(char.encode()))
    assert len(tokenizer(text, return_attention_mask=False)["input_ids"]) == tokens + 2


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "empty"), (b"\n\n", "empty"), (b"\xff\xfe\x00", "not UTF-8")],
)
def test_a_file_that_is_no_vocabulary_is_an_error(content, message, tmp_path):
    path = tmp_path / "vocab.txt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        RoFormerTokenizer(str(path))
    with pytest.raises(ValueError, match="Can't find a vocabulary file"):
        RoFormerTokenizer(str(tmp_path / "no.txt"))
    with pytest.raises(ValueError, match="neither a vocab.txt nor a tokenizer.json"):
        (tmp_path / "empty").mkdir()
        RoFormerTokenizer.from_pretrained(tmp_path / "empty")


@BOTH
def test_byte_order_mark_and_line_ends(cls, tmp_path):
    data = open(VOCAB, "rb").read()
    path = tmp_path / "vocab.txt"
    path.write_bytes(b"\xef\xbb\xbf" + data.replace(b"\n", b"\r\n"))
    assert cls(str(path)).get_vocab() == cls(VOCAB).get_vocab()


@BOTH
def test_duplicate_and_missing_tokens_are_told(cls, tmp_path, caplog):
    path = tmp_path / "vocab.txt"
    path.write_text("[PAD]\n[CLS]\n[SEP]\n今\n天\n今\n", encoding="utf-8")
    with pytest.warns(UserWarning, match="'今'"):
        tokenizer = cls(str(path))
    assert tokenizer.convert_tokens_to_ids(["今", "[UNK]", "[MASK]"]) == [5, 6, 7]
    assert "[UNK]" in caplog.text and "[MASK]" in caplog.text
    assert tokenizer.encode("今x[MASK]") == [1, 5, 6, 7, 2]


def test_files_that_disagree_are_told(tmp_path):
    """As in transformers, the slow class takes vocab.txt and the fast one tokenizer.json."""
    RoFormerTokenizerFast(VOCAB).save_pretrained(tmp_path)
    with open(tmp_path / "vocab.txt", "a", encoding="utf-8") as file:
        file.write("旋转位置编码\n")
    for cls, taken, size in (
        (RoFormerTokenizer, "vocab.txt", 12_289),
        (RoFormerTokenizerFast, "tokenizer.json", 12_288),
    ):
        with pytest.warns(UserWarning, match=f"different vocabularies; {taken} is taken"):
            assert cls.from_pretrained(tmp_path).vocab_size == size


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "tokenizer_config.json",
            '{"a": ' + 10**5 * "[",
            "tokenizer_config.json is not valid JSON",
        ),
        ("tokenizer.json", '{"a": ' + 10**5 * "[", "tokenizer.json is not valid JSON"),
        ("tokenizer.json", "[1]", "tokenizer.json must hold a JSON object, got list"),
        ("tokenizer.json", '{"added_tokens": [{"content": "<x>"}]}', "without content or id"),
        ("added_tokens.json", '{"<x>": "7"}', "'<x>' to '7', which is no id"),
        (
            "tokenizer_config.json",
            '{"added_tokens_decoder": {"x": {"content": "<x>"}}}',
            r"added_tokens_decoder\['x'\].* is no token",
        ),
    ],
)
def test_broken_files_are_named(name, text, message, tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match=message):
        RoFormerTokenizer.from_pretrained(tmp_path)


def test_broken_files_are_errors(tmp_path):
    (tmp_path / "vocab.txt").write_text("[UNK]\n")
    (tmp_path / "tokenizer_config.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        RoFormerTokenizer.from_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "BPE"}}')
    with pytest.raises(ValueError, match="BPE"):
        RoFormerTokenizerFast(tokenizer_file=str(tmp_path / "tokenizer.json"))


def test_without_rjieba(monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name == "rjieba":
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r"rjieba.*character-level.*use_jieba=False"):
        RoFormerTokenizer(VOCAB)
    assert RoFormerTokenizer(VOCAB, use_jieba=False).tokenize("今天") == ["今", "天"]


@BOTH
def test_user_dictionary(cls, tmp_path):
    text = "我们用旋转位置编码做实验"
    words = [*open(VOCAB, encoding="utf-8").read().splitlines(), "旋转位置编码"]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n", encoding="utf-8")
    (tmp_path / "words.txt").write_text("旋转位置编码 1000 n\n", encoding="utf-8")
    path = str(tmp_path / "vocab.txt")
    assert "旋转位置编码" not in cls(path).tokenize(text)
    for user_dict in (["旋转位置编码"], {"旋转位置编码": 1000}, tmp_path / "words.txt"):
        tokenizer = cls(path, user_dict=user_dict)
        assert "旋转位置编码" in tokenizer.tokenize(text)
        tokenizer.save_pretrained(tmp_path / "saved")
        for other in (
            cls.from_pretrained(tmp_path / "saved"),
            pickle.loads(pickle.dumps(tokenizer)),
        ):
            assert other.tokenize(text) == tokenizer.tokenize(text)
    for word in ("A股", "NBA球员"):
        tokenizer = cls(path, user_dict=[word])
        assert word.lower() in tokenizer.core.word_strings(f"今天{word}上涨")
        assert word in tokenizer.segmenter(f"今天{word}上涨")  # the words are as they were given
        assert [entry[0] for entry in tokenizer.init_kwargs["user_dict"]] == [word]
        again = pickle.loads(pickle.dumps(tokenizer))
        assert word.lower() in again.core.word_strings(f"今天{word}上涨")
        as_given = cls(path, user_dict=[word], do_lower_case=False)
        assert word in as_given.core.word_strings(f"今天{word}上涨")
    assert "旋转位置编码" not in cls(path).tokenize(text)  # the process's jieba is as it was
    with pytest.raises(ValueError, match="user_dict entry"):
        cls(path, user_dict=[("a", 1, "n", "x")])


@BOTH
@JIEBA
def test_offsets_are_the_tokens_own_text(cls, use_jieba):
    tokenizer = cls(VOCAB, use_jieba=use_jieba)
    checked = 0
    for line in LINES:
        row = tokenizer(line, return_offsets_mapping=True, add_special_tokens=False)
        assert row["offset_mapping"] == row.encodings[0].offsets  # the quick road and the full one
        for token, (start, end) in zip(row.tokens(), row["offset_mapping"], strict=True):
            assert start < end
            if token != "[UNK]":
                assert bare(token) == bare(line[start:end]), (line, token)
                checked += 1
    assert checked > 1000


def test_a_character_of_several_pieces(tmp_path):
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "\u1112", "##\u1161", "##\u11ab", "字"]
    (tmp_path / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    # jieba sees the syllable in the slow tokenizer, its three letters in the fast one.
    expected = {RoFormerTokenizer: [5, 6, 7], RoFormerTokenizerFast: [5, 1, 1]}
    for cls, ids_of_syllable in expected.items():
        row = cls(str(tmp_path / "vocab.txt"))("字한字", return_offsets_mapping=True)
        assert row["input_ids"] == [2, 8, *ids_of_syllable, 8, 3]
        assert row["offset_mapping"][1:-1] == [(0, 1), (1, 2), (1, 2), (1, 2), (2, 3)]
        assert row["offset_mapping"] == row.encodings[0].offsets


@pytest.mark.parametrize(
    "text", [":\u1160", ":\u0903", "a:\u0307", "\u1112\u1161\u1161:", "e\u0301:\u0903"]
)
@pytest.mark.parametrize("lower", [True, False])
def test_what_does_not_compose_has_its_own_offsets(text, lower):
    tokenizer = RoFormerTokenizer(VOCAB, use_jieba=False, do_lower_case=lower)
    row = tokenizer(text, return_offsets_mapping=True)
    span = row["offset_mapping"][row.tokens().index(":")]
    stop = span[1] - (lower and "\u0307" in text)  # the mark that goes, and goes with the colon
    assert text[span[0] : stop] == ":"


def bare(text):
    """Text without case, accents, control characters and the mark of inner pieces."""
    text = unicodedata.normalize("NFD", text.removeprefix("##").lower())
    return "".join(c for c in text if unicodedata.category(c) not in ("Mn", "Cc", "Cf", "Co", "Cn"))


def test_plain_characters_are_plain():
    """The quick road's characters: normal form is lower case, whatever the settings."""
    plain = [c for c in map(chr, range(0x110000)) if not _UNPLAIN.match(c)]
    assert len(plain) > 27_000
    for lower in (False, True):
        for strip in (None, False, True):
            normalizer = dict(
                clean_text=True, handle_chinese_chars=False, strip_accents=strip, lowercase=lower
            )
            rule = FastRule({}, "", whole_words=True, normalizer=normalizer)
            for char in plain:
                assert rule.normal.function(char) == (char.lower() if lower else char), ascii(char)
                assert unicodedata.normalize("NFC", char) == char
                assert unicodedata.normalize("NFD", char) == char
                assert not unicodedata.combining(char)
    bert = FastRule({}, "", whole_words=False, normalizer=normalizer)
    for char in plain:
        if "\u4e00" <= char <= "\u9fff" or "\u3400" <= char <= "\u4dbf":
            continue
        alone = _PLAIN_WORD.findall(f"a{char}a") == ["a", char, "a"]
        assert alone == (bert.kind.function(char) == "alone"), ascii(char)


@BOTH
def test_encode_words(cls):
    tokenizer = cls(VOCAB)
    for line in LINES:
        found, words = tokenizer.encode_words(line)
        assert found == tokenizer.encode(line, add_special_tokens=False)
        assert words == sorted(words) and set(words) == set(range(len(set(words))))
    assert tokenizer.encode_words("今天天气[MASK]非常好")[1][-3:] == [1, 2, 3]


@BOTH
def test_encode_iter(cls):
    tokenizer = cls(VOCAB)
    texts = (line for line in LINES * 3)
    assert list(tokenizer.encode_iter(texts, batch_size=7)) == ids(tokenizer) * 3


def test_importing_loads_no_framework():
    code = (
        "import sys, keras_roformer.tokenizers\n"
        "names = {m.partition('.')[0] for m in sys.modules}\n"
        "found = names & {'keras', 'torch', 'tensorflow', 'jax', 'transformers', 'numpy'}\n"
        "assert not found, found"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_batch_encoding_survives_pickling(monkeypatch):
    tokenizer = RoFormerTokenizerFast(VOCAB)
    row = tokenizer([TEXT, "好"], padding=True)
    copied = copy.deepcopy(row)
    with monkeypatch.context() as patch:
        patch.setattr(Packer, "encodings", None)  # nothing is tokenized again
        other = pickle.loads(pickle.dumps(row))
    assert isinstance(other, BatchEncoding) and other.data == row.data
    assert other.is_fast and other.n_sequences == 1
    with pytest.raises(ValueError, match="Read `batch.encodings` before"):
        other.word_ids(1)
    assert pickle.loads(pickle.dumps(other)).data == row.data
    assert row.encodings and copied.word_ids(1) == row.word_ids(1)
    other = pickle.loads(pickle.dumps(row))
    assert other.word_ids(1) == row.word_ids(1) and other.char_to_token(1, 0) == 1


@BOTH
def test_results_keep_the_tokens_that_they_were_made_with(cls):
    tokenizer = cls(VOCAB)
    row, expected = tokenizer([TEXT, "好"], padding=True), cls(VOCAB)([TEXT, "好"], padding=True)
    tokenizer.pad_token = "好"
    tokenizer.add_tokens(["非常好"])
    assert [row.tokens(i) for i in (0, 1)] == [expected.tokens(i) for i in (0, 1)]


def test_flavours_differ_in_every_decision():
    assert all(slow is not fast for slow, fast in zip(SLOW, FAST, strict=True))
