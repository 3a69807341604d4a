"""Tensors made of nothing but a shape or a range. NumPy fills them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, SupportsIndex

import numpy as np

from wengert import _core
from wengert._core import Tensor

_Shape = SupportsIndex | Sequence[SupportsIndex]


def _finish(array: Any, requires_grad: bool, device: Any = None) -> Tensor:
    _core.require_cpu(device)
    result = _core.from_new_numpy(array)
    return result.requires_grad_() if requires_grad else result


def _numpy_dtype(dtype: Any) -> Any:
    return dtype.dtype if isinstance(dtype, _core.DType) else dtype


def _shape(size: tuple[Any, ...]) -> Any:
    return size[0] if len(size) == 1 else size


def zeros(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Zeros of a shape, given as integers or as one tuple; float64 unless said otherwise.

    >>> import wengert as wg
    >>> wg.zeros(2, 3).shape
    (2, 3)
    """
    return _finish(np.zeros(_shape(size), _numpy_dtype(dtype)), requires_grad, device)


def ones(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones of a shape, given as integers or as one tuple; float64 unless said otherwise."""
    return _finish(np.ones(_shape(size), _numpy_dtype(dtype)), requires_grad, device)


def empty(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Elements of any value; float64 unless said otherwise."""
    return _finish(np.empty(_shape(size), _numpy_dtype(dtype)), requires_grad, device)


def full(
    size: _Shape,
    fill_value: float,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """One number everywhere; the dtype is the number's unless said otherwise."""
    return _finish(np.full(size, fill_value, _numpy_dtype(dtype)), requires_grad, device)


def _like(x: Any, dtype: Any) -> tuple[Any, Any]:
    value = asarray(x)
    return value.shape, _numpy_dtype(value.dtype if dtype is None else dtype)


def zeros_like(
    x: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """Zeros with the shape and dtype of another tensor."""
    return _finish(np.zeros(*_like(x, dtype)), requires_grad, device)


def ones_like(x: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Ones with the shape and dtype of another tensor."""
    return _finish(np.ones(*_like(x, dtype)), requires_grad, device)


def empty_like(
    x: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """Elements of any value, with the shape and dtype of another tensor."""
    return _finish(np.empty(*_like(x, dtype)), requires_grad, device)


def full_like(
    x: Any, fill_value: float, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """One number everywhere, with the shape and dtype of another tensor."""
    shape, numpy_dtype = _like(x, dtype)
    return _finish(np.full(shape, fill_value, numpy_dtype), requires_grad, device)


def arange(
    *bounds: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """Evenly spaced numbers: arange(stop), arange(start, stop) or arange(start, stop, step).

    >>> import wengert as wg
    >>> wg.arange(3)
    tensor([0, 1, 2])
    """
    return _finish(np.arange(*bounds, dtype=_numpy_dtype(dtype)), requires_grad, device)


def linspace(
    start: float,
    stop: float,
    num: int = 50,
    dtype: Any = None,
    requires_grad: bool = False,
    device: Any = None,
) -> Tensor:
    """`num` evenly spaced numbers from start to stop, both included."""
    return _finish(np.linspace(start, stop, num, dtype=_numpy_dtype(dtype)), requires_grad, device)


def eye(
    n: int, m: int | None = None, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """A matrix with ones on the diagonal and zeros elsewhere."""
    return _finish(np.eye(n, m, dtype=_numpy_dtype(dtype) or float), requires_grad, device)


def from_numpy(array: Any) -> Tensor:
    """A tensor that shares the memory of a NumPy array.

    Raises
    ------
    TypeError
        If the dtype is not bool, int32, int64, float32 or float64.
    """
    return _core.from_numpy(array)


def asarray(x: Any, dtype: Any = None, device: Any = None) -> Tensor:
    """A tensor of `x`: itself if it is one, sharing memory with a NumPy array if possible."""
    _core.require_cpu(device)
    if isinstance(x, Tensor):
        return x if dtype is None else x.astype(dtype)
    if isinstance(x, np.ndarray) and dtype is None and _is_shareable(x):
        return _core.from_numpy(x)
    return _core.tensor(x, dtype=dtype)


def _is_shareable(x: np.ndarray[Any, Any]) -> bool:
    steps_fit = all(step % x.itemsize == 0 for step in x.strides)
    return x.dtype.name in _SHAREABLE and x.dtype.isnative and x.flags.aligned and steps_fit


_SHAREABLE = {"bool", "int32", "int64", "float32", "float64"}


def is_tensor(x: object) -> bool:
    """Whether an object is a tensor."""
    return isinstance(x, Tensor)


def clone(x: Tensor) -> Tensor:
    """A copy; gradients flow back to the original."""
    return x.clone()


def numel(x: Tensor) -> int:
    """Number of elements."""
    return x.numel()
