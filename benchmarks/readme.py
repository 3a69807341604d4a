"""Fills the comparison table of the project's README from a run."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from benchmarks.report import columns, table

START, END = "<!-- benchmarks:start -->", "<!-- benchmarks:end -->"


def highlights(run: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows that the questions name as the ones to show."""
    chosen = []
    for name, result in run["questions"].items():
        module = importlib.import_module(f".questions.{name}", __package__)
        rows = {(row["case"]["name"], row["metric"]): row for row in result["rows"]}
        chosen += [rows[key] for key in module.HIGHLIGHTS if key in rows]
    return chosen


def summary(run: dict[str, Any]) -> str:
    """Return the table and the sentence under it that says where the figures come from."""
    rows = highlights(run)
    versions = ", ".join(f"{peer} {version}" for peer, version in run["peers"].items())
    machine = run["machine"]
    origin = (
        f"Medians on {machine['processor']} ({machine['cores']} cores, one used), {versions}; "
        f"in brackets the ratio to wengert. Measured with `python -m benchmarks`, {run['date']}."
    )
    return f"{table(rows, columns(rows))}\n\n{origin}"


def fill(path: Path, run: dict[str, Any]) -> None:
    """Replace what stands between the two markers of a file."""
    text = path.read_text(encoding="utf-8")
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise ValueError(f"--readme: {path} has no line {START} followed by a line {END}; add both")
    path.write_text(f"{before}{START}\n{summary(run)}\n{END}{after}", encoding="utf-8")
