"""What the slow and the fast tokenizer of transformers do differently with tokens and rows.

How they differ in cutting words into pieces stands in `rules.py`.
"""

from typing import NamedTuple


class Flavour(NamedTuple):
    """The decisions of one tokenizer class; the defaults are the slow class's.

    A comment says what True means.
    """

    is_fast: bool = False
    # Tokens
    replaces_added_tokens: bool = True  # an AddedToken given again replaces the first
    counts_known_tokens: bool = False  # `add_tokens` counts tokens that had an id before
    lists_special_tokens: bool = True  # `add_tokens` lists special ones as additional
    skips_added_specials: bool = False  # added tokens marked special are special ids
    names_unknown_ids: bool = True  # an id without a token is the unknown token, not None
    attaches_punctuation: bool = False  # `decode` joins it to the token before
    # Pairs
    takes_missing_pairs: bool = True  # None among a batch's second texts is no error
    takes_empty_pair: bool = True  # an empty second text is a sequence, not none
    types_bare_pairs: bool = False  # without special tokens type ids tell texts apart
    # Outputs
    overflow_is_rows: bool = False  # what truncation cuts off is rows, not a column
    overflow_stands_first: bool = True  # its columns come before the input ids
    counts_before_padding: bool = True  # a batch's `return_length` leaves padding out
    keeps_length_list: bool = False  # the length of a single row stays in a list
    # Files
    writes_tokenizer_json: bool = False


SLOW = Flavour()
# Each field is a difference: what the slow class does, the fast class does not.
FAST = Flavour(*(not decision for decision in SLOW))
