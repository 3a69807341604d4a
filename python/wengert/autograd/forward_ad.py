"""Forward mode by hand: numbers that carry a tangent along.

>>> import wengert as wg
>>> from wengert.autograd import forward_ad
>>> with forward_ad.dual_level():
...     x = forward_ad.make_dual(wg.tensor(3.0), wg.tensor(1.0))
...     forward_ad.unpack_dual(x * x)
UnpackedDualTensor(primal=tensor(9.), tangent=tensor(6.))
"""

from __future__ import annotations

import threading
from types import TracebackType
from typing import NamedTuple

from wengert import _core
from wengert._core import Tensor

__all__ = [
    "UnpackedDualTensor",
    "dual_level",
    "enter_dual_level",
    "exit_dual_level",
    "make_dual",
    "unpack_dual",
]


class UnpackedDualTensor(NamedTuple):
    """A value and its tangent; the tangent is None for a tensor that carries none."""

    primal: Tensor
    tangent: Tensor | None


class _Entered(threading.local):
    """The levels entered by this thread, innermost last; transforms enter others in between."""

    def __init__(self) -> None:
        self.levels: list[int] = []


_entered = _Entered()


def enter_dual_level() -> int:
    """Begin a level: tensors may be given tangents, which hold until the level is left.

    Returns
    -------
    int
        The level, for `make_dual`, `unpack_dual` and `exit_dual_level`.
    """
    level = _core.change_dual_level(1)
    _entered.levels.append(level)
    return level


def exit_dual_level(*, level: int | None = None) -> None:
    """Leave a level, by default the innermost.

    Raises
    ------
    RuntimeError
        If no level is entered, or another one is innermost.
    """
    current = _core.change_dual_level(0)
    if not _entered.levels:
        raise RuntimeError("Trying to exit a forward AD level that was never entered")
    if level is None:
        level = _entered.levels[-1]
    if level != current or level != _entered.levels[-1]:
        raise RuntimeError(
            "Trying to exit a forward AD level that was not the last one that was created: "
            f"level {level}, the last one is {current}"
        )
    _entered.levels.pop()
    _core.change_dual_level(-1)


def _level(level: int | None, what: str) -> int:
    if level is None:
        level = _core.change_dual_level(0)
        if level == 0:
            raise RuntimeError(
                f"Trying to {what} a dual Tensor for forward AD but no level exists, make sure to "
                "enter_dual_level() first."
            )
    return level


def make_dual(tensor: Tensor, tangent: Tensor, *, level: int | None = None) -> Tensor:
    """A tensor that carries `tangent` along through every operation.

    Parameters
    ----------
    tensor : Tensor
        Of a floating-point dtype. Shares its memory with the result, and stays without tangent.
    tangent : Tensor
        Of the same shape and dtype.
    level : int, optional
        By default the innermost.

    Raises
    ------
    RuntimeError
        If no level is entered, or the shapes or dtypes differ.
    """
    where = _level(level, "create")
    for value, name in ((tensor, "tensor"), (tangent, "tangent")):
        if not isinstance(value, Tensor):
            raise TypeError(f"make_dual: {name} must be a Tensor, got {type(value).__name__}")
        if not value.dtype.is_floating_point:
            raise ValueError(
                f"Expected {name} to be floating point, but got: {value.dtype.name}; convert it "
                "with .double()"
            )
    if tensor.shape != tangent.shape:
        raise RuntimeError(
            "Expected the tangent to have the shape of the tensor, "
            f"{tensor.shape}, but got: {tangent.shape}"
        )
    if tensor.dtype != tangent.dtype:
        raise RuntimeError(
            "Expected the tangent to have the dtype of the tensor, "
            f"{tensor.dtype.name}, but got: {tangent.dtype.name}"
        )
    if not 0 < where <= _core.change_dual_level(0):
        raise RuntimeError(f"make_dual: level {where} is not entered")
    if _core.unpack_dual(tensor, where)[1] is not None:
        raise RuntimeError(f"make_dual: the tensor already has a tangent at level {where}")
    return _core.make_dual(tensor, tangent, where)


def unpack_dual(tensor: Tensor, *, level: int | None = None) -> UnpackedDualTensor:
    """The value of a tensor and the tangent that it carries at a level.

    Parameters
    ----------
    tensor : Tensor
    level : int, optional
        By default the innermost; outside every level no tensor has a tangent.

    Returns
    -------
    UnpackedDualTensor
        A named tuple (primal, tangent); the tangent is None if there is none.
    """
    where = _core.change_dual_level(0) if level is None else level
    if where <= 0:
        return UnpackedDualTensor(tensor, None)
    return UnpackedDualTensor(*_core.unpack_dual(tensor, where))


class dual_level:  # noqa: N801  (PyTorch's name)
    """A level for the length of a block; levels may be nested, for higher derivatives.

    >>> import wengert as wg
    >>> from wengert.autograd import forward_ad
    >>> one = wg.tensor(1.0)
    >>> with forward_ad.dual_level():
    ...     outer = forward_ad.make_dual(wg.tensor(2.0), one)
    ...     with forward_ad.dual_level():
    ...         inner = forward_ad.make_dual(outer, one)
    ...         first = forward_ad.unpack_dual(inner**3).tangent
    ...     second = forward_ad.unpack_dual(first).tangent
    >>> second.item()
    12.0
    """

    def __init__(self) -> None:
        self._levels: list[int] = []

    def __enter__(self) -> int:
        self._levels.append(enter_dual_level())
        return self._levels[-1]

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        exit_dual_level(level=self._levels.pop())
