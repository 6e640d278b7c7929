"""The calls: texts, tokens and ids to model inputs, and ids back to text."""

import functools
import logging
import operator
import re
from collections.abc import Iterable, Mapping, Sized
from itertools import islice

from keras_roformer.tokenizers.batch_encoding import BatchEncoding, pad_row, tensor_kind, to_lists
from keras_roformer.tokenizers.input_checks import (
    BAD_TEXT,
    check_text,
    check_text_input,
    is_whole,
    shorten,
)
from keras_roformer.tokenizers.options import Options, TruncationStrategy
from keras_roformer.tokenizers.packing import Packer, cut, padding_values

logger = logging.getLogger(__name__)


class Calls:
    """A tokenizer's methods between texts, tokens, ids and model inputs.

    A subclass has a `core`, that core's `TokenSnapshot` as `_tokens`, a `_flavour`, and the public
    settings (`padding_side` and the like) that `Options.of` reads.
    """

    _warned = False  # whether the warning of long rows was given

    def tokenize(self, text, pair=None, add_special_tokens=False, **kwargs):
        """The tokens of a text or pair as strings; `kwargs` are those of `__call__`."""
        if not kwargs.get("is_split_into_words"):
            check_text(text)
        if pair is None and not add_special_tokens and not kwargs:  # the quick way for most calls
            return self.core.pieces(text, self.split_special_tokens).tokens
        return self.encode_plus(text, pair, add_special_tokens, **kwargs).tokens()

    def encode_words(self, text):
        """`(ids, word_index)` of a text without special tokens, quickly.

        `word_index[i]` counts jieba's words (without jieba, BERT's), so the pieces of one word
        share a number: mask these together for whole word masking.
        """
        check_text(text)
        return self.core.words(text)

    def encode(self, text, text_pair=None, add_special_tokens=True, **kwargs):
        """The ids of a text or pair, special tokens included: `self(text).input_ids`."""
        return self.encode_plus(text, text_pair, add_special_tokens, **kwargs)["input_ids"]

    def __call__(
        self,
        text=None,
        text_pair=None,
        text_target=None,
        text_pair_target=None,
        add_special_tokens=True,
        padding=False,
        truncation=None,
        max_length=None,
        stride=0,
        is_split_into_words=False,
        **kwargs,
    ):
        """Model inputs of a text, a pair, or a batch of either.

        Args:
            text: a str, a list of str (a batch or, with `is_split_into_words`, the words of one
                text) or a list of lists of str (a batch of split texts).
            text_pair: the second sequences, shaped like `text`.
            text_target, text_pair_target: texts whose ids are returned as `labels`.
            add_special_tokens: whether to add `[CLS]` and `[SEP]`.
            padding: True or "longest", "max_length", False or "do_not_pad".
            truncation: True or "longest_first", "only_first", "only_second", False or
                "do_not_truncate".
            max_length: tokens a row has at most; the model's limit if left out.
            stride: tokens that overflowing rows share with their neighbours.
            is_split_into_words: whether lists of str are the words of one text.
            pad_to_multiple_of, padding_side: how to pad.
            return_tensors: "np", "pt", "tf" or "jax" for tensors instead of lists.
            return_token_type_ids, return_attention_mask: on unless the model does not use them.
            return_overflowing_tokens: whether to return what truncation cut off: as further rows
                with `overflow_to_sample_mapping` (fast) or as `overflowing_tokens` (slow).
            return_special_tokens_mask, return_offsets_mapping, return_length: further outputs.
            split_special_tokens: whether special tokens in the text are text.

        Returns:
            BatchEncoding with lists of ints: `input_ids`, `token_type_ids`, `attention_mask`.

        Raises:
            ValueError: for input that is no text, or arguments that contradict each other.
        """
        arguments = dict(
            add_special_tokens=add_special_tokens,
            padding=padding,
            truncation=truncation,
            max_length=max_length,
            stride=stride,
            is_split_into_words=is_split_into_words,
            **kwargs,
        )
        if text is None and text_target is None:
            raise ValueError("You need to specify either `text` or `text_target`.")
        if text is None:
            return self._call_one(text_target, text_pair_target, arguments)
        inputs = self._call_one(text, text_pair, arguments)
        if text_target is not None:
            targets = self._call_one(text_target, text_pair_target, arguments)
            inputs["labels"] = targets["input_ids"]
        return inputs

    def _call_one(self, text, text_pair, arguments):
        check_text_input(text)
        if text_pair is not None:
            check_text_input(text_pair)
        batched = isinstance(text, (list, tuple))
        if batched and arguments["is_split_into_words"]:
            batched = text and isinstance(text[0], (list, tuple))
        if not batched:
            return self.encode_plus(text, text_pair, **arguments)
        if text_pair is None:
            return self.batch_encode_plus(text, **arguments)
        if isinstance(text_pair, str):
            raise TypeError(
                "when tokenizing batches of text, `text_pair` must be a list or tuple with the "
                "same length as `text`."
            )
        if len(text) != len(text_pair):
            raise ValueError(
                f"batch length of `text`: {len(text)} does not match batch length of `text_pair`: "
                f"{len(text_pair)}."
            )
        for at, second in enumerate(text_pair):
            if second is None and not self._flavour.takes_missing_pairs:
                raise TypeError(
                    f"text_pair[{at}] is None, and so no text: give every text a pair, or call the "
                    "tokenizer with text alone for those that have none."
                )
        return self._encode(list(zip(text, text_pair, strict=True)), True, arguments)

    def encode_plus(self, text, text_pair=None, add_special_tokens=True, **kwargs):
        """`__call__` for one text or pair; also takes a list of tokens or of ids as a text."""
        if not text_pair and not self._flavour.takes_empty_pair:
            text_pair = None
        arguments = {"add_special_tokens": add_special_tokens, **kwargs}
        return self._encode([(text, text_pair)], False, arguments)

    def batch_encode_plus(self, batch_text_or_text_pairs, **kwargs):
        """`__call__` for a list of texts, or of `(text, pair)` tuples."""
        batch = batch_text_or_text_pairs
        if not isinstance(batch, (list, tuple)):
            raise TypeError(
                f"batch_text_or_text_pairs has to be a list or a tuple (got {type(batch)})"
            )
        split = kwargs.get("is_split_into_words", False)
        rows = []
        for index, item in enumerate(batch):
            if isinstance(item, str):
                rows.append((item, None))
            elif not isinstance(item, (list, tuple)):
                raise ValueError(
                    f"Item {index} of the batch is not valid: {shorten(item)}. {BAD_TEXT}."
                )
            elif split and not (item and isinstance(item[0], (list, tuple))):
                rows.append((item, None))
            elif item and is_whole(item[0]):
                rows.append((item, None))
            elif len(item) == 2:
                rows.append(tuple(item))
            else:
                raise ValueError(
                    f"Item {index} of the batch is a {type(item).__name__} of {len(item)}: give a "
                    "str, a (text, pair) tuple, or set is_split_into_words=True for lists of words."
                )
        return self._encode(rows, True, kwargs)

    def encode_iter(self, texts, batch_size=256, **kwargs):
        """Encodes any iterable of texts in constant memory; yields one list of ids a text.

        `kwargs` are those of `__call__` that leave single rows alone (truncation, max_length,
        add_special_tokens, split_special_tokens).
        """
        if isinstance(texts, str):
            raise TypeError(f"texts must be an iterable of texts, not one: {shorten(texts)}.")
        if not is_whole(batch_size) or batch_size < 1:
            raise ValueError(f"batch_size={batch_size!r} must be a whole number >= 1.")
        texts = iter(texts)
        while batch := list(islice(texts, batch_size)):
            yield from self(batch, **kwargs)["input_ids"]

    def _encode(self, samples, batched, arguments):
        """The one road from sequences to a BatchEncoding: options, rows of ids, columns."""
        options = Options.of(self, arguments)
        packer = Packer(self.core, options, self._flavour)
        packed = packer.rows(samples)
        if options.max_length is None:
            self._warn_too_long(packed.ids)
        return packer.batch(samples, packed, batched)

    def _warn_too_long(self, rows):
        longest = max(map(len, rows), default=0)
        if longest > self.model_max_length and not self._warned:
            self._warned = True
            logger.warning(
                "A row has %d tokens; the model takes %d. Pass truncation=True.",
                longest,
                self.model_max_length,
            )

    # Ids -> inputs

    def num_special_tokens_to_add(self, pair=False):
        """How many special tokens `__call__` adds to a text, or to a pair."""
        tokens = self._tokens
        return len(tokens.prefix) + len(tokens.suffix) * (2 if pair else 1)

    @property
    def max_len_single_sentence(self):
        """Tokens of text that fit into `model_max_length`."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=False)

    @property
    def max_len_sentences_pair(self):
        """Tokens of a pair that fit into `model_max_length`."""
        return self.model_max_length - self.num_special_tokens_to_add(pair=True)

    def build_inputs_with_special_tokens(self, token_ids_0, token_ids_1=None):
        """`[CLS] A [SEP]` or `[CLS] A [SEP] B [SEP]` from ids."""
        prefix, suffix = self._tokens.prefix, self._tokens.suffix
        ids = [*prefix, *token_ids_0, *suffix]
        return ids if token_ids_1 is None else [*ids, *token_ids_1, *suffix]

    def create_token_type_ids_from_sequences(self, token_ids_0, token_ids_1=None):
        """0 for `[CLS] A [SEP]`, 1 for `B [SEP]`."""
        prefix, suffix = self._tokens.prefix, self._tokens.suffix
        first = [0] * (len(prefix) + len(token_ids_0) + len(suffix))
        return first if token_ids_1 is None else first + [1] * (len(token_ids_1) + len(suffix))

    def get_special_tokens_mask(
        self, token_ids_0, token_ids_1=None, already_has_special_tokens=False
    ):
        """1 where `build_inputs_with_special_tokens` puts a special token, else 0.

        With `already_has_special_tokens`, `token_ids_0` is a complete row: 1 for special ids.
        """
        if already_has_special_tokens:
            if token_ids_1 is not None:
                raise ValueError(
                    "You should not supply a second sequence if the provided sequence of ids is "
                    "already formatted with special tokens for the model."
                )
            special = self._tokens.special_ids
            return [int(index in special) for index in token_ids_0]
        head, tail = [1] * len(self._tokens.prefix), [1] * len(self._tokens.suffix)
        mask = head + [0] * len(token_ids_0) + tail
        return mask if token_ids_1 is None else mask + [0] * len(token_ids_1) + tail

    def prepare_for_model(self, ids, pair_ids=None, **kwargs):
        """`__call__` for ids: truncation, special tokens, padding."""
        prepend = kwargs.pop("prepend_batch_axis", False)
        tensors = kwargs.pop("return_tensors", None)
        kwargs.pop("return_offsets_mapping", None)
        sample = list(ids), None if pair_ids is None else list(pair_ids)
        inputs = self._encode([sample], False, kwargs)
        return inputs.convert_to_tensors(tensors, prepend_batch_axis=prepend)

    def truncate_sequences(
        self,
        ids,
        pair_ids=None,
        num_tokens_to_remove=0,
        truncation_strategy="longest_first",
        stride=0,
    ):
        """`(ids, pair_ids, overflowing ids)` with `num_tokens_to_remove` ids taken off.

        `truncation_side` says from which end; the overflowing ids are those taken off and
        `stride` of their neighbours.
        """
        if num_tokens_to_remove <= 0:
            return ids, pair_ids, []
        sequences = [ids] if pair_ids is None else [ids, pair_ids]
        room = sum(map(len, sequences)) - num_tokens_to_remove
        strategy = TruncationStrategy(truncation_strategy)
        ranges, over = cut(sequences, room, strategy, stride, self.truncation_side)
        kept = [ids[slice(*range_)] for ids, range_ in zip(sequences, ranges, strict=True)]
        return kept[0], kept[1] if len(kept) == 2 else None, over

    def pad(
        self,
        encoded_inputs,
        padding=True,
        max_length=None,
        pad_to_multiple_of=None,
        padding_side=None,
        return_attention_mask=None,
        return_tensors=None,
        verbose=True,
    ):
        """Pads a BatchEncoding, dict of lists or list of dicts; for data collators.

        What a tokenizer makes is padded, other entries (labels) stay as they are. Tensors become
        lists and then tensors of the same framework again.

        Raises:
            ValueError: there are no input_ids, or rows differ in what they have.
        """
        main = self.model_input_names[0]
        inputs = _by_name(encoded_inputs, main)
        if isinstance(inputs[main], Sized) and len(inputs[main]) == 0:
            if return_attention_mask:
                inputs["attention_mask"] = []
            return BatchEncoding(inputs)
        return_tensors = return_tensors or tensor_kind(inputs[main])
        options = dict(
            padding=padding,
            truncation=False,
            max_length=max_length,
            pad_to_multiple_of=pad_to_multiple_of,
            padding_side=padding_side,
            return_attention_mask=return_attention_mask,
            verbose=verbose,
        )
        inputs = self._padded(inputs, main, Options.of(self, options))
        return BatchEncoding(inputs, tensor_type=return_tensors)

    def _padded(self, inputs, main, options):
        """The dict `inputs`, of one row or of several, padded; `main` names the ids in it."""
        fill = padding_values(self._tokens, options)
        inputs = {key: to_lists(value) if key in fill else value for key, value in inputs.items()}
        single = not isinstance(inputs[main][0], (list, tuple))
        if single:
            inputs = {key: [value] for key, value in inputs.items()}
        sizes = {key: len(value) for key, value in inputs.items()}
        if len(set(sizes.values())) != 1:
            raise ValueError(f"The entries differ in their number of rows: {sizes}.")
        lengths = list(map(len, inputs[main]))
        if options.return_attention_mask and "attention_mask" not in inputs:
            inputs["attention_mask"] = [[1] * length for length in lengths]
        target, side = options.padded_length(lengths), options.padding_side
        if target is not None:
            for key in fill.keys() & inputs.keys():
                inputs[key] = [pad_row(list(row), target, fill[key], side) for row in inputs[key]]
        return {key: value[0] for key, value in inputs.items()} if single else inputs

    # Tokens <-> ids

    def convert_tokens_to_ids(self, tokens):
        """The id of a token, or a list of ids; the unknown token's id for one not known."""
        if tokens is None:
            return None
        if isinstance(tokens, str):
            return self._tokens.id_of(tokens)
        if isinstance(tokens, int):
            raise TypeError(f"Tokens are str, not {tokens!r}; convert_ids_to_tokens takes ids.")
        return list(map(self._tokens.id_of, tokens))

    def convert_ids_to_tokens(self, ids, skip_special_tokens=False):
        """The token of an id, or a list of tokens."""
        if hasattr(ids, "tolist"):
            ids = ids.tolist()
        tokens = self._tokens
        if isinstance(ids, int):
            return tokens.token_of(ids)
        if isinstance(ids, str) or not isinstance(ids, Iterable):
            raise TypeError(f"Ids are whole numbers, not {ids!r}; convert_tokens_to_ids takes str.")
        names, skip = tokens.names, tokens.special_ids if skip_special_tokens else ()
        return [
            names[index] if index in names else tokens.token_of(index)
            for index in map(operator.index, ids)
            if index not in skip
        ]

    def _convert_id_to_token(self, index):
        """`convert_ids_to_tokens` of one id; transformers' data collators ask for it."""
        return self._tokens.token_of(operator.index(index))

    def convert_tokens_to_string(self, tokens):
        """Tokens joined by spaces, `##` pieces joined to the piece before."""
        return " ".join(tokens).replace(" ##", "").strip()

    # Ids -> text

    def decode(
        self,
        token_ids,
        skip_special_tokens=False,
        clean_up_tokenization_spaces=None,
        spaces_between_special_tokens=True,
        **kwargs,
    ):
        """The text of a row of ids. Chinese comes without spaces between its words.

        (transformers puts a space between any two tokens; `convert_tokens_to_string` does so here.)
        """
        kwargs.pop("use_source_tokenizer", None)
        if kwargs:
            raise TypeError(f"decode got unexpected arguments {sorted(kwargs)}.")
        ids = to_lists(token_ids)
        ids = [ids] if isinstance(ids, int) else ids
        if isinstance(ids, str) or not {list, str}.isdisjoint(map(type, ids or ())):
            advice = "batch_decode takes rows" if isinstance(ids, list) else "encode gives ids"
            raise TypeError(f"decode takes ids, not {shorten(token_ids)}; {advice}.")
        tokens = [t for t in self.convert_ids_to_tokens(ids, skip_special_tokens) if t is not None]
        text = join_tokens(
            tokens,
            self._tokens.kept,
            spaces_between_special_tokens=spaces_between_special_tokens,
            attaches_punctuation=self._flavour.attaches_punctuation,
        )
        if clean_up_tokenization_spaces is None:
            clean_up_tokenization_spaces = self.clean_up_tokenization_spaces
        return self.clean_up_tokenization(text) if clean_up_tokenization_spaces else text

    def batch_decode(
        self, sequences, skip_special_tokens=False, clean_up_tokenization_spaces=None, **kwargs
    ):
        """The text of each row of ids."""
        return [
            self.decode(row, skip_special_tokens, clean_up_tokenization_spaces, **kwargs)
            for row in to_lists(sequences)
        ]

    @staticmethod
    def clean_up_tokenization(out_string):
        """Takes out the spaces that English does not have before punctuation and contractions."""
        for spaced in (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're"):
            if spaced == " n't":
                out_string = out_string.replace(" ' ", "'")
            out_string = out_string.replace(spaced, spaced[1:])
        return out_string


def _by_name(encoded_inputs, main):
    """What `pad` was given as a new dict: a mapping, or a list of mappings, one a row."""
    rows = encoded_inputs
    if isinstance(rows, (list, tuple)) and rows and isinstance(rows[0], Mapping):
        names = rows[0].keys()
        for index, row in enumerate(rows):
            if not isinstance(row, Mapping) or row.keys() != names:
                has = list(row) if isinstance(row, Mapping) else row
                raise ValueError(
                    f"Row {index} has {shorten(has)} and row 0 {list(names)}: give every row the "
                    "same entries."
                )
        encoded_inputs = {name: [row[name] for row in rows] for name in names}
    if not isinstance(encoded_inputs, Mapping) or main not in encoded_inputs:
        given = list(encoded_inputs) if isinstance(encoded_inputs, Mapping) else encoded_inputs
        raise ValueError(
            "You should supply an encoding or a list of encodings to this method that includes "
            f"{main}, but you provided {given!r}"
        )
    return dict(encoded_inputs.items())


# Tokens -> text

# Chinese and its punctuation, kana, fullwidth forms: written without spaces around them.
_UNSPACED = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u31a0-\u9fff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uff65\U00020000-\U0003ffff‘’“”…—·"
)
_is_unspaced = functools.lru_cache(1 << 15)(re.compile(f"[{_UNSPACED}]").match)  # of a character
# English punctuation that a decoder of `tokenizers` joins to the token before it.
_ATTACHED = (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")


def join_tokens(tokens, kept, *, spaces_between_special_tokens, attaches_punctuation):
    """The text of `tokens`, where `##` begins a piece that continues the piece before it.

    The tokens `kept` stand apart from their neighbours, with a space between or not.
    """
    text, after_kept = "", False
    for token in tokens:
        is_kept = token in kept
        if not text or (token.startswith("##") and not is_kept):
            text += token.removeprefix("##") if text else token
        elif attaches_punctuation and token.startswith(_ATTACHED):
            text += token
        elif is_kept or after_kept:
            text += (" " if spaces_between_special_tokens else "") + token
        elif _is_unspaced(text[-1]) or _is_unspaced(token[0]):
            text += token
        else:
            text += " " + token
        after_kept = is_kept
    return text
