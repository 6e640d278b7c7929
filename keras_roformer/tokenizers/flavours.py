"""What the slow and the fast tokenizer of transformers do differently with tokens and rows.

How they differ in cutting words into pieces stands in `rules.py`.
"""

from typing import NamedTuple


class Flavour(NamedTuple):
    """The decisions of one tokenizer class; a comment says what True means."""

    is_fast: bool
    # Tokens
    replaces_added_tokens: bool  # an AddedToken with the content of an earlier one replaces it
    counts_known_tokens: bool  # `add_tokens` counts tokens that had an id before
    lists_special_tokens: bool  # special tokens of `add_tokens` join additional_special_tokens
    skips_added_specials: bool  # `skip_special_tokens` skips added tokens marked special, too
    names_unknown_ids: bool  # an id without a token becomes the unknown token, not None
    attaches_punctuation: bool  # `decode` joins English punctuation to the token before it
    # Pairs
    takes_missing_pairs: bool  # None among the second texts of a batch means no second text
    takes_empty_pair: bool  # an empty second text of a single call is a sequence, not none
    types_bare_pairs: bool  # type ids tell sequences apart even without special tokens
    # Outputs
    overflow_is_rows: bool  # what truncation cuts off becomes further rows, not a column
    overflow_stands_first: bool  # the columns of the overflow come before the input ids
    counts_before_padding: bool  # `return_length` counts the rows of a batch without padding
    keeps_length_list: bool  # the length of a single row stays in a list
    # Files
    writes_tokenizer_json: bool


SLOW = Flavour(
    is_fast=False,
    replaces_added_tokens=True,
    counts_known_tokens=False,
    lists_special_tokens=True,
    skips_added_specials=False,
    names_unknown_ids=True,
    attaches_punctuation=False,
    takes_missing_pairs=True,
    takes_empty_pair=True,
    types_bare_pairs=False,
    overflow_is_rows=False,
    overflow_stands_first=True,
    counts_before_padding=True,
    keeps_length_list=False,
    writes_tokenizer_json=False,
)
# Each of these is a difference: what the slow class does, the fast class does not.
FAST = Flavour(*(not decision for decision in SLOW))
