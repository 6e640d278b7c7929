"""Refusing what no machine can hold, with the number, before anything is allocated."""

import os


def machine_memory():
    """Bytes of memory of this machine; a terabyte where the system does not say."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return 10**12


def check_memory(size, what, remedy):
    """Raise a ValueError if `size` bytes are more than this machine has.

    An allocation that large may fail late or never: systems give memory that they do not have, and
    then kill a process.

    Args:
        size: bytes.
        what: what needs them, with the values that make it large.
        remedy: what to do.
    """
    if size > machine_memory():
        raise ValueError(
            f"{what} needs {_in_words(size)} of memory, this machine has "
            f"{_in_words(machine_memory())}; {remedy}"
        )


def _in_words(size):
    return f"{size / 10**12:,.1f} TB" if size >= 10**12 else f"{size / 10**9:,.1f} GB"
