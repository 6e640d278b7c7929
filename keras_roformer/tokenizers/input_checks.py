"""Checks of what callers give a tokenizer: texts, whole numbers, sides."""

import operator

from keras_roformer.limits import shortened

_HINTS = {
    "bytes": "Decode bytes first: text.decode('utf-8').",
    "ndarray": "Give array.tolist().",
    "Series": "Give series.tolist().",
    "generator": "Give a list, or use encode_iter.",
}
BAD_TEXT = (
    "text input must be of type `str` (single example), `list[str]` (batch or single pretokenized "
    "example) or `list[list[str]]` (batch of pretokenized examples)"
)


def check_text(text):
    """Raises ValueError unless `text` is a str."""
    if not isinstance(text, str):
        raise ValueError(f"A text must be a str, not {type(text).__name__}: {shorten(text)}.")


def check_text_input(value):
    """Raises ValueError unless `value` can be the text of a call, as its first item tells."""
    if not _is_text_input(value):
        item = value[0] if isinstance(value, (list, tuple)) else value
        hint = _HINTS.get(type(item).__name__, "")
        got = f"{type(value).__name__}: {shorten(value)}. {hint}"
        raise ValueError(f"{BAD_TEXT}; got {got}".rstrip())


def _is_text_input(value):
    """Whether `value` may be text: a str, list of str, or list of lists of str."""
    if isinstance(value, str):
        return True
    if not isinstance(value, (list, tuple)):
        return False
    if not value or isinstance(value[0], str):
        return True
    return isinstance(value[0], (list, tuple)) and (not value[0] or isinstance(value[0][0], str))


def is_whole(value):
    """Whether `value` is a whole number: an int, or one of NumPy's or a tensor's."""
    try:
        operator.index(value)
    except TypeError:
        return False
    return True


def check_side(name, side):
    """`side`, if it is one."""
    if side not in ("right", "left"):
        raise ValueError(f"{name}={side!r} must be 'right' or 'left'.")
    return side


def shorten(value):
    """`repr(value)`, cut off where it would fill an error message."""
    return shortened(repr(value), 79)
