"""tokenize, presets, inspect and convert: what they show and write is what the classes read."""

import json
import sys

import pytest

from keras_roformer import hub
from keras_roformer.pipelines import pipeline


def test_tokenize(run, checkpoint):
    text = "今天天氣非常好。"
    assert run("tokenize", text, "-m", checkpoint)[1] == "今 天 天 氣 非常 好 。\n"
    assert run("tokenize", "-m", checkpoint, "--ids", stdin=text)[1] == "2 5 6 6 7 8 9 10 3\n"
    assert json.loads(run("tokenize", text, "-m", checkpoint, "--json")[1])[4] == "非常"


def test_presets(run, checkpoint, tmp_path, monkeypatch):
    preset = tmp_path / "some_preset"
    preset.mkdir()
    (preset / "config.json").write_text("{}")
    metadata = {"description": "for a test", "parameters": 1234}
    metadata["scores"] = {"heldout": {"accuracy": 0.3456}}
    (preset / "metadata.json").write_text(json.dumps(metadata))
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "config.json").write_text("{}")
    monkeypatch.setattr(hub, "DIRECTORIES", [tmp_path])
    assert run("presets")[1] == (
        "bare\t0.0 MB\t\t\t\nsome_preset\t0.0 MB\t1,234\taccuracy 34.6%\tfor a test\n"
    )
    listed = json.loads(run("presets", "--json")[1])
    assert listed["some_preset"]["description"] == "for a test"


def test_names_of_presets_are_whole_in_a_terminal(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    shown = run("presets")[1]
    assert len(shown.splitlines()[0]) == 80  # the title, which is as wide as the table
    assert all(name in shown for name in hub.list_presets())


def test_inspect(run, checkpoint):
    status, out, _ = run("inspect", checkpoint)
    rows = dict(line.split("\t")[:2] for line in out.splitlines())
    assert status == 0 and rows["hidden_size"] == "16" and rows["hidden_act"] == '"gelu"'
    found = json.loads(run("inspect", checkpoint, "--json")[1])
    model = pipeline("fill-mask", checkpoint).model
    assert found["parameters"] == model.num_parameters()
    assert rows["total"] == f"{model.num_parameters():,}"
    assert [part["name"] for part in found["parts"]] == [
        "cls", "roformer.embeddings", "roformer.encoder.layer.0", "roformer.encoder.layer.1",
    ]  # fmt: skip
    assert sum(part["parameters"] for part in found["parts"]) == found["parameters"]
    assert found["config"]["vocab_size"] == 115


@pytest.mark.parametrize("to", ["tensorflow", "flax", "pytorch", "safetensors"])
def test_convert(run, checkpoint, tmp_path, to):
    target = tmp_path / "target"
    status, out, err = run("convert", checkpoint, str(target), "--to", to, "--json")
    report = json.loads(out)
    assert (status, err) == (0, "")
    assert report["equal"] and report["largest weight difference"] == 0
    assert (report["from"], report["to"]) == ("safetensors", to)
    names = {file.name for file in target.iterdir()}
    assert {"config.json", "vocab.txt"} < names and len(names) == 3


def test_a_conversion_that_is_not_the_same_changes_nothing(run, checkpoint, tmp_path, monkeypatch):
    from keras_roformer import convert

    write = convert.checkpoint.write

    def spoil(directory, tensors, *args, **kwargs):
        name = "roformer.encoder.layer.0.output.dense.weight"
        return write(directory, {**tensors, name: tensors[name] + 0.1}, *args, **kwargs)

    target = tmp_path / "target"
    monkeypatch.setattr(convert.checkpoint, "write", spoil)
    status, out, err = run("convert", checkpoint, str(target), "--json")
    assert status == 1 and json.loads(out)["equal"] is False
    assert "left as it was" in err and err.count("\n") == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize(
    "name", ["model.safetensors", "pytorch_model.bin.index.json", "roformer.ckpt.index"]
)
def test_convert_refuses_a_directory_with_other_weights(run, checkpoint, tmp_path, name):
    (tmp_path / name).write_text("old")
    status, _, err = run("convert", checkpoint, str(tmp_path), "--to", "pytorch")
    assert status == 1 and str(tmp_path / name) in err and "remove it" in err
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [(name, "old")]


def test_convert_again_and_beside(run, checkpoint, tmp_path):
    """Over an older conversion to the same format, and into the source itself."""
    target = tmp_path / "target"
    target.mkdir()
    for name in ("pytorch_model.bin", "config.json", "notes.md"):
        (target / name).write_text("old")
    assert run("convert", checkpoint, str(target), "--to", "pytorch")[0] == 0
    assert run("convert", str(target), str(target), "--to", "flax")[0] == 0
    assert {file.name for file in target.iterdir()} == {
        "config.json", "flax_model.msgpack", "notes.md", "pytorch_model.bin", "vocab.txt",
    }  # fmt: skip
    assert (target / "notes.md").read_text() == "old"
    assert json.loads((target / "config.json").read_text())["model_type"] == "roformer"
