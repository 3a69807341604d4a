"""What does an operation with a derivative of one's own cost?"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.adapters.base import Adapter
from benchmarks.case import Aim, Case, Workload
from benchmarks.measure import seconds_per_statement
from benchmarks.reference import agree

TITLE = "An operation of one's own"
ABOUT = (
    "A function that doubles its input, with a derivative written in Python in the way the peer "
    "offers (`Function`, `custom_vjp`, `primitive`): one tracked call, and a call with its "
    "backward pass."
)

SIZES = (1, 10)  # 1: a scalar
AIMS = [
    Aim(f"{kind}, {what}", 1 / 5, of_peer="torch", ceiling=True)
    for kind in ("apply", "apply + backward")
    for what in ("scalar", "n = 10")
]
HIGHLIGHTS = [("apply + backward, n = 10", "time")]


def _name(kind: str, size: int) -> str:
    return f"{kind}, scalar" if size == 1 else f"{kind}, n = {size}"


def cases(quick: bool) -> list[Case]:
    sizes = SIZES[1:] if quick else SIZES
    return [Case(_name(k, n), k, n) for k in ("apply", "apply + backward") for n in sizes]


def _input(size: int) -> np.ndarray:
    return np.asarray(0.75) if size == 1 else np.linspace(0.5, 1.5, size)


def prepare(adapter: Adapter, case: Case) -> Workload:
    operation = adapter.custom_operation(lambda x: x * 2.0, lambda grad: grad * 2.0)
    values = _input(case.size)
    if case.family == "apply + backward":
        return Workload(adapter.pull_back(operation, [values], np.ones_like(values)))
    arrays = [adapter.array(values)]
    forced, names = adapter.forced("f(a)")

    def measure(budget: float) -> dict[str, float]:
        def timed(a: Any) -> float:
            return seconds_per_statement(forced, {**names, "f": operation, "a": a}, budget)

        return {"time": adapter.tracked(timed, arrays)}

    return Workload(lambda: operation(*arrays), measure=measure)


def check(case: Case, result: Any) -> str:
    values = _input(case.size)
    return agree(result, np.full_like(values, 2.0) if "backward" in case.family else values * 2.0)
