"""What does an element cost in arrays of 10^4 to 10^7 elements?"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.adapters.base import Adapter
from benchmarks.case import Aim, Case, UnsupportedError, Workload, power_of_ten
from benchmarks.reference import agree

TITLE = "Large arrays: value and gradient, per element"
ABOUT = (
    "One thread, float64. Value and gradient of the named scalar function; numpy's gradient is "
    "written by hand. 'copy' is numpy.copyto into an array that is already there: 16 bytes "
    "moved an element, the memory's own speed. 'forward' rows compute a new array, tracked "
    "where the peer tracks."
)

COLUMNS = 1000


@dataclass(frozen=True)
class Program:
    """A function to differentiate, its gradient by hand, and what it is applied to."""

    value: Callable[..., Any]
    by_hand: Callable[..., Any]
    inputs: Callable[[int], list[np.ndarray]]


def _line(size: int) -> list[np.ndarray]:
    return [np.random.default_rng(size).uniform(0.5, 1.5, size)]


def _matrix(size: int) -> np.ndarray:
    return np.random.default_rng(size).uniform(0.5, 1.5, (size // COLUMNS, COLUMNS))


def _matrix_row_column(size: int) -> list[np.ndarray]:
    matrix = _matrix(size)
    return [matrix, matrix[0] / 2, matrix[:, :1] / 2]


def _matrix_and_wide(size: int) -> list[np.ndarray]:
    return [_matrix(size), np.ascontiguousarray(_matrix(size).T) / 2]


def _arithmetic(xp: Any, x: Any) -> Any:
    y = x * x
    y = y + x
    y = y * 0.5
    y = y - x
    return xp.sum(y * x)


def _arithmetic_by_hand(x: np.ndarray) -> Any:
    y = ((x * x + x) * 0.5 - x) * x
    return np.sum(y), [(1.5 * x - 1.0) * x]


def _mixed(xp: Any, x: Any) -> Any:
    return xp.sum(xp.sin(x) * xp.exp(-x * x) + xp.tanh(x))


def _mixed_by_hand(x: np.ndarray) -> Any:
    sine, bell, tangent = np.sin(x), np.exp(-x * x), np.tanh(x)
    gradient = bell * (np.cos(x) - 2 * x * sine) + (1 - tangent * tangent)
    return np.sum(sine * bell + tangent), [gradient]


def _variance(xp: Any, x: Any) -> Any:
    return xp.mean((x - xp.mean(x)) ** 2)


def _variance_by_hand(x: np.ndarray) -> Any:
    centred = x - np.mean(x)
    return np.mean(centred * centred), [centred * (2 / x.size)]


def _broadcast(xp: Any, m: Any, row: Any, column: Any) -> Any:
    return xp.sum((m - row) ** 2 * column)


def _broadcast_by_hand(m: np.ndarray, row: np.ndarray, column: np.ndarray) -> Any:
    difference = m - row
    squared = difference * difference
    by_m = 2 * difference * column
    by_column = np.sum(squared, axis=1, keepdims=True)
    return np.sum(squared * column), [by_m, -np.sum(by_m, axis=0), by_column]


def _strided_by_hand(x: np.ndarray) -> Any:
    even, odd = x[::2], x[1::2]
    gradient = np.empty_like(x)
    gradient[::2], gradient[1::2] = odd, even
    return np.sum(even * odd), [gradient]


def _column_sums(xp: Any, m: Any) -> Any:
    return xp.sum(xp.sum(m, axis=0) ** 2)


def _column_sums_by_hand(m: np.ndarray) -> Any:
    sums = np.sum(m, axis=0)
    return np.sum(sums * sums), [np.broadcast_to(2 * sums, m.shape).copy()]


def _largest_of_rows_by_hand(m: np.ndarray) -> Any:
    places = np.argmax(m, axis=1)[:, None]
    gradient = np.zeros_like(m)
    np.put_along_axis(gradient, places, 1.0, axis=1)
    return np.sum(np.take_along_axis(m, places, axis=1)), [gradient]


def _one_function(name: str, derivative: Callable[[np.ndarray, np.ndarray], Any]) -> Program:
    def by_hand(x: np.ndarray) -> Any:
        y = getattr(np, name)(x)
        return np.sum(y), [derivative(x, y)]

    return Program(lambda xp, x: xp.sum(getattr(xp, name)(x)), by_hand, _line)


PROGRAMS = {
    "arithmetic chain": Program(_arithmetic, _arithmetic_by_hand, _line),
    "sum(sin(x))": _one_function("sin", lambda x, y: np.cos(x)),
    "sum(exp(x))": _one_function("exp", lambda x, y: y),
    "sum(log(x))": _one_function("log", lambda x, y: 1 / x),
    "sum(tanh(x))": _one_function("tanh", lambda x, y: 1 - y * y),
    "sum(sin(x)*exp(-x*x)+tanh(x))": Program(_mixed, _mixed_by_hand, _line),
    "variance": Program(_variance, _variance_by_hand, _line),
    "sums of columns, squared": Program(_column_sums, _column_sums_by_hand, lambda n: [_matrix(n)]),
    "largest of each row": Program(
        lambda xp, m: xp.sum(xp.max(m, axis=1)), _largest_of_rows_by_hand, lambda n: [_matrix(n)]
    ),
    "matrix, row and column": Program(_broadcast, _broadcast_by_hand, _matrix_row_column),
    "every second element": Program(
        lambda xp, x: xp.sum(x[::2] * x[1::2]), _strided_by_hand, _line
    ),
    "transposed": Program(
        lambda xp, m, w: xp.sum(m.T * w),
        lambda m, w: (np.sum(m.T * w), [w.T.copy(), m.T.copy()]),
        _matrix_and_wide,
    ),
}
MIXED = "sum(sin(x)*exp(-x*x)+tanh(x))"
FORWARD = {
    "forward a + a": (lambda xp, a: a + a, lambda a: a + a),
    "forward exp(a)": (lambda xp, a: xp.exp(a), np.exp),
}
COPY = "copy"
TRANSCENDENTAL = (MIXED, "sum(sin(x))", "sum(tanh(x))", "sum(log(x))")


def _name(family: str, size: int) -> str:
    return f"{family}, n = {power_of_ten(size)}"


AIMS = [
    Aim(_name(MIXED, 10**6), 12e-9),
    Aim(_name(MIXED, 10**7), 12e-9),
    *(
        Aim(_name(family, size), 0.5, of_peer=peer)
        for family in PROGRAMS
        for size in (10**5, 10**6, 10**7)
        for peer in ("torch", "autograd")
    ),
    *(Aim(_name(family, 10**6), 1.0, of_peer="jax.jit") for family in TRANSCENDENTAL),
]
HIGHLIGHTS = [
    (_name(MIXED, 10**6), "time"),
    (_name(MIXED, 10**7), "time"),
    (_name("arithmetic chain", 10**6), "time"),
]


def cases(quick: bool) -> list[Case]:
    sizes = (10**4, 10**5) if quick else (10**4, 10**5, 10**6, 10**7)
    families = (COPY, MIXED) if quick else (COPY, *FORWARD, *PROGRAMS)
    return [Case(_name(family, size), family, size) for family in families for size in sizes]


def prepare(adapter: Adapter, case: Case) -> Workload:
    if case.family == COPY:
        return _copy(adapter, case.size)
    if adapter.xp is None:
        raise UnsupportedError("no arrays")
    if case.family in FORWARD:
        return _forward(adapter, case)
    program = PROGRAMS[case.family]
    inputs = program.inputs(case.size)
    if adapter.name == "numpy":
        return Workload(lambda: program.by_hand(*inputs), per=case.size)
    step = adapter.value_and_gradient(lambda *xs: program.value(adapter.xp, *xs), inputs)
    return Workload(step, per=case.size)


def _copy(adapter: Adapter, size: int) -> Workload:
    if adapter.name != "numpy":
        raise UnsupportedError("the memory's speed is the same for all")
    (source,) = _line(size)
    target = np.zeros_like(source)

    def run() -> np.ndarray:
        np.copyto(target, source)
        return target

    return Workload(run, per=size)


def _forward(adapter: Adapter, case: Case) -> Workload:
    compute = adapter.compiled(lambda a: FORWARD[case.family][0](adapter.xp, a))
    (array,) = [adapter.array(values) for values in _line(case.size)]
    return Workload(lambda: adapter.wait(compute(array)), per=case.size)


def check(case: Case, result: Any) -> str:
    if case.family == COPY:
        return agree(result, _line(case.size)[0])
    if case.family in FORWARD:
        return agree(result, FORWARD[case.family][1](_line(case.size)[0]))
    program = PROGRAMS[case.family]
    return agree(result, program.by_hand(*program.inputs(case.size)))
