"""Padded rows, masks of lengths, and the few sizes that lengths are padded to."""

import numpy as np


def padded_rows(lists, width, fill=0, dtype="int32"):
    """The (B, width) array of lists, filled up with `fill`."""
    array = np.full((len(lists), width), fill, dtype)
    for row, values in zip(array, lists, strict=True):
        row[: len(values)] = values
    return array


def mask_of_lengths(lengths, width):
    """The (B, width) attention mask of rows with these lengths."""
    return (np.arange(width) < np.asarray(lengths)[:, None]).astype("int32")


def padded_size(size):
    """The next of the few sizes that shapes are padded to: 16, 24, 32, 48, 64, 96, 128, …"""
    power = max(16, 1 << (size - 1).bit_length())
    return 3 * power // 4 if 16 < power and size <= 3 * power // 4 else power


def bucket(length):
    """The length to pad to: a power of two from 32 to 256, a multiple of 256 beyond."""
    return max(32, 1 << (length - 1).bit_length()) if length <= 256 else -(-length // 256) * 256
