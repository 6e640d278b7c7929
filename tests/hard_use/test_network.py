"""No network unless asked for, no secret in any text, nothing run that a file brings."""

import json
import logging
import os
import traceback
import zipfile

import keras
import pytest

import keras_roformer as kr
from tests.conftest import ROOT
from tests.support import BACKEND, PREFIX, cls, python

TOKEN = "hf_" + "SecretSecretSecretSecretSecretSecr"

OFFLINE = f"""
import socket, sys

def blocked(*args, **kwargs):
    raise AssertionError(f"the network was used: {{args}}")

for name in ("connect", "connect_ex", "sendto"):
    setattr(socket.socket, name, blocked)
socket.getaddrinfo = socket.create_connection = blocked

import keras_roformer as kr
tokenizer = kr.RoFormerTokenizer.from_pretrained("roformer_tiny_zh")
kr.AutoConfig.from_pretrained("roformer_tiny_zh")
model = kr.{PREFIX}RoFormerForMaskedLM.from_pretrained("roformer_tiny_zh")
model.save_pretrained(sys.argv[1])
tokenizer.save_pretrained(sys.argv[1])
fill = kr.pipeline("fill-mask", sys.argv[1])
print(fill("今天[MASK]很好。", top_k=1)[0]["token_str"])
"""


def test_no_network(tmp_path):
    """Presets, directories, saving and a pipeline with every socket blocked, hub not offline."""
    environment = {n: v for n, v in os.environ.items() if n != "HF_HUB_OFFLINE"}
    environment["KERAS_BACKEND"] = BACKEND
    result = python("-c", OFFLINE, tmp_path, env=environment, cwd=ROOT)
    assert result.stdout.strip(), result.stderr


def test_token_is_never_told(tmp_path, caplog, capfd, monkeypatch):
    """Errors with their whole chain, logs and both outputs, for calls that fail with a token."""
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    model = cls("Model")(kr.RoFormerConfig(hidden_size=8, num_attention_heads=2, vocab_size=9))
    model.save_pretrained(tmp_path)
    told = []
    with caplog.at_level(logging.DEBUG):
        for call in (
            lambda: cls("Model").from_pretrained("someone/private", token=TOKEN),
            lambda: cls("Model").from_pretrained("no such name", token=TOKEN),
            lambda: cls("Model").from_pretrained(tmp_path, token=TOKEN, colour="red"),
            lambda: cls("Model").from_pretrained(tmp_path, use_auth_token=TOKEN),
            lambda: kr.RoFormerConfig.from_pretrained("someone/private", token=TOKEN),
            lambda: kr.RoFormerTokenizer.from_pretrained("someone/private", token=TOKEN),
            lambda: model.push_to_hub("someone/private", token=TOKEN),
            lambda: kr.RoFormerMaskedLM.from_preset("someone/private"),
        ):
            try:
                call()
            except Exception as error:
                told += traceback.format_exception(error)
        config = kr.RoFormerConfig.from_pretrained(tmp_path, token=TOKEN)
        told += [repr(config), config.to_json_string(use_diff=False)]
    assert len(told) > 5
    told += [caplog.text, *capfd.readouterr()]
    assert not any(TOKEN in text for text in told)
    for file in tmp_path.rglob("*"):
        assert TOKEN.encode() not in file.read_bytes()


def test_a_lambda_in_a_keras_file_is_not_run(tmp_path):
    """Keras's safe mode is on for every way in which this library opens a .keras file."""
    marker = tmp_path / "marker"
    inputs = keras.Input((2,))
    path = str(marker)
    layer = keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1], output_shape=(2,))
    keras.Model(inputs, layer(inputs)).save(tmp_path / "hostile.keras")
    marker.unlink(missing_ok=True)
    with pytest.raises(ValueError, match="(?i)lambda"):
        keras.models.load_model(tmp_path / "hostile.keras")
    assert not marker.exists()
    source = "\n".join(path.read_text() for path in (ROOT / "keras_roformer").rglob("*.py"))
    assert "safe_mode=False" not in source and "enable_unsafe_deserialization" not in source


@pytest.mark.parametrize("place", ["the model", "an argument"])
def test_a_preset_runs_no_code(tmp_path, place):
    """KerasHub's presets name classes: neither a function of Python's nor a lambda is run."""
    pytest.importorskip("keras_hub")
    from keras_roformer import models

    backbone = models.RoFormerBackbone(
        vocabulary_size=9, num_layers=1, num_heads=2, hidden_dim=8, intermediate_dim=8
    )
    backbone.save_to_preset(tmp_path)
    marker = tmp_path / "marker"
    path = str(marker)
    config = json.loads((tmp_path / "config.json").read_text())
    if place == "the model":
        config |= {"module": "os", "class_name": "mkdir", "registered_name": "mkdir"}
        config["config"] = {"path": path}
    else:
        layer = keras.layers.Lambda(lambda x: (open(path, "w").close(), x)[1])
        config["config"]["activation"] = keras.saving.serialize_keras_object(layer)
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises((TypeError, ValueError)):
        models.RoFormerBackbone.from_preset(tmp_path)
    assert not marker.exists()


def test_path_traversal_in_an_archive(tmp_path):
    """pytorch_model.bin is a zip: a storage named ../ is not looked for outside."""
    from keras_roformer import weights

    with zipfile.ZipFile(tmp_path / "pytorch_model.bin", "w") as archive:
        archive.writestr("../../outside/data.pkl", b"\x80\x02}.")
        archive.writestr("/etc/data/0", b"0000")
    try:
        assert weights.read(tmp_path) == {}
    except weights.CheckpointError:
        pass
    assert not (tmp_path.parent.parent / "outside").exists()
    assert list(tmp_path.rglob("*")) == [tmp_path / "pytorch_model.bin"]  # nothing was unpacked
