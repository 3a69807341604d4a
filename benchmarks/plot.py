"""Log-log plots of cost against size, one panel a program."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Any

from benchmarks.case import OURS

Panels = dict[str, dict[str, list[tuple[int, float]]]]


def panels(run: dict[str, Any]) -> Panels:
    """Collect (size, value) of each peer for every program that was run at three sizes or more."""
    found: Panels = defaultdict(lambda: defaultdict(list))
    for question, result in run["questions"].items():
        for row in result["rows"]:
            case = row["case"]
            circumstances = f", {case['threads']} threads" * (case["threads"] > 1)
            circumstances += ", other core busy" * case["busy"]
            title = f"{question}\n{case['family']}: {row['metric']}{circumstances}"
            for peer, cell in row["cells"].items():
                if cell.get("median"):
                    found[title][peer].append((case["size"], cell["median"]))
    return {
        title: lines
        for title, lines in found.items()
        if max(len({size for size, _ in line}) for line in lines.values()) >= 3
    }


def draw(run: dict[str, Any], path: Path) -> bool:
    """Write the picture; return False where matplotlib is missing or nothing has three sizes."""
    try:
        import matplotlib

        matplotlib.use("Agg")
        from matplotlib import pyplot
    except ImportError:
        return False
    drawn = panels(run)
    if not drawn:
        return False
    across = min(4, len(drawn))
    down = -(-len(drawn) // across)
    figure, axes = pyplot.subplots(down, across, figsize=(4.5 * across, 3.4 * down), squeeze=False)
    colours = {peer: f"C{i}" for i, peer in enumerate(run["peers"])}
    for axis in axes.flat[len(drawn) :]:
        axis.remove()
    for axis, (title, lines) in zip(axes.flat, drawn.items(), strict=False):
        _panel(axis, title, lines, colours)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
    return True


def _panel(axis: Any, title: str, lines: dict[str, Any], colours: dict[str, str]) -> None:
    for peer, points in lines.items():
        sizes, values = zip(*sorted(points), strict=True)
        width = 2.5 if peer == OURS else 1.2
        axis.loglog(sizes, values, "o-", color=colours[peer], linewidth=width, label=peer)
    axis.set_title(title, fontsize=9)
    axis.set_xlabel("size", fontsize=8)
    axis.set_ylabel("per unit (s or bytes)", fontsize=8)
    axis.grid(visible=True, which="major", alpha=0.3)
    axis.legend(fontsize=7)
