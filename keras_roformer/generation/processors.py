"""What changes the scores of the next token, and what chooses one; in NumPy, for every backend.

A processor is a function of the tokens so far, (rows, columns), and of the (rows, V) scores of the
next one.
"""

import functools

import numpy as np

NO_TOKEN = -1  # in the tokens: padding that was moved out of a right-padded prompt


def make_processors(config, prompt_length, custom=()):
    """The functions that change the scores, in the reference's order.

    Args:
        config: `GenerationConfig`.
        prompt_length: columns of the prompt.
        custom: further functions (tokens, scores) → scores, applied before sampling's.
    """
    processors = []
    ends = config.eos_token_ids()
    if config.repetition_penalty != 1.0:
        processors.append(functools.partial(penalise_repetition, config.repetition_penalty))
    if config.no_repeat_ngram_size:
        processors.append(functools.partial(ban_repeated_ngrams, config.no_repeat_ngram_size))
    words = [word for word in config.bad_words_ids or () if list(word) not in [[e] for e in ends]]
    if words:
        processors.append(functools.partial(ban_words, words))
    min_length = config.min_length or 0
    if config.min_new_tokens is not None:
        min_length = prompt_length + config.min_new_tokens
    if ends and min_length > prompt_length:
        processors.append(functools.partial(ban_early_end, min_length, ends))
    if config.suppress_tokens:
        processors.append(functools.partial(ban_words, [[t] for t in config.suppress_tokens]))
    processors.extend(custom)
    if config.do_sample:
        # A beam must have a way to go on.
        at_least = len(ends or [None]) + 1 if config.num_beams > 1 else 1
        if config.temperature != 1.0:
            processors.append(lambda tokens, scores: scores / np.float32(config.temperature))
        if config.top_k:
            processors.append(functools.partial(keep_top_k, max(config.top_k, at_least)))
        if config.top_p < 1.0:
            processors.append(functools.partial(keep_top_p, config.top_p, at_least))
        if config.min_p is not None:
            processors.append(functools.partial(keep_min_p, config.min_p, at_least))
    if config.renormalize_logits:
        processors.append(lambda tokens, scores: log_softmax(scores))
    return processors


def penalise_repetition(penalty, tokens, scores):
    """Make tokens that occurred less probable (Keskar et al., 2019, section 4.1)."""
    rows, size = scores.shape
    occurred = np.zeros((rows, size + 1), dtype=bool)  # NO_TOKEN is the last column
    occurred[np.arange(rows)[:, None], tokens] = True
    penalised = np.where(scores < 0, scores * np.float32(penalty), scores / np.float32(penalty))
    return np.where(occurred[:, :size], penalised, scores)


def ban_repeated_ngrams(size, tokens, scores):
    """Ban the tokens that would end an n-gram that occurred."""
    if tokens.shape[1] < size:
        return scores
    ngrams = np.lib.stride_tricks.sliding_window_view(tokens, size, axis=1)  # (rows, m, size)
    start = tokens[:, None, tokens.shape[1] + 1 - size :]
    again = (ngrams[..., :-1] == start).all(axis=-1) & (ngrams[..., -1] != NO_TOKEN)
    rows, places = np.nonzero(again)
    scores = scores.copy()
    scores[rows, ngrams[rows, places, -1]] = -np.inf
    return scores


def ban_words(words, tokens, scores):
    """Ban the last token of each word where the others stand at the end of the tokens so far."""
    scores = scores.copy()
    for word in words:
        *start, last = word
        if len(start) <= tokens.shape[1]:
            here = (tokens[:, tokens.shape[1] - len(start) :] == start).all(axis=1)
            scores[here, last] = -np.inf
    return scores


def ban_early_end(min_length, ends, tokens, scores):
    """Ban the end of the sequence before `min_length` columns."""
    if tokens.shape[1] < min_length:
        scores = scores.copy()
        scores[:, [end for end in ends if 0 <= end < scores.shape[1]]] = -np.inf
    return scores


def keep_top_k(k, tokens, scores):
    """Ban all tokens but the k most probable ones."""
    k = min(k, scores.shape[1])
    least = np.partition(scores, -k, axis=1)[:, -k, None]
    return np.where(scores < least, -np.inf, scores)


def keep_top_p(p, at_least, tokens, scores):
    """Ban the least probable tokens, whose probabilities sum up to 1 - p at most."""
    order = np.argsort(scores, axis=1, kind="stable")
    sums = np.cumsum(np.exp(log_softmax(np.take_along_axis(scores, order, axis=1))), axis=1)
    ban = sums <= 1 - p
    ban[:, -at_least:] = False
    banned = np.empty_like(ban)
    np.put_along_axis(banned, order, ban, axis=1)
    return np.where(banned, -np.inf, scores)


def keep_min_p(p, at_least, tokens, scores):
    """Ban tokens below a share p of the best one's probability (Nguyen et al., 2024)."""
    ban = scores < scores.max(axis=1, keepdims=True) + np.log(np.float32(max(p, 1e-38)))
    kept = np.argpartition(-scores, at_least - 1, axis=1)[:, :at_least]
    np.put_along_axis(ban, kept, False, axis=1)
    return np.where(ban, -np.inf, scores)


def log_softmax(scores):
    shifted = scores - scores.max(axis=-1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True))


def draw(rng, scores):
    """One token per row, with the probabilities of the scores' softmax."""
    sums = np.cumsum(np.exp(log_softmax(scores.astype("float64"))), axis=1)
    sums /= sums[:, -1:]
    thresholds = rng.random(len(scores))
    return np.array(
        [np.searchsorted(row, x, side="right") for row, x in zip(sums, thresholds, strict=True)]
    )


def best(scores, count):
    """Indices of the `count` largest scores of each row, the largest first."""
    if count < scores.shape[1] // 8:
        some = np.sort(np.argpartition(-scores, count, axis=1)[:, :count], axis=1)
    else:
        some = np.broadcast_to(np.arange(scores.shape[1]), scores.shape)
    order = np.argsort(-np.take_along_axis(scores, some, axis=1), axis=1, kind="stable")
    return np.take_along_axis(some, order[:, :count], axis=1)
