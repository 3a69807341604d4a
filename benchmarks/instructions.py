"""Counts the instructions of fixed workloads, so that a regression shows on a noisy machine too.

``python -m benchmarks.instructions`` compares with the record in ``instructions.json``;
``--update`` writes the record anew. It needs valgrind. Every workload runs with few and with many
repetitions under callgrind; the difference is free of what starting Python and importing cost.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

RECORD = Path(__file__).parent / "instructions.json"
# Addresses decide a few hash collisions and alignments; more than this is a change of the program.
TOLERANCE = 0.02


def scalar_chain(repetitions: int) -> None:
    """A chain of 2,000 scalar nodes, recorded, walked back and freed."""
    import wengert
    from benchmarks.questions.scalar_graph import START, chain_program

    program, _ = chain_program(wengert, 2000)
    x, slope = wengert.tensor(START, requires_grad=True), wengert.tensor(0.1, requires_grad=True)
    for _ in range(repetitions):
        program(x, slope).backward()


def small_arrays(repetitions: int) -> None:
    """A step of descent of an MLP 2-16-16-1 on a batch of 32."""
    from benchmarks.adapters.wengert import ADAPTER
    from benchmarks.case import Case
    from benchmarks.questions.descent_loops import SMALL_MLP, prepare

    step = prepare(ADAPTER, Case(SMALL_MLP, SMALL_MLP)).run
    for _ in range(repetitions):
        step()


def large_arrays(repetitions: int) -> None:
    """Value and gradient of sum(sin(x)*exp(-x*x)+tanh(x)) of 20,000 elements."""
    from benchmarks.adapters.wengert import ADAPTER
    from benchmarks.case import Case
    from benchmarks.questions.large_array import MIXED, prepare

    step = prepare(ADAPTER, Case(MIXED, MIXED, 20_000)).run
    for _ in range(repetitions):
        step()


WORKLOADS: dict[str, tuple[Callable[[int], None], int, int]] = {
    "scalar_chain": (scalar_chain, 5, 25),
    "small_arrays": (small_arrays, 20, 120),
    "large_arrays": (large_arrays, 5, 25),
}


def _counted(name: str, repetitions: int) -> int:
    """Run one workload under callgrind and return all instructions of the process."""
    fixed = {"PYTHONHASHSEED": "0", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    with tempfile.TemporaryDirectory() as folder:
        command = [
            "valgrind",
            "--tool=callgrind",
            f"--callgrind-out-file={folder}/out",
            sys.executable,
            *("-m", "benchmarks.instructions", "--run", name, str(repetitions)),
        ]
        finished = subprocess.run(
            command,
            capture_output=True,
            text=True,
            env={**os.environ, **fixed, "WENGERT_NUM_THREADS": "1"},
            check=False,
        )
    found = re.search(r"Collected\s*:\s*(\d+)", finished.stderr)
    if finished.returncode or found is None:
        raise RuntimeError(f"{name}: the run under valgrind failed:\n{finished.stderr[-2000:]}")
    return int(found.group(1))


def instructions_each(name: str) -> int:
    """Return the instructions of one repetition of a workload."""
    _, few, many = WORKLOADS[name]
    return (_counted(name, many) - _counted(name, few)) // (many - few)


def circumstances() -> dict[str, str]:
    """Say what the counts depend on besides our sources."""
    import numpy

    return {
        "machine": platform.machine(),
        "python": platform.python_version(),
        "numpy": numpy.__version__,
        "libc": " ".join(platform.libc_ver()),
    }


def compare(record: dict[str, Any], counts: dict[str, int]) -> list[str]:
    """Print old and new counts; return the workloads that now take more instructions."""
    worse = []
    for name, count in counts.items():
        before = record["instructions"].get(name)
        change = count / before - 1 if before else 0.0
        mark = "MORE" if change > TOLERANCE else "fewer" if change < -TOLERANCE else ""
        print(f"{name:<14} {before or 0:>14,} -> {count:>14,}  {change:+7.2%}  {mark}".rstrip())
        worse += [name] if change > TOLERANCE else []
    return worse


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m benchmarks.instructions", description=__doc__)
    options.add_argument("--update", action="store_true", help="write the record anew")
    options.add_argument("--run", nargs=2, metavar=("WORKLOAD", "N"), help=argparse.SUPPRESS)
    given = options.parse_args()
    if given.run:
        WORKLOADS[given.run[0]][0](int(given.run[1]))
        return 0
    if shutil.which("valgrind") is None:
        print("benchmarks.instructions: valgrind is not installed; nothing was counted")
        return 0
    counts = {name: instructions_each(name) for name in WORKLOADS}
    here = circumstances()
    record = json.loads(RECORD.read_text()) if RECORD.exists() else {"instructions": {}}
    worse = compare(record, counts)
    if given.update:
        RECORD.write_text(json.dumps({**here, "instructions": counts}, indent=2) + "\n")
        return 0
    if any(record.get(key) != value for key, value in here.items()):
        print(f"The record is of other circumstances, so it decides nothing here: {here}")
        return 0
    return 1 if worse else 0


if __name__ == "__main__":
    sys.exit(main())
