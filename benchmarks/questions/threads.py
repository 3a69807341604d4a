"""What does a second thread give, and what does it lose when the other core is busy?"""

from __future__ import annotations

from typing import Any

from benchmarks.adapters.base import Adapter
from benchmarks.case import Aim, Case, UnsupportedError, Workload, power_of_ten
from benchmarks.measure import percentile_of_calls

from . import large_array

TITLE = "Threads: value and gradient of sum(sin(x)*exp(-x*x)+tanh(x))"
ABOUT = (
    "Per element, float64. 'busy': another process keeps the other core busy. p90 is the time "
    "that nine calls of ten stay under. Equal results on every number of threads are checked to"
    " the bit."
)
METRICS = {"time": "s", "p90": "s"}


def _name(size: int, threads: int, busy: bool) -> str:
    plural = "s" if threads > 1 else ""
    ending = ", other core busy" if busy else ""
    return f"n = {power_of_ten(size)}, {threads} thread{plural}{ending}"


def cases(quick: bool) -> list[Case]:
    sizes = (10**5,) if quick else (10**5, 10**6, 10**7)
    return [
        Case(_name(n, t, busy), large_array.MIXED, n, threads=t, busy=busy, metrics=METRICS)
        for n in sizes
        for t, busy in ((1, False), (2, False), (1, True), (2, True))
    ]


AIMS = [
    *(
        Aim(_name(size, 2, False), 1 / 1.7, of_case=_name(size, 1, False))
        for size in (10**6, 10**7)
    ),
    # A tenth is what a median moves by between two runs of the same program on a busy machine.
    *(
        Aim(_name(size, 2, True), 1.1, of_case=_name(size, 1, True))
        for size in (10**5, 10**6, 10**7)
    ),
]
HIGHLIGHTS = [(_name(10**6, 2, False), "time"), (_name(10**6, 2, True), "p90")]
SAME_DIGEST = [
    [_name(size, threads, False) for threads in (1, 2)] for size in (10**5, 10**6, 10**7)
]


def prepare(adapter: Adapter, case: Case) -> Workload:
    if adapter.name in ("numpy", "jax", "autograd"):
        raise UnsupportedError("not threaded, or covered by another column")
    workload = large_array.prepare(adapter, case)

    def measure(budget: float) -> dict[str, float]:
        median, p90 = percentile_of_calls(workload.run, budget, (50, 90))
        return {"time": median / workload.per, "p90": p90 / workload.per}

    return Workload(workload.run, measure=measure)


def check(case: Case, result: Any) -> str:
    return large_array.check(case, result)
