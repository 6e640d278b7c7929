"""One word -> its pieces: the rules of the slow and of the fast tokenizer, as data flows.

A *piece* is `(token, start, end)`: a vocabulary entry and the half-open range of the word's
characters that it stands for. A rule is a pure function of the word, so callers remember results.

The two rules are those of transformers 4.57.6, which differ on odd strings:

====================  ====================================  =====================================
                      slow (Python)                         fast (Rust)
====================  ====================================  =====================================
when text is cleaned  after jieba, word by word             before jieba, the whole text
lower case, accents   lower before jieba, accents after     both before jieba
composition           NFC, then NFD if accents go           NFD if accents go, no NFC
punctuation           split off inside every unknown word   only where jieba cuts (word level)
never_split           honoured                              does not exist
character classes     Python's Unicode tables               the tables of `tokenizers`
an unknown word's     words are Chinese characters and      the same, and each is a "word" of its
parts                 runs of anything else                 own in word_ids()
====================  ====================================  =====================================
"""

import copy
import functools
import unicodedata

from tokenizers.normalizers import BertNormalizer
from tokenizers.pre_tokenizers import BertPreTokenizer

MAX_WORD = 100  # BERT's limit: a longer run of characters is one unknown token
_MAX_MEMO = 1 << 17
_ASCII_PUNCTUATION = frozenset("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def remember(table, function, key):
    """`function(key)`, kept in the dict `table` unless `key` is long.

    A full table is emptied, so memory is bounded. Threads may share a table: the worst that a race
    costs is computing a value twice.
    """
    value = function(key)
    if len(key) <= MAX_WORD:
        if len(table) >= _MAX_MEMO:
            table.clear()
        table[key] = value
    return value


class Memo(dict):
    """`function` of a string, computed once for each short one."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def __missing__(self, key):
        return remember(self, self.function, key)


def is_punctuation(char):
    """Whether BERT splits at `char`: Unicode's punctuation and ASCII's symbols."""
    return char in _ASCII_PUNCTUATION or unicodedata.category(char)[0] == "P"


class WordPiece:
    """Greedy longest match first: `unaffable -> un ##aff ##able`, or one unknown token."""

    def __init__(self, vocab, unk_token, prefix="##", limit=MAX_WORD):
        self.vocab, self.unk_token, self.prefix, self.limit = vocab, unk_token, prefix, limit
        self.longest = max(map(len, vocab), default=0)

    def __call__(self, chars, starts, ends):
        """Pieces of the characters `chars` (a str), which stand at `starts` and `ends`."""
        length, pieces, begin = len(chars), [], 0
        if length > self.limit:
            return [(self.unk_token, starts[0], ends[-1])]
        while begin < length:
            prefix = self.prefix if begin else ""
            for stop in range(min(length, begin + self.longest), begin, -1):
                token = prefix + chars[begin:stop]
                if token in self.vocab:
                    pieces.append((token, starts[begin], ends[stop - 1]))
                    begin = stop
                    break
            else:
                return [(self.unk_token, starts[0], ends[-1])]
        return pieces


def _is_chinese(char):
    """Whether BERT counts `char` as Chinese: the Han blocks that its authors listed."""
    code = ord(char)
    return (
        0x4E00 <= code <= 0x9FFF
        or 0x3400 <= code <= 0x4DBF
        or 0x20000 <= code <= 0x2A6DF
        or 0x2A700 <= code <= 0x2CEAF
        or 0xF900 <= code <= 0xFAFF
        or 0x2F800 <= code <= 0x2FA1F
    )


def _joins(cluster, char):
    """Whether NFC may change `char` together with the `cluster` before it."""
    if unicodedata.combining(char):
        return True
    if unicodedata.category(char)[0] != "M" and not "\u1160" <= char <= "\u11ff":
        return False  # neither a mark nor a vowel or end of a Hangul syllable
    nfc = functools.partial(unicodedata.normalize, "NFC")
    return nfc(cluster + char) != nfc(cluster) + nfc(char)


class SlowRule:
    """RoFormerTokenizer's rule for one word (or, without jieba, for one run of text)."""

    def __init__(
        self, vocab, unk_token, *, whole_words, basic, lower, strip_accents, chinese, never_split,
        all_special_tokens,
    ):  # fmt: skip
        self.vocab, self.whole_words, self.basic = vocab, whole_words, basic
        self.lower, self.chinese = lower, chinese
        self.strip = strip_accents if strip_accents is not None else lower
        self.never_split = frozenset(never_split or ())
        self.protected = self.never_split | frozenset(all_special_tokens)
        self.wordpiece = WordPiece(vocab, unk_token)
        self._clean = Memo(self._clean_char)
        self._finish = Memo(self._finish_cluster)

    def __call__(self, word):
        if self.whole_words and word in self.vocab:
            return [(word, 0, len(word))]
        if not self.basic:
            return self._plain_words(word)
        if word.isascii() and word.isalnum() and word not in self.protected:
            chars = word.lower() if self.lower else word
            return self._pieces(chars, range(len(word)), range(1, len(word) + 1))
        return self._basic(word)

    def parts(self, word):
        """What WordPiece would see of `word` if it were not in the vocabulary."""
        rule = copy.copy(self)
        rule.whole_words = False
        rule.never_split = rule.protected = frozenset()
        rule.wordpiece = lambda chars, starts, ends: [(chars, starts[0], ends[-1])]
        return [part for part, _, _ in rule(word)]

    def _plain_words(self, word):
        """WordPiece of what stands between white space, with no normalisation."""
        pieces, stop = [], 0
        for part in word.split():
            start = word.index(part, stop)
            stop = start + len(part)
            pieces += self.wordpiece(part, range(start, stop), range(start + 1, stop + 1))
        return pieces

    def _clean_char(self, char):
        if char in "\t\n\r":
            return " "
        category = unicodedata.category(char)
        if category[0] == "C" or char == "\ufffd":
            return ""
        return " " if category == "Zs" else char

    def _clusters(self, word):
        """Cleaned `word` in units that NFC treats alone: `(string, start, end)`."""
        cluster, start, end, open_ = "", 0, 0, False
        for index, char in enumerate(word):
            char = self._clean[char]
            if not char:
                continue
            if open_ and _joins(cluster, char):
                cluster += char
                end = index + 1
                continue
            if cluster:
                yield cluster, start, end
            cluster, start, end, open_ = char, index, index + 1, not char.isspace()
            if self.chinese and _is_chinese(char):
                yield " ", index, index
                yield char, index, end
                cluster, start, open_ = " ", end, False
        if cluster:
            yield cluster, start, end

    def _composed(self, word):
        """The clusters in NFC; characters one by one where it leaves them, marks included."""
        for cluster, start, end in self._clusters(word):
            composed = unicodedata.normalize("NFC", cluster)
            if len(cluster) == end - start > 1 and composed == cluster and not self.strip:
                for index, char in enumerate(cluster, start):
                    yield char, index, index + 1
            else:
                yield composed, start, end

    def _finish_cluster(self, cluster):
        """What a cluster adds to its token: `(character, is punctuation)` each."""
        if self.lower:
            cluster = cluster.lower()
        if self.strip:
            cluster = unicodedata.normalize("NFD", cluster)
            cluster = "".join(c for c in cluster if unicodedata.category(c) != "Mn")
        return [(char, is_punctuation(char)) for char in cluster]

    def _basic(self, word):
        """BERT's basic tokenizer, then WordPiece, in one pass and constant extra memory."""
        pieces = []
        # The white space delimited token as it was and as it became, and its first piece.
        raw, done, raw_mark = [], [], 0
        raw_limit = max(map(len, self.protected), default=0)
        raw_start = raw_end = 0
        chars, starts, ends = [], [], []
        total_end = 0

        def flush():
            nonlocal total_end
            if chars:
                ends[-1] = total_end  # a run longer than WordPiece takes is not kept character
                pieces.extend(self._pieces("".join(chars), starts, ends))  # by character
                chars.clear(), starts.clear(), ends.clear()

        def close():
            flush()
            token, became = "".join(raw), "".join(done)
            if token not in self.protected:
                token = became
            if token in self.protected:
                # Protected tokens are not split at punctuation (nor lowered, if they stood so).
                del pieces[raw_mark:]
                size = len(token)
                step = [raw_start] * size, [raw_end] * size
                if size == raw_end - raw_start:
                    step = range(raw_start, raw_end), range(raw_start + 1, raw_end + 1)
                pieces.extend(self._pieces(token, *step))

        for cluster, start, end in self._composed(word):
            if cluster.isspace():
                close()
                raw, done, raw_mark = [], [], len(pieces)
                continue
            if not raw:
                raw_start = start
            if len(raw) <= raw_limit:
                raw.append(cluster)
            raw_end = end
            for char, punctuation in self._finish[cluster]:
                if len(done) <= raw_limit:
                    done.append(char)
                if char.isspace():
                    flush()
                elif punctuation:
                    flush()
                    pieces.extend(self._pieces(char, [start], [end]))
                else:
                    if len(chars) <= MAX_WORD:
                        chars.append(char), starts.append(start), ends.append(end)
                    total_end = end
        close()
        return pieces

    def _pieces(self, chars, starts, ends):
        if chars in self.never_split:
            return [(chars, starts[0], ends[-1])]
        return self.wordpiece(chars, starts, ends)


class FastRule:
    """RoFormerTokenizerFast's rule for one word of already normalised text.

    Also gives the normalisation: `normal[char]`, the text's normalised form being that of its
    characters one after the other (Rust's BertNormalizer has no rule that looks further).
    """

    def __init__(self, vocab, unk_token, *, whole_words, normalizer, prefix="##", limit=MAX_WORD):
        self.vocab, self.whole_words = vocab, whole_words
        self.wordpiece = WordPiece(vocab, unk_token, prefix, limit)
        bert = BertNormalizer(**normalizer) if normalizer is not None else None
        self.normal = Memo(bert.normalize_str if bert else str)
        chinese = BertNormalizer(
            clean_text=False, handle_chinese_chars=True, strip_accents=False, lowercase=False
        )
        # "word" characters gather in runs, "alone" ones stand for themselves, "space" goes.
        if whole_words:
            self.kind = Memo(
                lambda c: (
                    "space" if c.isspace() else "alone" if chinese.normalize_str(c) != c else "word"
                )
            )
        else:
            bert_split = BertPreTokenizer().pre_tokenize_str
            kinds = {1: "word", 2: "space", 3: "alone"}
            self.kind = Memo(lambda c: kinds[len(bert_split(f"a{c}a"))])

    def splits(self, word, known=True):
        """`(start, end)` of the parts of `word` that WordPiece sees one by one."""
        if known and self.whole_words and word in self.vocab:
            return [(0, len(word))]
        splits, start = [], None
        for index, char in enumerate(word):
            kind = self.kind[char]
            if kind != "word" and start is not None:
                splits.append((start, index))
                start = None
            if kind == "alone":
                splits.append((index, index + 1))
            elif kind == "word" and start is None:
                start = index
        if start is not None:
            splits.append((start, len(word)))
        return splits

    def __call__(self, word):
        """Pieces of each split of `word`: a list of lists."""
        return [
            self.wordpiece(word[start:end], range(start, end), range(start + 1, end + 1))
            for start, end in self.splits(word)
        ]
