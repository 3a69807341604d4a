"""Packages that make the examples nicer and that they can do without."""

from __future__ import annotations

import importlib
from typing import Any


def import_optional(name: str) -> Any | None:
    """Import a module, or return None where it is not installed.

    Examples
    --------
    >>> import_optional("math").sqrt(4.0)
    2.0
    >>> import_optional("no_such_package") is None
    True
    """
    try:
        return importlib.import_module(name)
    except ImportError:
        return None
