"""The two ways in which an example can fail to give an answer."""

from __future__ import annotations


class InputError(ValueError):
    """What the user gave can't be used; the text is the whole message, on one line."""


class DescentError(RuntimeError):
    """The descent left the finite numbers, so there is no answer to report."""
