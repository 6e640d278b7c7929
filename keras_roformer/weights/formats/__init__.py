"""The table of weight file formats, in the order in which a directory is searched.

A new format is a module beside this one and a row of `TABLE`. The module has `read(path)`, the
stored tensors of one file, and `write(path, tensors)`; it is imported when a file is read or
written, so that names of files can be asked for without NumPy.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np


class Format(NamedTuple):
    """One format of weight files.

    Attributes:
        name: what arguments, reports and errors call it.
        file: transformers' name of a file with all weights. Shards lie beside an index,
            `<file>.index.json`.
        layout: names and axes of the stored tensors: a key of `layouts.LAYOUTS`, or "original".
        module: the module of this package that reads and writes it.
        request: arguments of the documented `from_pretrained` that ask for it.
        any_name: pattern of the file where its name is free.
        is_written: whether it can be saved; other formats are only read, and never downloaded.
        has_metadata: the module's `read` gives `(tensors, metadata)`, where "format" may name a
            layout other than `layout`, and its `write` takes metadata.
        has_own_shards: a shard differs from a whole file; the module has `write_shard`.
    """

    name: str
    file: str
    layout: str
    module: str
    request: Mapping[str, bool]
    any_name: str | None = None
    is_written: bool = True
    has_metadata: bool = False
    has_own_shards: bool = False

    @property
    def index_file(self) -> str:
        """The name of the shards' index."""
        return f"{self.file}.index.json"

    @property
    def pattern(self) -> str:
        """The pattern of a whole file's name and of the shards' names."""
        return self.any_name or self.file.replace(".", "*.")

    def whole_files(self, directory: Path) -> list[Path]:
        """The files of a directory that have all weights: one at most, unless names are free."""
        found = sorted(directory.glob(self.any_name or self.file))
        return [path for path in found if path.is_file()]

    def read(self, path: Path) -> tuple[dict[str, "np.ndarray"], str]:
        """The tensors of one file under their stored names, and the layout that they have."""
        stored = self._code.read(path)
        if not self.has_metadata:
            return stored, self.layout
        tensors, metadata = stored
        return tensors, metadata.get("format", self.layout)

    def write(
        self,
        path: Path,
        tensors: Mapping[str, "np.ndarray"],
        metadata: Mapping[str, str] | None = None,
        is_shard: bool = False,
    ) -> None:
        """Write tensors that have the format's layout (not atomic: the caller renames)."""
        if self.has_metadata:
            self._code.write(path, tensors, {"format": self.layout, **(metadata or {})})
        elif self.has_own_shards and is_shard:
            self._code.write_shard(path, tensors)
        else:
            self._code.write(path, tensors)

    @property
    def _code(self) -> Any:
        return importlib.import_module(f"{__name__}.{self.module}")


TABLE: dict[str, Format] = {
    format.name: format
    for format in (
        Format(
            "safetensors",
            "model.safetensors",
            layout="pt",
            module="safetensors_file",
            request={"use_safetensors": True},
            has_metadata=True,
        ),
        Format(
            "pytorch",
            "pytorch_model.bin",
            layout="pt",
            module="pytorch_bin",
            # Another format that is asked for by name goes before use_safetensors=False.
            request={"use_safetensors": False, "from_tf": False, "from_flax": False},
        ),
        Format(
            "tensorflow",
            "tf_model.h5",
            layout="tf",
            module="tf_h5",
            request={"from_tf": True},
            has_own_shards=True,
        ),
        Format(
            "flax",
            "flax_model.msgpack",
            layout="flax",
            module="flax_msgpack",
            request={"from_flax": True},
        ),
        # Of the original TensorFlow code and bert4keras; beside it lies bert_model.ckpt.data-….
        Format(
            "original",
            "bert_model.ckpt.index",
            layout="original",
            module="tf_checkpoint",
            request={"from_tf": True},
            any_name="*.ckpt*.index",
            is_written=False,
        ),
    )
}
# The formats that can be saved, the best first.
WRITTEN = tuple(name for name, format in TABLE.items() if format.is_written)


def requested(
    directory: str | Path,
    from_pt: bool = False,
    from_tf: bool = False,
    from_flax: bool = False,
    use_safetensors: bool | None = None,
) -> str | None:
    """The name of the format that arguments of `from_pretrained` ask for.

    Args:
        directory: where the files are: of two formats that are asked for in the same way, the
            first that is there is meant.
        from_pt, from_tf, from_flax, use_safetensors: as documented.

    Returns:
        a name in `TABLE`; None for the first format that the directory has.
    """

    def is_there(format: Format) -> bool:  # or its index
        return any(Path(directory).glob(f"{format.pattern}*"))

    # torch also writes safetensors, and those come first, as in transformers.
    if from_pt and use_safetensors is None and not is_there(TABLE["safetensors"]):
        use_safetensors = False
    given = dict(
        use_safetensors=use_safetensors, from_tf=bool(from_tf), from_flax=bool(from_flax)
    ).items()
    request = next((row.request for row in TABLE.values() if row.request.items() <= given), None)
    meant = [row for row in TABLE.values() if row.request == request]
    return next((row.name for row in meant if is_there(row)), meant[0].name if meant else None)
