"""A disk that is full in the middle of a save: an error, and the old files as they were."""

import collections
import faulthandler
import os
import shutil

import numpy as np
import pytest

from keras_roformer.callbacks import BackupAndRestore
from tests.hard_use.common import report
from tests.hard_use.training import classifier
from tests.support import make

resource = pytest.importorskip("resource", reason="this system has no limit of file sizes")


def save_on_full_disk(save, room):
    """Saves in a process none of whose files may be larger than `room` bytes; its exit status."""
    child = os.fork()
    if child == 0:
        try:
            faulthandler.disable()  # a crash is expected, and no news
            devnull = os.open(os.devnull, os.O_RDWR)
            os.dup2(devnull, 2)  # HDF5 tells its stack
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
            save()
            os._exit(0)
        except OSError:
            os._exit(1)
        finally:
            os._exit(2)
    return os.waitpid(child, 0)[1]


def contents(folder):
    """The files in there, without what failed saves have left, which the next one removes."""
    paths = [path.relative_to(folder) for path in folder.rglob("*") if (folder / path).is_file()]
    return {
        str(path): (folder / path).read_bytes()
        for path in paths
        if not any(part.startswith(".") for part in path.parts)
    }


def save_pretrained(folder):
    model = make("ForMaskedLM", seed=1)
    return lambda: model.save_pretrained(folder / "model")


def save_to_preset(folder):
    pytest.importorskip("keras_hub")
    from keras_roformer import models

    backbone = models.RoFormerBackbone(
        vocabulary_size=40, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=24
    )
    return lambda: backbone.save_to_preset(folder / "preset")


def save_task(folder):
    pytest.importorskip("keras_hub")
    from keras_roformer import models

    backbone = models.RoFormerBackbone(
        vocabulary_size=40, num_layers=1, num_heads=2, hidden_dim=16, intermediate_dim=24
    )
    task = models.RoFormerTextClassifier(backbone, num_classes=2)
    return lambda: task.save(folder / "task.keras")


def backup(folder):
    callback = BackupAndRestore(folder)
    callback.set_model(classifier())
    epochs = iter(range(10))
    return lambda: callback.on_epoch_end(next(epochs))


SAVES = [save_pretrained, save_to_preset, save_task, backup]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.parametrize("prepare", SAVES)
def test_write_that_fails(tmp_path, prepare):
    """At whatever byte. HDF5 may even crash there, which is why it has a process of its own."""
    save = prepare(tmp_path)
    save()
    before = contents(tmp_path)
    largest = max(map(len, before.values()))
    rooms = [0, 1, *np.random.default_rng(0).integers(2, largest - 1, 3).tolist(), largest - 1]
    for room in rooms:
        assert save_on_full_disk(save, room) != 0
        assert contents(tmp_path) == before
    save()
    left = [path.name for path in tmp_path.rglob(".*")]
    assert not left and len(contents(tmp_path)) == len(before)
    report(f"full disk: {prepare.__name__} failed {len(rooms)} times, the old files as before")


@pytest.mark.parametrize("prepare", SAVES[1:])
def test_no_room_is_an_error_that_tells_the_bytes(tmp_path, monkeypatch, prepare):
    save = prepare(tmp_path)
    save()
    before = contents(tmp_path)
    usage = collections.namedtuple("usage", "free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(1000))
    with pytest.raises(OSError, match=r"[\d,]+ bytes of weights, but the disk has 1,000 free"):
        save()
    assert contents(tmp_path) == before and not list(tmp_path.rglob(".*"))
