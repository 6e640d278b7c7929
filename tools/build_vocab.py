"""Build the word-level vocabulary from the pretraining corpus.

    python tools/build_vocab.py       # after: python tools/build_corpus.py

Writes `data/corpus/vocab.txt`, 12,288 entries (a multiple of 128), counted on `train.tsv` alone:

1. [PAD] [UNK] [CLS] [SEP] [MASK], with [PAD] = 0;
2. single letters, digits and marks, and the `##` forms of letters, digits and of the marks that
   stand inside words (3.5, e-mail), so that no ASCII text is [UNK];
3. the 5,000 most frequent Han characters;
4. the 7,000 most frequent multi-character jieba words (HMM off), Han characters only;
5. the most frequent Latin words (2 to 12 letters) and numbers (2 to 4 digits) in what is left.

How a word-level RoFormer tokenizer uses it: BERT's clean-up and lower-casing, then jieba's cut
without HMM; a word that is in the vocabulary is kept; any other is split by BERT's basic rules
(every Han character by itself) and WordPiece. Ties in frequency break by code point, so the same
corpus and rjieba give the same file.
"""

import argparse
import hashlib
import re
import string
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import corpora

SPECIAL_TOKENS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
LETTERS_AND_DIGITS = string.ascii_lowercase + string.digits
CHINESE_MARKS = (
    "，。、；：？！“”‘’（）《》〈〉【】「」『』〔〕［］｛｝…"
    "—－～·•％＋＝／＆＠＃＊￥×÷°℃→★☆●○■□◆▲△※∶＂―⋯‰＜＞①②③"
)
# Not in the Han block, so WordPiece sees runs of it: 二〇〇八 must not become [UNK].
ZERO = "〇"
HAN_WORD = re.compile(r"[\u4e00-\u9fff]{2,}")
LATIN_OR_NUMBER = re.compile(r"[a-z]{2,12}|(?<![0-9])[0-9]{2,4}(?![0-9])")


def most_frequent(counts: Counter, number: int) -> list[str]:
    """The `number` most frequent keys; of equally frequent ones, the lower code points first."""
    return sorted(counts, key=lambda entry: (-counts[entry], entry))[:number]


def count(texts: Iterable[str]) -> tuple[Counter, Counter, Counter]:
    """Frequencies of Han characters, multi-character Han words, and Latin words and numbers."""
    import rjieba

    characters, words, pieces = Counter(), Counter(), Counter()
    for text in texts:
        text = text.lower()
        characters.update(corpora.HAN.findall(text))
        pieces.update(LATIN_OR_NUMBER.findall(text))
        words.update(rjieba.cut(text, False))
    words = Counter({word: n for word, n in words.items() if HAN_WORD.fullmatch(word)})
    return characters, words, pieces


def build_vocabulary(
    texts: Iterable[str], *, characters: int = 5000, words: int = 7000, size: int = 12288
) -> list[str]:
    """The vocabulary, in order of ids.

    Raises ValueError if `size` has no room for the fixed entries, characters and words.
    """
    fixed = [
        *SPECIAL_TOKENS,
        *LETTERS_AND_DIGITS,
        *(f"##{character}" for character in LETTERS_AND_DIGITS),
        *string.punctuation,
        *(f"##{mark}" for mark in string.punctuation),
        *CHINESE_MARKS,
        ZERO,
        f"##{ZERO}",
    ]
    character_counts, word_counts, piece_counts = count(texts)
    vocabulary = (
        fixed + most_frequent(character_counts, characters) + most_frequent(word_counts, words)
    )
    room = size - len(vocabulary)
    if room < 0:
        raise ValueError(f"size={size} is too small: {len(vocabulary)} entries are needed.")
    vocabulary += most_frequent(piece_counts, room)
    if len(set(vocabulary)) != len(vocabulary):
        raise ValueError("The vocabulary holds an entry twice.")
    return vocabulary


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--corpus", type=Path, default=corpora.CORPUS)
    arguments = parser.parse_args()
    vocabulary = build_vocabulary(
        text for _, text in corpora.read_corpus("train", arguments.corpus)
    )
    data = "".join(f"{entry}\n" for entry in vocabulary).encode()
    (arguments.corpus / "vocab.txt").write_bytes(data)
    print(f"{len(vocabulary):,} entries, SHA-256 {hashlib.sha256(data).hexdigest()}")
    print(f"written to {arguments.corpus / 'vocab.txt'}")


if __name__ == "__main__":
    main()
