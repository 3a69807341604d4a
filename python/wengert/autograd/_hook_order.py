"""Which hooks a pass within a pass leaves alone.

A checkpointed function is differentiated by a pass of its own, which ends at tensors of the
graph outside: what it finds there is a part of their gradients only. Their hooks, registered
before the function was evaluated again, get the whole gradient later.
"""

from __future__ import annotations

import itertools
from _thread import _local  # threading.local, whose module takes longer to import
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from wengert._core import Tensor

_registrations = itertools.count()


class _Silenced(_local):
    before = -1


_silenced = _Silenced()


def guarded(hook: Any) -> Any:
    """The hook, unless it is silenced when it is called."""
    if not callable(hook):
        return hook  # the core says what is wrong with it
    number = next(_registrations)

    def call(grad: Tensor) -> Any:
        return None if number < _silenced.before else hook(grad)

    call.__name__ = getattr(hook, "__name__", repr(hook))  # for errors
    return call


def moment() -> int:
    """Hooks registered from now on have at least this number."""
    return next(_registrations) + 1


@contextmanager
def silenced(before: int) -> Iterator[None]:
    """Hooks of this thread's passes that were registered before a moment are not called."""
    outer = _silenced.before
    _silenced.before = before
    try:
        yield
    finally:
        _silenced.before = outer
