"""The loops: greedy search, sampling and beam search."""

import dataclasses

import numpy as np

from keras_roformer.generation.processors import NO_TOKEN, best, draw, log_softmax

NEVER = np.float32(-1e9)  # score of a beam that must not win, as in the reference


@dataclasses.dataclass
class Result:
    """Continuations of all rows: (rows, steps) tokens and what else was asked for."""

    tokens: np.ndarray
    scores: list
    logits: list
    sequence_scores: np.ndarray | None = None
    beam_indices: np.ndarray | None = None


def follow(decoding, config, processors, steps, rng, emit, stops):
    """Greedy search and sampling.

    Args:
        decoding: `Decoding`.
        steps: the largest number of new tokens.
        rng: NumPy generator.
        emit: function called with the (rows,) new tokens of each step.
        stops: functions (tokens, scores) → which rows end here, (rows,) or one for all.
    """
    logits = decoding.start(config.num_return_sequences)
    history = decoding.prompt.history
    ends = config.eos_token_ids()
    running = np.ones(len(logits), dtype=bool)
    all_scores, all_logits = [], []
    for step in range(steps):
        scores = logits
        for process in processors:
            scores = process(history, scores)
        all_scores.append(scores if config.output_scores else None)
        all_logits.append(logits if config.output_logits else None)
        tokens = draw(rng, scores) if config.do_sample else np.argmax(scores, axis=1)
        if ends:
            tokens = np.where(running, tokens, config.pad_token_id)
            running &= ~np.isin(tokens, ends)
        tokens = tokens.astype("int32")
        history = np.concatenate([history, tokens[:, None]], axis=1)
        emit(tokens)
        for stop in stops:
            running &= ~np.asarray(stop(history, scores), dtype=bool)
        if not running.any() or step == steps - 1:
            break
        logits = decoding.advance(tokens)
    return Result(history[:, -(step + 1) :], all_scores, all_logits)


def search_beams(decoding, config, processors, steps, rng, stops):
    """Beam search, and beam search with sampling; after the reference's, step by step."""
    beams, ends = config.num_beams, config.eos_token_ids()
    logits = decoding.start(beams)  # (B * beams, V)
    batch, size = len(logits) // beams, logits.shape[1]
    history = decoding.prompt.history
    width = max(2, 1 + len(ends)) * beams  # enough for `beams` that go on when others end
    # The reference pads with the end of the sequence if the padding's number is 0.
    fill = (config.pad_token_id or ends[0]) if ends else NO_TOKEN
    first_rows = np.arange(batch)[:, None] * beams

    running = np.full((batch, beams, steps), fill, "int32")  # new tokens of the open beams
    running_parents = np.full((batch, beams, steps), -1, "int32")
    running_scores = np.tile(np.where(np.arange(beams) == 0, np.float32(0), NEVER), (batch, 1))
    done, done_parents = running.copy(), running_parents.copy()  # the best finished ones
    done_scores = np.full((batch, beams), NEVER)
    is_done = np.zeros((batch, beams), dtype=bool)
    improvable = np.ones((batch, 1), dtype=bool)
    all_scores, all_logits = [], []

    for step in range(steps):
        log_probs = log_softmax(logits)
        for process in processors:
            log_probs = process(history, log_probs)
        all_scores.append(log_probs if config.output_scores else None)
        all_logits.append(logits if config.output_logits else None)

        # The best continuations of each prompt's beams.
        total = log_probs.reshape(batch, beams, size) + running_scores[..., None]
        total = total.reshape(batch, beams * size).astype("float32")
        noise = rng.gumbel(size=total.shape) if config.do_sample else 0
        chosen = best(total + noise, width)  # with the noise: drawn without replacement
        scores = np.take_along_axis(total, chosen, axis=1)  # (B, width)
        parents, tokens = chosen // size, chosen % size
        candidates = _take_beams(running, parents)
        candidates[..., step] = tokens
        candidate_parents = _take_beams(running_parents, parents)
        candidate_parents[..., step] = parents + first_rows
        ended = np.isin(tokens, ends) | (step == steps - 1)
        for stop in stops:
            rows = (parents + first_rows).reshape(-1)
            so_far = np.concatenate([history[rows], tokens.reshape(-1, 1)], axis=1)
            verdict = np.asarray(stop(so_far, log_probs[rows]), dtype=bool)
            ended |= verdict.reshape(-1, width) if verdict.ndim else verdict

        # Those that go on.
        open_scores = scores + ended * NEVER
        going_on = best(open_scores, beams)
        running = _take_beams(candidates, going_on)
        running_parents = _take_beams(candidate_parents, going_on)
        running_scores = _take_beams(open_scores, going_on)

        # Those that ended, if among the first `beams`, against the finished ones.
        length = step + 1
        just_done = ended & (np.arange(width) < beams)
        full = is_done.all(axis=1, keepdims=True) & (config.early_stopping is True)
        scores = scores / np.float32(length**config.length_penalty)
        scores = scores + (full * NEVER + ~improvable * NEVER + ~just_done * NEVER)
        merged_scores = np.concatenate([done_scores, scores], axis=1)
        kept = best(merged_scores, beams)
        done = _take_beams(np.concatenate([done, candidates], axis=1), kept)
        done_parents = _take_beams(np.concatenate([done_parents, candidate_parents], axis=1), kept)
        done_scores = _take_beams(merged_scores, kept)
        is_done = _take_beams(np.concatenate([is_done, just_done], axis=1), kept)

        # Can the open beams still become better than the finished ones?
        hopeful = config.early_stopping == "never" and config.length_penalty > 0
        best_length = steps if hopeful else length
        possible = running_scores[:, :1] / np.float32(best_length**config.length_penalty)
        worst = np.where(is_done, done_scores.min(axis=1, keepdims=True), NEVER)
        improvable &= (possible > worst).any(axis=1, keepdims=True)
        stop = (is_done.all() and config.early_stopping is True) or ended.all()
        if stop or not improvable.any():
            break
        rows = running_parents[..., step].reshape(-1)
        tokens = running[..., step].reshape(-1)
        history = np.concatenate([history[rows], tokens[:, None]], axis=1)
        logits = decoding.advance(tokens, rows)

    count = config.num_return_sequences
    done, parents = (x[:, :count].reshape(batch * count, steps) for x in (done, done_parents))
    longest = (parents >= 0).sum(axis=1).max()
    return Result(
        done[:, :longest],
        all_scores,
        all_logits,
        done_scores[:, :count].reshape(-1),
        parents[:, :longest],
    )


def transition_scores(sequences, scores, beam_indices, normalize):
    """The score of each new token at the step that chose it, (rows, steps); 0 after a beam's end.

    Args:
        sequences: (rows, length) tokens.
        scores: list with a (rows, V) array per step.
        beam_indices: (rows, steps) row of the scores that each token continued, or None.
        normalize: make log-probabilities of the scores.
    """
    scores = np.stack(scores)
    if normalize:
        scores = log_softmax(scores)
    if beam_indices is None:
        beam_indices = np.repeat(np.arange(scores.shape[1])[:, None], len(scores), axis=1)
    beam_indices = beam_indices[:, : (beam_indices >= 0).sum(axis=1).max()]
    count = beam_indices.shape[1]
    chosen = scores[np.arange(count), beam_indices, sequences[:, sequences.shape[1] - count :]]
    return np.where(beam_indices < 0, np.float32(0), chosen)


def _take_beams(values, index):
    """Choose along the second axis: (B, m, …) by (B, n) → (B, n, …)."""
    return np.take_along_axis(values, index.reshape(*index.shape, *[1] * (values.ndim - 2)), axis=1)
