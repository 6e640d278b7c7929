"""Saving so that a kill, a crash or a full disk leaves the old file or the new one, never half."""

import ctypes
import fnmatch
import os
import pathlib
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


def _to_disk(path):
    with open(path, "rb+") as file:
        os.fsync(file.fileno())


def sync_directory(directory: pathlib.Path) -> None:
    """Make renames and removals in `directory` durable (Windows has no such call)."""
    if os.name == "posix":
        descriptor = os.open(directory, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
