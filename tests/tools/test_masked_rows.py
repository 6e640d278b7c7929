"""The masking that the presets were trained with: rows of whole texts, masks of whole words."""

import masked_rows
import numpy as np
import pytest

pytestmark = pytest.mark.framework_free


@pytest.fixture
def pieces():
    """Texts of random tokens; the words have one to three of them."""
    rng = np.random.default_rng(5)
    pieces = []
    for length in rng.integers(4, 60, 40):
        words = np.repeat(np.arange(length), rng.integers(1, 4, length))[:length]
        pieces.append((rng.integers(5, 90, length).tolist(), words.tolist(), length % 3))
    return pieces


def test_rows_hold_every_text_once(pieces):
    rows = masked_rows.Rows(pieces)
    found = []
    for ids, segments, sources in zip(rows.ids, rows.segments, rows.sources, strict=True):
        for segment in range(1, segments.max() + 1):
            places = np.flatnonzero(segments == segment)
            assert np.array_equal(places, np.arange(places[0], places[-1] + 1))
            text = ids[places].tolist()
            assert (text[0], text[-1]) == (masked_rows.CLS, masked_rows.SEP)
            (source,) = set(sources[places].tolist())
            found.append((text[1:-1], source))
    expected = [(ids, source) for ids, _, source in pieces]
    assert sorted(found) == sorted(expected)
    assert np.mean(rows.segments > 0) > 0.9


@pytest.mark.parametrize("length", [masked_rows.LENGTH, 200])
def test_masks_are_whole_words_within_the_budget(pieces, length):
    rows = masked_rows.Rows(pieces, length)
    assert rows.words.shape == (len(rows), length)
    inputs, labels = masked_rows.mask_batch(
        rows, np.arange(len(rows)), np.random.default_rng(1), 90
    )
    assert labels.shape[1] == np.ceil(masked_rows.MASK_RATE * length)
    for words, places, answers in zip(rows.words, inputs["positions"], labels, strict=True):
        positions = places[answers != masked_rows.IGNORED]
        assert len(set(positions.tolist())) == len(positions)
        budget = round(masked_rows.MASK_RATE * np.sum(words >= 0))
        assert budget - 3 <= len(positions) <= max(1, budget)
        masked = set(words[positions].tolist())
        assert -1 not in masked
        for word in masked:
            assert np.sum(words == word) == np.sum(words[positions] == word)


def test_batch(pieces):
    rows = masked_rows.Rows(pieces)
    index = np.arange(len(rows))
    inputs, labels = masked_rows.mask_batch(rows, index, np.random.default_rng(1), 90, False)
    counts = labels != masked_rows.IGNORED
    shown = np.take_along_axis(inputs["input_ids"], inputs["positions"], axis=1)
    assert (shown[counts] == masked_rows.MASK).all()
    assert np.sum(inputs["input_ids"] != rows.ids) == counts.sum()
    answers = np.take_along_axis(rows.ids, inputs["positions"], axis=1)
    assert np.array_equal(answers[counts], labels[counts])

    again, _ = masked_rows.mask_batch(rows, index, np.random.default_rng(1), 90, False)
    other, _ = masked_rows.mask_batch(rows, index, np.random.default_rng(2), 90, False)
    assert np.array_equal(again["input_ids"], inputs["input_ids"])
    assert not np.array_equal(other["positions"], inputs["positions"])


def test_corruption_is_80_10_10(pieces):
    rows = masked_rows.Rows(pieces * 20)
    inputs, labels = masked_rows.mask_batch(
        rows, np.arange(len(rows)), np.random.default_rng(1), 90
    )
    counts = labels != masked_rows.IGNORED
    shown = np.take_along_axis(inputs["input_ids"], inputs["positions"], axis=1)[counts]
    assert np.mean(shown == masked_rows.MASK) == pytest.approx(0.8, abs=0.03)
    assert np.mean(shown == labels[counts]) == pytest.approx(0.1, abs=0.03)


def test_long_text_is_cut_between_words():
    class Tokenizer:
        def encode_words(self, text):
            count = len(text)
            return list(range(5, 5 + count)), [i // 3 for i in range(count)]

    pieces = masked_rows.tokenize(Tokenizer(), [("law", "字" * 300)], ["news", "law"])
    assert [token for ids, _, _ in pieces for token in ids] == list(range(5, 305))
    assert [len(ids) for ids, _, _ in pieces] == [126, 126, 48]
    assert all(words[0] == 0 and source == 1 for _, words, source in pieces)
    uneven = masked_rows.tokenize(Tokenizer(), [("law", "字" * 127)], ["law"])
    assert [len(ids) for ids, _, _ in uneven] == [126, 1]
