"""model.safetensors: names and arrays as they stand in the file, and its metadata."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from keras_roformer.weights.weight_files import broken, check_dtype, check_readable

_NUMPY_NAMES = {
    **{"F16": "float16", "BF16": "bfloat16", "F32": "float32", "F64": "float64", "BOOL": "bool"},
    **{f"I{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"U{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a safetensors file under their stored names, and its metadata."""
    check_readable(path)
    try:
        with safe_open(path, framework="numpy") as file:
            metadata = dict(file.metadata() or {})
            names = list(file.keys())
            for name in names:
                stored = file.get_slice(name).get_dtype()
                check_dtype(path, name, _NUMPY_NAMES.get(stored, stored))
            return {name: file.get_tensor(name) for name in names}, metadata
    except SafetensorError as error:
        raise broken(path, "safetensors", error) from error


def write(
    path: Path,
    tensors: Mapping[str, np.ndarray],
    metadata: Mapping[str, str],
    is_shard: bool = False,
) -> None:
    """Write a safetensors file (not atomic: the caller renames)."""
    arrays = {name: np.asarray(array, order="C") for name, array in tensors.items()}
    try:
        save_file(arrays, path, metadata=dict(metadata))
    except SafetensorError as error:  # how safetensors reports a full disk
        raise OSError(f"could not write {path}: {error}") from error
