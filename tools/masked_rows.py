"""Texts → packed rows of token ids → masked inputs and labels. No framework.

Several texts share a row (of 128 tokens in the pretraining), each as `[CLS] … [SEP]` of its own: a
block-diagonal attention mask keeps them apart, and as RoFormer knows only distances, a text is
computed as if it stood alone. Masked are whole words (jieba's), 15 % of a row's tokens.
"""

import math

import numpy as np

from keras_roformer.masking import choose_words, hide

LENGTH = 128
MASK_RATE = 0.15
SPECIAL_TOKENS = 5  # [PAD] [UNK] [CLS] [SEP] [MASK] are the ids 0 to 4
PAD, UNK, CLS, SEP, MASK = range(SPECIAL_TOKENS)
IGNORED = -100


class Rows:
    """Texts packed into rows.

    Attributes:
        ids: (R, length) token ids, 0 where there is none.
        segments: (R, length) number of the text in its row from 1, 0 where there is none.
        words: (R, length) number of the word in its row, -1 at special tokens.
        sources: (R, length) index of the text's source.
    """

    def __init__(self, pieces, length=LENGTH):
        """Pack `(ids, words, source)` triples, the longest first, each into the fullest row."""
        order = sorted(range(len(pieces)), key=lambda i: -len(pieces[i][0]))
        rows, by_room = [], [[] for _ in range(length + 1)]  # rows by free places
        for i in order:
            needed = len(pieces[i][0]) + 2
            room = next((r for r in range(needed, length + 1) if by_room[r]), None)
            if room is None:
                rows.append([])
                row, room = len(rows) - 1, length
            else:
                row = by_room[room].pop()
            rows[row].append(i)
            by_room[room - needed].append(row)
        shape = (len(rows), length)
        self.ids = np.full(shape, PAD, "int32")
        self.segments = np.zeros(shape, "int32")
        self.words = np.full(shape, -1, "int32")
        self.sources = np.zeros(shape, "int32")
        for r, members in enumerate(rows):
            start = word = 0
            for segment, i in enumerate(members, 1):
                ids, words, source = pieces[i]
                end = start + len(ids) + 2
                self.ids[r, start:end] = [CLS, *ids, SEP]
                self.segments[r, start:end] = segment
                self.words[r, start + 1 : end - 1] = np.asarray(words) + word
                self.sources[r, start:end] = source
                start, word = end, word + words[-1] + 1

    def __len__(self):
        return len(self.ids)


def tokenize(tokenizer, texts, sources, length=LENGTH):
    """`(ids, words, source)` of every text; texts of more than a row are cut between words."""
    pieces = []
    for source, text in texts:
        ids, words = tokenizer.encode_words(text)
        while ids:
            end = min(len(ids), length - 2)
            while end < len(ids) and end > 1 and words[end] == words[end - 1]:
                end -= 1
            pieces.append((ids[:end], [w - words[0] for w in words[:end]], sources.index(source)))
            ids, words = ids[end:], words[end:]
    return pieces


def mask_batch(rows, index, rng, vocab_size, corrupt=True):
    """Masked inputs and labels of some rows.

    Args:
        rows: `Rows`.
        index: which of them.
        rng: numpy generator that chooses the masks.
        corrupt: leave 10 % of the chosen tokens and replace 10 % by random ones.

    Returns:
        `(inputs, labels)`: `input_ids` and `segments` (B, L), `positions` and labels (B, P).
    """
    ids = rows.ids[index].copy()
    most = math.ceil(MASK_RATE * ids.shape[1])
    positions = np.stack([choose_words(words, rng, MASK_RATE, most) for words in rows.words[index]])
    chosen = positions >= 0
    positions = np.where(chosen, positions, 0)
    row = np.arange(len(index))[:, None]
    answers = ids[row, positions]
    labels = np.where(chosen, answers, IGNORED)
    shown = np.full_like(answers, MASK)
    if corrupt:
        shown = hide(answers, rng, MASK, (SPECIAL_TOKENS, vocab_size))
    row = np.broadcast_to(row, positions.shape)
    ids[row[chosen], positions[chosen]] = shown[chosen]
    return {"input_ids": ids, "segments": rows.segments[index], "positions": positions}, labels


def hide_every_seventh_word(words, first):
    """Fixed masks without a random generator: words `first % 7`, `first % 7 + 7`, … of a text.

    Args:
        words: the index of each token's word.

    Returns:
        Boolean array, one entry a token.
    """
    return np.asarray(words) % 7 == first % 7
