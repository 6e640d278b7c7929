"""The loops: greedy search, sampling and beam search."""

import dataclasses

import numpy as np

from keras_roformer.arrays import log_softmax
from keras_roformer.generation.processors import NO_TOKEN, best, draw

NEVER = np.float32(-1e9)  # score of a beam that must not win, as in the reference


@dataclasses.dataclass
class Result:
    """Continuations of all rows: (rows, steps) tokens and what else was asked for."""

    tokens: np.ndarray
    scores: list
    logits: list
    sequence_scores: np.ndarray | None = None
    beam_indices: np.ndarray | None = None


def follow(decoding, request):
    """Greedy search and sampling; the streamer gets the (rows,) new tokens of each step."""
    config, steps = request.config, request.steps
    logits = decoding.start(config.num_return_sequences)
    history = decoding.prompt.history
    ends = config.eos_token_ids()
    running = np.ones(len(logits), dtype=bool)
    all_scores, all_logits = [], []
    for step in range(steps):
        scores = logits
        for process in request.processors:
            scores = process(history, scores)
        all_scores.append(scores if config.output_scores else None)
        all_logits.append(logits if config.output_logits else None)
        tokens = draw(request.rng, scores) if config.do_sample else np.argmax(scores, axis=1)
        if ends:
            tokens = np.where(running, tokens, config.pad_token_id)
            running &= ~np.isin(tokens, ends)
        tokens = tokens.astype("int32")
        history = np.concatenate([history, tokens[:, None]], axis=1)
        request.hooks.emit(tokens)
        for stop in request.stops:
            running &= ~np.asarray(stop(history, scores), dtype=bool)
        if not running.any() or step == steps - 1:
            break
        logits = decoding.advance(tokens)
    return Result(history[:, -(step + 1) :], all_scores, all_logits)


@dataclasses.dataclass
class _Beams:
    """Some beams of each prompt, (B, n): their new tokens, the row of the scores that each token
    continued, their scores, and whether they have ended."""

    tokens: np.ndarray  # (B, n, steps)
    parents: np.ndarray  # (B, n, steps), -1 after the end
    scores: np.ndarray
    ended: np.ndarray

    def best(self, scores, count):
        """The `count` beams of each prompt with the highest of other scores, which they take."""
        index = best(scores, count)
        beams = dataclasses.replace(self, scores=scores)
        return _Beams(*(_take_beams(x, index) for x in vars(beams).values()))

    def with_more(self, other):
        """These beams and then the others of each prompt."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return _Beams(*(np.concatenate(pair, axis=1) for pair in pairs))


def search_beams(decoding, request):
    """Beam search, and beam search with sampling; after the reference's, step by step."""
    config, steps = request.config, request.steps
    beams, ends = config.num_beams, config.eos_token_ids()
    logits = decoding.start(beams)  # (B * beams, V)
    history = decoding.prompt.history
    width = max(2, 1 + len(ends)) * beams  # enough for `beams` that go on when others end
    running, finished = _first_beams(len(logits) // beams, config, steps)
    improvable = np.ones((len(logits) // beams, 1), dtype=bool)
    all_scores, all_logits = [], []
    for step in range(steps):
        log_probs = log_softmax(logits)
        for process in request.processors:
            log_probs = process(history, log_probs)
        all_scores.append(log_probs if config.output_scores else None)
        all_logits.append(logits if config.output_logits else None)

        rng = request.rng if config.do_sample else None
        found = _continued(running, log_probs, step, width, rng)
        found.ended = np.isin(found.tokens[..., step], ends) | (step == steps - 1)
        for stop in request.stops:
            rows, tokens = (x[..., step].reshape(-1) for x in (found.parents, found.tokens))
            so_far = np.concatenate([history[rows], tokens[:, None]], axis=1)
            verdict = np.asarray(stop(so_far, log_probs[rows]), dtype=bool)
            found.ended |= verdict.reshape(-1, width) if verdict.ndim else verdict
        running = found.best(found.scores + found.ended * NEVER, beams)
        finished = _finished(finished, found, improvable, step + 1, config)
        improvable &= _can_improve(running, finished, step + 1, steps, config)
        stop = (finished.ended.all() and config.early_stopping is True) or found.ended.all()
        if stop or not improvable.any():
            break
        rows, tokens = (x[..., step].reshape(-1) for x in (running.parents, running.tokens))
        history = np.concatenate([history[rows], tokens[:, None]], axis=1)
        logits = decoding.advance(tokens, rows)

    count = config.num_return_sequences
    tokens, parents = (x[:, :count].reshape(-1, steps) for x in (finished.tokens, finished.parents))
    longest = (parents >= 0).sum(axis=1).max()
    scores = finished.scores[:, :count].reshape(-1)
    return Result(tokens[:, :longest], all_scores, all_logits, scores, parents[:, :longest])


def _first_beams(batch, config, steps):
    """The open beams before the first step, of which one counts, and no finished ones."""
    beams, ends = config.num_beams, config.eos_token_ids()
    # The reference pads with the end of the sequence if the padding's number is 0.
    fill = (config.pad_token_id or ends[0]) if ends else NO_TOKEN
    tokens = np.full((batch, beams, steps), fill, "int32")
    parents = np.full((batch, beams, steps), -1, "int32")
    scores = np.tile(np.where(np.arange(beams) == 0, np.float32(0), NEVER), (batch, 1))
    none = np.zeros((batch, beams), dtype=bool)
    running = _Beams(tokens, parents, scores, none)
    return running, dataclasses.replace(running, scores=np.full((batch, beams), NEVER))


def _continued(running, log_probs, step, width, rng):
    """The `width` best continuations of each prompt's open beams; with `rng`, drawn ones."""
    batch, beams = running.scores.shape
    size = log_probs.shape[1]
    total = log_probs.reshape(batch, beams, size) + running.scores[..., None]
    total = total.reshape(batch, beams * size).astype("float32")
    noise = 0 if rng is None else rng.gumbel(size=total.shape)
    chosen = best(total + noise, width)  # with the noise: drawn without replacement
    scores = np.take_along_axis(total, chosen, axis=1)  # (B, width)
    parents, tokens = chosen // size, chosen % size
    found = _Beams(*(_take_beams(x, parents) for x in vars(running).values()))
    found.scores = scores
    found.tokens[..., step] = tokens
    found.parents[..., step] = parents + np.arange(batch)[:, None] * beams
    return found


def _finished(finished, found, improvable, length, config):
    """The best finished beams: of those before, and of those that ended now among the first."""
    beams = config.num_beams
    just_done = found.ended & (np.arange(found.ended.shape[1]) < beams)
    full = finished.ended.all(axis=1, keepdims=True) & (config.early_stopping is True)
    scores = found.scores / np.float32(length**config.length_penalty)
    scores = scores + (full * NEVER + ~improvable * NEVER + ~just_done * NEVER)
    both = finished.with_more(dataclasses.replace(found, scores=scores, ended=just_done))
    return both.best(both.scores, beams)


def _can_improve(running, finished, length, steps, config):
    """Whether the open beams of each prompt can still become better than its finished ones."""
    hopeful = config.early_stopping == "never" and config.length_penalty > 0
    best_length = steps if hopeful else length
    possible = running.scores[:, :1] / np.float32(best_length**config.length_penalty)
    worst = np.where(finished.ended, finished.scores.min(axis=1, keepdims=True), NEVER)
    return (possible > worst).any(axis=1, keepdims=True)


def transition_scores(sequences, scores, beam_indices, normalize):
    """The score of each new token at the step that chose it, (rows, steps); 0 after a beam's end.

    The arguments are arrays, of `GenerationMixin.compute_transition_scores`.
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
