"""Runs documented examples and saves what their variables hold.

    python run_example.py IMPORT_ROOT FOLDER EXAMPLE …

writes FOLDER/EXAMPLE.npz, or the error into FOLDER/EXAMPLE.txt. Runs in a directory that holds
./junnyu/roformer_chinese_base. IMPORT_ROOT stands in for `transformers`; `transformers` itself
gives the recorded results.
"""

import contextlib
import doctest
import io
import sys
import traceback
from pathlib import Path

import numpy as np

EXAMPLES = Path(__file__).parent / "documented_examples.txt"


def examples() -> dict:
    """name -> text with >>> prompts."""
    _, *parts = EXAMPLES.read_text(encoding="utf-8").split("\n## ")
    return dict(part.split("\n", 1) for part in parts)


def run(name: str, import_root: str) -> dict:
    """The example's variables after its last line."""
    namespace = {}
    text = examples()[name].replace("from transformers import", f"from {import_root} import")
    for example in doctest.DocTestParser().get_examples(text):
        shown = io.StringIO()
        with contextlib.redirect_stdout(shown):
            exec(compile(example.source, name, "single"), namespace)
        if example.want and shown.getvalue() != example.want:
            raise AssertionError(f"{example.source}gave {shown.getvalue()}not {example.want}")
    del namespace["__builtins__"]
    return namespace


def arrays(namespace: dict) -> dict:
    """Tensors, numbers and strings under VARIABLE or VARIABLE.KEY."""
    found = {}
    for name, value in namespace.items():
        fields = {name: value}
        if hasattr(value, "items") and not hasattr(value, "trainable_variables"):
            fields = {f"{name}.{key}": item for key, item in value.items()}
        for key, item in fields.items():
            if hasattr(item, "shape") or isinstance(item, (int, float, str, list)):
                item = item.detach() if hasattr(item, "detach") else item
                found[key] = np.asarray(item)
    return {key: array for key, array in found.items() if array.dtype != object}


if __name__ == "__main__":
    root, folder, *names = sys.argv[1:]
    for name in names:
        try:
            np.savez(Path(folder, f"{name}.npz"), **arrays(run(name, root)))
        except Exception:
            Path(folder, f"{name}.txt").write_text(traceback.format_exc(), "utf-8")
