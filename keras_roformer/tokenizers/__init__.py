"""Tokenizers: text -> ids. Importing this imports no Keras and no framework."""

from tokenizers import AddedToken

from .auto import AutoTokenizer
from .packing import BatchEncoding, CharSpan, Encoding, TokenSpan
from .roformer import RoFormerTokenizer, RoFormerTokenizerFast

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
