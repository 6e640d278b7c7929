"""The documented examples, on a vocabulary made here."""

import pytest

from keras_roformer.tokenizers import RoFormerTokenizer, RoFormerTokenizerFast

TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"今天气好。我爱北京你", "非常", "北京"]


@pytest.mark.parametrize("tokenizer_class", [RoFormerTokenizer, RoFormerTokenizerFast])
def test_documented_example(tokenizer_class, tmp_path):
    (tmp_path / "vocab.txt").write_text("\n".join(TOKENS) + "\n", encoding="utf-8")
    tokenizer = tokenizer_class.from_pretrained(tmp_path)
    text = "今天天气非常好。"
    assert tokenizer.tokenize(text) == ["今", "天", "天", "气", "非常", "好", "。"]
    ids = tokenizer(text)["input_ids"]
    assert ids == [2, 5, 6, 6, 7, 15, 8, 9, 3]
    assert tokenizer.decode(ids, skip_special_tokens=True) == text
    assert tokenizer.encode_words(text)[1] == [0, 0, 0, 0, 1, 2, 3]
