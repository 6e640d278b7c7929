"""The private API of other packages that this one uses, a file for each of them and nowhere else.

Each use stands as a function or a mixin with a public name, headed by the version it was written
for, the reason, and when it can go; `tests/test_upstream.py` fails when upstream changes.
"""
