"""What do second derivatives and whole Jacobians cost?"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from benchmarks.adapters.base import Adapter, Step
from benchmarks.case import Aim, Case, UnsupportedError, Workload, power_of_ten
from benchmarks.measure import clock
from benchmarks.reference import agree

TITLE = "Second order: Hessians, Hessian-vector products, Jacobians"
ABOUT = (
    "Rosenbrock's function in n variables, and x -> tanh(A x) in 100. Where a peer has several "
    "ways, the fastest counts. numpy: the formula by hand."
)

HESSIAN, PRODUCT, JACOBIAN = "dense Hessian", "Hessian-vector product", "Jacobian R^n -> R^n"


def _name(family: str, size: int) -> str:
    return f"{family}, n = {power_of_ten(size)}"


def cases(quick: bool) -> list[Case]:
    full = [(HESSIAN, 100), (HESSIAN, 1000), (PRODUCT, 10**5), (JACOBIAN, 100)]
    chosen = [(HESSIAN, 100), (PRODUCT, 10**4), (JACOBIAN, 100)] if quick else full
    return [Case(_name(family, size), family, size) for family, size in chosen]


AIMS = [Aim(case.name, 0.2, of_peer="torch") for case in cases(quick=False)]
HIGHLIGHTS = [(case.name, "time") for case in cases(quick=False)]


def _rosenbrock(xp: Any, x: Any) -> Any:
    return xp.sum(100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2)


def _bands(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The diagonal of Rosenbrock's Hessian and the one beside it."""
    diagonal = np.zeros_like(x)
    diagonal[:-1] = 1200 * x[:-1] ** 2 - 400 * x[1:] + 2
    diagonal[1:] += 200
    return diagonal, -400 * x[:-1]


def _hessian_by_hand(x: np.ndarray) -> np.ndarray:
    diagonal, beside = _bands(x)
    return np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)


def _product_by_hand(x: np.ndarray, vector: np.ndarray) -> np.ndarray:
    diagonal, beside = _bands(x)
    product = diagonal * vector
    product[:-1] += beside * vector[1:]
    product[1:] += beside * vector[:-1]
    return product


def _jacobian_by_hand(matrix: np.ndarray, x: np.ndarray) -> np.ndarray:
    return (1 - np.tanh(matrix @ x) ** 2)[:, None] * matrix


def _inputs(case: Case) -> tuple[np.ndarray, np.ndarray]:
    generator = np.random.default_rng(case.size)
    x = generator.uniform(0.5, 1.5, case.size)
    if case.family == JACOBIAN:
        return x, generator.normal(size=(case.size, case.size)) / np.sqrt(case.size)
    return x, generator.normal(size=case.size)


def _by_hand(case: Case) -> Callable[[], np.ndarray]:
    x, other = _inputs(case)
    return {
        HESSIAN: lambda: _hessian_by_hand(x),
        PRODUCT: lambda: _product_by_hand(x, other),
        JACOBIAN: lambda: _jacobian_by_hand(other, x),
    }[case.family]


def prepare(adapter: Adapter, case: Case) -> Workload:
    if adapter.name == "numpy":
        return Workload(_by_hand(case))
    if adapter.xp is None:
        raise UnsupportedError("no arrays")
    return Workload(_fastest(_ways(adapter, case)))


def _ways(adapter: Adapter, case: Case) -> list[Step]:
    x, other = _inputs(case)
    if case.family == JACOBIAN:
        matrix = adapter.constant(other)
        return adapter.jacobian(lambda x: adapter.xp.tanh(matrix @ x), x)

    def function(x: Any) -> Any:
        return _rosenbrock(adapter.xp, x)

    if case.family == HESSIAN:
        return adapter.hessian(function, x)
    return adapter.hessian_vector(function, x, other)


def _fastest(ways: list[Step]) -> Step:
    """Pick by the second call: the first may compile. A way that fails is out."""
    tried = [_second_call(way) for way in ways]
    times = [outcome for outcome in tried if isinstance(outcome, float)]
    if not times:
        raise next(outcome for outcome in tried if isinstance(outcome, Exception))
    return ways[tried.index(min(times))]


def _second_call(way: Step) -> float | Exception:
    try:
        way()
        start = clock()
        way()
        return clock() - start
    except Exception as error:
        return error


def check(case: Case, result: Any) -> str:
    return agree(result, _by_hand(case)())
