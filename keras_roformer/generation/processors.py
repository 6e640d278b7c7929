"""What changes the scores of the next token, and what chooses one; in NumPy, for every backend.

A processor is a function of the tokens so far, (rows, columns), and of the (rows, V) scores of the
next one.
"""

import functools

import numpy as np

from keras_roformer.arrays import log_softmax

NO_TOKEN = -1  # in the tokens: padding that was moved out of a right-padded prompt


def make_processors(config, prompt, max_length, allowed=None, custom=()):
    """The functions that change the scores, in the reference's order.

    `prompt` are (B, L) tokens, `max_length` the columns at the end; `allowed` gives, for the number
    of a prompt and its tokens so far, those that may be next; `custom` go before sampling's.
    """
    c, length, ends = config, prompt.shape[1], config.eos_token_ids()
    words = [word for word in c.bad_words_ids or () if list(word) not in [[e] for e in ends]]
    suppressed = [[token] for token in c.suppress_tokens or ()]
    first = list(c.begin_suppress_tokens or ())
    forced = c.forced_eos_token_ids()
    min_length = c.min_length or 0
    if c.min_new_tokens is not None:
        min_length = length + c.min_new_tokens
    # A beam must have a way to go on.
    least = len(ends or [None]) + 1 if c.num_beams > 1 else 1
    reward, size = 1 / c.encoder_repetition_penalty, c.encoder_no_repeat_ngram_size

    def penalise_prompt(tokens, scores):
        return penalise_repetition(reward, _copies(prompt, scores), scores)

    def ban_prompt_ngrams(tokens, scores):
        return ban_ngrams(_copies(prompt, scores), size, tokens, scores)

    # (whether it changes anything, the processor and its first arguments)
    general = [
        (c.encoder_repetition_penalty != 1.0, penalise_prompt),
        (c.repetition_penalty != 1.0, penalise_repetition, c.repetition_penalty),
        (c.no_repeat_ngram_size, lambda t, s: ban_ngrams(t, c.no_repeat_ngram_size, t, s)),
        (size, ban_prompt_ngrams),
        (words, ban_words, words),
        (ends and min_length > length, ban_early_end, min_length, ends),
        (allowed is not None, keep_allowed, allowed, c.num_beams),
        (c.forced_bos_token_id is not None, force_column, 1, [c.forced_bos_token_id]),
        (forced, force_column, max_length - 1, forced),
        (c.remove_invalid_values, lambda tokens, scores: np.nan_to_num(scores)),
        (suppressed, ban_words, suppressed),
        (first, ban_early_end, length + 1, first),
        *((True, function) for function in custom),
    ]
    sampling = [
        (c.temperature != 1.0, lambda tokens, scores: scores / np.float32(c.temperature)),
        (c.top_k, keep_top_k, max(c.top_k or 0, least)),
        (c.top_p < 1.0, keep_top_p, c.top_p, least),
        (c.min_p is not None, keep_min_p, c.min_p, least),
        (c.typical_p < 1.0, keep_typical, c.typical_p, least),
        (c.epsilon_cutoff, keep_likely, c.epsilon_cutoff, least),
        (c.eta_cutoff, keep_eta, c.eta_cutoff, least),
    ]
    last = [(c.renormalize_logits, lambda tokens, scores: log_softmax(scores))]
    rows = general + (sampling if c.do_sample else []) + last
    return [functools.partial(function, *given) for wanted, function, *given in rows if wanted]


def penalise_repetition(penalty, tokens, scores):
    """Make tokens that occurred less probable (Keskar et al., 2019, section 4.1)."""
    rows, size = scores.shape
    occurred = np.zeros((rows, size + 1), dtype=bool)  # NO_TOKEN is the last column
    occurred[np.arange(rows)[:, None], tokens] = True
    penalised = np.where(scores < 0, scores * np.float32(penalty), scores / np.float32(penalty))
    return np.where(occurred[:, :size], penalised, scores)


def _copies(prompt, scores):
    """Prompts, each as often as there are rows for it."""
    return np.repeat(prompt, len(scores) // len(prompt), axis=0)


def ban_ngrams(source, size, tokens, scores):
    """Ban the tokens that would end an n-gram in the row of `source`."""
    if min(source.shape[1], tokens.shape[1] + 1) < size:
        return scores
    ngrams = np.lib.stride_tricks.sliding_window_view(source, size, axis=1)  # (rows, m, size)
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


def keep_allowed(allowed, beams, tokens, scores):
    """Ban all tokens but those that a function of prompt number and tokens so far gives."""
    kept = np.full_like(scores, -np.inf)
    for row, so_far in enumerate(tokens):
        ids = [int(token) for token in allowed(row // beams, so_far)]
        if not ids:
            raise ValueError(f"prefix_allowed_tokens_fn allowed no token after row {row}")
        kept[row, ids] = scores[row, ids]
    return kept


def force_column(column, forced, tokens, scores):
    """Ban all tokens but some in one column."""
    if tokens.shape[1] != column:
        return scores
    scores = np.full_like(scores, -np.inf)
    scores[:, forced] = 0
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


def keep_typical(mass, at_least, tokens, scores):
    """Ban all but the tokens whose information is nearest to the entropy (Meister et al., 2022)."""
    logs = log_softmax(scores)
    distance = np.abs(-logs - _entropy(logs))
    order = np.argsort(distance, axis=1, kind="stable")
    sums = np.cumsum(np.take_along_axis(np.exp(logs), order, axis=1), axis=1)
    last = np.minimum((sums < mass).sum(axis=1, keepdims=True), scores.shape[1] - 1)
    ordered = np.take_along_axis(distance, order, axis=1)
    ban = ordered > np.take_along_axis(ordered, last, axis=1)
    ban[:, :at_least] = False
    banned = np.empty_like(ban)
    np.put_along_axis(banned, order, ban, axis=1)
    return np.where(banned, -np.inf, scores)


def keep_likely(least, at_least, tokens, scores):
    """Ban tokens below a probability, a number or one for each row (Hewitt et al., 2022)."""
    ban = np.exp(log_softmax(scores)) < least
    top = np.partition(scores, -at_least, axis=1)[:, -at_least, None]
    return np.where(ban & (scores < top), -np.inf, scores)


def keep_eta(epsilon, at_least, tokens, scores):
    """Ban tokens below a probability that is lower where the distribution is flat (ibid.)."""
    least = np.minimum(epsilon, np.sqrt(epsilon) * np.exp(-_entropy(log_softmax(scores))))
    return keep_likely(least, at_least, tokens, scores)


def _entropy(logs):
    """The entropy of log-probabilities, (rows, 1)."""
    with np.errstate(invalid="ignore"):  # a banned token has 0 * -inf
        return -np.nansum(np.exp(logs) * logs, axis=1, keepdims=True)


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
