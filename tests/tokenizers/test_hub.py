"""Hub ids and push_to_hub, with a stand-in for the hub: a folder beside the test."""

import pytest

from keras_roformer.tokenizers import AutoTokenizer, RoFormerTokenizer, RoFormerTokenizerFast
from tests.fake_hub import Hub

from .record import VOCAB

BOTH = pytest.mark.parametrize("cls", [RoFormerTokenizer, RoFormerTokenizerFast])
TEXT = "今天天气非常好。"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    return Hub(tmp_path, monkeypatch)


@BOTH
@pytest.mark.parametrize("use_jieba", [True, False], ids=["jieba", "char"])
def test_what_is_pushed_comes_back(cls, use_jieba, hub):
    tokenizer = cls(VOCAB, use_jieba=use_jieba, model_max_length=77)
    tokenizer.add_tokens(["旋转位置编码"])
    answer = tokenizer.push_to_hub("mine", commit_message="Say so", token="secret", private=True)
    assert answer == "commit to me/mine"
    names = [name for name, _ in hub.calls]
    assert names == ["HfApi", "create", "upload"]
    assert hub.calls[0][1] == "secret" and hub.calls[1][1]["private"] is True
    assert hub.calls[2][1]["commit_message"] == "Say so"
    files = set(hub.files("me/mine"))
    expected = {"vocab.txt", "tokenizer_config.json", "special_tokens_map.json"}
    expected |= {"added_tokens.json"} | ({"tokenizer.json"} if cls.is_fast else set())
    assert files == expected
    hub.calls.clear()
    text = TEXT + "旋转位置编码"
    other = cls.from_pretrained("me/mine", revision="v1", token="secret", cache_dir="there")
    assert other(text).data == tokenizer(text).data
    assert (other.model_max_length, other.name_or_path) == (77, "me/mine")
    (download,) = [options for name, options in hub.calls if name == "download"]
    assert {k: download[k] for k in ("revision", "token", "cache_dir", "force_download")} == {
        "revision": "v1", "token": "secret", "cache_dir": "there", "force_download": False,
    }  # fmt: skip
    auto = AutoTokenizer.from_pretrained("me/mine", use_fast=cls.is_fast)
    assert type(auto) is cls and auto.use_jieba == use_jieba
    assert auto(text).data == tokenizer(text).data


@BOTH
def test_branches_and_saving_with_a_push(cls, hub, tmp_path):
    tokenizer = cls(VOCAB)
    tokenizer.push_to_hub("you/it", revision="next")
    assert ("branch", "next") in hub.calls and hub.calls[-1][1]["revision"] == "next"
    hub.calls.clear()
    (tmp_path / "local").mkdir()
    (tmp_path / "local" / "diary.txt").write_text("of the user's own")
    tokenizer.save_pretrained(
        tmp_path / "local", True, filename_prefix="my", push_to_hub=True, private=True
    )
    assert hub.calls[1] == ("create", {"private": True, "exist_ok": True})
    names = ["special_tokens_map.json", "tokenizer_config.json", "vocab.txt"]
    assert hub.files("me/local") == [f"my-{name}" for name in names]
    tokenizer.save_pretrained(tmp_path / "local", push_to_hub=True)
    assert cls.from_pretrained("me/local")(TEXT).data == tokenizer(TEXT).data
    tokenizer.save_pretrained(tmp_path / "local", push_to_hub=True, repo_id="a/b")
    assert (hub.folder / "a" / "b" / "vocab.txt").is_file()
    with pytest.raises(TypeError, match=r"\['private'\].*push_to_hub=True"):
        tokenizer.save_pretrained(tmp_path / "local", private=True)


@BOTH
def test_a_folder_of_a_repository(cls, hub):
    cls(VOCAB).save_pretrained(hub.folder / "you" / "it" / "tokenizer")
    other = cls.from_pretrained("you/it", subfolder="tokenizer")
    assert other(TEXT).data == cls(VOCAB)(TEXT).data
    (download,) = [options for name, options in hub.calls if name == "download"]
    assert download["allow_patterns"] == ["tokenizer/*.json", "tokenizer/*.txt", "tokenizer/*.md"]
