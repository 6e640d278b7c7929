"""The rest of the documented API, and how inputs and outputs look."""

import importlib.util

import numpy as np
import pytest

from keras_roformer.tokenizers import (
    AddedToken,
    BatchEncoding,
    CharSpan,
    RoFormerTokenizer,
    RoFormerTokenizerFast,
    TokenSpan,
)
from tests.tolerances import FLOAT32

from .record import VOCAB
from .strings import committed_lines

BOTH = pytest.mark.parametrize("cls", [RoFormerTokenizer, RoFormerTokenizerFast])


@BOTH
@pytest.mark.parametrize("kind", ["np", "pt", "tf", "jax"])
def test_tensors(cls, kind):
    module = {"np": "numpy", "pt": "torch", "tf": "tensorflow", "jax": "jax"}[kind]
    if importlib.util.find_spec(module) is None:
        pytest.skip(f"{module} is not installed")
    tokenizer = cls(VOCAB)
    expected = tokenizer(["今天天气非常好。", "好"], padding=True)
    got = tokenizer(["今天天气非常好。", "好"], padding=True, return_tensors=kind)
    for key, rows in expected.items():
        assert np.asarray(got[key]).tolist() == rows
        assert type(got[key]).__module__.partition(".")[0] in (module, "jaxlib")
    assert tuple(tokenizer("好", return_tensors=kind)["input_ids"].shape) == (1, 3)
    assert tokenizer.batch_decode(got["input_ids"], skip_special_tokens=True) == [
        "今天天气非常好。",
        "好",
    ]
    again = tokenizer.pad(got, padding="max_length", max_length=16)
    assert np.asarray(again["input_ids"]).shape == (2, 16)
    assert type(again["input_ids"]) is type(got["input_ids"])
    with pytest.raises(ValueError, match="padding=True"):
        tokenizer(["好", "今天天气"], return_tensors=kind)
    with pytest.raises(ValueError, match="'np', 'pt', 'tf' or 'jax'"):
        tokenizer("好", return_tensors="xx")


@BOTH
def test_alignments(cls):
    tokenizer = cls(VOCAB)
    row = tokenizer("今天天气非常好", "Hello 世界")
    tokens = row.tokens()
    index = tokens.index("非常")
    assert row.token_to_chars(index) == CharSpan(4, 6)
    assert row.char_to_token(5) == index and row.char_to_token(0, 5) == index
    assert row.char_to_token(0, sequence_index=1) == tokens.index("[SEP]") + 1
    word = row.token_to_word(index)
    assert row.word_to_tokens(word) == TokenSpan(index, index + 1)
    assert row.word_to_chars(word) == CharSpan(4, 6)
    assert row.char_to_word(4) == word
    assert row.token_to_sequence(-2) == 1 and row.token_to_sequence(0) is None
    assert row.sequence_ids()[0] is None and set(row.sequence_ids()[1:index]) == {0}
    assert row.token_to_chars(0) is None and row.char_to_token(99) is None
    assert row.n_sequences == 2 and row.is_fast == cls.is_fast
    assert row[0].tokens == tokens and row.input_ids == row["input_ids"]
    assert row[:2].keys() == row.keys() and len(row[:2]["input_ids"]) == 2
    with pytest.raises(AttributeError, match="no_such"):
        _ = row.no_such


@BOTH
def test_special_tokens(cls):
    tokenizer = cls(VOCAB)
    assert (tokenizer.cls_token, tokenizer.cls_token_id, tokenizer.pad_token_id) == ("[CLS]", 2, 0)
    assert tokenizer.all_special_ids == [1, 3, 0, 2, 4]
    assert tokenizer.special_tokens_map["mask_token"] == "[MASK]"
    assert tokenizer.bos_token is None and tokenizer.bos_token_id is None
    size = len(tokenizer)
    assert tokenizer.add_special_tokens({"bos_token": "<s>"}) == 1
    assert (tokenizer.bos_token_id, len(tokenizer), tokenizer.vocab_size) == (size, size + 1, size)
    tokenizer.eos_token = "[SEP]"
    assert tokenizer.eos_token_id == 3
    tokenizer.pad_token_id = 4
    assert tokenizer.pad_token == "[MASK]"
    assert tokenizer(["好", "我爱你"], padding=True)["input_ids"][0][-1] == 4
    assert tokenizer.tokenize("<s>好") == ["<s>", "好"]
    assert tokenizer.decode(tokenizer("<s>好")["input_ids"], skip_special_tokens=True) == "好"
    with pytest.raises(ValueError, match="sep_token"):
        tokenizer.sep_token = 3
    with pytest.raises(ValueError, match="not a special token"):
        tokenizer.add_special_tokens({"nothing": "x"})
    with pytest.raises(TypeError, match="must be a str"):
        tokenizer.add_tokens([3])


@BOTH
def test_added_tokens_change_the_ids_at_once(cls):
    tokenizer = cls(VOCAB)
    before = tokenizer("我用旋转位置编码")
    assert tokenizer.add_tokens(["旋转位置编码", AddedToken("<y>", special=True)]) == 2
    assert tokenizer.tokenize("我用旋转位置编码<y>") == ["我", "用", "旋转位置编码", "<y>"]
    # What was encoded before keeps what it was.
    assert "旋转位置编码" not in before.tokens() and before.tokens()[0] == "[CLS]"
    assert tokenizer.get_added_vocab()["旋转位置编码"] == tokenizer.vocab_size
    assert tokenizer.convert_ids_to_tokens(tokenizer.vocab_size) == "旋转位置编码"


@BOTH
def test_building_blocks(cls):
    tokenizer = cls(VOCAB)
    assert tokenizer.build_inputs_with_special_tokens([7], [8, 9]) == [2, 7, 3, 8, 9, 3]
    assert tokenizer.create_token_type_ids_from_sequences([7], [8, 9]) == [0, 0, 0, 1, 1, 1]
    assert tokenizer.get_special_tokens_mask([7], [8]) == [1, 0, 1, 0, 1]
    mask = tokenizer.get_special_tokens_mask([2, 7, 3], already_has_special_tokens=True)
    assert mask == [1, 0, 1]
    assert tokenizer.num_special_tokens_to_add() == 2
    assert tokenizer.num_special_tokens_to_add(pair=True) == 3
    row = tokenizer.prepare_for_model([7, 8, 9], [10], truncation=True, max_length=6)
    assert row["input_ids"] == [2, 7, 8, 3, 10, 3]
    assert tokenizer.convert_tokens_to_ids("[MASK]") == 4
    assert tokenizer.convert_tokens_to_ids(["[MASK]", "no such token"]) == [4, 1]
    assert tokenizer.convert_ids_to_tokens([2, 3], skip_special_tokens=True) == []
    assert tokenizer.convert_tokens_to_string(["un", "##aff", "able"]) == "unaff able"
    assert tokenizer.encode(["今", "天"], add_special_tokens=False) == [
        *tokenizer.convert_tokens_to_ids(["今", "天"])
    ]
    assert tokenizer.encode([7, 8]) == [2, 7, 8, 3]
    assert tokenizer.max_len_single_sentence == tokenizer.model_max_length - 2
    assert tokenizer.tokenize("好", pair="好", add_special_tokens=True).count("[SEP]") == 2
    cut = dict(truncation=True, max_length=3, add_special_tokens=True)
    assert tokenizer.tokenize("今天天气", **cut) == ["[CLS]", "今", "[SEP]"]
    assert tokenizer.tokenize(["今天", "好"], is_split_into_words=True) == ["今天", "好"]
    assert tokenizer(text_target="好")["input_ids"] == tokenizer("好", text_target="好")["labels"]


@BOTH
def test_numbers_of_numpy(cls):
    tokenizer = cls(VOCAB, model_max_length=np.int64(9))
    assert tokenizer.model_max_length == 9 and type(tokenizer.model_max_length) is int
    one, two, four, eight = map(np.int32, (1, 2, 4, 8))
    options = dict(truncation=True, padding="max_length", return_overflowing_tokens=True)
    options["text"] = "今天天气非常好"
    got = tokenizer(max_length=eight, stride=two, pad_to_multiple_of=four, **options)
    assert got == tokenizer(max_length=8, stride=2, pad_to_multiple_of=4, **options)
    padded = tokenizer.pad({"input_ids": [2, 3]}, padding="max_length", max_length=four)
    assert padded["input_ids"] == [2, 3, 0, 0]
    ids = list(np.array([7, 8]))
    assert tokenizer.prepare_for_model(ids)["input_ids"] == tokenizer.encode(ids) == [2, 7, 8, 3]
    assert tokenizer.convert_ids_to_tokens(one) == tokenizer._convert_id_to_token(one) == "[UNK]"


def test_ids_to_tokens():
    tokenizer = RoFormerTokenizer(VOCAB)
    tokenizer.add_tokens(["旋转位置编码"])
    assert tokenizer.ids_to_tokens == {index: token for token, index in tokenizer.vocab.items()}
    assert tokenizer._convert_id_to_token(len(tokenizer) - 1) == "旋转位置编码"


def test_truncate_sequences():
    tokenizer = RoFormerTokenizer(VOCAB)
    ids = list(range(10))
    assert tokenizer.truncate_sequences(ids, None, 3, stride=1) == (ids[:7], None, ids[6:])
    cut = tokenizer.truncate_sequences(ids, ids[:4], 3, "only_second")
    assert cut == (ids, ids[:1], ids[1:4])


@BOTH
def test_pad(cls):
    tokenizer = cls(VOCAB)
    rows = [{"input_ids": [2, 3]}, {"input_ids": [2, 7, 8, 3]}]
    padded = tokenizer.pad(rows, pad_to_multiple_of=8, padding_side="left", return_tensors="np")
    assert isinstance(padded, BatchEncoding)
    assert padded["input_ids"].tolist() == [[0] * 6 + [2, 3], [0] * 4 + [2, 7, 8, 3]]
    assert padded["attention_mask"].tolist() == [[0] * 6 + [1, 1], [0] * 4 + [1] * 4]
    assert tokenizer.pad({"input_ids": [2, 3]}, padding=False)["attention_mask"] == [1, 1]
    assert tokenizer.pad({"input_ids": []})["input_ids"] == []
    with pytest.raises(ValueError, match="input_ids"):
        tokenizer.pad([{"ids": [1]}])
    for other in ({"input_ids": [1], "labels": 1}, {}, [2]):
        with pytest.raises(ValueError, match="Row 1 has .*same entries"):
            tokenizer.pad([rows[0], other])
    with pytest.raises(ValueError, match="number of rows"):
        tokenizer.pad({"input_ids": [[1], [2]], "token_type_ids": [[0]]})


@pytest.mark.parametrize(
    ("cls", "expected"),
    [
        (RoFormerTokenizer, "[CLS] , [UNK] [UNK] ! 3 . 14 [MASK] [SEP]"),
        (RoFormerTokenizerFast, "[CLS], [UNK] [UNK]! 3. 14 [MASK] [SEP]"),
    ],
)
def test_punctuation_beside_special_tokens(cls, expected):
    """The texts that transformers 4.57.6 gives."""
    tokenizer = cls(VOCAB)
    assert tokenizer.decode(tokenizer.encode(",囧囧!3.14[MASK]")) == expected


LABELS = [
    ([0.7, 1.2], "float32"),
    ([[0.0, 1.0], [1.0, 1.0]], "float32"),
    ([np.float32(0.5), np.float32(2)], "float32"),
    ([np.array([0.5, 1]), np.array([1.5, 2])], "float32"),
    ([True, False], "bool"),
    ([1, 0], "int"),
    ([np.int64(1), np.int64(0)], "int"),
    ([2**40, 1], "int64"),
    ([[], []], "int"),
]


@pytest.mark.parametrize("kind", ["np", "pt", "tf", "jax"])
@pytest.mark.parametrize(("labels", "dtype"), LABELS)
def test_labels_keep_their_values(kind, labels, dtype):
    """transformers 4.57.6 gives these types too (NumPy: float64, its usual one)."""
    module = {"np": "numpy", "pt": "torch", "tf": "tensorflow", "jax": "jax"}[kind]
    pytest.importorskip(module)
    dtype = {"int": "int64" if kind in ("np", "pt") else "int32"}.get(dtype, dtype)
    dtype = "float64" if kind == "np" and dtype == "float32" else dtype
    tokenizer = RoFormerTokenizer(VOCAB)
    rows = [{"input_ids": [2, 3], "labels": labels[0]}, {"input_ids": [2, 5, 3]}]
    rows[1]["labels"] = labels[1]
    if (kind, dtype) == ("jax", "int64"):
        with pytest.raises(ValueError, match="'labels'.* out of bounds for int32"):
            tokenizer.pad(rows, return_tensors=kind)
        return
    got = tokenizer.pad(rows, return_tensors=kind)
    assert str(got["labels"].dtype).strip("<>'").rpartition("'")[2].endswith(dtype)
    np.testing.assert_allclose(np.asarray(got["labels"]), np.asarray(labels), **FLOAT32)
    assert np.asarray(got["input_ids"]).tolist() == [[2, 3, 0], [2, 5, 3]]
    assert np.asarray(BatchEncoding({"x": [0.5]}, tensor_type=kind)["x"]).tolist() == [0.5]


def test_arrays_keep_their_types():
    torch = pytest.importorskip("torch")
    tokenizer = RoFormerTokenizer(VOCAB)
    rows = {"input_ids": np.array([[2, 3]]), "labels": np.array([0.7], "float16")}
    assert tokenizer.pad(rows)["labels"].dtype == np.float16
    assert tokenizer.pad(rows, return_tensors="pt")["labels"].dtype == torch.float16
    rows = {"input_ids": torch.tensor([[2, 3]]), "labels": torch.tensor([0.7]).double()}
    assert tokenizer.pad(rows)["labels"].dtype == torch.float64
    assert tokenizer.pad(rows, return_tensors="np")["labels"].dtype == np.float64
    assert BatchEncoding({"x": torch.tensor([0.7])}, tensor_type="np")["x"].dtype == np.float32


@pytest.mark.parametrize("kind", ["np", "pt", "tf", "jax"])
@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (([1], [1, 2]), "'labels': its rows differ in length"),
        ((1, None), "'labels': None is no number; leave 'labels' out"),
        (({"a": 1}, {"a": 2}), "'labels': {'a': 1} is no number"),
    ],
)
def test_what_no_tensor_can_hold_is_named(kind, labels, message):
    pytest.importorskip({"np": "numpy", "pt": "torch", "tf": "tensorflow", "jax": "jax"}[kind])
    rows = [{"input_ids": [2, 3], "labels": label} for label in labels]
    with pytest.raises(ValueError, match=message):
        RoFormerTokenizer(VOCAB).pad(rows, return_tensors=kind)


@BOTH
def test_decoding_writes_chinese_without_spaces(cls):
    tokenizer = cls(VOCAB)
    for text in [
        "今天天气非常好。",
        "我用 python 写程序",
        "他说：“你好！”",
        "hello world",
        "价格是100元",
    ]:
        decoded = tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True)
        assert decoded.replace(" ", "") == text.replace(" ", "")
        if " " not in text:
            assert decoded == text
    assert tokenizer.decode(tokenizer("你好")["input_ids"]) == "[CLS] 你好 [SEP]"
    english = tokenizer("it is, isn't it?", add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(english, clean_up_tokenization_spaces=True).startswith("it is, isn")
    assert tokenizer.decode(5) == tokenizer.convert_ids_to_tokens(5)
    assert "hello world" in tokenizer.decode(tokenizer("hello world")["input_ids"])


@BOTH
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(padding="most"), "'longest', 'max_length', 'do_not_pad'"),
        (dict(truncation="all"), "'only_first', 'only_second'"),
        (dict(max_length=-1, truncation=True), "max_length=-1"),
        (dict(max_length=1, truncation=True), "no room"),
        (dict(padding_side="up", padding=True), "padding_side='up'"),
        (dict(truncation="only_second", max_length=3), "needs a pair"),
    ],
)
def test_arguments_that_make_no_sense(cls, arguments, message):
    with pytest.raises(ValueError, match=message):
        cls(VOCAB)("今天天气非常好", **arguments)


@BOTH
def test_more_errors(cls):
    tokenizer = cls(VOCAB)
    with pytest.raises(TypeError, match="pad_to_max_length"):
        tokenizer("好", pad_to_max_length=True)
    with pytest.raises(ValueError, match="padding_side='x'"):
        cls(VOCAB, padding_side="x")
    with pytest.raises(TypeError, match="unk_token=3"):
        cls(VOCAB, unk_token=3)
    tokenizer.pad_token = None
    with pytest.raises(ValueError, match="does not have a padding token"):
        tokenizer(["好", "好好"], padding=True)
    with pytest.raises(ValueError, match="does not match batch length"):
        tokenizer(["好"], ["好", "好"])
    with pytest.raises(ValueError, match="is_split_into_words"):
        tokenizer([["好", "好", "好"]])


@BOTH
@pytest.mark.parametrize("use_jieba", [True, False])
def test_training(cls, use_jieba):
    lines = committed_lines()
    batches = (lines[i : i + 50] for i in range(0, 1000, 50))
    tokenizer = cls(VOCAB, use_jieba=use_jieba, model_max_length=99, do_lower_case=False)
    trained = tokenizer.train_new_from_iterator(
        batches, 4000, new_special_tokens=["<new>"], special_tokens_map={"[MASK]": "<mask>"}
    )
    assert type(trained) is cls and trained.model_max_length == 99
    assert trained.use_jieba == use_jieba and trained.do_lower_case is False
    assert len(trained) <= 4000 and trained.mask_token == "<mask>" and trained.pad_token_id == 0
    assert trained.tokenize("<new><mask>") == ["<new>", "<mask>"]
    known = [trained.unk_token_id not in trained.encode(line) for line in lines[50:1000]]
    assert sum(known) > 0.99 * len(known)
    words = [t for t in trained.get_vocab() if len(t) > 1 and "\u4e00" <= t[0] <= "\u9fff"]
    assert (len(words) > 500) == use_jieba
    assert tokenizer.get_vocab() == cls(VOCAB).get_vocab()


def test_backend_tokenizer_does_the_same():
    for use_jieba in (True, False):
        tokenizer = RoFormerTokenizerFast(VOCAB, use_jieba=use_jieba)
        backend = tokenizer.backend_tokenizer
        for line in committed_lines()[:200]:
            ours = tokenizer(line, "第二", return_offsets_mapping=True)
            theirs = backend.encode(line, "第二")
            assert (ours["input_ids"], ours["offset_mapping"]) == (theirs.ids, theirs.offsets)
            assert ours["token_type_ids"] == theirs.type_ids and ours.word_ids() == theirs.word_ids
