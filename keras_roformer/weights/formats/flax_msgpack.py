"""flax_model.msgpack without Flax: MessagePack with Flax's extension type for arrays.

Flax stores a tree of maps whose leaves are extension type 1: a packed (shape, dtype name, bytes).
An array above 2**30 bytes is a map {'__msgpack_chunked_array__', 'shape', 'chunks'} of flat pieces,
where lists are maps from '0', '1', …. Only what such a file needs is read; else it is an error.
"""

import math
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_roformer.weights.weight_files import (
    DTYPES,
    CheckpointError,
    broken,
    check_dtype,
    check_readable,
)

_CHUNK_BYTES = 2**30
_CHUNKED = "__msgpack_chunked_array__"
_MAX_DEPTH = 32
_NDARRAY = 1

# First byte → struct format of the number that follows it.
_NUMBERS = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q"}
_NUMBERS |= {0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
# First byte → (type, struct format of the length that follows it, or the length itself).
_SIZED = {0xC4: ("bin", ">B"), 0xC5: ("bin", ">H"), 0xC6: ("bin", ">I")}
_SIZED |= {0xC7: ("ext", ">B"), 0xC8: ("ext", ">H"), 0xC9: ("ext", ">I")}
_SIZED |= {0xD4 + power: ("ext", 2**power) for power in range(5)}
_SIZED |= {0xD9: ("str", ">B"), 0xDA: ("str", ">H"), 0xDB: ("str", ">I")}
_SIZED |= {0xDC: ("array", ">H"), 0xDD: ("array", ">I"), 0xDE: ("map", ">H"), 0xDF: ("map", ">I")}


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The parameters of a flax_model.msgpack under their names joined by `/`; no metadata."""
    size = check_readable(path)
    data = bytearray(size)
    with open(path, "rb") as file:
        file.readinto(data)
    try:
        reader = _Reader(memoryview(data))
        tree = reader.value()
        if reader.position != size or not isinstance(tree, dict):
            raise ValueError("it does not hold exactly one map of parameters")
        result: dict[str, np.ndarray] = {}
        _flatten(tree, "", result)
    except (ValueError, LookupError, TypeError, struct.error, OverflowError) as error:
        raise broken(path, "Flax", error) from error
    for name, array in result.items():
        check_dtype(path, name, array.dtype)
    return result, {}


class _Reader:
    """Reads MessagePack values one after the other from a buffer; arrays are views of it."""

    def __init__(self, data: memoryview):
        self.data, self.position = data, 0

    def take(self, count: int) -> memoryview:
        start, self.position = self.position, self.position + count
        if self.position > len(self.data):
            raise ValueError(f"it needs {self.position} bytes and has {len(self.data)}")
        return self.data[start : self.position]

    def number(self, form: str) -> Any:
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def value(self, depth: int = 0) -> Any:
        if depth > _MAX_DEPTH:
            raise ValueError(f"it is nested deeper than {_MAX_DEPTH} levels")
        first = self.number(">B")
        if first <= 0x7F or first >= 0xE0:  # a small number
            return first if first <= 0x7F else first - 256
        if first in (0xC0, 0xC2, 0xC3):
            return {0xC0: None, 0xC2: False, 0xC3: True}[first]
        if first in _NUMBERS:
            return self.number(_NUMBERS[first])
        if first <= 0xBF:
            kind = "map" if first <= 0x8F else "array" if first <= 0x9F else "str"
            count = first & (0x1F if kind == "str" else 0x0F)
        elif first in _SIZED:
            kind, form = _SIZED[first]
            count = form if isinstance(form, int) else self.number(form)
        else:
            raise ValueError(f"byte 0x{first:02x} is no MessagePack type")
        if kind == "str":
            return str(self.take(count), "utf-8")
        if kind == "bin":
            return self.take(count)
        if kind == "array":
            return [self.value(depth + 1) for _ in range(count)]
        if kind == "ext":
            return self.extension(self.number(">b"), count)
        result: dict[str, Any] = {}
        for _ in range(count):
            name = self.value(depth + 1)
            if not isinstance(name, str) or name in result:
                raise ValueError("a map has a key that is repeated or not text")
            result[name] = self.value(depth + 1)
        return result

    def extension(self, code: int, count: int) -> np.ndarray:
        if code != _NDARRAY:
            raise ValueError(f"it has an extension of type {code}, expected arrays (type 1) only")
        shape, name, buffer = _Reader(self.take(count)).value()
        if name not in DTYPES:
            raise ValueError(f"an array has dtype {name!r}, expected one of {', '.join(DTYPES)}")
        if math.prod(shape) * DTYPES[name].itemsize != len(buffer):
            raise ValueError(f"an array of shape {shape} and dtype {name} has {len(buffer)} bytes")
        return np.frombuffer(buffer, DTYPES[name]).reshape(shape)


def _flatten(tree: dict[str, Any], prefix: str, result: dict[str, np.ndarray]) -> None:
    """Put the arrays of a nested map into `result`, names joined by `/`."""
    for key, value in tree.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict) and _CHUNKED in value:
            shape, chunks = (
                [value[field][str(i)] for i in range(len(value[field]))]
                for field in ("shape", "chunks")
            )
            result[name] = np.concatenate(chunks).reshape(shape)
        elif isinstance(value, dict):
            _flatten(value, f"{name}/", result)
        elif isinstance(value, np.ndarray):
            result[name] = value
        else:
            raise ValueError(f"{name!r} is a {type(value).__name__}, expected an array")


def write(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: object = None, is_shard: bool = False
) -> None:
    """Write parameters named `a/b/kernel` as Flax does (not atomic: the caller renames)."""
    tree: dict[str, Any] = {}
    for name, array in tensors.items():
        *parents, leaf = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        if not isinstance(node, dict) or leaf in node:
            raise CheckpointError(f"{path}: {name!r} is both a parameter and a group of them.")
        node[leaf] = np.asarray(array, order="C")
    with open(path, "wb") as file:
        _pack(tree, file)


def _pack(value: Any, file: BinaryIO) -> None:
    if isinstance(value, dict):
        file.write(_length(len(value), 0x80, 16, {2: 0xDE, 4: 0xDF}))
        for key, item in value.items():
            _pack(key, file)
            _pack(item, file)
    elif isinstance(value, str):
        text = value.encode()
        file.write(_length(len(text), 0xA0, 32, {1: 0xD9, 2: 0xDA, 4: 0xDB}) + text)
    elif isinstance(value, bool):
        file.write(b"\xc3" if value else b"\xc2")
    elif isinstance(value, int):
        file.write(struct.pack(">B", value) if value < 128 else struct.pack(">BQ", 0xCF, value))
    elif value.nbytes > _CHUNK_BYTES:
        count = max(1, _CHUNK_BYTES // value.itemsize)
        flat = value.reshape(-1)
        chunks = [flat[i : i + count] for i in range(0, flat.size, count)]
        shape = {str(i): size for i, size in enumerate(value.shape)}
        chunked = {str(i): chunk for i, chunk in enumerate(chunks)}
        _pack({_CHUNKED: True, "shape": shape, "chunks": chunked}, file)
    else:
        _pack_array(value, file)


def _pack_array(array: np.ndarray, file: BinaryIO) -> None:
    name = array.dtype.name.encode()
    shape = b"".join(struct.pack(">BQ", 0xCF, size) for size in array.shape)
    head = b"\x93" + _length(array.ndim, 0x90, 16, {2: 0xDC}) + shape
    head += _length(len(name), 0xA0, 32, {1: 0xD9}) + name
    head += struct.pack(">BI", 0xC6, array.nbytes)
    file.write(struct.pack(">BIb", 0xC9, len(head) + array.nbytes, _NDARRAY) + head)
    file.write(array.reshape(-1).view(np.uint8).data)


def _length(count: int, fixed: int, limit: int, codes: Mapping[int, int]) -> bytes:
    """The shortest head for `count` items: one byte below `limit`, else a code and the count."""
    if count < limit:
        return struct.pack(">B", fixed | count)
    width = next(width for width in codes if count < 256**width)
    return struct.pack(">B", codes[width]) + count.to_bytes(width, "big")
