"""pytorch_model.bin without PyTorch and without running anything the file says.

The file is a pickle of an ordered dict of tensors, in a zip archive (torch >= 1.6) or followed by
the raw storages (older). `_unpickle` is a small machine for the few pickle instructions such a file
needs: it imports nothing and calls nothing but the functions of this module, so that a hostile file
can at most be refused. Format: torch/serialization.py, and pickletools in the standard library.
"""

import io
import math
import mmap
import pickletools
import struct
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_roformer.weights.weight_files import DTYPES, CheckpointError, broken, check_readable

_STORAGES = {  # storage class in module torch → dtype of its elements
    **{"FloatStorage": "float32", "DoubleStorage": "float64", "HalfStorage": "float16"},
    **{"BFloat16Storage": "bfloat16", "BoolStorage": "bool", "ByteStorage": "uint8"},
    **{"CharStorage": "int8", "ShortStorage": "int16", "IntStorage": "int32"},
    **{"LongStorage": "int64"},
}
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_LEGACY_PROTOCOL = 1001
# Pickle instructions that put a constant on the stack, or the value that they carry; and how many
# values an instruction takes. One that is not listed here takes all values after the last mark.
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}
_LITERALS = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"}
_LITERALS |= {"BINUNICODE", "SHORT_BINUNICODE", "BINSTRING", "SHORT_BINSTRING"}
_COUNTS = {"TUPLE1": 1, "TUPLE2": 2, "TUPLE3": 3, "APPEND": 1, "SETITEM": 2}
_COUNTS |= {"STACK_GLOBAL": 2, "REDUCE": 2}
# What reading damaged content raises, here and in zipfile and pickletools.
_BROKEN = (ValueError, TypeError, AttributeError, LookupError, ArithmeticError, struct.error)
_BROKEN += (OSError, EOFError, RuntimeError, zipfile.BadZipFile)


def read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The tensors of a pytorch_model.bin under their stored names; it has no metadata."""
    check_readable(path)
    with open(path, "rb") as file:
        read_content = _read_zip if file.read(2) == b"PK" else _read_legacy
    try:
        content, storages = read_content(path)
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, expected a dict of tensors")
        return {name: _array(name, tensor, storages) for name, tensor in content.items()}, {}
    except CheckpointError:
        raise
    except _BROKEN as error:
        raise broken(path, "PyTorch", f"{error} ({type(error).__name__})") from error


@dataclass(frozen=True)
class _Storage:
    dtype: np.dtype
    key: str
    offset: int = 0  # in elements: old files may name a part of another storage


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    offset: int  # in elements
    shape: tuple[int, ...]
    strides: tuple[int, ...]  # in elements


def _array(name: object, tensor: object, storages: Mapping[str, Any]) -> np.ndarray:
    """A view of the tensor's storage; NumPy refuses a view that leaves it."""
    if not isinstance(name, str) or not isinstance(tensor, _Tensor):
        raise ValueError(f"{name!r} is of type {type(tensor).__name__}, expected a tensor")
    dtype, buffer = tensor.storage.dtype, storages[tensor.storage.key]
    offset = (tensor.storage.offset + tensor.offset) * dtype.itemsize
    if min((0, *tensor.shape, *tensor.strides, offset)) < 0:
        raise ValueError(f"{name!r} has a negative shape, stride or offset")
    if math.prod(tensor.shape) * dtype.itemsize > len(buffer):
        raise ValueError(
            f"{name!r} claims {math.prod(tensor.shape)} elements of {dtype}, its storage has "
            f"{len(buffer)} bytes"
        )
    if 0 in tensor.shape:
        return np.zeros(tensor.shape, dtype)
    strides = [stride * dtype.itemsize for stride in tensor.strides]
    return np.ndarray(tensor.shape, dtype, buffer, offset, strides)


def _read_zip(path: Path) -> tuple[Any, dict[str, bytearray]]:
    """Content and storages of a file by torch >= 1.6: <root>/data.pkl and <root>/data/<key>."""
    storages = {}
    with zipfile.ZipFile(path) as archive:
        entries = {info.filename: info for info in archive.infolist()}
        pickles = [name for name in entries if name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"the archive has {len(pickles)} files data.pkl, expected one")
        root = pickles[0].removesuffix("data.pkl")
        if any(info.compress_type != zipfile.ZIP_STORED for info in entries.values()):
            raise ValueError("the archive is compressed, which PyTorch never does")
        if sum(info.file_size for info in entries.values()) > path.stat().st_size:
            raise ValueError("the archive's entries overlap or claim more bytes than it has")
        if root + "byteorder" in entries and archive.read(root + "byteorder") != b"little":
            raise ValueError("it was written on a big-endian machine")
        content = _unpickle(io.BytesIO(archive.read(pickles[0])), path)
        for name in entries:
            if name.startswith(root + "data/"):
                storages[name.removeprefix(root + "data/")] = bytearray(archive.read(name))
    return content, storages


def _read_legacy(path: Path) -> tuple[Any, dict[str, bytearray]]:
    """Content and storages of a file by torch < 1.6: five pickles, then each storage's elements."""
    with (
        open(path, "rb") as opened,
        mmap.mmap(opened.fileno(), 0, access=mmap.ACCESS_READ) as file,
    ):
        magic, protocol = _unpickle(file, path), _unpickle(file, path)
        if magic != _LEGACY_MAGIC or protocol != _LEGACY_PROTOCOL:
            raise ValueError("neither a zip archive nor PyTorch's older format (no magic number)")
        if not _unpickle(file, path)["little_endian"]:
            raise ValueError("it was written on a big-endian machine")
        sizes: dict[str, int] = {}
        content = _unpickle(file, path, sizes)
        storages = {}
        for key in _unpickle(file, path):
            (count,) = struct.unpack("<q", file.read(8))
            length = count * sizes[key]
            if not 0 <= length <= len(file) - file.tell():
                raise ValueError(f"storage {key} claims {length} bytes, more than the file has")
            storages[key] = bytearray(file.read(length))
    return content, storages


def _global(path: Path, module: str, name: str) -> str | _Storage:
    """What stands for the global `module.name`: a name to compare with, or a storage's dtype."""
    if module == "torch" and name in _STORAGES:
        return _Storage(DTYPES[_STORAGES[name]], "")
    if (module, name) in (
        ("collections", "OrderedDict"),
        ("torch._utils", "_rebuild_tensor"),
        ("torch._utils", "_rebuild_tensor_v2"),
        ("torch._utils", "_rebuild_parameter"),
    ):
        return name
    raise CheckpointError(
        f"{path}: the file asks for the Python object '{module}.{name}', which no weights need; "
        "refused, because loading it could run code. Use a model.safetensors of this model, or "
        "save its state_dict (tensors only) again."
    )


def _call(function: Any, arguments: Any) -> Any:
    """What a REDUCE instruction may do: make an empty dict, a tensor, or a parameter of one."""
    if function == "OrderedDict" and arguments == ():
        return {}
    if function == "_rebuild_parameter":
        return arguments[0]
    if function in ("_rebuild_tensor", "_rebuild_tensor_v2"):
        storage, offset, shape, strides = arguments[:4]
        numbers = (offset, *shape, *strides)
        if not isinstance(storage, _Storage) or any(type(n) is not int for n in numbers):
            raise ValueError("a tensor's storage, offset, shape or strides are of a wrong type")
        if len(shape) != len(strides):
            raise ValueError(f"a tensor has {len(shape)} sizes but {len(strides)} strides")
        return _Tensor(storage, offset, tuple(shape), tuple(strides))
    raise ValueError(f"it calls a {type(function).__name__}")


def _storage(identifier: Any, sizes: dict[str, int] | None) -> _Storage:
    """The storage a persistent id means: ('storage', class, key, device, size[, view])."""
    tag, kind, key, _device, _size, *view = identifier
    if tag != "storage" or not isinstance(kind, _Storage) or type(key) is not str:
        raise ValueError("it refers to something that is not a tensor storage")
    if sizes is not None:
        sizes[key] = kind.dtype.itemsize
    offset = view[0][1] if view and view[0] is not None else 0
    return _Storage(kind.dtype, key, offset)


class _Stack(list[Any]):
    """The stack of the pickle machine, and the marks at which groups of values begin."""

    def __init__(self) -> None:
        super().__init__()
        self.marks: list[int] = []

    def pop_values(self, instruction: str) -> list[Any]:
        """Take what an instruction puts together: so many values, or all after the last mark."""
        count = _COUNTS.get(instruction)
        start = self.marks.pop() if count is None else len(self) - count
        if start < 0:
            raise ValueError("its pickle takes more from the stack than is there")
        values = self[start:]
        del self[start:]
        return values


def _unpickle(file: io.BytesIO | mmap.mmap, path: Path, sizes: dict[str, int] | None = None) -> Any:
    """Run one pickle. `sizes` collects the element size of each storage it mentions.

    This is no `pickle.Unpickler` with a `find_class` of its own, because that class still does what
    a file says to the objects that it lets through: BUILD with a state of (None, dict) sets any
    attribute on them, and REDUCE calls them with any arguments. Here a global is only a name, and
    `_call` is all that can be called.
    """
    stack = _Stack()
    memo: dict[int, Any] = {}
    for opcode, argument, _ in pickletools.genops(file):
        match opcode.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                stack.marks.append(len(stack))
            case name if name in _CONSTANTS:
                stack.append(_CONSTANTS[name])
            case name if name in _LITERALS:
                stack.append(argument)
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "TUPLE" | "TUPLE1" | "TUPLE2" | "TUPLE3":
                stack.append(tuple(stack.pop_values(opcode.name)))
            case "APPEND" | "APPENDS":
                values = stack.pop_values(opcode.name)
                stack[-1].extend(values)
            case "SETITEM" | "SETITEMS":
                values = stack.pop_values(opcode.name)
                if any(type(key) not in (str, int) for key in values[::2]):
                    raise ValueError("a dict has a key that is neither text nor a number")
                stack[-1].update(zip(values[::2], values[1::2], strict=True))
            case "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case "GLOBAL":
                stack.append(_global(path, *argument.split(" ", 1)))
            case "STACK_GLOBAL":
                module, name = stack.pop_values("STACK_GLOBAL")
                stack.append(_global(path, str(module), str(name)))
            case "BINPERSID":
                stack.append(_storage(stack.pop(), sizes))
            case "REDUCE":
                stack.append(_call(*stack.pop_values("REDUCE")))
            case "BUILD":  # attributes of the dict, such as state_dict's _metadata: not needed
                stack.pop()
            case _:
                raise ValueError(f"its pickle uses {opcode.name}, which no weights need")


def write(
    path: Path, tensors: Mapping[str, np.ndarray], metadata: object = None, is_shard: bool = False
) -> None:
    """Write a pytorch_model.bin that `torch.load` reads (not atomic: the caller renames)."""
    storage_names = {dtype: name for name, dtype in _STORAGES.items()}
    ordered_dict = b"ccollections\nOrderedDict\n)R"
    pickle = [b"\x80\x02", ordered_dict, b"("]
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for key, (name, array) in enumerate(tensors.items()):
            array = np.asarray(array, order="C")
            if array.dtype.name not in storage_names:
                raise CheckpointError(
                    f"{path}: tensor {name!r} has dtype {array.dtype}, which PyTorch files have no "
                    f"storage for; expected one of {', '.join(storage_names)}."
                )
            strides = tuple(stride // array.itemsize for stride in array.strides)
            storage = f"ctorch\n{storage_names[array.dtype.name]}\n".encode()
            pickle += [_dump(name), b"ctorch._utils\n_rebuild_tensor_v2\n((", _dump("storage")]
            pickle += [storage, _dump(str(key)), _dump("cpu"), _dump(array.size), b"tQ", _dump(0)]
            pickle += [_dump(array.shape), _dump(strides), b"\x89", ordered_dict, b"tR"]
            with archive.open(_entry(f"data/{key}"), "w", force_zip64=True) as file:
                file.write(array.reshape(-1).view(np.uint8).data)
        archive.writestr(_entry("data.pkl"), b"".join([*pickle, b"u."]))
        archive.writestr(_entry("byteorder"), b"little")
        archive.writestr(_entry("version"), b"3\n")


def _entry(name: str) -> zipfile.ZipInfo:
    """An archive entry with zip's oldest date, so that equal weights give equal files."""
    return zipfile.ZipInfo(f"pytorch_model/{name}")


def _dump(value: str | int | tuple[int, ...]) -> bytes:
    """The pickle instructions that put a string, a number or a tuple of numbers on the stack."""
    if isinstance(value, str):
        text = value.encode()
        return b"X" + struct.pack("<I", len(text)) + text
    if isinstance(value, tuple):
        return b"(" + b"".join(_dump(item) for item in value) + b"t"
    if value < 2**31:
        return b"J" + struct.pack("<i", value)
    return b"\x8a\x08" + struct.pack("<q", value)
