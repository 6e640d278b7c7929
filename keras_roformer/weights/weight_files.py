"""What the weight file formats share: the error, and the checks before reading."""

from pathlib import Path

import ml_dtypes
import numpy as np

# The dtypes a weight may have, by name. All of them survive in safetensors, .bin and .msgpack.
DTYPES: dict[str, np.dtype] = {
    np.dtype(t).name: np.dtype(t)
    for t in (
        *(np.float32, np.float16, ml_dtypes.bfloat16, np.float64, np.bool_),
        *(np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64),
    )
}

_LFS_POINTER = b"version https://git-lfs"


class CheckpointError(ValueError):
    """A weight file cannot be read or written: says which, what is wrong and what to do."""


def check_readable(path: Path) -> int:
    """The size in bytes of a weight file; `CheckpointError` if it is absent, empty or a pointer."""
    if not path.is_file():
        raise CheckpointError(
            f"{path}: there is no such file; check the path or download it again."
        )
    size = path.stat().st_size
    if size == 0:
        raise CheckpointError(f"{path}: the file is empty (0 bytes); download or save it again.")
    with open(path, "rb") as file:
        if file.read(len(_LFS_POINTER)) == _LFS_POINTER:
            raise CheckpointError(
                f"{path}: this is a git-LFS pointer ({size} bytes), not the weights it points to; "
                "run `git lfs pull` in that checkout, or download the file itself."
            )
    return size


def broken(path: Path, format_name: str, problem: object) -> CheckpointError:
    """The error for a file whose content is not what its format says."""
    return CheckpointError(
        f"{path}: not a readable {format_name} file: {problem}. It is truncated, damaged or of "
        "another format; download or save it again."
    )


def check_dtype(path: Path, name: str, dtype: object) -> None:
    """Refuse a tensor whose dtype (a NumPy dtype or its name) no weight can have."""
    if str(dtype) not in DTYPES:
        raise CheckpointError(
            f"{path}: tensor {name!r} has dtype {dtype}, expected one of {', '.join(DTYPES)}; "
            "convert it first."
        )
