"""Finding a checkpoint's files: directory, box, hub. The hub is played by a local stand-in."""

import json

import huggingface_hub
import pytest
from huggingface_hub import errors

from keras_roformer import hub
from tests.support import python

pytestmark = pytest.mark.framework_free


@pytest.fixture
def box(tmp_path, monkeypatch):
    """A box with one preset, in the place of the package's own."""
    preset = tmp_path / "box" / "roformer_small_zh"
    preset.mkdir(parents=True)
    (preset / "config.json").write_text("{}")
    (preset / "metadata.json").write_text(json.dumps({"accuracy": 0.5}))
    (tmp_path / "box" / "README.md").write_text("no preset")
    monkeypatch.setattr(hub, "DIRECTORIES", [tmp_path / "absent", tmp_path / "box"])
    return tmp_path / "box"


class Hub:
    """A repository on a hub; `online = False` cuts the connection."""

    files = ("config.json", "vocab.txt", "pytorch_model.bin", "tf_model.h5", "v2/config.json")
    online = True
    error = None

    def __init__(self, folder):
        self.folder = folder
        self.asked = []

    def list_repo_files(self, repo_id, revision=None):
        if not self.online:
            raise ConnectionError("Name or service not known\nand more lines")
        if self.error:
            raise self.error
        return list(self.files)

    def snapshot_download(self, repo_id, *, local_files_only=False, allow_patterns=None, **options):
        self.asked.append((repo_id, local_files_only, allow_patterns, options))
        if local_files_only and not self.folder.is_dir():
            raise errors.LocalEntryNotFoundError("not in the cache")
        (self.folder / "v2").mkdir(parents=True, exist_ok=True)
        return str(self.folder)


@pytest.fixture
def remote(tmp_path, monkeypatch):
    remote = Hub(tmp_path / "cache")
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda token=None: remote)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", remote.snapshot_download)
    return remote


def hub_error(cls):
    error = cls.__new__(cls)
    Exception.__init__(error, "refused")
    return error


def test_directory_comes_first(box, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert hub.resolve("roformer_small_zh") == box / "roformer_small_zh"
    (tmp_path / "roformer_small_zh").mkdir()
    assert hub.resolve("roformer_small_zh").resolve() == tmp_path / "roformer_small_zh"
    assert hub.resolve(tmp_path) == tmp_path
    assert hub.resolve(tmp_path, subfolder="box") == box


def test_list_presets(box):
    listed = hub.list_presets()
    assert list(listed) == ["roformer_small_zh"]
    assert listed["roformer_small_zh"]["accuracy"] == 0.5
    assert listed["roformer_small_zh"]["bytes"] == 2 + len('{"accuracy": 0.5}')


@pytest.mark.parametrize(
    "name, message",
    [
        ("roformer_smal_zh", "neither a directory nor a preset.*Did you mean 'roformer_small_zh'"),
        ("bert", "'bert' is neither a directory nor a preset. Presets in the box: roformer_small"),
        ("./nothing/here", "neither a directory nor a preset"),
        ("no name", "neither"),
    ],
)
def test_unknown_name_says_what_there_is(box, remote, name, message, monkeypatch, tmp_path):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.raises(ValueError, match=message):
        hub.resolve(name)
    assert remote.asked == []


def test_a_file_is_no_checkpoint(box):
    with pytest.raises(ValueError, match="is a file; give the directory"):
        hub.resolve(box / "README.md")


def test_missing_subfolder(box):
    with pytest.raises(ValueError, match="no subfolder 'v2'"):
        hub.resolve("roformer_small_zh", subfolder="v2")


def test_hub_downloads_one_weight_format(box, remote):
    assert hub.resolve("someone/roformer", revision="main", token="t") == remote.folder
    repo_id, local, patterns, options = remote.asked[-1]
    assert (repo_id, local) == ("someone/roformer", False)
    assert options == dict(revision="main", cache_dir=None, token="t", force_download=False)
    assert "pytorch_model*.bin" in patterns and "tf_model*.h5" not in patterns

    hub.resolve("someone/roformer", weights=("tensorflow", "safetensors"))
    assert "tf_model*.h5" in remote.asked[-1][2]
    hub.resolve("someone/roformer", weights=())
    assert not any("model" in pattern for pattern in remote.asked[-1][2])


def test_hub_subfolder(box, remote):
    assert hub.resolve("someone/roformer", subfolder="v2") == remote.folder / "v2"
    assert all(pattern.startswith("v2/") for pattern in remote.asked[-1][2])


@pytest.mark.parametrize("local_files_only", [True, False])
def test_offline(box, remote, local_files_only):
    remote.online = False
    with pytest.raises(OSError, match="no copy in its cache; offline, use.*roformer_small_zh") as e:
        hub.resolve("someone/roformer", local_files_only=local_files_only)
    assert "\n" not in str(e.value)
    assert ("local_files_only" in str(e.value)) == local_files_only
    remote.folder.mkdir()
    assert hub.resolve("someone/roformer", local_files_only=local_files_only) == remote.folder


@pytest.mark.parametrize(
    "error, expected, message",
    [
        (errors.RepositoryNotFoundError, ValueError, "the hub has none of this name"),
        (errors.RevisionNotFoundError, ValueError, "no revision 'v9'"),
        (errors.GatedRepoError, OSError, "ask for access"),
    ],
)
def test_hub_refuses(box, remote, error, expected, message):
    remote.error = hub_error(error)
    with pytest.raises(expected, match=message):
        hub.resolve("someone/roformer", revision="v9")


def test_import_needs_neither_framework_nor_numpy():
    code = (
        "import sys, keras_roformer.hub as p; p.list_presets()\n"
        "found = {'keras', 'jax', 'torch', 'tensorflow', 'numpy'} & set(sys.modules)\n"
        "assert not found and 'huggingface_hub' not in sys.modules, found"
    )
    python("-c", code)
