"""TensorFlow checkpoints (bert_model.ckpt.index and .data-…) without TensorFlow.

The index is a table of sorted keys (LevelDB's format, uncompressed) whose values are protobufs
(tensorflow/core/protobuf/tensor_bundle.proto) that say where in the data files a tensor lies. Names
are returned as stored: `bert/encoder/layer_0/attention/self/query/kernel`.
"""

import math
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_roformer.weights.weight_files import DTYPES, CheckpointError, broken, check_readable

_MAGIC = 0xDB4775248B80FB57
_FOOTER_BYTES = 48
_DTYPES = {  # tensorflow/core/framework/types.proto
    **{1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 9: "int64"},
    **{10: "bool", 14: "bfloat16", 17: "uint16", 19: "float16", 22: "uint32", 23: "uint64"},
}
_STRING = 7


def read(path: str | Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The variables of a checkpoint named `<prefix>` or `<prefix>.index`, by their stored names.

    It has no metadata.
    """
    prefix = str(path).removesuffix(".index")
    index = Path(f"{prefix}.index")
    check_readable(index)
    try:
        entries = dict(_table(index.read_bytes()))
        shards = _fields(entries.pop(b"")).get(1, [1])[0]
        tensors = {name.decode(): _fields(value) for name, value in entries.items()}
        arrays = {
            name: _tensor(prefix, shards, name, fields)
            for name, fields in tensors.items()
            if fields[1] != [_STRING]  # bookkeeping of newer TensorFlow, not a weight
        }
        return arrays, {}
    except CheckpointError:
        raise
    except (ValueError, LookupError, TypeError, struct.error, OverflowError) as error:
        raise broken(index, "TensorFlow checkpoint", error) from error


def _tensor(prefix: str, shards: int, name: str, fields: dict[int, list[Any]]) -> np.ndarray:
    """The tensor that an entry describes: 1 dtype, 2 shape, 3 shard, 4 offset, 5 size."""
    path = Path(f"{prefix}.data-{fields.get(3, [0])[0]:05d}-of-{shards:05d}")
    if 7 in fields or fields[1][0] not in _DTYPES:
        raise CheckpointError(
            f"{prefix}.index: {name!r} is partitioned or of a non-numeric dtype, which no RoFormer "
            "weight is; save the model's own variables again."
        )
    dtype = DTYPES[_DTYPES[fields[1][0]]]
    sizes = _fields(fields[2][0]).get(2, []) if 2 in fields else []
    shape = [_fields(size).get(1, [0])[0] for size in sizes]
    offset, length = fields.get(4, [0])[0], fields.get(5, [0])[0]
    available = check_readable(path)
    if math.prod(shape) * dtype.itemsize != length or offset + length > available:
        raise CheckpointError(
            f"{path}: {name!r} of shape {shape} and dtype {dtype} should be {length} bytes at "
            f"{offset}, the file has {available}; download it again."
        )
    return np.fromfile(path, dtype, math.prod(shape), offset=offset).reshape(shape)


def _table(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of a table file: its footer leads to an index block, that to the rest."""
    if len(data) < _FOOTER_BYTES or struct.unpack("<Q", data[-8:])[0] != _MAGIC:
        raise ValueError("it does not end with the table format's magic number")
    position = len(data) - _FOOTER_BYTES
    for _ in range(2):  # the place of a block that is not needed
        _, position = _varint(data, position)
    for _, handle in _block(data, *_handle(data, position)):
        yield from _block(data, *_handle(handle, 0))


def _handle(data: bytes, position: int) -> tuple[int, int]:
    """The offset and the size of a block."""
    offset, position = _varint(data, position)
    return offset, _varint(data, position)[0]


def _block(data: bytes, offset: int, size: int) -> Iterator[tuple[bytes, bytes]]:
    """The keys and values of one block; each key gives only what differs from the one before."""
    if offset + size >= len(data) or data[offset + size] != 0:
        raise ValueError("a block is compressed or lies outside the file")
    block = data[offset : offset + size]
    end = size - 4 - 4 * struct.unpack("<I", block[-4:])[0]
    position, key = 0, b""
    while position < end:
        shared, position = _varint(block, position)
        added, position = _varint(block, position)
        length, position = _varint(block, position)
        key = key[:shared] + block[position : position + added]
        position += added + length
        if position > end:
            raise ValueError("an entry leaves its block")
        yield key, block[position - length : position]


def _fields(message: bytes) -> dict[int, list[Any]]:
    """The fields of a protocol buffer by number: integers, or bytes where they nest."""
    fields: dict[int, list[Any]] = {}
    position = 0
    while position < len(message):
        tag, position = _varint(message, position)
        if tag & 7 == 0:
            value, position = _varint(message, position)
        elif tag & 7 == 5:
            value, position = message[position : position + 4], position + 4
        elif tag & 7 == 2:
            length, position = _varint(message, position)
            value, position = message[position : position + length], position + length
        else:
            raise ValueError(f"an entry has a field of wire type {tag & 7}")
        fields.setdefault(tag >> 3, []).append(value)
    return fields


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """An integer in groups of 7 bits, lowest first, and the position after it."""
    value = 0
    for shift in range(0, 70, 7):
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
    raise ValueError("a number is longer than 64 bits")
