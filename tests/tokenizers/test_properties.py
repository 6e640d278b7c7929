"""What holds for any text and any arguments: offsets, alignments, padding, windows, decoding."""

import unicodedata

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from keras_roformer.tokenizers import RoFormerTokenizer, RoFormerTokenizerFast

from .record import VOCAB
from .strings import _SNIPPETS as SNIPPETS
from .test_robust import bare

pytestmark = pytest.mark.filterwarnings("ignore")

HAN = st.characters(min_codepoint=0x4E00, max_codepoint=0x9FA5)
ASCII = st.characters(min_codepoint=0x20, max_codepoint=0x7E)
ANY = st.characters()  # lone surrogates included
TEXTS = st.lists(st.one_of(HAN, HAN, ASCII, ANY, st.sampled_from(SNIPPETS)), max_size=20).map(
    "".join
)
TOKENIZERS = {
    f"{kind}{' cased' * (not lower)}{' fast' * cls.is_fast}": cls(
        VOCAB, use_jieba=kind == "jieba", do_lower_case=lower
    )
    for kind in ("jieba", "char")
    for lower in (True, False)
    for cls in (RoFormerTokenizer, RoFormerTokenizerFast)
}
EACH = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)
TWO = [TOKENIZERS["jieba"], TOKENIZERS["jieba fast"]]
BOTH = pytest.mark.parametrize("tokenizer", TWO, ids=["slow", "fast"])
properties = settings(deadline=None, derandomize=True, max_examples=60)


@EACH
@properties
@given(text=TEXTS)
def test_offsets(tokenizer, text):
    """Every token stands for its own text, in order, and nothing that can be seen is lost."""
    row = tokenizer(text, return_offsets_mapping=True, add_special_tokens=False)
    offsets = row["offset_mapping"]
    assert row["input_ids"] == tokenizer(text, add_special_tokens=False)["input_ids"]
    assert offsets == row.encodings[0].offsets
    seen = set()
    for token, (start, end) in zip(row.tokens(), offsets, strict=True):
        assert 0 <= start < end <= len(text)
        if token != "[UNK]" and token not in tokenizer.all_special_tokens:
            assert bare(token) == bare(text[start:end])
        seen.update(range(start, end))
    assert [start for start, _ in offsets] == sorted(start for start, _ in offsets)
    for index in set(range(len(text))) - seen:
        # White space, control characters, marks; U+FFFD stands for what could not be read.
        assert unicodedata.category(text[index])[0] in "ZCM" or text[index] == "\ufffd"


@BOTH
@properties
@given(first=TEXTS, second=TEXTS)
def test_alignments_of_pairs(tokenizer, first, second):
    assume(second)
    row = tokenizer(first, second, return_offsets_mapping=True)
    texts = (first, second)
    single = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in texts]
    assert row["input_ids"] == tokenizer.build_inputs_with_special_tokens(*single)
    assert row["token_type_ids"] == [0] * (len(single[0]) + 2) + [1] * (len(single[1]) + 1)
    for index, sequence in enumerate(row.sequence_ids()):
        span = row["offset_mapping"][index]
        if sequence is None:
            assert span == (0, 0) and row.token_to_chars(index) is None
            continue
        assert row.token_to_chars(index) == span
        assert 0 <= span[0] < span[1] <= len(texts[sequence])
        found = row.char_to_token(span[0], sequence_index=sequence)
        assert row["offset_mapping"][found][0] <= span[0] < row["offset_mapping"][found][1]
        word = row.token_to_word(index)
        first_token, stop = row.word_to_tokens(word, sequence_index=sequence)
        assert first_token <= index < stop


PADDING = st.fixed_dictionaries(
    {
        "padding": st.sampled_from([True, "longest", "max_length", False]),
        "max_length": st.integers(4, 40),
        "truncation": st.sampled_from([True, "longest_first", "only_first", False]),
        "pad_to_multiple_of": st.sampled_from([None, 4, 8]),
        "padding_side": st.sampled_from([None, "left", "right"]),
    }
)


@BOTH
@properties
@given(texts=st.lists(TEXTS, min_size=1, max_size=5), arguments=PADDING)
def test_padding(tokenizer, texts, arguments):
    """Padded rows are as long as they should be, and without padding they are what they were."""
    multiple, longest = arguments["pad_to_multiple_of"], arguments["max_length"]
    if multiple and arguments["truncation"]:
        arguments = {**arguments, "max_length": -(-longest // multiple) * multiple}
    flags = dict(return_special_tokens_mask=True, return_offsets_mapping=True)
    bare_arguments = {k: arguments[k] for k in ("max_length", "truncation")}
    plain = tokenizer(texts, **bare_arguments, **flags)
    padded = tokenizer(texts, **arguments, **flags)
    lengths = [len(row) for row in padded["input_ids"]]
    target = max(map(len, plain["input_ids"]))
    if arguments["padding"] == "max_length":
        target = arguments["max_length"]
    if arguments["padding"]:
        target = -(-target // (multiple or 1)) * (multiple or 1)
        assert lengths == [max(target, len(row)) for row in plain["input_ids"]]
    else:
        assert padded.data == plain.data
    fill = {"input_ids": 0, "token_type_ids": 0, "attention_mask": 0, "special_tokens_mask": 1,
            "offset_mapping": (0, 0)}  # fmt: skip
    for number, length in enumerate(lengths):
        size = len(plain["input_ids"][number])
        left = arguments["padding_side"] == "left"
        kept = slice(length - size, length) if left else slice(0, size)
        for key, column in padded.items():
            row = column[number]
            assert len(row) == length
            assert row[kept] == plain[key][number]
            assert row[: kept.start] + row[kept.stop :] == [fill[key]] * (length - size)
    # `pad` does the same afterwards.
    again = tokenizer.pad(
        {key: plain[key] for key in fill if key != "offset_mapping"},
        **{k: arguments[k] for k in ("padding", "max_length", "pad_to_multiple_of")},
        padding_side=arguments["padding_side"],
    )
    assert again.data == {key: padded[key] for key in again.data}


@BOTH
@properties
@given(texts=st.lists(TEXTS, max_size=6))
def test_a_batch_is_its_texts(tokenizer, texts):
    assert tokenizer(texts)["input_ids"] == [tokenizer(text)["input_ids"] for text in texts]
    assert list(tokenizer.encode_iter(iter(texts), batch_size=2)) == tokenizer(texts)["input_ids"]


@pytest.mark.parametrize("side", ["right", "left"])
@properties
@given(text=TEXTS, size=st.integers(4, 12), data=st.data())
def test_windows_hold_all_tokens(side, text, size, data):
    """Overflowing rows: none too long, neighbours share `stride` tokens, together the text."""
    stride = data.draw(st.integers(0, size - 3))
    tokenizer = TOKENIZERS["jieba fast"]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    tokenizer.truncation_side = side
    try:
        rows = tokenizer(
            text, truncation=True, max_length=size, stride=stride, return_overflowing_tokens=True
        )["input_ids"]
    finally:
        tokenizer.truncation_side = "right"
    assert all(len(row) <= size for row in rows)
    windows = [row[1:-1] for row in rows]
    if side == "left":
        windows.reverse()
    whole = windows[0]
    for before, after in zip(windows, windows[1:], strict=False):
        assert before[len(before) - stride :] == after[:stride]
        whole = whole + after[stride:]
    assert whole == ids


@pytest.mark.parametrize("side", ["right", "left"])
@properties
@given(text=TEXTS, size=st.integers(2, 12))
def test_what_is_cut_off_is_returned(side, text, size):
    tokenizer = TOKENIZERS["jieba"]
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    tokenizer.truncation_side = side
    try:
        row = tokenizer(text, truncation=True, max_length=size, return_overflowing_tokens=True)
    finally:
        tokenizer.truncation_side = "right"
    kept, cut = row["input_ids"][1:-1], row["overflowing_tokens"]
    assert (cut + kept if side == "left" else kept + cut) == ids
    assert row["num_truncated_tokens"] == len(ids) + 2 - size


@BOTH
@properties
@given(
    text=st.text(st.sampled_from("今天天气非常好我们去公园散步吧，。！？人民法律规定"), min_size=1)
)
def test_chinese_comes_back_from_its_ids(tokenizer, text):
    assert tokenizer.decode(tokenizer(text)["input_ids"], skip_special_tokens=True) == text


USER_WORDS = ["旋转位置编码", "关注则乱", "好我", "天非", "编码器们"]


@pytest.fixture(scope="module")
def segmenter():
    return RoFormerTokenizer(VOCAB, user_dict=USER_WORDS).segmenter


@properties
@given(text=st.lists(st.one_of(TEXTS, st.sampled_from(USER_WORDS))).map("".join))
def test_segmenter_loses_nothing(segmenter, text):
    text = text.encode("utf-8", "ignore").decode()
    assert "".join(segmenter(text)) == text


@pytest.mark.parametrize("word", USER_WORDS)
def test_segmenter_keeps_a_users_word_whole(segmenter, word):
    assert segmenter(word) == [word]
    assert word in segmenter(f"，{word}。")
    assert RoFormerTokenizer(VOCAB).segmenter(word) != [word]
