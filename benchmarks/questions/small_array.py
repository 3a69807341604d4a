"""What does one operation on an array of 1 to 1,000 elements cost?"""

from __future__ import annotations

from typing import Any

import numpy as np

from benchmarks.adapters.base import Adapter
from benchmarks.case import Aim, Case, UnsupportedError, Workload
from benchmarks.measure import seconds_per_statement
from benchmarks.reference import agree

TITLE = "One operation on a small tracked array"
ABOUT = (
    "Forward: one statement whose result is dropped, tracked (numpy: not tracked; mlx: "
    "evaluated at once, not tracked). Forward + backward: a chain of ten such operations "
    "recorded and walked back, per operation; numpy: the chain forward only."
)

SIZES = (1, 10, 100, 1000)
CHAIN = 10
STATEMENTS = ("a + b", "a * b", "a * 2.0", "sin(a)")
# Chains keep values bounded: b is near 1, sin maps to [-1, 1].
CHAINS = ("y + b", "y * b", "sin(y)")

AIMS = [
    *(
        Aim(f"{statement}, n = 10", 0.5, of_peer="numpy", ceiling=True)
        for statement in ("a + b", "a * b")
    ),
    *(
        Aim(f"{statement}, n = {size}", factor, of_peer=peer)
        for statement in ("a + b", "a * b", "sin(a)")
        for size in (1, 10, 100)
        for peer, factor in (("numpy", 0.4), ("torch", 1 / 15))
    ),
    *(
        Aim(f"y = {chain}, forward + backward, n = {size}", 1.0, of_peer="numpy")
        for chain in CHAINS
        for size in (1, 10, 100)
    ),
]
HIGHLIGHTS = [
    ("a * b, n = 10", "time"),
    ("y = y * b, forward + backward, n = 10", "time"),
    ("sin(a), n = 100", "time"),
]


def cases(quick: bool) -> list[Case]:
    sizes = (10, 1000) if quick else SIZES
    statements, chains = (STATEMENTS[1:2], CHAINS[1:2]) if quick else (STATEMENTS, CHAINS)
    return [
        *(Case(f"{s}, n = {n}", f"forward: {s}", n) for s in statements for n in sizes),
        *(
            Case(f"y = {c}, forward + backward, n = {n}", f"both: {c}", n)
            for c in chains
            for n in sizes
        ),
    ]


def _inputs(size: int) -> list[np.ndarray]:
    generator = np.random.default_rng(size)
    return [generator.uniform(0.5, 1.5, size), generator.uniform(0.9, 1.1, size)]


def prepare(adapter: Adapter, case: Case) -> Workload:
    kind, _, statement = case.family.partition(": ")
    if adapter.xp is None:
        raise UnsupportedError("no arrays")
    inputs = _inputs(case.size)
    if kind == "forward":
        return _forward(adapter, statement, inputs)
    return _both(adapter, _chain(adapter.xp, statement), inputs)


def _forward(adapter: Adapter, statement: str, inputs: list[np.ndarray]) -> Workload:
    forced, names = adapter.forced(statement)
    names["sin"] = adapter.xp.sin
    arrays = [adapter.array(values) for values in inputs]

    def measure(budget: float) -> dict[str, float]:
        def timed(a: Any, b: Any) -> float:
            return seconds_per_statement(forced, {**names, "a": a, "b": b}, budget)

        return {"time": adapter.tracked(timed, arrays)}

    def run() -> Any:
        a, b = arrays
        return eval(statement, {**names, "a": a, "b": b})  # the statements above

    return Workload(run, measure=measure)


def _chain(xp: Any, statement: str) -> Any:
    source = "def chain(y, b):\n" + f"    y = {statement}\n" * CHAIN + "    return y\n"
    scope = {"sin": xp.sin}
    exec(source, scope)  # the chains above
    return scope["chain"]


def _both(adapter: Adapter, chain: Any, inputs: list[np.ndarray]) -> Workload:
    if not adapter.tracks:
        # A list says to the check that this is the value.
        return Workload(lambda: [chain(*inputs)], per=CHAIN)
    return Workload(adapter.pull_back(chain, inputs, np.ones_like(inputs[0])), per=CHAIN)


def check(case: Case, result: Any) -> str:
    kind, _, statement = case.family.partition(": ")
    a, b = _inputs(case.size)
    if kind == "forward":
        return agree(result, eval(statement, {"sin": np.sin, "a": a, "b": b}))
    value, gradient = _chain_reference(statement, a, b)
    return agree(result, [value] if isinstance(result, list) else gradient)


def _chain_reference(statement: str, y: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    gradient = np.ones_like(y)
    for _ in range(CHAIN):
        factor = {"y + b": np.ones_like(y), "y * b": b, "sin(y)": np.cos(y)}[statement]
        gradient = gradient * factor
        y = eval(statement, {"sin": np.sin, "y": y, "b": b})
    return y, gradient
