"""Arrays of NumPy: from tensors of any framework, and probabilities of scores."""

import numpy as np


def to_numpy(value):
    """A tensor, number or list as an array."""
    if not hasattr(value, "shape"):
        return np.asarray(value)
    from keras import ops  # only where there is a tensor: importing Keras chooses its backend

    return ops.convert_to_numpy(value)


def softmax(scores):
    """Probabilities along the last axis."""
    exponentials = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def log_softmax(scores):
    """Log-probabilities along the last axis; -inf where a score is."""
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))
