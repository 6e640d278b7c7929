"""Tokenizers: text -> ids. Importing this imports no Keras and no framework.

`RoFormerTokenizer` gives the ids of transformers 4.57.6's (slow) class of that name and
`RoFormerTokenizerFast` those of its fast class; with `use_jieba=False`, those of BertTokenizer
and BertTokenizerFast. tests/tokenizers/test_parity.py compares them on 33,000 real lines, 100,000
random strings and 2,400 random calls.

**How slow and fast differ**, here as there: of 1,681 real lines 4 have other ids, of random strings
57 %. The slow class cuts with jieba first and cleans each word after, the fast one cleans the whole
text first (`rules.py` has the table). So accents ("café"), control characters inside words,
characters that NFC changes, and punctuation that jieba leaves inside a word ("C++") give other
pieces. The slow class has `do_basic_tokenize` and `never_split`. What truncation cuts off is
`overflowing_tokens` in the slow one, further rows in the fast one. The odd token of a truncated
pair stays with the first text (slow) or the longer one (fast); an empty second text is one (slow)
or none (fast).

**Where transformers is wrong and this is not**:

1. Rows that cannot be brought to `max_length` come back too long there (slow: `only_first`,
   `only_second`, no room beside the special tokens; fast: `max_length` below their number).
   Here they are a ValueError or, with `longest_first` and room for nothing else, special tokens.
2. slow: `split_special_tokens` has no effect on batches there.
3. slow: `return_overflowing_tokens` without `max_length` is a TypeError there, and
   `return_token_type_ids` without special tokens a ValueError. Here both give their result.
4. fast: a `stride` too long for `max_length` is a panic of its Rust code there, which no
   `except Exception` stops; here a ValueError. Where no special tokens are added it counts two.
5. fast: where taking off an accent reorders the marks that stay, the offsets of these point at
   each other's characters there.
6. fast: an added token that may not be cut out (`single_word`) becomes unknown where jieba cuts
   it as a word, once the tokenizer has been loaded. Here its characters are what they were.
7. fast: `save_pretrained` changes the tokenizer there, so that words are unknown afterwards; and
   time grows with the square of a text's length (20,000 times "的": 0.49 s, here 0.004 s).
8. A lone surrogate is an error there. Here it is removed like other non-characters.
9. An empty list of texts is an error there. Here the result is empty.
10. Ids below 0 decode to `[UNK]` (slow) there. Here they are a ValueError: mostly they are the
    -100 of ignored labels.
11. Unknown arguments are ignored there. Here they are a TypeError.
12. With `return_tensors="np"`, rows of different lengths and None become arrays of objects there;
    and `pad` leaves out what the first row does not have. Here both are a ValueError.

**Where this differs on purpose**: `decode` writes Chinese without spaces between tokens;
`return_offsets_mapping`, `word_ids()`, `truncate_sequences` and, in `tokenize`, `truncation`
and the like work for both classes; a vocabulary that lacks special tokens or repeats tokens gives a
warning; a pickled BatchEncoding has alignments (`word_ids()` and the like) if they were asked for
before. transformers' chat templates, `as_target_tokenizer` and
`prepare_seq2seq_batch` are for other models and left out.
"""

from tokenizers import AddedToken

from keras_roformer.tokenizers.batch_encoding import BatchEncoding, CharSpan, Encoding, TokenSpan
from keras_roformer.tokenizers.roformer_tokenizers import (
    AutoTokenizer,
    RoFormerTokenizer,
    RoFormerTokenizerFast,
)

__all__ = [
    "AddedToken",
    "AutoTokenizer",
    "BatchEncoding",
    "CharSpan",
    "Encoding",
    "RoFormerTokenizer",
    "RoFormerTokenizerFast",
    "TokenSpan",
]
