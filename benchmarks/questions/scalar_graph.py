"""What does a node of a scalar graph cost, recorded, walked back and freed?"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

from benchmarks.adapters.base import Adapter, Recording, needs
from benchmarks.case import Aim, Case, Workload, power_of_ten
from benchmarks.measure import clock, resident_bytes
from benchmarks.reference import agree

TITLE = "A graph of scalars, per node"
ABOUT = (
    "python runs the same program on floats: its record is the bare arithmetic. Memory is the "
    "growth of the resident set of a fresh process from before recording to after the backward "
    "pass; 'first' times are those of that fresh process, which still has to touch its memory. "
    "casadi builds expressions instead of computing values."
)

NODES_PER_TURN = 10
SLOPE, DIVISOR, ALTERNATION = 1e-6, 1.5, 2.5
START = 1.0


def chain_program(namespace: Any, nodes: int) -> tuple[Callable[..., Any], list[float]]:
    """A deep chain that keeps values near 1 and derivatives near 1 at any depth.

    Growing or vanishing derivatives would time overflow, denormals or skipped zeros instead.
    """
    sin, exp, log, sqrt = needs(namespace, "sin", "exp", "log", "sqrt")
    log_divisor = math.log(DIVISOR)

    def chain(x: Any, slope: Any) -> Any:
        y = x
        for _ in range(nodes // NODES_PER_TURN):
            bump = sin(y)
            bump = bump * slope
            y = y + bump
            y = exp(y)
            y = y / DIVISOR
            y = log(y)
            y = y + log_divisor
            y = y**2
            y = sqrt(y)
            y = ALTERNATION - y
        return y

    return chain, [START, SLOPE]


def chain_reference(nodes: int) -> list[float]:
    """Value, d/dx and d/dslope: all but the bump and the alternation is an identity."""
    y, by_x, by_slope = START, 1.0, 0.0
    for _ in range(nodes // NODES_PER_TURN):
        growth = 1 + SLOPE * math.cos(y)
        by_x, by_slope = -by_x * growth, -(by_slope * growth + math.sin(y))
        y = ALTERNATION - (y + SLOPE * math.sin(y))
    return [y, by_x, by_slope]


def fan_in_program(namespace: Any, nodes: int) -> tuple[Callable[..., Any], list[float]]:
    """The sum of as many leaves as there are nodes."""

    def fan_in(*leaves: Any) -> Any:
        total = leaves[0]
        for leaf in leaves[1:]:
            total = total + leaf
        return total

    return fan_in, [1.0 + (i % 7) for i in range(nodes + 1)]


def fan_in_reference(nodes: int) -> list[float]:
    values = fan_in_program(None, nodes)[1]
    return [math.fsum(values)] + [1.0] * len(values)


def shared_program(namespace: Any, nodes: int) -> tuple[Callable[..., Any], list[float]]:
    """Every value is used twice: 2^(nodes/2) paths lead from the result to the leaves."""

    def shared(older: Any, newer: Any) -> Any:
        for _ in range(nodes // 2):
            older, newer = newer, (older + newer) * 0.5
        return newer

    return shared, [1.0, 4.0]


def shared_reference(nodes: int) -> list[float]:
    """The mean of the last two values: newer after k steps is x0*w + x1*(1-w), w -> 1/3."""
    weight = (1 - (-0.5) ** (nodes // 2)) / 3
    return [1.0 * weight + 4.0 * (1 - weight), weight, 1 - weight]


PROGRAMS = {
    "chain": (chain_program, chain_reference),
    "fan-in": (fan_in_program, fan_in_reference),
    "shared": (shared_program, shared_reference),
}
TIMES = {"record": "s", "backward": "s", "free": "s"}
MEMORY = {"bytes": "B", "first record": "s", "first backward": "s"}


def _case(family: str, size: int, memory: bool = False) -> Case:
    ending = ", fresh process" if memory else ""
    name = f"{family}, {power_of_ten(size)} nodes{ending}"
    kind = f"{family} fresh" if memory else family
    return Case(name, kind, size, fresh=memory, metrics=MEMORY if memory else TIMES)


def cases(quick: bool) -> list[Case]:
    if quick:
        return [_case("chain", 10**3), _case("chain", 10**5), _case("shared", 10**4)]
    return [
        *(_case("chain", 10**exponent) for exponent in range(3, 8)),
        *(_case("fan-in", 10**exponent) for exponent in (4, 6)),
        *(_case("shared", 10**exponent) for exponent in (4, 6)),
        *(_case("chain", 10**exponent, memory=True) for exponent in (5, 6, 7)),
    ]


CHAIN = "chain, 10^6 nodes"
AIMS = [
    Aim(CHAIN, 60e-9, metric="record", ceiling=True),
    Aim(CHAIN, 20e-9, metric="backward", ceiling=True),
    Aim(CHAIN, 10e-9, metric="free", ceiling=True),
    Aim(f"{CHAIN}, fresh process", 72, metric="bytes", ceiling=True),
    *(
        Aim("chain, 10^7 nodes", 1.5, of_case="chain, 10^4 nodes", metric=metric, ceiling=True)
        for metric in TIMES
    ),
    Aim(CHAIN, 1.5, of_peer="python", metric="record"),
    Aim(CHAIN, 10e-9, metric="backward"),
    # 64, and what huge pages of 2 MB round up to.
    Aim(f"{CHAIN}, fresh process", 66, metric="bytes"),
    Aim("fan-in, 10^6 nodes", 10e-9, metric="backward"),
    Aim("shared, 10^6 nodes", 10e-9, metric="backward"),
]
HIGHLIGHTS = [
    (CHAIN, "record"),
    (CHAIN, "backward"),
    (f"{CHAIN}, fresh process", "bytes"),
    ("chain, 10^4 nodes", "record"),
    ("chain, 10^4 nodes", "backward"),
]


class GraphWorkload:
    """Records, walks back and frees one program, timing each."""

    def __init__(self, adapter: Adapter, case: Case) -> None:
        family = case.family.removesuffix(" fresh")
        self.adapter, self.nodes = adapter, case.size
        self.program, self.values = PROGRAMS[family][0](adapter.scalars, case.size)
        self.first: dict[str, float] = {}

    def run(self) -> list[float]:
        before = resident_bytes()
        leaves = self.adapter.leaves(self.values)
        if not self.adapter.tracks:
            return [float(self.program(*leaves))]
        start = clock()
        recording = self.adapter.record(self.program, leaves)
        recorded = clock()
        recording.backward()
        walked = clock()
        self.first = {
            "bytes": (resident_bytes() - before) / self.nodes,
            "first record": (recorded - start) / self.nodes,
            "first backward": (walked - recorded) / self.nodes,
        }
        return [recording.value(), *recording.gradients()]

    def measure(self, budget: float) -> dict[str, float]:
        """Repeat until the budget is spent; the leaves are made anew, and are not timed."""
        if not self.adapter.tracks:
            return self._measure_arithmetic(budget)
        totals, repetitions = dict.fromkeys(TIMES, 0.0), 0
        while sum(totals.values()) < budget:
            for phase, seconds in zip(TIMES, self._phases(), strict=True):
                totals[phase] += seconds
            repetitions += 1
        return {phase: total / repetitions / self.nodes for phase, total in totals.items()}

    def _phases(self) -> Sequence[float]:
        leaves = self.adapter.leaves(self.values)
        ticks = [clock()]
        recording: Recording = self.adapter.record(self.program, leaves)
        ticks.append(clock())
        recording.backward()
        ticks.append(clock())
        recording.free()
        ticks.append(clock())
        return [after - before for before, after in pairwise(ticks)]

    def _measure_arithmetic(self, budget: float) -> dict[str, float]:
        leaves = self.adapter.leaves(self.values)
        total, repetitions = 0.0, 0
        while total < budget:
            start = clock()
            self.program(*leaves)
            total += clock() - start
            repetitions += 1
        return {"record": total / repetitions / self.nodes}


def prepare(adapter: Adapter, case: Case) -> Workload:
    work = GraphWorkload(adapter, case)
    fresh = case.family.endswith(" fresh")
    return Workload(work.run, measure=(lambda _: work.first) if fresh else work.measure)


def check(case: Case, result: Any) -> str:
    expected = PROGRAMS[case.family.removesuffix(" fresh")][1](case.size)
    return agree(result, expected if len(result) > 1 else expected[:1])
