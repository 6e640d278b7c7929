"""A checkpoint directory: which weight files it has, reading them, and saving them safely.

Canonical tensors are a dict of NumPy arrays under transformers' PyTorch names and layouts, whatever
the file. A leading `roformer.` is there or not as in the file.
"""

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_roformer.saving import atomic, sync_directory
from keras_roformer.weights import formats, layouts, names
from keras_roformer.weights.formats import Format
from keras_roformer.weights.weight_files import CheckpointError, check_dtype, check_readable

# The formats that are written → the name of a file with all weights, in the order of the search.
FORMATS: dict[str, str] = {name: formats.TABLE[name].file for name in formats.WRITTEN}

_UNITS = {"GIB": 2**30, "MIB": 2**20, "KIB": 2**10, "GB": 10**9, "MB": 10**6, "KB": 10**3}
# Layout → how its tensors become canonical.
_TO_CANONICAL = {name: pair[0] for name, pair in layouts.LAYOUTS.items()}
_TO_CANONICAL["original"] = names.from_original


@dataclass(frozen=True)
class Found:
    """The weights of a directory: their format, their file or shards, and the shards' index."""

    format: str
    files: tuple[Path, ...]
    weight_map: Mapping[str, str] | None = None  # stored tensor name → shard's file name


def find(directory: str | Path, format: str | None = None) -> Found:
    """The weights of a directory (or one weight file), of any format or of the one asked for.

    A whole file goes before shards; formats are tried in the order of `formats.TABLE`.
    """
    directory = Path(directory)
    _check_format(format, formats.TABLE)
    wanted = [formats.TABLE[format]] if format else list(formats.TABLE.values())
    if directory.is_file():
        for row in wanted:
            if directory.suffix == Path(row.file).suffix:
                return Found(row.name, (directory,))
        raise CheckpointError(
            f"{directory}: expected a weight file that ends in "
            f"{', '.join(Path(row.file).suffix for row in wanted)}."
        )
    if not directory.is_dir():
        raise CheckpointError(f"{directory}: there is no such directory; check the path.")
    for row in wanted:
        whole = row.whole_files(directory)
        if len(whole) > 1:
            raise CheckpointError(
                f"{directory}: several TensorFlow checkpoints "
                f"({', '.join(path.name for path in whole)}); give the path of one of them."
            )
        if whole:
            return Found(row.name, (whole[0],))
        if (directory / row.index_file).is_file():
            return _read_index(row, directory / row.index_file)
    present = sorted(entry.name for entry in directory.iterdir())[:20]
    raise CheckpointError(
        f"{directory}: no weights here; expected one of {', '.join(row.file for row in wanted)} "
        f"(or its .index.json with shards), found {', '.join(present) or 'an empty directory'}."
    )


def read(directory: str | Path, format: str | None = None) -> dict[str, np.ndarray]:
    """The canonical tensors of a directory (or of one weight file).

    Args:
        directory: where the files are.
        format: a name in `formats.TABLE`; by default the first that is there.

    Raises:
        CheckpointError: no weights, or files that are broken, hostile or of another kind.
    """
    found = find(directory, format)
    tensors: dict[str, np.ndarray] = {}
    for path in found.files:
        row = formats.TABLE[found.format]
        stored, metadata = row.code.read(path)
        layout = metadata.get("format", row.layout)  # transformers' TF and Flax save here too
        if layout != row.layout and layout not in layouts.LAYOUTS:
            raise CheckpointError(
                f"{path}: its metadata says format {layout!r}, expected one of "
                f"{', '.join(layouts.LAYOUTS)}; save it again with one of these libraries."
            )
        _check_weight_map(found, path, stored)
        try:
            canonical = _TO_CANONICAL[layout](stored)
        except CheckpointError as error:
            raise CheckpointError(f"{path}: {error}") from None
        if repeated := canonical.keys() & tensors.keys():
            raise CheckpointError(f"{path}: {min(repeated)!r} is in an earlier shard too.")
        tensors.update(canonical)
    return tensors


def write(
    directory: str | Path,
    tensors: Mapping[str, np.ndarray],
    format: str = "safetensors",
    *,
    max_shard_size: int | str = "5GB",
    metadata: Mapping[str, str] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> list[Path]:
    """Save canonical tensors as transformers names its files; gives the files.

    Wherever a save is killed, the directory holds this format's old weights or the new ones, whole:
    new files are written beside and renamed, and what they replace is removed last. One process at
    a time may save to a directory.

    Args:
        directory: made if absent.
        tensors: names to arrays, in the order in which they are written.
        format: one of `FORMATS`.
        max_shard_size: bytes in one file, or text such as "5GB", "200MB", "1GiB".
        metadata: text to keep in a safetensors header beside {"format": "pt"}.
        kinds: canonical module name → "dense", "norm" or "embedding", where the name does not tell
            (`layouts.kind_of`); for the TensorFlow and Flax formats.
    """
    directory = Path(directory)
    _check_format(format, FORMATS)
    row, limit = formats.TABLE[format], _parse_size(max_shard_size)
    metadata = {"format": row.layout, **(metadata or {})}
    whole, index = directory / row.file, directory / row.index_file
    for name, array in tensors.items():
        check_dtype(whole, name, getattr(array, "dtype", type(array)))
    directory.mkdir(parents=True, exist_ok=True)
    stored = layouts.LAYOUTS[row.layout][1](tensors, kinds)
    for leftover in directory.glob(f".{whole.stem}*.tmp"):  # of a save that was killed
        shutil.rmtree(leftover, ignore_errors=True)

    shards = _split(stored, limit)
    if len(shards) == 1:
        with atomic(whole) as temporary:
            row.code.write(temporary, shards[0], metadata)
        files, outdated = [whole], [index]
    else:
        files = _write_shards(row, directory, shards, metadata)
        weight_map = {
            name: file.name for file, shard in zip(files, shards, strict=True) for name in shard
        }
        total = {"total_size": sum(array.nbytes for array in stored.values())}
        with atomic(index) as temporary:
            text = json.dumps({"metadata": total, "weight_map": weight_map}, indent=2)
            temporary.write_text(text + "\n", "utf-8")
        outdated = [whole]

    # The new weights count from here on; what was there before goes.
    stem, suffix = re.escape(whole.stem), re.escape(whole.suffix)
    shard_name = re.compile(rf"{stem}(\.new)*-\d{{5}}-of-\d{{5}}{suffix}")
    outdated += [entry for entry in directory.iterdir() if shard_name.fullmatch(entry.name)]
    for path in outdated:
        if path not in files:
            path.unlink(missing_ok=True)
    sync_directory(directory)
    return files


def _write_shards(
    row: Format,
    directory: Path,
    shards: list[dict[str, np.ndarray]],
    metadata: Mapping[str, str],
) -> list[Path]:
    """Write shards under names that are free, so that an older set stays whole beside them."""
    stem, suffix = Path(row.file).stem, Path(row.file).suffix
    while any(directory.glob(f"{stem}-*-of-{len(shards):05d}{suffix}")):
        stem += ".new"
    files: list[Path] = []
    try:
        for number, shard in enumerate(shards, 1):
            files.append(directory / f"{stem}-{number:05d}-of-{len(shards):05d}{suffix}")
            with atomic(files[-1]) as temporary:
                row.code.write(temporary, shard, metadata, is_shard=True)
    except BaseException:
        for file in files:
            file.unlink(missing_ok=True)
        raise
    return files


def _read_index(row: Format, path: Path) -> Found:
    """The shards that an index names, each of which must be a file beside it."""
    check_readable(path)
    try:
        weight_map = json.loads(path.read_bytes())["weight_map"]
        files = sorted(set(weight_map.values()))
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: expected JSON with a 'weight_map' from tensor names to file names "
            f"({type(error).__name__}: {error}); download or save it again."
        ) from error
    for file in files:
        if not isinstance(file, str) or not re.fullmatch(r"(?!\.)[^/\\:\0]+", file):
            raise CheckpointError(
                f"{path}: names the shard {file!r}; refused: a shard must be a plain file name "
                "in the directory of the index."
            )
        if not (path.parent / file).is_file():
            raise CheckpointError(
                f"{path}: names the shard {file!r}, which is not in {path.parent}; download the "
                f"missing one of its {len(files)} shards."
            )
    if not files:
        raise CheckpointError(f"{path}: its 'weight_map' is empty; download or save it again.")
    return Found(row.name, tuple(path.parent / file for file in files), weight_map)


def _check_weight_map(found: Found, path: Path, stored: Mapping[str, np.ndarray]) -> None:
    """A shard must hold what the index says (TensorFlow's index puts the model's name before)."""
    for name, file in (found.weight_map or {}).items():
        if file == path.name and name not in stored and name.partition("/")[2] not in stored:
            raise CheckpointError(
                f"{path}: the index says that tensor {name!r} is in this shard, but it is not; "
                "index and shards are of different saves: download or save all of them again."
            )


def _split(stored: Mapping[str, np.ndarray], limit: int) -> list[dict[str, np.ndarray]]:
    """Cut the tensors, in order, into groups of at most `limit` bytes (or one tensor)."""
    shards: list[dict[str, np.ndarray]] = [{}]
    size = 0
    for name, array in stored.items():
        if shards[-1] and size + array.nbytes > limit:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    return shards


def _parse_size(size: int | str) -> int:
    """Bytes from a number or from text such as "5GB"."""
    match = re.fullmatch(r"(\d+)\s*([A-Z]*)", str(size).strip().upper())
    if not match or match[2] not in ("", *_UNITS) or int(match[1]) == 0:
        raise ValueError(
            f"max_shard_size={size!r}: expected a positive number of bytes, or text such as "
            f"'5GB' with a unit of {', '.join(_UNITS)}."
        )
    return int(match[1]) * _UNITS.get(match[2], 1)


def _check_format(format: str | None, known: Mapping[str, object]) -> None:
    if format is not None and format not in known:
        raise ValueError(f"format={format!r}: expected one of {', '.join(known)}.")
