"""A tensor in parts along an axis. The parts are views, as slices are."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Sequence

from wengert import _core
from wengert._core import Tensor


def _axis_of(operation: str, x: Tensor, dim: int) -> int:
    axis = operator.index(dim)
    if x.ndim == 0:
        raise ValueError(f"{operation}: expected at least 1 dimension, got a 0-d tensor")
    if not -x.ndim <= axis < x.ndim:
        raise IndexError(
            f"{operation}: axis {axis} is out of range for shape {x.shape}, "
            f"which has axes {-x.ndim} to {x.ndim - 1}"
        )
    return axis % x.ndim


def _at(x: Tensor, axis: int, key: int | slice) -> Tensor:
    part: Tensor = x[(slice(None),) * axis + (key,)]
    return part


def narrow(x: Tensor, dim: int, start: int, length: int) -> Tensor:
    """The stretch of `length` elements of an axis from `start`; a view.

    Parameters
    ----------
    x : Tensor
        Of any dtype, with at least one axis.
    dim, start, length : int
        The axis, where the stretch begins (negative: counted from the end), and its extent.

    Raises
    ------
    ValueError
        If the stretch does not lie within the axis.
    """
    axis = _axis_of("narrow", x, dim)
    extent = x.shape[axis]
    first = start + extent if start < 0 else start
    if not 0 <= first <= extent or not 0 <= length <= extent - first:
        raise ValueError(
            f"narrow: a stretch of {length} from {start} does not lie within axis {axis} "
            f"of shape {x.shape}"
        )
    return _at(x, axis, slice(first, first + length))


def select(x: Tensor, dim: int, index: int) -> Tensor:
    """One place of an axis, without the axis: `x[index]` along `dim`.

    Raises
    ------
    IndexError
        If there is no such axis or place.
    """
    return _at(x, _axis_of("select", x, dim), operator.index(index))


def unstack(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Every place of an axis, without the axis: the inverse of `stack`.

    >>> import wengert as wg
    >>> wg.unstack(wg.tensor([[1.0, 2.0], [3.0, 4.0]]), dim=1)
    (tensor([1., 3.]), tensor([2., 4.]))
    """
    axis = _axis_of("unstack", x, dim)
    return tuple(_at(x, axis, i) for i in range(x.shape[axis]))


def _pieces(x: Tensor, axis: int, lengths: Iterable[int]) -> tuple[Tensor, ...]:
    pieces = []
    start = 0
    for length in lengths:
        pieces.append(_at(x, axis, slice(start, start + length)))
        start += length
    return tuple(pieces)


def split(
    x: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0
) -> tuple[Tensor, ...]:
    """Pieces of an axis, as PyTorch splits: of one length, or of the lengths given.

    NumPy's `split` means something else by a number: how many pieces there are; see `chunk`.

    Parameters
    ----------
    x : Tensor
        Of any dtype, with at least one axis.
    split_size_or_sections : int or sequence of int
        The length of each piece (the last may be shorter), or the lengths of all.
    dim : int
        The axis.

    Raises
    ------
    ValueError
        If a length is negative, zero for all pieces, or the lengths do not add up to the extent.

    >>> import wengert as wg
    >>> [piece.tolist() for piece in wg.split(wg.arange(5), 2)]
    [[0, 1], [2, 3], [4]]
    """
    axis = _axis_of("split", x, dim)
    extent = x.shape[axis]
    if isinstance(split_size_or_sections, Iterable):
        lengths = [operator.index(length) for length in split_size_or_sections]
        if sum(lengths) != extent or min(lengths, default=0) < 0:
            raise ValueError(
                f"split: sections {lengths} must not be negative and must add up to {extent}, "
                f"the extent of axis {axis} of shape {x.shape}"
            )
        return _pieces(x, axis, lengths)
    size = operator.index(split_size_or_sections)
    if size < 0 or (size == 0 and extent > 0):
        raise ValueError(f"split: expected a positive length of the pieces, got {size}")
    if extent == 0:
        return (x[...],)
    return _pieces(x, axis, (min(size, extent - at) for at in range(0, extent, size)))


def chunk(x: Tensor, chunks: int, dim: int = 0) -> tuple[Tensor, ...]:
    """At most `chunks` pieces of an axis, of one length but for the last.

    Raises
    ------
    ValueError
        If `chunks` is not positive.
    """
    axis = _axis_of("chunk", x, dim)
    if chunks < 1:
        raise ValueError(f"chunk: expected a positive number of pieces, got {chunks}")
    return split(x, max(-(-x.shape[axis] // chunks), 1), axis)


METHODS = {
    "narrow": narrow,
    "select": select,
    "unstack": unstack,
    "unbind": unstack,
    "split": split,
    "chunk": chunk,
}

for _name, _method in METHODS.items():
    setattr(_core.Tensor, _name, _method)
