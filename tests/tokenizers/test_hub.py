"""Hub ids and push_to_hub, with a stand-in for the hub: a folder beside the test."""

import shutil
from types import SimpleNamespace

import huggingface_hub
import pytest

from keras_roformer.tokenizers import AutoTokenizer, RoFormerTokenizer, RoFormerTokenizerFast

from .record import VOCAB

BOTH = pytest.mark.parametrize("cls", [RoFormerTokenizer, RoFormerTokenizerFast])
TEXT = "今天天气非常好。"


class Hub:
    """Repositories in the folders of a folder, behind the functions that are used of a hub."""

    def __init__(self, folder):
        self.folder = folder
        self.calls = []

    def __call__(self, token=None):  # stands for HfApi
        self.calls.append(("HfApi", token))
        return self

    def list_repo_files(self, repo_id, revision=None):
        folder = self.folder / repo_id
        return [str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()]

    def snapshot_download(self, repo_id, **options):
        self.calls.append(("download", options))
        return str(self.folder / repo_id)

    def create_repo(self, repo_id, **options):
        self.calls.append(("create", options))
        repo_id = repo_id if "/" in repo_id else f"me/{repo_id}"
        (self.folder / repo_id).mkdir(parents=True, exist_ok=options["exist_ok"])
        return SimpleNamespace(repo_id=repo_id)

    def create_branch(self, repo_id, branch, exist_ok):
        self.calls.append(("branch", branch))

    def upload_folder(self, repo_id, folder_path, **options):
        self.calls.append(("upload", options))
        shutil.copytree(folder_path, self.folder / repo_id, dirs_exist_ok=True)
        return f"commit to {repo_id}"


@pytest.fixture
def hub(tmp_path, monkeypatch):
    hub = Hub(tmp_path)
    monkeypatch.setattr(huggingface_hub, "HfApi", hub)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", hub.snapshot_download)
    return hub


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
    files = {path.name for path in (hub.folder / "me" / "mine").iterdir()}
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
    tokenizer.save_pretrained(tmp_path / "local", push_to_hub=True, private=True)
    assert hub.calls[1] == ("create", {"private": True, "exist_ok": True})
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
