"""kill -9 in the middle of a save: what is there afterwards is the old save or the new one."""

import os
import select
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from keras_roformer import saving, weights
from keras_roformer.callbacks import BackupAndRestore
from keras_roformer.config import RoFormerConfig
from tests.conftest import ROOT
from tests.hard_use.common import often, report
from tests.hard_use.training import classifier
from tests.support import BACKEND, cls, make

KILLS = often(50, 5)
needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")


def kill_while(action, rng):
    """Forks a process that repeats `action(turn)`, kills it in the middle of one of the next two
    times, and gives how often it was done."""
    for _ in range(5):
        reader, writer = os.pipe()
        child = os.fork()
        if child == 0:
            try:
                for turn in range(10**9):
                    action(turn)
                    os.write(writer, b".")
            finally:
                os._exit(1)  # not on into a second pytest
        os.close(writer)
        start = time.monotonic()
        # A lock that a thread of the framework held at the fork is never released in the child,
        # which then waits for ever: that is no save, and another fork is tried.
        runs = select.select([reader], [], [], 60)[0]
        done = len(os.read(reader, 1)) if runs else 0
        time.sleep(rng.uniform(0, 2 * (time.monotonic() - start)) if done else 0)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        while part := os.read(reader, 65536):
            done += len(part)
        os.close(reader)
        if runs:
            assert done, "the saving process failed"
            return done
    pytest.fail("five forks in a row did not run")


@needs_fork
@pytest.mark.parametrize("size", ["5GB", "9KB"], ids=["whole", "shards"])
def test_save_pretrained(tmp_path, size):
    """Two models of the same shapes and other weights, saved in turn over one another."""
    models = [make("ForMaskedLM", seed=seed) for seed in (0, 1)]
    expected = [dict(model._canonical()) for model in models]
    # As in a training script that saves from a process it forked: what JAX needs is read before.
    for model, tensors in zip(models, expected, strict=True):
        model._canonical = lambda tensors=tensors: tensors
        model._assign = lambda params: None
    directory = tmp_path / "model"
    models[0].save_pretrained(directory, max_shard_size=size)
    rng = np.random.default_rng(0)
    saves = 0
    for _ in range(KILLS):
        saves += kill_while(
            lambda turn: models[turn % 2].save_pretrained(directory, max_shard_size=size),
            rng,
        )
        tensors = weights.read(directory)
        same = [
            all(np.array_equal(tensors[name], array) for name, array in wanted.items())
            for wanted in expected
        ]
        assert tensors.keys() == expected[0].keys() and any(same)
        assert RoFormerConfig.from_pretrained(directory).architectures == ["RoFormerForMaskedLM"]
    report(f"save_pretrained ({size} files): {KILLS} kills in {saves} saves, 0 half files")
    assert saves >= KILLS
    models[1].save_pretrained(directory, max_shard_size=size)
    kept = {path.name for path in weights.find(directory).files} | {"config.json"}
    kept |= {name.name for name in directory.glob("*.index.json")}
    assert {path.name for path in directory.iterdir()} == kept  # nothing of the killed is left
    loaded = cls("ForMaskedLM").from_pretrained(directory)
    np.testing.assert_array_equal(
        loaded._canonical()["cls.predictions.bias"], expected[1]["cls.predictions.bias"]
    )


@needs_fork
def test_folder(tmp_path):
    """Several files that belong together are exchanged at once."""
    folder = tmp_path / "folder"

    def save(turn):
        with saving.atomic_folder(folder) as temporary:
            for i in range(5):
                (temporary / f"part-{turn % 2}-{i}").write_bytes(bytes([turn % 2]) * 50_000)

    save(0)
    rng = np.random.default_rng(0)
    saves = 0
    for _ in range(KILLS):
        saves += kill_while(save, rng)
        names = sorted(path.name for path in folder.iterdir())
        turn = int(names[0].split("-")[1])
        assert names == [f"part-{turn}-{i}" for i in range(5)]
        assert all(path.read_bytes() == bytes([turn]) * 50_000 for path in folder.iterdir())
    assert saves >= KILLS
    save(1)
    assert os.listdir(tmp_path) == ["folder"]
    report(f"folders of files: {KILLS} kills in {saves} saves, 0 half folders")


def test_folder_that_cannot_be_exchanged(tmp_path, monkeypatch):
    """As on a system without such a call; a failure keeps the old files."""
    monkeypatch.setattr(saving, "_exchange", lambda a, b: False)
    for text in ("old", "new"):
        with saving.atomic_folder(tmp_path / "folder") as temporary:
            (temporary / text).touch()
    with pytest.raises(RuntimeError), saving.atomic_folder(tmp_path / "folder") as temporary:
        (temporary / "half").touch()
        raise RuntimeError
    assert os.listdir(tmp_path) == ["folder"] and os.listdir(tmp_path / "folder") == ["new"]


@needs_fork
def test_save_to_preset(tmp_path):
    """Config, weights and the rest of a preset are one: all old or all new."""
    pytest.importorskip("keras_hub")
    from keras_roformer import models

    arguments = dict(
        vocabulary_size=40, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=24
    )
    backbones = []
    for seed, size in enumerate((24, 32)):
        keras.utils.set_random_seed(seed)
        backbones.append(models.RoFormerBackbone(**{**arguments, "intermediate_dim": size}))
    wanted = [[keras.ops.convert_to_numpy(w) for w in model.weights] for model in backbones]
    preset = tmp_path / "preset"
    backbones[0].save_to_preset(preset)
    (preset / "README.md").write_text("mine")
    rng = np.random.default_rng(0)
    saves = 0
    for kill in range(KILLS):
        saves += kill_while(lambda turn: backbones[turn % 2].save_to_preset(preset), rng)
        if kill % often(5, 1):
            continue  # loading takes longer than saving
        loaded = models.RoFormerBackbone.from_preset(str(preset))
        turn = int(loaded.intermediate_dim == 32)
        for found, array in zip(loaded.weights, wanted[turn], strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), array)
        assert (preset / "README.md").read_text() == "mine"
    assert saves >= KILLS
    report(f"save_to_preset: {KILLS} kills in {saves} saves, 0 half presets")


def newest(backup):
    """The number of the last epoch that a folder of backups has whole; 0 where there is none."""
    return max((int(path.name[6:]) for path in backup.glob("epoch-*")), default=0)


@needs_fork
def test_backup(tmp_path):
    """The backup of a training, written by two models of other weights in turn."""
    trained = [classifier(seed=seed) for seed in (0, 1)]
    wanted = [[keras.ops.convert_to_numpy(w) for w in model.weights] for model in trained]
    callbacks = [BackupAndRestore(tmp_path) for _ in trained]
    for callback, model in zip(callbacks, trained, strict=True):
        callback.set_model(model)
    model = classifier()
    rng = np.random.default_rng(0)
    saves = 0
    for _ in range(KILLS):
        done = newest(tmp_path)

        def save(turn, done=done):  # epochs count on, as in a training
            callbacks[(done + turn) % 2].on_epoch_end(done + turn)

        saves += kill_while(save, rng)
        epoch = newest(tmp_path)
        assert epoch > done
        model.load_weights(tmp_path / f"epoch-{epoch}" / "model.weights.h5")
        for found, array in zip(model.weights, wanted[(epoch - 1) % 2], strict=True):
            np.testing.assert_array_equal(keras.ops.convert_to_numpy(found), array)
    report(f"backups of fit: {KILLS} kills in {saves} saves, 0 broken backups")


FIT = """
import sys
sys.path.insert(0, sys.argv[1])
from tests.hard_use.training import train
train(sys.argv[2], epochs=10**6, on_start=lambda: print("ready", flush=True))
"""


def test_fit(tmp_path):
    """A training that is killed again and again goes on each time from where it was."""
    environment = {**os.environ, "KERAS_BACKEND": BACKEND}
    command = [sys.executable, "-c", FIT, str(ROOT), str(tmp_path)]
    rng = np.random.default_rng(0)
    kills = often(10, 2)
    for _ in range(kills):
        before = newest(tmp_path)
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as process:
            assert process.stdout.readline() == b"ready\n"
            while newest(tmp_path) <= before:
                time.sleep(0.05)
                assert process.poll() is None
            time.sleep(rng.uniform(0, 1))
            process.kill()
    report(f"fit: {kills} kills, went on each time, {newest(tmp_path)} epochs done")
