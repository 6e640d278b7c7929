"""Refuse, with the number, memory that no machine has and ids that no embedding has."""

import os

# Whether to look at values, which are then read back from the device; see facades/call_checks.py.
CHECK_IDS = os.environ.get("KERAS_ROFORMER_CHECK_IDS") != "0"


def machine_memory():
    """Bytes of memory of this machine; a terabyte where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 10**12


def check_memory(size, what, remedy):
    """Raise a ValueError if `size` bytes are more than this machine has.

    An allocation that large may fail late or never: systems give memory that they do not have, and
    then kill a process. The error says `what` needs it, and the `remedy`.
    """
    if size > machine_memory():
        raise ValueError(
            f"{what} needs {_in_words(size)} of memory, this machine has "
            f"{_in_words(machine_memory())}; {remedy}"
        )


class UnknownIdError(IndexError, ValueError):
    """An id that no embedding has: out of its range, and so a wrong value of an argument."""


def check_ids(name, extremes, count, owner, remedy="mend the ids"):
    """Raise an `UnknownIdError` for ids out of range: JAX and TensorFlow would take another vector.

    `extremes` are the least and the greatest id of the argument `name`, none where there are no
    ids; `count` is how many vectors the embedding of the model `owner` has.
    """
    for found in extremes:
        if not 0 <= found < count:
            raise UnknownIdError(
                f"{name} has the id {found}, but {owner} knows the ids 0 to {count - 1}; is the "
                f"tokenizer another model's? Use the one saved with the model, or {remedy}"
            )


def shortened(text, most=40):
    """A text, cut off where it would fill an error message."""
    return text if len(text) <= most else text[: most - 1] + "…"


def _in_words(size):
    return f"{size / 10**12:,.1f} TB" if size >= 10**12 else f"{size / 10**9:,.1f} GB"
