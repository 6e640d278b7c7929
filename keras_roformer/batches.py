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


def few_widths(lengths, batch_size, count):
    """The widths, `count` at most, that pad batches of similar lengths the least.

    Args:
        lengths: of all examples.

    Returns:
        rising list of widths, the last one the largest length.
    """
    # The widths of batches of sorted examples; the best choice among them by dynamic programming.
    tops, counts = np.unique(np.sort(lengths)[::-1][::batch_size], return_counts=True)
    batches = np.cumsum(counts)
    tokens, chosen = tops * batches, [[int(top)] for top in tops]  # with one width
    for _ in range(count - 1):
        for last in range(len(tops) - 1, 0, -1):  # what lies before is still the last round's
            found = tokens[:last] + tops[last] * (batches[last] - batches[:last])
            best = int(found.argmin())
            if found[best] < tokens[last]:
                tokens[last] = found[best]
                chosen[last] = [*chosen[best], int(tops[last])]
    return chosen[-1]


def similar_lengths(lengths, batch_size, rng, pool=32):
    """Batches of the indices of rows of similar lengths, in random order.

    Rows are sorted by length inside random pools, which saves most of the padding and leaves the
    batches random.

    Args:
        lengths: array of integers.
        batch_size: rows in a batch.
        rng: `numpy.random.Generator`, or None for pools and batches in the order of the rows.
        pool: batches whose rows are sorted together.

    Returns:
        list of arrays of indices; each index is in one of them.
    """
    count = len(lengths)
    order = np.arange(count) if rng is None else rng.permutation(count)
    batches = []
    for start in range(0, count, pool * batch_size):
        rows = order[start : start + pool * batch_size]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[i : i + batch_size] for i in range(0, len(rows), batch_size)]
    if rng is None or pool == 1:  # then the order is that of `rng` already
        return batches
    return [batches[i] for i in rng.permutation(len(batches))]
