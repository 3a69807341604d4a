"""What does one operation on a scalar cost, called from Python?"""

from __future__ import annotations

import math
from typing import Any

from benchmarks.adapters.base import Adapter
from benchmarks.case import Aim, Case, UnsupportedError, Workload
from benchmarks.measure import seconds_per_statement
from benchmarks.reference import agree

TITLE = "One operation on a tracked scalar"
ABOUT = (
    "The statement in a function, its result dropped. Peers that track record the operation; "
    "python and numpy compute the value only."
)

A, B = 0.7, 1.3
# statement -> value and derivative by a, from the formula
STATEMENTS = {
    "a * b": (A * B, B),
    "a + b": (A + B, 1.0),
    "a / b": (A / B, 1 / B),
    "a + 1.0": (A + 1.0, 1.0),
    "2.0 * a": (2.0 * A, 2.0),
    "a ** 2": (A**2, 2 * A),
    "sin(a)": (math.sin(A), math.cos(A)),
    "exp(a)": (math.exp(A), math.exp(A)),
}
REQUIRED = ("a * b", "a + 1.0", "sin(a)")

AIMS = [
    Aim(statement, factor, of_peer=peer, ceiling=True)
    for statement in REQUIRED
    for peer, factor in (("python", 2.0), ("xad", 0.1), ("torch", 0.02))
]
HIGHLIGHTS = [(statement, "time") for statement in REQUIRED]


def cases(quick: bool) -> list[Case]:
    return [Case(name, name) for name in (REQUIRED if quick else STATEMENTS)]


def prepare(adapter: Adapter, case: Case) -> Workload:
    function = _function_in(case.name)
    if function and not hasattr(adapter.scalars, function):
        raise UnsupportedError(f"no {function}")
    names = {function: getattr(adapter.scalars, function)} if function else {}

    def program(a: Any, b: Any) -> Any:
        return eval(case.name, {**names, "a": a, "b": b})  # the statements above

    def run() -> Any:
        if not adapter.tracks:
            return program(*adapter.leaves([A, B]))
        recording = adapter.record(program, adapter.leaves([A, B]))
        value = recording.value()
        recording.backward()
        return [value, recording.gradients()[0]]

    def measure(budget: float) -> dict[str, float]:
        def timed(a: Any, b: Any) -> float:
            return seconds_per_statement(case.name, {**names, "a": a, "b": b}, budget)

        return {"time": adapter.tracked(timed, adapter.leaves([A, B]))}

    return Workload(run, measure=measure)


def _function_in(statement: str) -> str | None:
    name, parenthesis, _ = statement.partition("(")
    return name if parenthesis else None


def check(case: Case, result: Any) -> str:
    value, derivative = STATEMENTS[case.name]
    return agree(result, [value, derivative] if isinstance(result, list) else [value])
