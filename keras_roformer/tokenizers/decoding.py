"""Tokens -> text: Chinese without spaces between its words."""

import functools
import re

# Chinese and its punctuation, kana, fullwidth forms: written without spaces around them.
_UNSPACED = (
    "\u2e80-\u303f\u3040-\u30ff\u3100-\u312f\u31a0-\u9fff\uf900-\ufaff\ufe30-\ufe4f"
    "\uff00-\uff65\U00020000-\U0003ffff‘’“”…—·"
)
_is_unspaced = functools.lru_cache(1 << 15)(re.compile(f"[{_UNSPACED}]").match)  # of a character
# English punctuation that a decoder of `tokenizers` joins to the token before it.
_ATTACHED = (".", "?", "!", ",", "n't", "'m", "'s", "'ve", "'re")


def join_tokens(tokens, kept, *, spaces_between_special_tokens, attaches_punctuation):
    """The text of `tokens`.

    Args:
        tokens: strings; `##` begins a piece that continues the piece before it.
        kept: tokens that stand apart from their neighbours.
        spaces_between_special_tokens: whether a space separates a kept token from its neighbours.
        attaches_punctuation: see `Flavour`.
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


def clean_up(out_string):
    """Takes out the spaces that English does not have before punctuation and contractions."""
    for spaced in (" .", " ?", " !", " ,", " n't", " 'm", " 's", " 've", " 're"):
        if spaced == " n't":
            out_string = out_string.replace(" ' ", "'")
        out_string = out_string.replace(spaced, spaced[1:])
    return out_string
