"""tf_model.h5 as transformers' TensorFlow classes write it (Keras 2's HDF5 layout).

A whole file keeps each variable at <layer>/<model>/<name> and lists layers in its `layer_names`;
a shard keeps it at <name> and lists the names there. <name> is the variable's without its model's:
`roformer/encoder/layer_._0/attention/self/query/kernel:0`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from .files import CheckpointError, broken, check_dtype, check_readable

#: The first level of every variable's name: the model's, which readers ignore.
_MODEL = "tf_ro_former"


def read(path: Path) -> dict[str, np.ndarray]:
    """The variables of a tf_model.h5, or of one shard of it."""
    import h5py

    size = check_readable(path)
    result: dict[str, np.ndarray] = {}

    def visit(location: str, item: Any) -> None:  # not called for links to other files
        if not isinstance(item, h5py.Dataset):
            return
        name = location if is_shard else "/".join(location.split("/")[2:])
        check_dtype(path, name, item.dtype)
        if item.external or item.is_virtual:
            raise CheckpointError(f"{path}: {name!r} refers to another file; refused.")
        if item.nbytes > size:
            raise ValueError(f"{name!r} claims {item.nbytes} bytes, the file has {size}")
        array = np.asarray(item)
        # A head that shares the word embeddings lists them again.
        if name in result and array.tobytes() != result[name].tobytes():
            raise ValueError(f"{name!r} is there twice, with different values")
        result[name] = array

    try:
        with h5py.File(path, "r") as file:
            lists = [name for name in file.attrs if name.startswith("layer_names")]
            if not lists:
                raise ValueError("it has no 'layer_names', so it is not of transformers or Keras 2")
            is_shard = any("/" in str(layer) for name in lists for layer in file.attrs[name])
            file.visititems(visit)
    except CheckpointError:
        raise
    except (OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
        raise broken(path, "HDF5", error) from error
    return result


def write(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes a whole tf_model.h5 (not atomic: the caller renames). bfloat16 becomes float32."""
    import h5py

    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(name.partition("/")[0], []).append(name)
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = list(layers)
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = "2.18.0"
        for layer, names in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{_MODEL}/{name}" for name in names]
            for name in names:
                group.create_dataset(f"{_MODEL}/{name}", data=_storable(tensors[name]))


def write_shard(path: Path, tensors: Mapping[str, np.ndarray]) -> None:
    """Writes one shard of a tf_model.h5 (not atomic: the caller renames)."""
    import h5py

    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = list(tensors)
        for name, array in tensors.items():
            file.create_dataset(name, data=_storable(array))


def _storable(array: np.ndarray) -> np.ndarray:
    """HDF5 has no bfloat16; float32 holds the same value."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
