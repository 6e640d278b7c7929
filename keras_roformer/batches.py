"""Batches of rows of different lengths: padded arrays, masks of lengths, the sizes to pad to.

Imports NumPy only, so that a pipeline, the decoder, the training and the tools can share it.
"""

import numpy as np


def padded_rows(lists, width, fill=0, dtype="int32"):
    """The (B, width) array of lists, filled up with `fill`."""
    array = np.full((len(lists), width), fill, dtype)
    for row, values in zip(array, lists, strict=True):
        row[: len(values)] = values
    return array


def mask_of_lengths(lengths, width):
    """The (B, width) attention mask of rows with these lengths: 1 for a token, 0 for padding."""
    return (np.arange(width) < np.asarray(lengths)[:, None]).astype("int32")


def bucket(size, least=32, parts=1, widest=256):
    """The size to pad to: the next one of a few, as each size that occurs is compiled.

    Args:
        size: integer, at least 1.
        least: the smallest of the sizes, a power of two.
        parts: how many steps lead from a power of two to the next.
        widest: the widest step, a power of two; None for steps that double without end.

    Returns:
        with the defaults a power of two from 32 to 256, a multiple of 256 beyond.

    Example:

        >>> [bucket(size) for size in (5, 33, 300)]
        [32, 64, 512]
    """
    if size <= least:
        return least
    below = 1 << (size - 1).bit_length() - 1  # the power of two below `size`
    step = below // parts if widest is None else min(below // parts, widest)
    return -(-size // step) * step


def padded_size(size):
    """The next of 16, 24, 32, 48, 64, 96, 128, …: a pipeline's sizes on a compiling backend."""
    return bucket(size, least=16, parts=2, widest=None)
