"""Weight files of every family, to and from one dict of NumPy arrays. Imports no framework."""

from .checkpoint import FORMATS, Found, find, read, write
from .files import CheckpointError

__all__ = ["FORMATS", "CheckpointError", "Found", "find", "read", "write"]
