"""``python -m benchmarks``: run the questions, print the tables, write the files."""

from __future__ import annotations

import argparse
import datetime
import gc
import json
import os
import platform
import sys
from pathlib import Path
from typing import Any

from benchmarks.case import OURS
from benchmarks.compare import comparison
from benchmarks.peers import INTERPRETERS_VARIABLE, PEERS, QUICK_PEERS, interpreters
from benchmarks.plot import draw
from benchmarks.process import WorkerPool
from benchmarks.questions import ALL
from benchmarks.readme import fill
from benchmarks.report import question_report
from benchmarks.runner import QuestionRun, Settings

RESULTS = Path(__file__).parent / "results"


def parser() -> argparse.ArgumentParser:
    options = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    options.add_argument("--quick", action="store_true", help="under a minute: few, small cases")
    options.add_argument("--only", metavar="QUESTION", help=f"comma-separated: {', '.join(ALL)}")
    options.add_argument("--peers", metavar="A,B", help=f"comma-separated: {', '.join(PEERS)}")
    options.add_argument(
        "--python",
        metavar="PEER=PATH",
        action="append",
        default=[],
        help=f"the interpreter a peer is installed in (also: ${INTERPRETERS_VARIABLE})",
    )
    options.add_argument("--core", type=int, help="the core to run on (default: the last one)")
    options.add_argument("--rounds", type=int, help="rounds of each measurement")
    options.add_argument("--output", type=Path, default=RESULTS / "latest.json")
    options.add_argument("--plot", type=Path, help="picture to write (default: beside --output)")
    options.add_argument("--against", type=Path, metavar="JSON", help="compare with an earlier run")
    options.add_argument(
        "--readme", type=Path, nargs="?", const=Path("README.md"), help="file with markers to fill"
    )
    return options


def chosen(given: str | None, known: tuple[str, ...], option: str) -> list[str]:
    """Read a comma-separated option, in the order of the known names."""
    if given is None:
        return list(known)
    names = {name.strip() for name in given.split(",")}
    if unknown := names - set(known):
        raise ValueError(
            f"{option}: unknown {', '.join(sorted(unknown))}; choose from {', '.join(known)}"
        )
    return [name for name in known if name in names]


def settings_of(options: argparse.Namespace) -> Settings:
    core = options.core if options.core is not None else max(os.sched_getaffinity(0))
    settings = Settings.for_ci(core) if options.quick else Settings.full(core)
    return settings.with_rounds(options.rounds) if options.rounds else settings


def machine() -> dict[str, Any]:
    """Describe where the figures come from."""
    processor = platform.processor() or platform.machine()
    information = Path("/proc/cpuinfo")
    if information.exists():
        names = [line for line in information.read_text().splitlines() if "model name" in line]
        processor = names[0].partition(":")[2].strip() if names else processor
    return {
        "processor": processor,
        "cores": os.cpu_count(),
        "system": platform.platform(),
        "python": sys.version.split()[0],
        "garbage collector": "enabled" if gc.isenabled() else "disabled",
    }


def show_progress(text: str) -> None:
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)


def run_all(options: argparse.Namespace) -> dict[str, Any]:
    """Run the chosen questions, printing each as it is done."""
    questions = chosen(options.only, ALL, "--only")
    available = interpreters(options.python)
    # Without our own times there are no ratios, so we always take part.
    default = QUICK_PEERS if options.quick else tuple(PEERS)
    wanted = chosen(options.peers, tuple(PEERS), "--peers") if options.peers else default
    taking_part = {p: available[p] for p in PEERS if p in wanted or p == OURS}
    settings = settings_of(options)
    pool = WorkerPool(taking_part, settings.core)
    run: dict[str, Any] = {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "quick": settings.quick,
        "rounds": settings.rounds,
        "peers": {},
        "questions": {},
    }
    print(f"{run['machine']}; medians of {settings.rounds} interleaved rounds\n")
    for name in questions:
        result = QuestionRun(name, pool, settings, show_progress).run()
        show_progress("")
        run["peers"] = {p: pool.versions[p] for p in PEERS if p in pool.versions}
        run["questions"][name] = result
        print(question_report(name, result), flush=True)
    pool.close()
    absent = [peer for peer in taking_part if peer in pool.missing]
    versions = ", ".join(f"{peer} {version}" for peer, version in run["peers"].items())
    print(f"Peers: {versions}. Not installed: {', '.join(absent) or 'none'}.")
    return run


def write(run: dict[str, Any], options: argparse.Namespace) -> None:
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(run, indent=1), encoding="utf-8")
    print(f"Written: {options.output}")
    picture = options.plot or options.output.with_suffix(".png")
    if draw(run, picture):
        print(f"Written: {picture}")
    if options.readme:
        fill(options.readme, run)
        print(f"Filled: {options.readme}")


def our_failures(run: dict[str, Any]) -> list[str]:
    """Return what went wrong with us: a wrong result or a crash must not pass in CI."""
    if OURS not in run["peers"]:
        return [f"{OURS} is not installed in this interpreter"]
    return [
        f"{question}: {row['case']['name']}: {row['cells'][OURS]['error']}"
        for question, result in run["questions"].items()
        for row in result["rows"]
        if "error" in row["cells"].get(OURS, {})
    ]


def main() -> int:
    options = parser().parse_args()
    try:
        # Read before the run: a wrong path should not cost the run.
        earlier = json.loads(options.against.read_text()) if options.against else None
        run = run_all(options)
        write(run, options)
    except (ValueError, OSError) as error:
        print(f"python -m benchmarks: {error}", file=sys.stderr)
        return 2
    if earlier is not None:
        print(comparison(earlier, run))
    failures = our_failures(run)
    for failure in failures:
        print(f"FAILED: {failure}", file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
