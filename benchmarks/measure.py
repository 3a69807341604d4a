"""Clocks and scales. The garbage collector stays on: that is what users have."""

from __future__ import annotations

import gc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time
from typing import Any

_PAGE = 4096

# Processor time: with one thread on one core it is the time of a quiet machine, and stays so when
# other processes want the core too. Questions about threads use the clock on the wall.
clock = process_time


def seconds_per_call(function: Callable[[], Any], budget: float) -> float:
    """Return the mean time of a call over as many calls as fit into ``budget`` seconds."""
    gc.collect()
    once = _elapsed(function, 1)
    if once < budget / 4:
        # The first call after another peer's turn meets cold caches; a second one sets the count.
        once = min(once, _elapsed(function, 1))
    calls = int(budget / max(once, 1e-9))
    return _elapsed(function, calls) / calls if calls > 1 else once


def _elapsed(function: Callable[[], Any], calls: int) -> float:
    start = clock()
    for _ in range(calls):
        function()
    return clock() - start


UNROLL = 50


def statement_loop(statement: str, names: dict[str, Any]) -> Callable[[int], float]:
    """Compile ``loop(turns)``: seconds taken by a statement executed ``turns * UNROLL`` times.

    Unrolled, because the 5-10 ns of a loop's turn would hide half of a 20 ns operation; the names
    are local variables, as they are in a user's function.
    """
    body = "\n".join(f"        {statement}" for _ in range(UNROLL))
    source = (
        f"def loop(turns, clock, {', '.join(names)}):\n"
        f"    start = clock()\n    for _ in range(turns):\n{body}\n    return clock() - start\n"
    )
    scope: dict[str, Any] = {}
    exec(compile(source, f"<{statement}>", "exec"), scope)  # the statements are this package's own
    loop = scope["loop"]
    return lambda turns: loop(turns, clock, **names)


def seconds_per_statement(statement: str, names: dict[str, Any], budget: float) -> float:
    """Return the time of one execution of ``statement`` inside a function."""
    gc.collect()
    loop = statement_loop(statement, names)
    once = min(loop(1), loop(1))
    # The cap bounds the memory of peers whose tape only grows.
    turns = min(max(1, int(budget / once)), 20_000)
    return loop(turns) / (turns * UNROLL)


def resident_bytes() -> int:
    """Return the resident set size of this process."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * _PAGE


def percentile_of_calls(
    function: Callable[[], Any], budget: float, percentiles: tuple[int, ...]
) -> list[float]:
    """Return percentiles of single calls' times by the clock on the wall.

    At least ten calls are made, then as many as the budget allows.
    """
    gc.collect()
    times: list[float] = []
    while len(times) < 10 or sum(times) < budget:
        start = perf_counter()
        function()
        times.append(perf_counter() - start)
    times.sort()
    return [times[min(len(times) - 1, len(times) * p // 100)] for p in percentiles]
