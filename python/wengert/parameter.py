"""Tensors that are there to be optimised: `Parameter`."""

from __future__ import annotations

from typing import Any

from wengert import _core
from wengert._core import Tensor


class Parameter(Tensor):
    """A leaf that requires grad, told apart from other tensors by its type.

    Parameters
    ----------
    data : array_like, optional
        Its elements; without it there are none. Shares the memory of a tensor of at least one
        axis, copies anything else.
    requires_grad : bool
        False for a parameter that is not to be optimised.

    Raises
    ------
    RuntimeError
        If gradients are required of integers or bools.

    Notes
    -----
    Results of operations on it are plain tensors; in-place operations leave it a parameter. It is
    pickled and copied as a parameter with its attributes, without gradient and hooks.

    >>> import wengert as wg
    >>> w = wg.Parameter([1.0, 2.0])
    >>> w
    Parameter containing:
    tensor([1., 2.], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])
    >>> type(w * w)
    <class 'wengert.Tensor'>
    """

    def __new__(cls, data: Any = None, requires_grad: bool = True) -> Parameter:
        """Make the instance; subclasses may take other arguments."""
        if data is None:
            data = []
        values = data.detach() if isinstance(data, Tensor) else _core.tensor(data)
        return values.as_subclass(cls).requires_grad_(requires_grad)

    def __init__(self, data: Any = None, requires_grad: bool = True) -> None:
        pass

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        copied: Parameter = super().__deepcopy__(memo)
        copied.grad = None
        return copied
