"""Text -> jieba words, through rjieba (jieba in Rust), without the HMM."""

import os
import re
from collections.abc import Iterable

_MISSING = (
    "This tokenizer cuts text into words with the package 'rjieba', which is not installed. "
    "Install it (pip install rjieba), or use a character-level checkpoint, which needs no "
    "segmenter: RoFormerTokenizer(vocab_file, use_jieba=False), or any directory whose "
    "tokenizer_config.json names BertTokenizer."
)


def load_user_words(user_dict):
    """A user dictionary as a list of `(word, frequency or None, tag)`.

    `user_dict` is jieba's text format, in a file (one `word [frequency] [tag]` a line), or an
    iterable of words, `(word, frequency)` or `(word, frequency, tag)`, or a mapping from word
    to frequency.
    """
    if user_dict is None:
        return []
    if isinstance(user_dict, (str, os.PathLike)):
        if not os.path.isfile(user_dict):
            raise ValueError(
                f"user_dict={str(user_dict)!r} is no file; give words as a list, such as "
                "['旋转位置编码']."
            )
        with open(user_dict, encoding="utf-8-sig") as lines:
            entries = [line.split() for line in lines if line.strip()]
    elif hasattr(user_dict, "items"):
        entries = list(user_dict.items())
    elif not isinstance(user_dict, Iterable):
        raise ValueError(f"user_dict={user_dict!r} must be a file, words, or a mapping.")
    else:
        entries = [[entry] if isinstance(entry, str) else list(entry) for entry in user_dict]
    words = []
    for entry in entries:
        word, frequency, tag = (*entry, None, None, None)[:3]
        if isinstance(frequency, str) and not frequency.isdecimal() and tag is None:
            frequency, tag = None, frequency  # jieba allows 'word tag'
        if (
            len(entry) > 3
            or not (isinstance(word, str) and word and not re.search(r"\s", word))
            or not (frequency is None or re.fullmatch("[0-9]+", str(frequency)))
            or not (tag is None or isinstance(tag, str))
        ):
            raise ValueError(
                f"user_dict entry {entry!r} is not a word without white space, (word, frequency) "
                "or (word, frequency, tag); a frequency is a whole number >= 0."
            )
        words.append((word, None if frequency is None else int(frequency), tag or ""))
    return words


class Segmenter:
    """jieba with its standard dictionary plus the user's words; pickles as the words alone.

    `prepare` brings a word to the form in which a tokenizer's text comes to jieba (lower case);
    jieba learns both.
    """

    def __init__(self, user_dict=None, prepare=str):
        self.words = load_user_words(user_dict)
        forms = [(prepare(word), *rest) for word, *rest in self.words]
        self._learnt = list(dict.fromkeys([*self.words, *(form for form in forms if form[0])]))
        self._start()

    def _start(self):
        try:
            import rjieba
        except ImportError as error:
            raise ImportError(_MISSING) from error
        if not self.words:
            self.cut = rjieba.cut  # shares one dictionary between all tokenizers of the process
            return
        jieba = rjieba.Jieba()
        for word, frequency, tag in self._learnt:
            # Without a frequency jieba takes one just high enough for the word to be kept whole.
            jieba.add_word(word, frequency, tag or None)
        self.cut = jieba.cut

    def __call__(self, text):
        """The words of `text`, in order; joined they are `text` again."""
        return self.cut(text, False)

    def __getstate__(self):
        return self.words, self._learnt

    def __setstate__(self, words):
        self.words, self._learnt = words
        self._start()
