"""Checking derivatives against finite differences."""

from __future__ import annotations  # naming numpy.random in types would import it

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import _core, functional
from wengert._core import Tensor

__all__ = ["check_grads"]

_Function = Callable[..., Any]


def _numeric_jvp(
    f: _Function, args: Sequence[Tensor], tangents: Sequence[Any], eps: float
) -> np.ndarray[Any, Any]:
    """A central difference of fourth order along `tangents`."""

    def at(step: float) -> np.ndarray[Any, Any]:
        pairs = zip(args, tangents, strict=True)
        moved = [_core.tensor(a.detach().numpy() + step * t) for a, t in pairs]
        return np.asarray(f(*moved).detach().numpy())

    difference = (8 * (at(eps) - at(-eps)) - (at(2 * eps) - at(-2 * eps))) / (12 * eps)
    return np.asarray(difference)


def _compare(
    what: str,
    analytic: np.ndarray[Any, Any],
    numeric: np.ndarray[Any, Any],
    atol: float,
    rtol: float,
) -> None:
    close = np.isclose(analytic, numeric, rtol=rtol, atol=atol)
    if np.all(close):
        return
    difference = np.where(close, 0, np.abs(analytic - numeric))
    worst = np.unravel_index(np.argmax(np.nan_to_num(difference, nan=np.inf)), difference.shape)
    raise AssertionError(
        f"{what}: analytic {analytic[worst]!r} but numeric {numeric[worst]!r} at index "
        f"{tuple(int(i) for i in worst)}"
    )


def _check_once(
    f: _Function,
    args: Sequence[Tensor],
    modes: Sequence[str],
    label: str,
    atol: float,
    rtol: float,
    eps: float,
    random: np.random.Generator,
) -> None:
    tangents = [random.standard_normal(a.shape) for a in args]
    numeric = _numeric_jvp(f, args, tangents, eps)
    if "fwd" in modes:
        _, slope = functional.jvp(f, args, [_core.tensor(t) for t in tangents])
        _compare(f"{label}, forward mode", slope.detach().numpy(), numeric, atol, rtol)
    if "rev" in modes:
        value, pull = functional.vjp(f, *args)
        cotangent = random.standard_normal(value.shape)
        grads = pull(_core.tensor(cotangent))
        pairs = zip(grads, tangents, strict=True)
        analytic = sum(float(np.sum(g.detach().numpy() * t)) for g, t in pairs)
        _compare(
            f"{label}, reverse mode",
            np.asarray(analytic),
            np.asarray(np.sum(numeric * cotangent)),
            atol,
            rtol,
        )


def check_grads(
    f: _Function,
    args: Sequence[Any],
    order: int = 2,
    modes: Sequence[str] = ("rev", "fwd"),
    atol: float = 1e-6,
    rtol: float = 1e-6,
    eps: float = 1e-3,
    seed: int = 0,
) -> None:
    """Compare the derivatives of `f` with finite differences, order by order.

    Parameters
    ----------
    f : callable
        From tensors to one tensor; smooth near `args`.
    args : sequence of tensors or arrays
        Where to check; taken as float64.
    order : int
        Derivatives of order 1 to `order` are checked, each against differences of the one before.
    modes : sequence of {"rev", "fwd"}
    atol, rtol, eps : float
        Tolerances, and the step of the fourth-order central difference.
    seed : int
        Of the random directions along which derivatives are taken.

    Raises
    ------
    AssertionError
        Names the order, the mode, the worst entry, and both values there.

    >>> import wengert as wg
    >>> wg.testing.check_grads(lambda x: wg.sin(x).sum(), [[0.3, 0.4]], order=3)
    """
    random = np.random.default_rng(seed)
    values = [
        _core.tensor(a.detach().numpy() if isinstance(a, Tensor) else a, dtype=_core.float64)
        for a in args
    ]
    current = f
    for level in range(1, order + 1):
        _check_once(current, values, modes, f"order {level}", atol, rtol, eps, random)
        if level < order:
            current = _directional(current, values, random)


def _directional(f: _Function, args: Sequence[Tensor], random: np.random.Generator) -> _Function:
    """The gradient of a fixed random combination of f's results, joined to one vector."""
    weights = _core.tensor(random.standard_normal(f(*args).shape))

    def derivative(*xs: Any) -> Tensor:
        grads = functional.grad(
            lambda *ys: _core.sum(f(*ys) * weights), argnums=tuple(range(len(xs)))
        )(*xs)
        return _core.concat([_core.flatten(g) for g in grads])

    return derivative
