"""Tables, aims and files of a run."""

from __future__ import annotations

import importlib
from collections.abc import Iterable
from typing import Any

from benchmarks.case import BEST_PEER, OURS, Aim
from benchmarks.peers import PEERS

Row = dict[str, Any]
_TIME_PREFIXES = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))
_BYTE_PREFIXES = ((1e9, "GB"), (1e6, "MB"), (1e3, "kB"), (1.0, "B"))


def with_unit(value: float, unit: str) -> str:
    """Print a number with three digits and a fitting prefix: ``23.1 ns``, ``1.34 MB``."""
    prefixes = _BYTE_PREFIXES if unit == "B" else _TIME_PREFIXES
    # A value that rounds up to 1000 of a unit is printed in the next one.
    scale, name = next((p for p in prefixes if abs(value) >= 0.9995 * p[0]), prefixes[-1])
    return f"{_three_digits(value / scale)} {name}"


def _three_digits(number: float) -> str:
    if abs(number) >= 100:
        return f"{number:.0f}"
    return f"{number:.1f}" if abs(number) >= 10 else f"{number:.2f}"


def ratio(value: float) -> str:
    return f"{value:,.0f}x" if value >= 10 else f"{value:.2g}x"


def label(row: Row) -> str:
    """Name a row; the metric is said where it is not simply the time."""
    name: str = row["case"]["name"]
    return name if row["metric"] in ("time", "size") else f"{name}: {row['metric']}"


def median(row: Row, peer: str) -> float | None:
    value: float | None = row["cells"].get(peer, {}).get("median")
    return value


def _cell(row: Row, peer: str, notes: dict[str, str]) -> str:
    cell = row["cells"].get(peer, {})
    if "median" in cell:
        text = with_unit(cell["median"], row["unit"])
        ours = median(row, OURS)
        return text if peer == OURS or not ours else f"{text} ({ratio(cell['median'] / ours)})"
    if "skipped" in cell:
        return f"({cell['skipped']})"
    if "error" in cell:
        # One note for a program that fails at every size.
        subject = f"{peer}, {row['case']['family']}"
        notes.setdefault(subject, cell["error"])
        return f"failed [{list(notes).index(subject) + 1}]"
    return "-"


def columns(rows: Iterable[Row]) -> list[str]:
    """Return the peers with a number, a failure or a skip in any row, in the order of the peers."""
    told = {
        peer for row in rows for peer, cell in row["cells"].items() if "unsupported" not in cell
    }
    return [peer for peer in PEERS if peer in told]


def table(rows: list[Row], peers: list[str] | None = None) -> str:
    """Return a Markdown table, aligned so that it also reads well in a terminal."""
    peers = columns(rows) if peers is None else peers
    notes: dict[str, str] = {}
    cells = [["", *peers]]
    cells += [[label(row), *(_cell(row, peer, notes) for peer in peers)] for row in rows]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    cells.insert(1, ["-" * widths[0], *("-" * (width - 1) + ":" for width in widths[1:])])
    lines = [_line(line, widths) for line in cells]
    numbered = [f"[{i}] {subject}: {notes[subject]}" for i, subject in enumerate(notes, 1)]
    return "\n".join([*lines, *([""] if numbered else []), *numbered])


def _line(cells: list[str], widths: list[int]) -> str:
    padded = [cells[0].ljust(widths[0])]
    padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return f"| {' | '.join(padded)} |"


def question_report(name: str, result: dict[str, Any]) -> str:
    """Return everything that is printed of a question."""
    module = importlib.import_module(f".questions.{name}", __package__)
    parts = [f"## {module.TITLE} ({name})", module.ABOUT, table(result["rows"])]
    parts += [lines for lines in (aims_report(name, result), digest_report(name, result)) if lines]
    return "\n\n".join(parts) + "\n"


def _find(rows: list[Row], case: str, metric: str) -> Row | None:
    wanted = (r for r in rows if r["case"]["name"] == case and r["metric"] == metric)
    return next(wanted, None)


def _baseline(aim: Aim, row: Row, rows: list[Row]) -> float | None:
    """Return what ``at_most`` multiplies, or None where it was not measured."""
    if aim.of_peer == BEST_PEER:
        others = [median(row, peer) for peer in row["cells"] if peer != OURS]
        return min((value for value in others if value is not None), default=None)
    if aim.of_peer is not None:
        return median(row, aim.of_peer)
    if aim.of_case is not None:
        other = _find(rows, aim.of_case, aim.metric)
        return median(other, OURS) if other else None
    return 1.0


def judged(aim: Aim, rows: list[Row]) -> tuple[str, str, str] | None:
    """Return what is asked, what was found and the verdict, or None where nothing was measured."""
    row = _find(rows, aim.case, aim.metric)
    ours = median(row, OURS) if row else None
    baseline = _baseline(aim, row, rows) if row else None
    if row is None or ours is None or baseline is None:
        return None
    limit = aim.at_most * baseline
    if aim.of_peer or aim.of_case:
        asked = f"{aim.at_most:.3g} x {aim.of_peer or aim.of_case}"
        found = f"{ours / baseline:.3g} x ({with_unit(ours, row['unit'])})"
    else:
        asked, found = with_unit(limit, row["unit"]), with_unit(ours, row["unit"])
    kind = "ceiling" if aim.ceiling else "aim"
    verdict = "met" if ours <= limit else f"NOT MET by {ratio(ours / limit)}"
    return f"{label(row)} at most {asked} ({kind})", found, verdict


def aims_report(name: str, result: dict[str, Any]) -> str:
    """Return the question's aims that this run can judge."""
    module = importlib.import_module(f".questions.{name}", __package__)
    verdicts = [judged(aim, result["rows"]) for aim in module.AIMS]
    known = [verdict for verdict in verdicts if verdict is not None]
    if not known:
        return ""
    widths = [max(len(verdict[i]) for verdict in known) for i in (0, 1)]
    lines = [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {verdict}" for a, b, verdict in known]
    return "Aims:\n" + "\n".join(f"    {line}" for line in lines)


def digest_report(name: str, result: dict[str, Any]) -> str:
    """Say whether results that must be identical to the bit were."""
    module = importlib.import_module(f".questions.{name}", __package__)
    lines = []
    for group in getattr(module, "SAME_DIGEST", []):
        rows = [row for case in group if (row := _find(result["rows"], case, "time"))]
        digests = {row["cells"].get(OURS, {}).get("digest") for row in rows}
        if len(rows) == len(group) and None not in digests:
            verdict = "identical to the bit" if len(digests) == 1 else "DIFFERENT"
            lines.append(f"    {' / '.join(group)}: {verdict}")
    return "Our results:\n" + "\n".join(lines) if lines else ""
