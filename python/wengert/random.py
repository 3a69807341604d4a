"""Random tensors, with the names of PyTorch. The numbers are NumPy's: other ones than PyTorch's.

>>> import wengert as wg
>>> _ = wg.manual_seed(0)
>>> first = wg.randn(2, 3, requires_grad=True)
>>> _ = wg.manual_seed(0)
>>> bool((wg.randn(2, 3) == first).all())
True
"""

from __future__ import annotations

import operator
from functools import cache
from typing import Any

import numpy as np

from wengert import _core
from wengert._core import Tensor
from wengert.creation import _finish, _like, _numpy_dtype, _shape

__all__ = [
    "get_rng_state",
    "manual_seed",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "set_rng_state",
]


@cache
def _generator() -> np.random.Generator:
    return np.random.default_rng()  # importing numpy.random takes long


def manual_seed(seed: int) -> np.random.Generator:
    """Begin the sequence of numbers that belongs to a seed; for all threads.

    Parameters
    ----------
    seed : int

    Returns
    -------
    numpy.random.Generator
        The generator that all functions here use.
    """
    number = operator.index(seed)
    _generator().bit_generator.state = np.random.PCG64(number % 2**64).state
    return _generator()


def get_rng_state() -> Any:
    """The state of the generator, for `set_rng_state`."""
    return _generator().bit_generator.state


def set_rng_state(new_state: Any) -> None:
    """Go on from a state that `get_rng_state` returned."""
    _generator().bit_generator.state = new_state


def _made(numbers: Any, dtype: Any, requires_grad: bool, device: Any) -> Tensor:
    kind = np.dtype(_numpy_dtype(dtype) or np.float64)
    if kind not in (np.float32, np.float64):
        raise TypeError(f"random numbers: expected dtype float64 or float32, got {kind}")
    return _finish(np.asarray(numbers).astype(kind, copy=False), requires_grad, device)


def rand(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Numbers spread evenly over [0, 1), of a shape given as integers or as one tuple."""
    return _made(_generator().random(_shape(size)), dtype, requires_grad, device)


def randn(*size: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Numbers of the normal distribution, of a shape given as integers or as one tuple."""
    return _made(_generator().standard_normal(_shape(size)), dtype, requires_grad, device)


def rand_like(x: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None) -> Tensor:
    """Numbers spread evenly over [0, 1), with the shape and dtype of another tensor."""
    shape, kind = _like(x, dtype)
    return rand(shape, dtype=kind, requires_grad=requires_grad, device=device)


def randn_like(
    x: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
) -> Tensor:
    """Numbers of the normal distribution, with the shape and dtype of another tensor."""
    shape, kind = _like(x, dtype)
    return randn(shape, dtype=kind, requires_grad=requires_grad, device=device)


def randint(
    low: int, high: Any, size: Any = None, dtype: Any = np.int64, device: Any = None
) -> Tensor:
    """Integers from low (0 if only one bound is given) up to but without high.

    Parameters
    ----------
    low, high : int
        As in PyTorch, `randint(high, size)` leaves out the first.
    size : tuple of int
    dtype : optional
        Of integers.

    Raises
    ------
    ValueError
        If there is no integer in between.
    """
    if size is None:
        low, high, size = 0, low, high
    if low >= high:
        raise ValueError(f"randint: expected low < high, got {low} and {high}")
    return _finish(
        _generator().integers(low, high, size).astype(_numpy_dtype(dtype)), False, device
    )


def randperm(n: int, device: Any = None) -> Tensor:
    """The integers from 0 to n - 1 in random order."""
    return _finish(_generator().permutation(operator.index(n)).astype(np.int64), False, device)


def _written(self: Tensor, numbers: Any) -> Tensor:
    if not self.dtype.is_floating_point:
        raise TypeError(f"random numbers cannot be written to a tensor of dtype {self.dtype.name}")
    self.copy_(_core.tensor(numbers))
    return self


def normal_(self: Tensor, mean: float = 0.0, std: float = 1.0) -> Tensor:
    """Writes numbers of a normal distribution, in place."""
    return _written(self, _generator().normal(mean, std, self.shape))


def uniform_(self: Tensor, low: float = 0.0, high: float = 1.0) -> Tensor:
    """Writes numbers spread evenly over [low, high), in place."""
    return _written(self, _generator().uniform(low, high, self.shape))


for _method in (normal_, uniform_):
    setattr(_core.Tensor, _method.__name__, _method)
