"""Saving: shards, what a new save replaces, and what a failed or killed one leaves."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from keras_roformer import weights
from keras_roformer.weights import checkpoint
from tests.weights.common import assert_same, random_weights

FORMATS = tuple(weights.FORMATS)
ROOT = Path(weights.__file__).parents[2]


def names(directory):
    return sorted(entry.name for entry in directory.iterdir())


@pytest.mark.parametrize("format", FORMATS)
def test_shards(tmp_path, format):
    tensors = random_weights()
    paths = weights.write(tmp_path, tensors, format, max_shard_size=200)
    stem, suffix = Path(weights.FORMATS[format]).stem, Path(weights.FORMATS[format]).suffix
    count = len(paths)
    assert count > 3
    assert [path.name for path in paths] == [
        f"{stem}-{number:05d}-of-{count:05d}{suffix}" for number in range(1, count + 1)
    ]
    index = json.loads((tmp_path / f"{weights.FORMATS[format]}.index.json").read_text())
    assert index["metadata"]["total_size"] == sum(array.nbytes for array in tensors.values())
    assert len(index["weight_map"]) == len(tensors)
    assert weights.find(tmp_path).files == tuple(paths)
    assert_same(weights.read(tmp_path), tensors)


def test_hub_library_reads_shards(tmp_path):
    """The index and the shards are as Hugging Face's own reader expects them."""
    torch = pytest.importorskip("torch")
    from huggingface_hub import load_torch_model

    model = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 2))
    tensors = random_weights(names={k: tuple(v.shape) for k, v in model.state_dict().items()})
    weights.write(tmp_path, tensors, max_shard_size=40)
    load_torch_model(model, tmp_path)
    assert_same({name: t.numpy() for name, t in model.state_dict().items()}, tensors)


@pytest.mark.parametrize(
    "size,expected",
    ((7, 7), ("7", 7), ("5GB", 5 * 10**9), ("2mb", 2 * 10**6), ("3 KB", 3000), ("1GiB", 2**30)),
)
def test_shard_size(size, expected):
    assert checkpoint._parse_size(size) == expected


@pytest.mark.parametrize("size", ("", "GB", "5TB", "-1", 0, 1.5, None))
def test_wrong_shard_size(tmp_path, size):
    with pytest.raises(ValueError, match="max_shard_size=.*5GB"):
        weights.write(tmp_path, random_weights(), max_shard_size=size)
    assert names(tmp_path) == []


@pytest.mark.parametrize("format", FORMATS)
def test_a_save_replaces_the_one_before(tmp_path, format):
    """Whole or in shards, in any order: only the last save's files stay, beside the others'."""
    (tmp_path / "config.json").touch()
    (tmp_path / "model-card.md").touch()
    for seed, size in enumerate((10**9, 300, 300, 200, 10**9, 200, 200, 10**9)):
        tensors = random_weights(seed=seed)
        paths = weights.write(tmp_path, tensors, format, max_shard_size=size)
        assert_same(weights.read(tmp_path), tensors)
        expected = {path.name for path in paths} | {"config.json", "model-card.md"}
        expected |= {f"{weights.FORMATS[format]}.index.json"} if len(paths) > 1 else set()
        assert set(names(tmp_path)) == expected


def test_formats_live_side_by_side(tmp_path):
    for seed, format in enumerate(reversed(FORMATS)):
        weights.write(tmp_path, random_weights(seed=seed), format)
        assert weights.find(tmp_path).format == format  # each goes before those saved so far
    for seed, format in enumerate(reversed(FORMATS)):
        assert_same(weights.read(tmp_path, format), random_weights(seed=seed))


def test_metadata(tmp_path):
    from safetensors import safe_open

    weights.write(tmp_path, random_weights(), metadata={"made": "here"})
    with safe_open(tmp_path / "model.safetensors", "numpy") as file:
        assert file.metadata() == {"format": "pt", "made": "here"}


@pytest.mark.parametrize("old_size", (10**9, 300))
@pytest.mark.parametrize("new_size", (10**9, 300))
def test_stopped_at_any_step(tmp_path, monkeypatch, old_size, new_size):
    """Dying before any rename or removal leaves the old weights or the new ones, whole."""
    old, new = random_weights(seed=0), random_weights(seed=1)
    steps, limit = 0, None

    def stopping(function):
        def step(*arguments, **options):
            nonlocal steps
            steps += 1
            if limit and steps >= limit:  # nor does a dead process clear up
                raise KeyboardInterrupt
            return function(*arguments, **options)

        return step

    monkeypatch.setattr(os, "replace", stopping(os.replace))
    monkeypatch.setattr(Path, "unlink", stopping(Path.unlink))
    outcomes = []
    for stop in range(1, 100):
        directory = tmp_path / str(stop)
        limit = None
        weights.write(directory, old, max_shard_size=old_size)
        steps, limit = 0, stop
        try:
            weights.write(directory, new, max_shard_size=new_size)
        except KeyboardInterrupt:
            pass
        finished = steps < stop
        tensors = weights.read(directory)
        is_new = tensors["cls.predictions.bias"][0] == new["cls.predictions.bias"][0]
        assert_same(tensors, new if is_new else old)
        outcomes.append(is_new)
        limit = None
        paths = weights.write(directory, new, max_shard_size=new_size)
        assert_same(weights.read(directory), new)
        assert len(names(directory)) == len(paths) + (len(paths) > 1)  # nothing is left behind
        if finished:
            break
    assert not outcomes[0] and outcomes[-1] and outcomes == sorted(outcomes)


SAVER = """
import sys
sys.path.insert(0, sys.argv[1])
from keras_roformer import weights
from tests.weights.common import random_weights
names = {f"part{i}.weight": (300, 300) for i in range(12)}
saves = [random_weights(seed=seed, names=names) for seed in (0, 1)]
print("ready", flush=True)
for turn in range(10**6):
    weights.write(sys.argv[2], saves[turn % 2], max_shard_size=sys.argv[3])
"""


@pytest.mark.parametrize("size", ("5GB", "1MB"), ids=("whole", "shards"))
def test_killed_while_saving(tmp_path, size):
    """kill -9 in the middle of a save leaves one save, whole."""
    saves = [
        random_weights(seed=seed, names={f"part{i}.weight": (300, 300) for i in range(12)})
        for seed in (0, 1)
    ]
    directory = tmp_path / "model"
    weights.write(directory, saves[0], max_shard_size=size)
    rng = np.random.default_rng(0)
    command = [sys.executable, "-c", SAVER, str(ROOT), str(directory), size]
    for _ in range(5):
        with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            time.sleep(rng.uniform(0, 0.1))
            process.send_signal(signal.SIGKILL)
        tensors = weights.read(directory)
        turn = int(tensors["part0.weight"][0, 0] == saves[1]["part0.weight"][0, 0])
        assert_same(tensors, saves[turn])


@pytest.mark.parametrize("size", ("5GB", "99KB"), ids=("whole", "shards"))
@pytest.mark.parametrize("format", FORMATS)
def test_full_disk_keeps_the_old_file(tmp_path, format, size):
    """A file-size limit stands for the full disk; nothing is left of the failed save."""
    old = random_weights()
    weights.write(tmp_path, old, format)
    code = (
        "import resource, signal, sys; sys.path.insert(0, sys.argv[1])\n"
        "import numpy as np\n"
        "from keras_roformer import weights\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "tensors = {'a.weight': np.ones(9000, 'f'), 'b.weight': np.ones((500, 500), 'f')}\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
        "try: weights.write(sys.argv[2], tensors, sys.argv[3], max_shard_size=sys.argv[4])\n"
        "except OSError as error: print('OSError', error)\n"
    )
    command = [sys.executable, "-c", code, str(ROOT), str(tmp_path), format, size]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.stdout.startswith("OSError"), result.stderr
    assert names(tmp_path) == [weights.FORMATS[format]]
    assert_same(weights.read(tmp_path), old)


def test_saving_over_what_was_read(tmp_path):
    """Tensors do not depend on the file they came from."""
    for format in FORMATS:
        weights.write(tmp_path, random_weights(), format)
        tensors = weights.read(tmp_path, format)
        weights.write(tmp_path, tensors, format)
        shutil.rmtree(tmp_path)
        assert_same(tensors, random_weights())
        assert all(array.flags.writeable for array in tensors.values())
