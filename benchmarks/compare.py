"""Compares two runs of our own: what became slower, what faster."""

from __future__ import annotations

from typing import Any

from benchmarks.case import OURS
from benchmarks.report import label, ratio, with_unit

# Medians of the same build move by this much between runs on a machine with neighbours.
NOISE = 1.1


def _ours(run: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (question, label(row)): row
        for question, result in run["questions"].items()
        for row in result["rows"]
        if "median" in row["cells"].get(OURS, {})
    }


def _overlap(before: list[float], after: list[float]) -> bool:
    return min(after) <= max(before) and min(before) <= max(after)


def comparison(before: dict[str, Any], after: dict[str, Any]) -> str:
    """Return a line for each row that both runs measured, with a mark where they differ."""
    old, new = _ours(before), _ours(after)
    shared = [key for key in new if key in old]
    lines = [_difference(key, old[key], new[key]) for key in shared]
    width = max((len(name) for name, _ in lines), default=0)
    missing = [f"only before: {q}: {name}" for q, name in old if (q, name) not in new]
    return "\n".join([*(f"{name:<{width}}  {text}" for name, text in lines), *missing])


def _difference(key: tuple[str, str], old: dict[str, Any], new: dict[str, Any]) -> tuple[str, str]:
    before, after = old["cells"][OURS], new["cells"][OURS]
    change = after["median"] / before["median"] if before["median"] else float("inf")
    mark = ""
    if not _overlap(before["rounds"], after["rounds"]):
        mark = "SLOWER" if change > NOISE else "faster" if change < 1 / NOISE else ""
    values = [with_unit(cell["median"], new["unit"]) for cell in (before, after)]
    return ": ".join(key), f"{values[0]:>9} -> {values[1]:>9}  {ratio(change):>6}  {mark}".rstrip()
