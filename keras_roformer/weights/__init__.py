"""Weight files of every family, to and from one dict of NumPy arrays. Imports no framework.

A name is imported when it is first asked for: hub.py and the command read the table of formats,
which needs neither NumPy nor the readers.
"""

import importlib

_MODULE_OF = {
    **dict.fromkeys(("FORMATS", "Found", "find", "read", "write"), "checkpoint"),
    "CheckpointError": "weight_files",
}
__all__ = sorted(_MODULE_OF)


def __getattr__(name: str) -> object:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
