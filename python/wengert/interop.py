"""NumPy functions on tensors, by NumPy's own protocols (NEP 13 and NEP 18).

`np.sin(x)` of a tensor is `wengert.sin(x)`, recorded like any operation. Which function stands for
which is part of the table of operations. Other NumPy functions work on tensors without gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np

from wengert import _core
from wengert._core import Tensor


@cache
def _ufuncs() -> dict[str, Callable[..., Any]]:
    return {
        record["numpy"]: getattr(_core, record["name"])
        for record in _core.operations()
        if record["public"] and record["kind"] != "structural" and record["numpy"] != "-"
    } | {"absolute": _core.abs, "matmul": _core.matmul, "conjugate": _core.positive}


@cache
def _functions() -> dict[str, Callable[..., Any]]:
    found = {
        record["numpy"]: getattr(_core, record["name"])
        for record in _core.functions()
        if record["numpy"]
    }
    for name, other in (
        ("amax", "max"),
        ("amin", "min"),
        ("permute_dims", "permute"),
        ("round", None),
        ("around", None),
        ("concat", "concat"),
        ("vdot", "dot"),
    ):
        found[name] = getattr(_core, other) if other else _core.round
    return found


def _needs_grad(values: Any) -> bool:
    if isinstance(values, Tensor):
        return values.requires_grad
    if isinstance(values, (list, tuple)):
        return any(_needs_grad(v) for v in values)
    return False


def _as_arrays(values: Any) -> Any:
    if isinstance(values, Tensor):
        return values.detach().numpy()
    if isinstance(values, (list, tuple)):
        return type(values)(_as_arrays(v) for v in values)
    return values


def _as_tensors(result: Any) -> Any:
    if isinstance(result, (np.ndarray, np.generic)):
        try:
            return _core.tensor(result)
        except TypeError:
            return result
    if isinstance(result, tuple):
        return tuple(_as_tensors(r) for r in result)
    return result


def _refuse(name: str) -> TypeError:
    return TypeError(
        f"numpy.{name} has no derivative here and was given a tensor that requires grad; use "
        "detach() if no gradient is needed, or a Function of your own"
    )


def array_ufunc(self: Tensor, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
    """NEP 13: what NumPy calls for ufuncs on tensors."""
    del self
    name = ufunc.__name__
    known = _ufuncs().get(name)
    if method == "__call__" and known is not None and not kwargs:
        return known(*inputs)
    if method == "reduce" and name in _REDUCTIONS:
        return _reduce(_REDUCTIONS[name], inputs[0], **kwargs)
    if _needs_grad(inputs) or _needs_grad(list(kwargs.values())):
        raise _refuse(name if method == "__call__" else f"{name}.{method}")
    if any(isinstance(out, Tensor) for out in kwargs.get("out", ())):
        raise TypeError(f"numpy.{name}: out= cannot be a tensor; use the in-place operations")
    return _as_tensors(getattr(ufunc, method)(*_as_arrays(inputs), **kwargs))


_REDUCTIONS = {
    "add": "sum",
    "multiply": "prod",
    "maximum": "max",
    "minimum": "min",
    "logical_and": "all",
    "logical_or": "any",
}


def _reduce(name: str, x: Any, axis: Any = 0, keepdims: bool = False, **other: Any) -> Any:
    unusual = {k: v for k, v in other.items() if v is not None and k in ("out", "initial", "dtype")}
    if unusual:
        raise TypeError(f"numpy.{name} of a tensor does not take {', '.join(unusual)}")
    return getattr(_core, name)(x, axis=axis, keepdims=keepdims)


def array_function(self: Tensor, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
    """NEP 18: what NumPy calls for its other functions on tensors."""
    del self, types
    name = func.__name__
    module = func.__module__ or "numpy"
    vector_norm = module.startswith("numpy.linalg") and name == "norm" and len(args) == 1
    if vector_norm and kwargs.get("ord") is None and set(kwargs) <= {"axis", "keepdims", "ord"}:
        return _core.norm(*args, **{k: v for k, v in kwargs.items() if k != "ord"})
    known = _functions().get(name) if not module.startswith("numpy.linalg") else None
    if known is not None:
        return known(*args, **{k: v for k, v in kwargs.items() if v is not None or k == "axis"})
    if _needs_grad(list(args)) or _needs_grad(list(kwargs.values())):
        raise _refuse(name)
    plain = {k: _as_arrays(v) for k, v in kwargs.items()}
    return _as_tensors(func(*_as_arrays(tuple(args)), **plain))
