"""Weight files of every family, to and from one dict of NumPy arrays. Imports no framework."""

from keras_roformer.weights.checkpoint import FORMATS, Found, find, read, write
from keras_roformer.weights.weight_files import CheckpointError

__all__ = ["FORMATS", "CheckpointError", "Found", "find", "read", "write"]
