"""Names and layouts of TensorFlow and Flax checkpoints, to and from the canonical ones.

Canonical is what transformers' PyTorch classes store: `a.b.weight`, `a.b.bias`, and a dense weight
of shape (out, in). TensorFlow and Flax store a dense weight as (in, out) and name the last part by
the kind of module:

    kind        canonical          TensorFlow            Flax
    dense       weight  bias       kernel      bias      kernel     bias
    norm        weight  bias       gamma       beta      scale      bias
    embedding   weight             embeddings            embedding

(that is `names.LEAVES`). TensorFlow's word embedding is the one exception: its leaf is `weight`.
"""

import re
from collections.abc import Mapping

import numpy as np

from keras_roformer.weights.names import DENSE, EMBEDDING, LEAVES, NORM, full_name
from keras_roformer.weights.weight_files import CheckpointError

Tensors = Mapping[str, np.ndarray]

#: (kind, canonical leaf) → its names.
_LEAVES = {(kind, leaf.name): leaf for kind, leaves in LEAVES.items() for leaf in leaves}
#: Leaf in a TensorFlow or Flax file → canonical leaf.
_CANONICAL_LEAVES = {"weight": "weight"} | {
    stored: leaf.name for leaf in _LEAVES.values() for stored in (leaf.tf, leaf.flax)
}


def kind_of(module: str, kinds: Mapping[str, str] | None = None) -> str:
    """A key of `names.LEAVES`: as `kinds` says of a canonical module, else by its name."""
    if kinds and module in kinds:
        return kinds[module]
    last = module.rpartition(".")[2]
    if last == "LayerNorm":
        return NORM
    if last.endswith("_embeddings") or last == "embed_positions":
        return EMBEDDING
    return DENSE


def from_pt(tensors: Tensors) -> dict[str, np.ndarray]:
    """Canonical names of PyTorch's, where layer norms before 2020 have `gamma` and `beta`."""
    result = {}
    for stored_name, array in tensors.items():
        name = re.sub(r"\.gamma$", ".weight", re.sub(r"\.beta$", ".bias", stored_name))
        _add(result, name, array)
    return result


def to_pt(tensors: Tensors, kinds: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """PyTorch's names and layouts are the canonical ones."""
    return dict(tensors)


def from_flax(tensors: Tensors) -> dict[str, np.ndarray]:
    """Canonical names and layouts of Flax parameters named `a/b/kernel` (or `a.b.kernel`)."""
    return _to_canonical((re.split("[/.]", name), array) for name, array in tensors.items())


def to_flax(tensors: Tensors, kinds: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """The inverse of `from_flax`: names joined by `/`, dense weights as (in, out)."""
    result = {}
    for name, array in tensors.items():
        _, leaf, kind = _split(name, kinds)
        result["/".join(flax_path(name, kind))] = _turned(array, leaf, kind)
    return result


def flax_path(name: str, kind: str) -> tuple[str, ...]:
    """Path of a canonical name in a Flax parameter tree."""
    *module, leaf = name.split(".")
    known = _LEAVES.get((kind, leaf))
    return (*module, known.flax if known else leaf)


def from_tf(tensors: Tensors) -> dict[str, np.ndarray]:
    """Canonical names and layouts of TensorFlow variables named `a/layer_._0/b/kernel:0`.

    `x___y` is read as `y` and `_._` as a level, as transformers' TensorFlow classes mean them. The
    name of the model (the first level of a variable's name) must already be off.
    """
    return _to_canonical(
        (re.sub("[^/]*___", "", name.removesuffix(":0")).replace("_._", "/").split("/"), array)
        for name, array in tensors.items()
    )


def to_tf(tensors: Tensors, kinds: Mapping[str, str] | None = None) -> dict[str, np.ndarray]:
    """The inverse of `from_tf`; a bare backbone's weights go under `roformer/`."""
    result = {}
    for name, array in tensors.items():
        module, leaf, kind = _split(name, kinds)
        array = _turned(array, leaf, kind)
        known = _LEAVES.get((kind, leaf))
        if known and not module.endswith("word_embeddings"):
            leaf = known.tf
        parts = full_name(module).split(".")
        if parts[0] == "cls":
            parts[0] = "mlm___cls"
        path = re.sub(r"/(?=\d+/)", "_._", "/".join((*parts, leaf)))
        result[f"{path}:0"] = array
    return result


def _to_canonical(items) -> dict[str, np.ndarray]:
    """From (parts of the name, array) pairs; `CheckpointError` on an unknown leaf or a repeat."""
    result = {}
    for (*module, leaf), array in items:
        if leaf not in _CANONICAL_LEAVES:
            raise CheckpointError(
                f"tensor {'/'.join((*module, leaf))!r} ends in {leaf!r}, expected one of "
                f"{', '.join(_CANONICAL_LEAVES)}; this is not a RoFormer weight."
            )
        name = ".".join((*module, _CANONICAL_LEAVES[leaf]))
        _add(result, name, array.T if leaf == "kernel" else array)
    return result


def _turned(array, leaf, kind):
    """The array of a canonical leaf in the layout of TensorFlow and Flax, or the reverse."""
    return array.T if leaf == "weight" and kind == DENSE else array


def _add(result: dict[str, np.ndarray], name: str, array: np.ndarray) -> None:
    if name in result:
        raise CheckpointError(f"two tensors of the file are both {name!r}; save it again.")
    result[name] = array


def _split(name: str, kinds: Mapping[str, str] | None) -> tuple[str, str, str]:
    """Module, leaf and kind of a canonical name."""
    module, _, leaf = name.rpartition(".")
    if not module or leaf not in ("weight", "bias"):
        raise CheckpointError(f"tensor {name!r} must end in '.weight' or '.bias' to be saved.")
    return module, leaf, kind_of(module, kinds)


#: Layout by the name in a safetensors header → (to canonical, from canonical and kinds).
LAYOUTS = {"pt": (from_pt, to_pt), "tf": (from_tf, to_tf), "flax": (from_flax, to_flax)}
