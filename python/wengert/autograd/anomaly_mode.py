"""Finding where NaN in a gradient comes from."""

from __future__ import annotations

from types import TracebackType

from wengert import _core

_ANOMALY, _CHECK_NAN = 8, 16  # as in csrc/engine/state.h


def _switch(mode: bool, check_nan: bool) -> int:
    if not isinstance(mode, bool):
        raise TypeError(f"set_detect_anomaly: mode must be a bool, got a '{type(mode).__name__}'")
    wanted = (_ANOMALY | (_CHECK_NAN if check_nan else 0)) if mode else 0
    return _core.set_modes(_ANOMALY | _CHECK_NAN, wanted)


class set_detect_anomaly:  # noqa: N801  (PyTorch's name)
    """Anomaly detection on or off, at once; as a context manager until the end of the block.

    Parameters
    ----------
    mode : bool
    check_nan : bool
        Raise if a backward pass computes a gradient that is NaN.

    See Also
    --------
    detect_anomaly : what it does.
    """

    def __init__(self, mode: bool, check_nan: bool = True) -> None:
        self._before = _switch(mode, check_nan)

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _core.set_modes(_ANOMALY | _CHECK_NAN, self._before)


class detect_anomaly:  # noqa: N801  (PyTorch's name)
    """Find the line of the program that makes a backward pass fail or compute NaN.

    Parameters
    ----------
    check_nan : bool
        Raise if a backward pass computes a gradient that is NaN.

    Raises
    ------
    RuntimeError
        From `backward`, if a gradient is NaN: names the operation, the line that recorded it, and
        where the first NaN or inf of the forward pass came from. Other errors of a backward pass
        get a note (before Python 3.11: a warning) that says which operation they are about.

    Notes
    -----
    For the current thread. While it is on, each recorded operation keeps the line of the program
    that called it, outside this package; operations run many times slower.

    >>> import wengert as wg
    >>> x = wg.tensor(-1.0, requires_grad=True)
    >>> with wg.autograd.detect_anomaly():  # doctest: +ELLIPSIS
    ...     wg.sqrt(x).backward()
    Traceback (most recent call last):
    RuntimeError: Function 'SqrtBackward' returned nan values in its 0th output. ...
    """

    def __init__(self, check_nan: bool = True) -> None:
        self._check_nan = bool(check_nan)
        self._before: list[int] = []

    def __enter__(self) -> None:
        self._before.append(_switch(True, self._check_nan))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _core.set_modes(_ANOMALY | _CHECK_NAN, self._before.pop())


def set_anomaly_enabled(mode: bool, check_nan: bool = True) -> None:
    """Turn anomaly detection on or off in this thread; see `detect_anomaly`."""
    _switch(mode, check_nan)


def is_anomaly_enabled() -> bool:
    """Whether anomaly detection is on in this thread."""
    return bool(_core.modes() & _ANOMALY)


def is_anomaly_check_nan_enabled() -> bool:
    """Whether it looks for NaN in gradients."""
    return bool(_core.modes() & _CHECK_NAN)
