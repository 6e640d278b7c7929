"""Entities: spans of neighbouring tokens with one tag, and the F1 of those that a model finds."""

import numpy as np


def spans_of_tags(tags, outside=()):
    """The entities in a row of tags, in order: `(type, first, last)`.

    Neighbours with one type are one entity; "B-X" begins a new one. "I-X" after another type, or a
    tag without B and I, begins one, too.

    Args:
        tags: list of strings: "B-X", "I-X" or "X".
        outside: types that are no entities, e.g. ("O",).

    Example:
        >>> spans_of_tags(["B-PER", "I-PER", "O", "B-LOC"], outside=("O",))
        [('PER', 0, 1), ('LOC', 3, 3)]
    """
    spans = []
    for i, tag in enumerate(tags):
        kind = tag[2:] if tag.startswith(("B-", "I-")) else tag
        if spans and kind == spans[-1][0] and not tag.startswith("B-"):
            spans[-1] = kind, spans[-1][1], i
        else:
            spans.append((kind, i, i))
    return [span for span in spans if span[0] not in outside]


def precision_recall_f1(right, found, gold):
    """Precision, recall and their harmonic mean from counts of entities, numbers or arrays.

    Args:
        right: how many of those found are right.
        found: how many a model found.
        gold: how many there are.
    """
    precision, recall = right / np.maximum(found, 1), right / np.maximum(gold, 1)
    return precision, recall, 2 * precision * recall / np.maximum(precision + recall, 1e-12)
