"""Whole-word masking, as RoFormer was pretrained. NumPy only."""

import numpy as np


def choose_words(words, rng, rate, most):
    """Whole words to hide, chosen at random.

    Args:
        words: (L,) index of each token's word, below 0 where no word may be hidden.
        rng: `numpy.random.Generator`.
        rate: share of the tokens to hide.
        most: number of tokens to hide at most.

    Returns:
        (most,) int32 positions of the tokens to hide, word by word; -1 in the places left over.
    """
    positions = np.full(most, -1, "int32")
    real = np.flatnonzero(words >= 0)
    budget = min(most, max(1, round(rate * len(real))))
    firsts, count = np.unique(words[real], return_index=True, return_counts=True)[1:]
    taken = 0
    for word in rng.permutation(len(firsts)):
        if taken + count[word] <= budget:
            first = real[firsts[word]]
            positions[taken : taken + count[word]] = range(first, first + count[word])
            taken += count[word]
        if taken == budget:
            break
    return positions


def hide(answers, rng, mask_id, vocabulary, kept=0.1, swapped=0.1):
    """What stands in place of hidden tokens (Devlin et al., 2018, section 3.1).

    Args:
        answers: integer array of the hidden tokens' ids.
        rng: `numpy.random.Generator`.
        mask_id: id of the mask token, which most of them become.
        vocabulary: `(first, end)` range of ids that random tokens are drawn from.
        kept: share of tokens that stay.
        swapped: share of tokens that become random ones.

    Returns:
        Array like `answers`.
    """
    draw = rng.random(answers.shape)
    shown = np.where(draw < kept, answers, mask_id)
    some = rng.integers(*vocabulary, answers.shape)
    return np.where((draw >= kept) & (draw < kept + swapped), some, shown).astype(answers.dtype)
