"""The table of weight file formats, in the order in which a directory is searched.

A new format is a module beside this one and a row of `TABLE`. All modules have the same verbs:
`read(path)` gives the stored tensors of one file and its metadata, and
`write(path, tensors, metadata, is_shard)` is its reverse. A module is imported when a file is read
or written, so that names of files can be asked for without NumPy.
"""

import importlib
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import NamedTuple


class Format(NamedTuple):
    """One format of weight files."""

    name: str  # what arguments, reports and errors call it
    file: str  # transformers' name of a file with all weights; shards lie beside an index
    # Names and axes of the stored tensors: a key of `layouts.LAYOUTS`, or "original". The "format"
    # of a file's metadata may say another.
    layout: str
    module: str  # of this package, which reads and writes it
    request: Mapping[str, bool]  # arguments of the documented `from_pretrained` that ask for it
    any_name: str | None = None  # pattern of the file where its name is free
    is_written: bool = True  # other formats are only read, and never downloaded

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

    @property
    def code(self) -> ModuleType:
        """The module that reads and writes the format."""
        return importlib.import_module(f"{__name__}.{self.module}")


_SAFE, _TF = {"use_safetensors": True}, {"from_tf": True}
# Another format that is asked for by name goes before use_safetensors=False.
_PICKLED = {"use_safetensors": False, "from_tf": False, "from_flax": False}
TABLE: dict[str, Format] = {
    format.name: format
    for format in (
        Format("safetensors", "model.safetensors", "pt", "safetensors_file", _SAFE),
        Format("pytorch", "pytorch_model.bin", "pt", "pytorch_bin", _PICKLED),
        Format("tensorflow", "tf_model.h5", "tf", "tf_h5", _TF),
        Format("flax", "flax_model.msgpack", "flax", "flax_msgpack", {"from_flax": True}),
        # Of the original TensorFlow code and bert4keras; beside it lies bert_model.ckpt.data-….
        Format(
            "original",
            "bert_model.ckpt.index",
            "original",
            "tf_checkpoint",
            _TF,
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
