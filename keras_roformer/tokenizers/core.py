"""Text -> ids, with or without offsets: the core that both tokenizers share.

A core is built from a tokenizer's tokens (a `TokenSnapshot`) and settings and never changes, so
threads may share it and results may keep it. Text runs through three steps:

1. *chunks*: added tokens are cut out and the rest is brought to the form that the segmenter sees;
2. *words*: jieba (or, for character-level checkpoints, a regular expression) cuts each chunk;
3. *pieces*: each word becomes vocabulary entries by a rule (`rules.py`) whose results are kept.

Most text needs nothing of step 1 but lower case. One look at the characters tells, and then a text
costs one call of jieba and one dictionary look-up a word.
"""

import re
import unicodedata
from itertools import accumulate, chain
from typing import NamedTuple

from keras_roformer.tokenizers.rules import FastRule, Memo, SlowRule, is_punctuation, remember

# Characters whose normal form is themselves in lower case, whatever the settings, and which change
# nothing in their neighbours' form. tests/tokenizers checks each one against `tokenizers`.
_PLAIN = (
    " -~\u00b7\u00d7\u2010-\u2027\u2030-\u203e\u3001-\u3029\u3400-\u4db5\u4e00-\u9fd5\uff01-\uff5e"
)
_UNPLAIN = re.compile(f"[^{_PLAIN}]")
# Step 2 without jieba: Chinese characters and punctuation stand alone, the rest in runs.
_RUN = re.escape(
    "".join(
        char
        for char in map(chr, chain(range(0x21, 0x3030), range(0xFF01, 0xFF5F)))
        if not _UNPLAIN.match(char) and not is_punctuation(char)
    )
)
_PLAIN_WORD = re.compile(f"[{_RUN}]+|[^ ]")
_SPACED_WORD = re.compile("[^ \t\n\r\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]+")
_SURROGATES = re.compile("[\ud800-\udfff]")


class Pieces(NamedTuple):
    """An encoded text, one entry a piece: id, token, `(start, end)` in the text, word index."""

    ids: list
    tokens: list
    offsets: list
    words: list


class Chunk(NamedTuple):
    """Part of a text: an added token, or a string and where its characters come from."""

    token: str | None  # the added token that this chunk is, or None
    string: str
    start: int  # in the text; for a string with `origin`, the index into it
    end: int
    origin: list | None  # (start, end) in the text of each character, None where one to one


class _Core:
    """Steps 2 and 3; the subclasses do step 1 and name the rule."""

    def __init__(self, tokens, segmenter):
        self.tokens = tokens
        self.vocab, self.added, self.unk_id = tokens.vocab, tokens.added, tokens.unk_id
        self.segmenter = segmenter
        # Plain dicts and not Memos: looking words up is what a call spends most of its time on.
        self._ids, self._sizes = {}, {}
        # Spans recur in every text: sharing the tuples is quicker than making (and freeing) them.
        self._spans = Memo(tuple).__getitem__
        self._detail = Memo(self._word_detail)

    def __reduce__(self):
        raise TypeError("A tokenizer's core is not pickled: the tokenizer builds it anew.")

    # Step 1

    def _parts(self, text, split_special_tokens=False):
        """The `Chunk`s of a text: one where nothing needs cutting."""
        plain = self._plain(text)
        if plain is None:
            return self._chunks(text, split_special_tokens)
        return [Chunk(None, plain, 0, len(text), None)]

    # Step 2

    def _words(self, string):
        """The words of a prepared string, in order; without jieba, white space is left out."""
        if self.segmenter is None:
            return self._char_word(string).findall(string)
        try:
            return self.segmenter(string)
        except UnicodeEncodeError:
            # A lone surrogate is no character; like other non-characters, cleaning removes it.
            return self.segmenter(_SURROGATES.sub("\ufffd", string))

    def _word_spans(self, string):
        """`(word, start)` of each word of a prepared string."""
        if self.segmenter is None:
            return [(m.group(), m.start()) for m in self._char_word(string).finditer(string)]
        words = self._words(string)
        return zip(words, accumulate(map(len, words), initial=0), strict=False)

    # Step 3

    def ids(self, text, split_special_tokens=False, start=()):
        """The ids `start` and then those of `text`, in a new list."""
        ids, known = list(start), self._ids
        plain = self._plain(text)
        if plain is not None:
            for word in self._words(plain):
                try:
                    ids += known[word]
                except KeyError:
                    ids += remember(known, self._word_ids, word)
            return ids
        for chunk in self._chunks(text, split_special_tokens):
            if chunk.token is not None:
                ids.append(self.added[chunk.token][0])
            else:
                for word in self._words(chunk.string):
                    ids += self._known_ids(word)
        return ids

    def pieces(self, text, split_special_tokens=False):
        """The ids of `text` with their tokens, offsets and word indices."""
        ids, tokens, offsets, words = [], [], [], []
        count = 0
        for chunk in self._parts(text, split_special_tokens):
            if chunk.token is not None:
                ids.append(self.added[chunk.token][0])
                tokens.append(chunk.token)
                offsets.append((chunk.start, chunk.end))
                words.append(count)
                count += 1
                continue
            origin, base = chunk.origin, chunk.start
            for word, at in self._word_spans(chunk.string):
                at += base
                pieces, size = self._detail[word]
                for index, token, start, end, part in pieces:
                    ids.append(index)
                    tokens.append(token)
                    if origin is None:
                        offsets.append((at + start, at + end))
                    else:
                        offsets.append((origin[at + start][0], origin[at + end - 1][1]))
                    words.append(count + part)
                count += size
        return Pieces(ids, tokens, offsets, words)

    def offsets(self, text, split_special_tokens=False):
        """The ids of `text` and their offsets, quicker than `pieces`."""
        plain = self._plain(text) if self.segmenter is not None else None
        if plain is None:
            return self._exact_offsets(text, split_special_tokens)
        ids, sizes, known = [], [], self._sizes
        for word in self._words(plain):
            try:
                word_ids, word_sizes = known[word]
            except KeyError:
                word_ids, word_sizes = remember(known, self._word_sizes, word)
            if word_sizes is None:
                return self._exact_offsets(text, split_special_tokens)
            ids += word_ids
            sizes += word_sizes
        if len(ids) != len(sizes):  # there are gaps
            edges = list(accumulate(map(abs, sizes), initial=0))
            return ids, [(edges[i], edges[i + 1]) for i, size in enumerate(sizes) if size > 0]
        ends = list(accumulate(sizes))
        return ids, list(map(self._spans, zip([0, *ends], ends, strict=False)))

    def _exact_offsets(self, text, split_special_tokens):
        pieces = self.pieces(text, split_special_tokens)
        return pieces.ids, pieces.offsets

    def word_strings(self, text):
        """The words of `text` as strings, without its added tokens."""
        strings = [chunk.string for chunk in self._parts(text) if chunk.token is None]
        return [word for string in strings for word in self._words(string)]

    def words(self, text):
        """The ids of `text` and, for each, the index of its jieba word (or added token)."""
        ids, index, count = [], [], 0
        for chunk in self._parts(text):
            if chunk.token is not None:
                ids.append(self.added[chunk.token][0])
                index.append(count)
                count += 1
                continue
            for word in self._words(chunk.string):
                word_ids = self._known_ids(word)
                if word_ids:
                    ids += word_ids
                    index += [count] * len(word_ids)
                    count += 1
        return ids, index

    def _known_ids(self, word):
        try:
            return self._ids[word]
        except KeyError:
            return remember(self._ids, self._word_ids, word)

    def _word_ids(self, word):
        pieces = self._word_detail(word)[0]
        if self.unk_id is None and any(piece[0] is None for piece in pieces):
            raise ValueError(f"{word!r} is not in the vocabulary and there is no unk_token.")
        return tuple([piece[0] for piece in pieces])

    def _word_sizes(self, word):
        """A word's ids and the sizes of its pieces, in order with those of its gaps, negative.

        None for the sizes where a character became several pieces.
        """
        sizes, at = [], 0
        for _, _, start, end, _ in self._word_detail(word)[0]:
            if start < at:
                return (), None
            if start > at:
                sizes.append(at - start)
            sizes.append(end - start)
            at = end
        if at < len(word):
            sizes.append(at - len(word))
        return self._word_ids(word), tuple(sizes)


class _Finder:
    """Finds strings in a text: the leftmost, and there the first of `contents` that fits.

    So does the regular expression `a|b|c`, but it tries one after the other at every character;
    this looks them up by first character and length.
    """

    def __init__(self, contents):
        self.contents, sizes = set(), {}
        for content in contents:
            # A string is never found if one of its own beginnings comes before it in `contents`.
            # Without such strings, the first that fits is the longest that fits.
            if content and self.contents.isdisjoint(accumulate(content[:-1])):
                self.contents.add(content)
                sizes.setdefault(content[0], set()).add(len(content))
        self.sizes = {char: sorted(found, reverse=True) for char, found in sizes.items()}
        # A set of characters beyond U+FFFF is tried one by one, so all of these are looked up.
        firsts = {re.escape(c) if c <= "\uffff" else "\U00010000-\U0010ffff" for c in sizes}
        self.firsts = re.compile(f"[{''.join(firsts)}]" if firsts else "(?!)")

    @classmethod
    def longest(cls, contents):
        """One that finds the longest of those that fit."""
        return cls(sorted(contents, key=len, reverse=True))

    def __call__(self, text):
        """`(string, start, end)` of each that is found, in order and apart."""
        stop = 0
        for match in self.firsts.finditer(text):
            start = match.start()
            if start < stop:
                continue
            for size in self.sizes.get(text[start], ()):
                content = text[start : start + size]
                if content in self.contents:
                    stop = start + len(content)
                    yield content, start, stop
                    break


def _is_word(char):
    """Whether `char` may be part of a word (the \\w of regular expressions, marks included)."""
    return bool(char) and (char.isalnum() or char == "_" or unicodedata.category(char)[0] == "M")


class SlowCore(_Core):
    """transformers' Python tokenizer: added tokens first, then jieba, then cleaning by word."""

    def __init__(self, tokens, segmenter, *, lower, basic, strip_accents, chinese, never_split):
        super().__init__(tokens, segmenter)
        self.lower = lower and basic
        self.rule = SlowRule(
            tokens.vocab,
            tokens.unk_token,
            whole_words=segmenter is not None,
            basic=basic,
            lower=lower,
            strip_accents=strip_accents,
            chinese=chinese,
            never_split=never_split,
            all_special_tokens=tokens.special,
        )
        self.splitter = _Finder.longest(self.added)
        # Lower case spares these, in this order: special tokens, then tokens added as "normalized".
        spared = list(tokens.special)
        spared += [str(t) for _, t in self.added.values() if not t.special and t.normalized]
        self.spared = _Finder(spared)
        self.triggers = {content[0] for content in (*self.added, *self.rule.protected) if content}
        if self.lower:
            self.triggers |= {"Σ", "İ"}  # lower case depends on the neighbours, or changes length
        # Lower-casing the text may make the first character of these.
        self.small_triggers = tuple(c for c in self.triggers if self.lower and c.upper() != c)
        self.triggers = tuple(sorted(self.triggers))
        self.chars = chinese and basic

    def _plain(self, text):
        for char in self.triggers:
            if char in text:
                return None
        if self.lower:
            text = text.lower()
            for char in self.small_triggers:
                if char in text:
                    return None
        return text

    def _lowered(self, text):
        """Lower case without the spared tokens; the origin of each character if that changes."""
        parts, origin, stop = [], [], 0
        for content, start, end in chain(self.spared(text), [("", len(text), len(text))]):
            for index in range(stop, start):
                small = text[index].lower()
                parts.append(small)
                origin.extend([(index, index + 1)] * len(small))
            stop = end
            parts.append(content)
            origin.extend((index, index + 1) for index in range(start, end))
        return "".join(parts), origin

    def _chunks(self, text, split_special_tokens=False):
        origin = None
        if self.lower:
            text, origin = self._lowered(text)
        if split_special_tokens:
            yield Chunk(None, text, 0, len(text), origin)
            return
        parts, stop = [], 0  # [string, start in text]
        for content, start, end in self.splitter(text):
            if start > stop:
                parts.append([text[stop:start], stop])
            parts.append([content, start])
            stop = end
        if stop < len(text):
            parts.append([text[stop:], stop])
        self._strip(parts)
        for string, start in parts:
            if not string:
                continue
            end = start + len(string)
            if string not in self.added:
                yield Chunk(None, string, start, end, origin)
            elif origin is None:
                yield Chunk(string, string, start, end, None)
            else:
                yield Chunk(string, string, origin[start][0], origin[end - 1][1], None)

    def _strip(self, parts):
        """Applies the added tokens' lstrip, rstrip and single_word to their neighbours."""
        for i, (string, start) in enumerate(parts):
            if string not in self.added:
                continue
            token = self.added[string][1]
            left = parts[i - 1][0] if i else ""
            right = parts[i + 1][0] if i + 1 < len(parts) else ""
            if token.rstrip and right:
                stripped = right.lstrip()
                parts[i + 1] = [stripped, parts[i + 1][1] + len(right) - len(stripped)]
            if token.lstrip and left:
                parts[i - 1][0] = left.rstrip()
            if token.single_word and left and left[-1] != " ":
                parts[i - 1][0] += string
                parts[i] = ["", start]
            elif token.single_word and right and right[0] != " ":
                parts[i + 1] = [string + parts[i + 1][0], start]
                parts[i] = ["", start]

    def _char_word(self, string):
        if not self.chars or _UNPLAIN.search(string):
            return _SPACED_WORD
        if any(char in string for char in self.triggers):
            return _SPACED_WORD
        return _PLAIN_WORD

    def _word_detail(self, word):
        pieces = [(self.tokens.id_of(t), t, start, end, 0) for t, start, end in self.rule(word)]
        return pieces, 1 if pieces else 0


class FastCore(_Core):
    """transformers' Rust tokenizer: the whole text is normalised, then cut."""

    def __init__(self, tokens, segmenter, *, normalizer, prefix, limit):
        super().__init__(tokens, segmenter)
        self.lower = bool(normalizer and normalizer["lowercase"])
        self.spaces_go = bool(normalizer and normalizer["clean_text"])
        self.chars = bool(normalizer and normalizer["handle_chinese_chars"])
        self.rule = FastRule(
            tokens.vocab,
            tokens.unk_token,
            whole_words=segmenter is not None,
            normalizer=normalizer,
            prefix=prefix,
            limit=limit,
        )
        normal = self.rule.normal
        self.raw_splitter = _Finder.longest(
            c for c, (_, t) in self.added.items() if not t.normalized
        )
        self.normalized = {}
        for content, (_, token) in self.added.items():
            if token.normalized:
                self.normalized.setdefault("".join(map(normal.__getitem__, content)), content)
        self.normal_splitter = _Finder.longest(self.normalized)
        firsts = {content[0] for content in (*self.added, *self.normalized) if content}
        self.triggers = tuple(sorted(firsts | {char.upper() for char in firsts}))

    def _plain(self, text):
        for char in self.triggers:
            if char in text:
                return None
        if self.spaces_go:
            text = text.replace("\u3000", " ").replace("\n", " ")
        if _UNPLAIN.search(text):
            return None
        return text.lower() if self.lower else text

    def _normalized(self, text, start, end):
        """The normal form of `text[start:end]` and, unless one to one, its origin."""
        normal = self.rule.normal
        parts = [normal[char] for char in text[start:end]]
        string = "".join(parts)
        if len(string) == len(parts) and all(parts):
            return string, None
        origin = []
        for index, part in enumerate(parts, start):
            if part:
                origin.extend([(index, index + 1)] * len(part))
        return string, origin

    def _chunks(self, text, split_special_tokens=False):
        if _SURROGATES.search(text):
            text = _SURROGATES.sub("\ufffd", text)
        for content, start, end in self._find(self.raw_splitter, text, split_special_tokens):
            if content is not None:
                yield Chunk(content, content, start, end, None)
                continue
            string, origin = self._normalized(text, start, end)
            for found, s, e in self._find(self.normal_splitter, string, split_special_tokens):
                if found is not None:
                    span = (start + s, start + e)
                    if origin is not None:
                        span = origin[s][0], origin[e - 1][1]
                    yield Chunk(self.normalized[found], found, *span, None)
                elif origin is None:
                    yield Chunk(None, string[s:e], start + s, start + e, None)
                else:
                    yield Chunk(None, string[s:e], s, e, origin)

    def _find(self, splitter, text, split_special_tokens):
        """`(added token or None, start, end)` of the parts of `text`."""
        stop = 0
        for content, start, end in splitter(text):
            token = self.added[self.normalized.get(content, content)][1]
            if split_special_tokens and token.special:
                continue
            if token.single_word and (
                _is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])
            ):
                continue
            while token.lstrip and start > stop and text[start - 1].isspace():
                start -= 1
            while token.rstrip and end < len(text) and text[end].isspace():
                end += 1
            if stop < start:
                yield None, stop, start
            yield content, start, end
            stop = end
        if stop < len(text):
            yield None, stop, len(text)

    def _char_word(self, string):
        return _PLAIN_WORD if self.chars and not _UNPLAIN.search(string) else _SPACED_WORD

    def _word_detail(self, word):
        splits = self.rule(word)
        vocab, unk = self.vocab, self.vocab.get(self.rule.wordpiece.unk_token, self.unk_id)
        pieces = [
            (vocab.get(t, unk), t, start, end, part)
            for part, split in enumerate(splits)
            for t, start, end in split
        ]
        return pieces, len(splits)
