"""What changes the scores of the next token, and what chooses one; in NumPy, for every backend.

A processor is a function of the tokens so far, (rows, columns), and of the (rows, V) scores of the
next one.
"""

import functools

import numpy as np

NO_TOKEN = -1  # in the tokens: padding that was moved out of a right-padded prompt


def make_processors(config, prompt, max_length, allowed=None, custom=()):
    """The functions that change the scores, in the reference's order.

    Args:
        config: `GenerationConfig`.
        prompt: (B, L) tokens.
        max_length: columns at the end.
        allowed: function of the number of a prompt and its tokens so far → those that may be next.
        custom: further functions (tokens, scores) → scores, applied before sampling's.
    """
    processors = []
    ends = config.eos_token_ids()
    prompt_length = prompt.shape[1]
    if config.encoder_repetition_penalty != 1.0:
        reward = 1 / config.encoder_repetition_penalty
        processors.append(
            lambda tokens, scores: penalise_repetition(reward, _copies(prompt, scores), scores)
        )
    if config.repetition_penalty != 1.0:
        processors.append(functools.partial(penalise_repetition, config.repetition_penalty))
    if config.no_repeat_ngram_size:
        processors.append(functools.partial(ban_repeated_ngrams, config.no_repeat_ngram_size))
    if size := config.encoder_no_repeat_ngram_size:
        processors.append(
            lambda tokens, scores: ban_ngrams(_copies(prompt, scores), size, tokens, scores)
        )
    words = [word for word in config.bad_words_ids or () if list(word) not in [[e] for e in ends]]
    if words:
        processors.append(functools.partial(ban_words, words))
    min_length = config.min_length or 0
    if config.min_new_tokens is not None:
        min_length = prompt_length + config.min_new_tokens
    if ends and min_length > prompt_length:
        processors.append(functools.partial(ban_early_end, min_length, ends))
    if allowed is not None:
        processors.append(functools.partial(keep_allowed, allowed, config.num_beams))
    if config.forced_bos_token_id is not None:
        processors.append(functools.partial(force_column, 1, [config.forced_bos_token_id]))
    if forced := config.forced_eos_token_ids():
        processors.append(functools.partial(force_column, max_length - 1, forced))
    if config.remove_invalid_values:
        processors.append(lambda tokens, scores: np.nan_to_num(scores))
    if config.suppress_tokens:
        processors.append(functools.partial(ban_words, [[t] for t in config.suppress_tokens]))
    if config.begin_suppress_tokens:
        banned = list(config.begin_suppress_tokens)
        processors.append(functools.partial(ban_early_end, prompt_length + 1, banned))
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
        if config.typical_p < 1.0:
            processors.append(functools.partial(keep_typical, config.typical_p, at_least))
        if config.epsilon_cutoff:
            processors.append(functools.partial(keep_likely, config.epsilon_cutoff, at_least))
        if config.eta_cutoff:
            processors.append(functools.partial(keep_eta, config.eta_cutoff, at_least))
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


def _copies(prompt, scores):
    """Prompts, each as often as there are rows for it."""
    return np.repeat(prompt, len(scores) // len(prompt), axis=0)


def ban_repeated_ngrams(size, tokens, scores):
    """Ban the tokens that would end an n-gram that occurred."""
    return ban_ngrams(tokens, size, tokens, scores)


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
