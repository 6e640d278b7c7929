"""Saving so that a kill, a crash or a full disk leaves the old file or the new one, never half."""

import ctypes
import errno
import fnmatch
import math
import os
import pathlib
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def atomic(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Yields a temporary path to write to, and renames it to `path` at the end.

    It has the same name, in a folder of its own beside `path`: Keras goes by the end of a name, and
    safetensors makes a temporary file of its own, whose name nobody knows. The bytes reach the disk
    before the rename. What an earlier save that was killed has left is removed: one process at a
    time may save a file.
    """
    folder = path.with_name(f".{path.name}.tmp")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    temporary = folder / path.name
    try:
        temporary.touch()
        mode = temporary.stat().st_mode
        yield temporary
        temporary.chmod(mode)  # safetensors makes files that only their owner may read
        _to_disk(temporary)
        os.replace(temporary, path)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sync_directory(path.parent)


def make_directory(directory) -> pathlib.Path:
    """The directory to save in, made if it is not there.

    Raises:
        ValueError: it is a file.
    """
    directory = pathlib.Path(directory)
    if directory.is_file():
        raise ValueError(f"{directory} is a file; give a directory to save in")
    directory.mkdir(parents=True, exist_ok=True)
    return directory


@contextmanager
def atomic_folder(
    path: pathlib.Path, keep: bool = False, superseded: tuple[str, ...] = ()
) -> Iterator[pathlib.Path]:
    """Yields a temporary folder to write files to, which is `path` at the end, all or nothing.

    A folder that is there already is replaced: exchanged in one step where the system can (Linux),
    else in two, with the old one beside as `.NAME.old` in between. With `keep`, what the old folder
    holds and is not written anew stays, but for files whose names match a pattern in `superseded`,
    which the new files stand for. A folder that must stay in its place (see `_is_fixed`)
    gets the files one by one, each the old one or the new one, and keeps the others.
    """
    path = pathlib.Path(path).resolve()
    fixed = _is_fixed(path)
    parent = path if fixed else path.parent
    temporary, old = (parent / f".{path.name}.{end}" for end in ("tmp", "old"))
    shutil.rmtree(temporary, ignore_errors=True)  # of a save that was killed
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        for file in temporary.rglob("*"):
            if file.is_file():
                _to_disk(file)
        if keep and not fixed and path.exists():
            _link_missing(path, temporary, superseded)
        if fixed:
            new = {entry.name for entry in temporary.iterdir()}
            _move_files(temporary, path)
            for entry in list(path.iterdir()):
                if entry.name not in new and _matches(entry, superseded):
                    entry.unlink()
            old = temporary
        elif not path.exists():
            os.rename(temporary, path)
        elif _exchange(temporary, path):
            old = temporary
        else:
            os.rename(path, old)
            os.rename(temporary, path)
        if not fixed:
            sync_directory(parent)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def _is_fixed(path):
    """Whether a folder cannot be exchanged: a mounted one, one in a folder that may not be written
    to, and one that this process works in, which would go on in the folder that is removed."""
    if not path.is_dir():
        return False
    if os.path.ismount(path) or not os.access(path.parent, os.W_OK):
        return True
    try:
        return pathlib.Path.cwd().is_relative_to(path)
    except FileNotFoundError:  # the process works in a folder that is gone
        return False


def _move_files(source, target):
    """Move the files of a folder, and of those in it, into another; each replaces its like."""
    for folder, _, files in os.walk(source):
        place = target / pathlib.Path(folder).relative_to(source)
        place.mkdir(exist_ok=True)
        for name in files:
            os.replace(os.path.join(folder, name), place / name)
        sync_directory(place)


def _matches(entry, patterns):
    return entry.is_file() and any(fnmatch.fnmatch(entry.name, pattern) for pattern in patterns)


def _link_missing(old, new, superseded=()):
    """Put what `old` holds and `new` does not into `new` too, as links where there can be links."""
    for entry in old.iterdir():
        place = new / entry.name
        if _matches(entry, superseded):
            continue
        if entry.is_symlink():
            if not os.path.lexists(place):
                place.symlink_to(entry.readlink())
        elif entry.is_dir():
            if not place.exists():
                place.mkdir()
            if place.is_dir():
                _link_missing(entry, place)
        elif not place.exists():
            try:
                os.link(entry, place)
            except OSError:  # the file system has no links
                shutil.copy2(entry, place)
    shutil.copymode(old, new)


def _exchange(a: pathlib.Path, b: pathlib.Path) -> bool:
    """Exchange two names in one step; False where the system or the file system cannot."""
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):
        return False
    here, swap = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return rename(here, os.fsencode(a), here, os.fsencode(b), swap) == 0


def check_room(directory: pathlib.Path, model) -> None:
    """Raise an OSError if the disk of `directory` has no room for a Keras model's weights.

    HDF5, in which Keras saves, may crash the process where a disk is full.
    """
    variables = [*model.variables, *getattr(getattr(model, "optimizer", None), "variables", ())]
    size = sum(math.prod(v.shape) * _bits(v.dtype) // 8 for v in variables)
    free = shutil.disk_usage(directory).free
    if size > free:
        raise OSError(
            errno.ENOSPC,
            f"{type(model).__name__} has {size:,} bytes of weights, but the disk has {free:,} free "
            "bytes (the old file stays until the new one is whole); make room or save elsewhere",
            str(directory),
        )


def _bits(dtype):
    digits = re.search(r"\d+", dtype)
    return int(digits[0]) if digits else 8  # bool


class AtomicSaves:
    """Mixin that lets a Keras model's `save` and `save_weights` write beside and rename.

    Keras writes into the file itself, so that a process killed while it saves a checkpoint leaves
    neither the old one nor the new one.
    """

    def save(self, filepath, overwrite=True, **kwargs):
        """See `keras.Model.save`; a save that is killed leaves the old file."""
        _save_beside(self, super().save, filepath, overwrite, **kwargs)

    def save_weights(self, filepath, overwrite=True, **kwargs):
        """See `keras.Model.save_weights`; a save that is killed leaves the old file."""
        _save_beside(self, super().save_weights, filepath, overwrite, **kwargs)


class AtomicPresets:
    """Mixin that lets KerasHub's `save_to_preset` exchange the whole preset at once.

    A preset is several files (configs, weights, vocabulary), which KerasHub writes one by one.
    """

    def save_to_preset(self, preset_dir, **kwargs):
        """See KerasHub's; a save that is killed leaves the old preset."""
        # Weights in one file and in shards stand for each other, and KerasHub reads the one first.
        weights = ("model.weights.h5", "model.weights.json", "model_*.weights.h5")
        if hasattr(self, "backbone"):
            weights += ("task.weights.h5",)
        has_weights = hasattr(self, "save_weights")  # tokenizers and preprocessors have none
        with atomic_folder(preset_dir, True, weights if has_weights else ()) as folder:
            if has_weights:
                check_room(folder, self)
            super().save_to_preset(str(folder), **kwargs)


def _save_beside(model, save, filepath, overwrite=True, **kwargs):
    path = pathlib.Path(filepath)
    in_shards = kwargs.get("max_shard_size") is not None
    remote = "://" in str(filepath)
    if not overwrite or in_shards or remote or path.is_dir() or not path.parent.is_dir():
        save(filepath, overwrite=overwrite, **kwargs)
        return
    check_room(path.parent, model)
    with atomic(path) as temporary:
        save(temporary, **kwargs)


def _to_disk(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: pathlib.Path) -> None:
    """Makes renames and removals in `directory` durable (Windows has no such call)."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
