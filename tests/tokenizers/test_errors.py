"""Wrong calls: each is an error that names the value and says what to do."""

import numpy as np
import pytest

from keras_roformer.tokenizers import AutoTokenizer, RoFormerTokenizer, RoFormerTokenizerFast

from .record import VOCAB

CLASSES = [RoFormerTokenizer, RoFormerTokenizerFast]
BOTH = pytest.mark.parametrize("cls", CLASSES)
TOKENIZERS = {cls: cls(VOCAB) for cls in CLASSES}

CONSTRUCTORS = [
    (dict(do_lowercase=True), TypeError, "'do_lowercase'; did you mean 'do_lower_case'"),
    (dict(use_jeiba=False), TypeError, "'use_jeiba'; did you mean 'use_jieba'"),
    (dict(model_max_length="512"), ValueError, "model_max_length='512' must be a whole number"),
    (dict(model_max_length=float("inf")), ValueError, "model_max_length=inf must be a whole"),
    (dict(user_dict="旋转"), ValueError, "'旋转' is no file; give words as a list"),
    (dict(user_dict=5), ValueError, "user_dict=5 must be"),
    (dict(user_dict={"旋转": -5}), ValueError, r"\('旋转', -5\).*whole number >= 0"),
    (dict(user_dict=[("旋转", 1.5)]), ValueError, "'旋转', 1.5"),
    (dict(user_dict=["旋 转"]), ValueError, "'旋 转'.*without white space"),
    (dict(user_dict=["旋转"], use_jieba=False), ValueError, "use_jieba is False"),
]
VOCABS = [
    ({}, "not be empty"),
    (["[PAD]"], "must map tokens to ids"),
    ({"[PAD]": "0"}, r"'\[PAD\]' to '0'"),
    ({"[PAD]": -1}, r"'\[PAD\]' to -1"),
    ({"今": 3, "天": 3}, "the id 3 to '今' and '天'"),
]
CALLS = [
    (lambda t: t(["好", None]), ValueError, "Item 1 of the batch.*None"),
    (lambda t: t("好".encode()), ValueError, r"decode\('utf-8'\)"),
    (lambda t: t(np.array(["好"])), ValueError, r"array.tolist\(\)"),
    (lambda t: t(text for text in ["好"]), ValueError, "encode_iter"),
    (lambda t: t([["今天", None]], is_split_into_words=True), ValueError, "None"),
    (lambda t: t("好", max_length="8", truncation=True), ValueError, "max_length='8'"),
    (lambda t: t("好", stride=-1), ValueError, "stride=-1"),
    (lambda t: t("好", stride="1"), ValueError, "stride='1'"),
    (lambda t: t("好", padding=True, pad_to_multiple_of=-8), ValueError, "pad_to_multiple_of=-8"),
    (lambda t: t.pad({"input_ids": [3]}, pad_to_multiple_of="8"), ValueError, "of='8'"),
    (lambda t: t.decode("今天"), TypeError, "'今天'; encode gives ids"),
    (lambda t: t.decode([[5], [6]]), TypeError, "batch_decode"),
    (lambda t: t.decode([5, -100]), ValueError, "no token -100.*pad_token_id"),
    (lambda t: t.decode([1.5]), TypeError, "float"),
    (lambda t: t.decode(None), TypeError, "None"),
    (lambda t: t.convert_ids_to_tokens("今"), TypeError, "convert_tokens_to_ids"),
    (lambda t: t.convert_tokens_to_ids(5), TypeError, "convert_ids_to_tokens"),
    (lambda t: t.add_special_tokens("[PAD]"), TypeError, "dict"),
    (lambda t: t.save_pretrained("x", safe=True), TypeError, r"\['safe'\]"),
    (lambda t: list(t.encode_iter("今天")), TypeError, "not one: '今天'"),
    (lambda t: t("好", max_length=np.float64(8), truncation=True), ValueError, "max_length="),
    (lambda t: t.train_new_from_iterator("今天", 100), TypeError, "iterable of texts, not str"),
    (lambda t: t.train_new_from_iterator(["今天"], "9"), TypeError, "vocab_size='9'"),
    (lambda t: t.train_new_from_iterator(["今天"], 3), ValueError, "no room"),
    (lambda t: t.train_new_from_iterator([None], 99), ValueError, "NoneType"),
    (lambda t: t.train_new_from_iterator(iter(()), 99), ValueError, "exhausted"),
    (lambda t: t.train_new_from_iterator(["今天"], 99, min_freq=3), TypeError, "min_freq"),
    (lambda t: list(t.encode_iter(["今"], batch_size=0)), ValueError, "batch_size=0 must be"),
    (lambda t: t.tokenize("今天", truncaton=True), TypeError, "truncaton"),
    (lambda t: t.tokenize(["今天"]), ValueError, "A text must be a str, not list"),
    (lambda t: t.from_pretrained(None), TypeError, "hub id, not None"),
    (
        lambda t: t.from_pretrained("roformer_tiny_zn"),
        ValueError,
        "Did you mean 'roformer_tiny_zh'",
    ),
    (lambda t: AutoTokenizer.from_pretrained(3), TypeError, "hub id, not 3"),
]


@BOTH
@pytest.mark.parametrize(("arguments", "error", "message"), CONSTRUCTORS)
def test_constructors(cls, arguments, error, message):
    with pytest.raises(error, match=message):
        cls(VOCAB, **arguments)


@BOTH
@pytest.mark.parametrize(("vocab", "message"), VOCABS)
def test_vocabularies(cls, vocab, message):
    with pytest.raises(ValueError, match=message):
        cls(vocab=vocab)


@BOTH
@pytest.mark.parametrize(("call", "error", "message"), CALLS)
def test_calls(cls, call, error, message):
    with pytest.raises(error, match=message):
        call(TOKENIZERS[cls])
    assert TOKENIZERS[cls].encode("今天") == cls(VOCAB).encode("今天")


def test_a_text_without_its_pair():
    """As in transformers: the fast class refuses it, to the slow one it is a text alone."""
    with pytest.raises(TypeError, match=r"text_pair\[1\] is None"):
        TOKENIZERS[RoFormerTokenizerFast](["好", "坏"], ["坏", None])
    slow = TOKENIZERS[RoFormerTokenizer]
    expected = [slow.encode("好", "坏"), slow.encode("坏")]
    assert slow(["好", "坏"], ["坏", None])["input_ids"] == expected


@BOTH
def test_a_huge_bad_value_does_not_fill_the_message(cls):
    with pytest.raises(ValueError) as error:
        cls(VOCAB)([["好", 3] * 10_000])
    assert len(str(error.value)) < 400


@BOTH
def test_what_other_classes_saved_is_kept(cls, tmp_path):
    """Settings in files that this class does not know are no mistake of the user's."""
    cls(VOCAB).save_pretrained(tmp_path)
    path = tmp_path / "tokenizer_config.json"
    path.write_text(path.read_text().replace("{", '{"legacy": false,', 1))
    tokenizer = cls.from_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path / "again")
    assert '"legacy": false' in (tmp_path / "again" / "tokenizer_config.json").read_text()
    assert tokenizer.train_new_from_iterator(["今天"], 99).tokenize("今天") == ["今天"]


@BOTH
@pytest.mark.parametrize(
    ("name", "value"),
    [("padding_side", "up"), ("truncation_side", "up"), ("model_max_length", "8")],
)
def test_settings_changed_to_nonsense(cls, name, value):
    tokenizer = cls(VOCAB)
    with pytest.raises(ValueError, match=f"{name}='{value}' must be"):
        setattr(tokenizer, name, value)
        tokenizer(["今天天气", "好"], padding=True, truncation=True, max_length=9)
    with pytest.raises(AttributeError, match="do_lower_case"):
        tokenizer.do_lower_case = False
