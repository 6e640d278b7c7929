"""tf_model.h5 as transformers' TensorFlow classes write it (Keras 2's HDF5 layout).

A whole file keeps each variable at <layer>/<model>/<name> and lists layers in its `layer_names`;
a shard keeps it at <name> and lists the names there. <name> is the variable's without its model's:
`roformer/encoder/layer_._0/attention/self/query/kernel:0`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from keras_roformer.weights.weight_files import CheckpointError, broken, check_dtype, check_readable

# The first level of every variable's name: the model's, which readers ignore.
_MODEL = "tf_ro_former"


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The variables of a tf_model.h5, or of one shard of it; no metadata."""
    import h5py

    size = check_readable(path)
    arrays: dict[str, np.ndarray] = {}
    layers: set[str] = set()

    def visit(location: str, item: Any) -> None:  # not called for links to other files
        # Only the presence of the lists counts: HDF5 may hang on the text of a damaged one.
        if any(attribute.startswith("weight_names") for attribute in item.attrs):
            layers.add(location)
        if not isinstance(item, h5py.Dataset):
            return
        check_dtype(path, location, item.dtype)
        if item.external or item.is_virtual:
            raise CheckpointError(f"{path}: {location!r} refers to another file; refused.")
        if item.nbytes > size:
            raise ValueError(f"{location!r} claims {item.nbytes} bytes, the file has {size}")
        arrays[location] = np.asarray(item)

    try:
        with h5py.File(path, "r") as file:
            if not any(attribute.startswith("layer_names") for attribute in file.attrs):
                raise ValueError("it has no 'layer_names', so it is not of transformers or Keras 2")
            file.visititems(visit)
        return _names(arrays, layers), {}
    except CheckpointError:
        raise
    except (OSError, ValueError, RuntimeError, LookupError, TypeError) as error:
        raise broken(path, "HDF5", error) from error


def _names(arrays: Mapping[str, np.ndarray], layers: set[str]) -> dict[str, np.ndarray]:
    """Take layer and model off the locations of a whole file; those of a shard have neither."""
    if not layers:
        return dict(arrays)
    result: dict[str, np.ndarray] = {}
    for location, array in arrays.items():
        name = "/".join(location.split("/")[2:])
        # A head that shares the word embeddings lists them again.
        if name in result and array.tobytes() != result[name].tobytes():
            raise ValueError(f"{name!r} is there twice, with different values")
        result[name] = array
    return result


def write(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: object = None, is_shard: bool = False
) -> None:
    """Write a tf_model.h5 or a shard (not atomic: the caller renames). bfloat16 becomes float32."""
    if is_shard:  # whose layout is flat
        with _create(path) as file:
            file.attrs["layer_names"] = list(tensors)
            for name, array in tensors.items():
                file.create_dataset(name, data=_storable(array))
        return
    layers: dict[str, list[str]] = {}
    for name in tensors:
        layers.setdefault(name.partition("/")[0], []).append(name)
    with _create(path) as file:
        file.attrs["layer_names"] = list(layers)
        file.attrs["backend"] = "tensorflow"
        file.attrs["keras_version"] = "2.18.0"
        for layer, names in layers.items():
            group = file.create_group(layer)
            group.attrs["weight_names"] = [f"{_MODEL}/{name}" for name in names]
            for name in names:
                group.create_dataset(f"{_MODEL}/{name}", data=_storable(tensors[name]))
        if "mlm___cls" in layers:  # that head owns the embeddings too: the same data, listed again
            shared = [name for name in tensors if name.startswith("roformer/embeddings/")]
            names = [f"{_MODEL}/{name}" for name in layers["mlm___cls"] + shared]
            file["mlm___cls"].attrs["weight_names"] = names
            for name in shared:
                file[f"mlm___cls/{_MODEL}/{name}"] = file[f"roformer/{_MODEL}/{name}"]


@contextmanager
def _create(path: Path) -> Iterator[Any]:
    import h5py

    try:
        with h5py.File(path, "w") as file:
            yield file
    except RuntimeError as error:  # what closing the file raises when the disk is full
        raise OSError(f"could not write {path}: {error}") from error


def _storable(array: np.ndarray) -> np.ndarray:
    """HDF5 has no bfloat16; float32 holds the same value."""
    return array.astype(np.float32) if array.dtype.name == "bfloat16" else array
