"""What do installing, importing and starting cost?"""

from __future__ import annotations

import importlib.metadata
import json
import re
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.adapters.base import Adapter
from benchmarks.case import Aim, Case, UnsupportedError, Workload
from benchmarks.measure import clock
from benchmarks.peers import PEERS
from benchmarks.reference import agree

from . import descent_loops, large_array

TITLE = "Footprint"
ABOUT = (
    "Sizes are those of the installed files; the download is these files deflated, as in a "
    "wheel. Each time is the processor time of a fresh interpreter with warm file caches. "
    "'import after numpy' has NumPy loaded already. The first step is value and gradient of "
    "sum(sin(x)*exp(-x*x)+tanh(x)) of 1000 elements. Peak memory is the largest resident set of"
    " a process that trains an MLP 784-256-10 for 50 steps."
)

DOWNLOAD, INSTALLED, WHOLE = "download", "installed", "installed, with dependencies"
IMPORT, IMPORT_AFTER_NUMPY = "import", "import after numpy"
FIRST_STEP, PEAK = "first step after import", "peak memory of a training loop"
BYTES, SECONDS = {"size": "B"}, {"time": "s"}

AIMS = [
    Aim(DOWNLOAD, 2e6, metric="size"),
    Aim(IMPORT_AFTER_NUMPY, 20e-3),
]
HIGHLIGHTS = [(INSTALLED, "size"), (IMPORT_AFTER_NUMPY, "time"), (PEAK, "size")]
TOO_LARGE_TO_DEFLATE = 250e6


def cases(quick: bool) -> list[Case]:
    sizes = [Case(name, name, metrics=BYTES) for name in (DOWNLOAD, INSTALLED, WHOLE)]
    imports = [Case(name, name, metrics=SECONDS) for name in (IMPORT, IMPORT_AFTER_NUMPY)]
    if quick:
        return [sizes[1], imports[1]]
    last = [Case(FIRST_STEP, FIRST_STEP, metrics=SECONDS), Case(PEAK, PEAK, metrics=BYTES)]
    return [*sizes, *imports, *last]


def prepare(adapter: Adapter, case: Case) -> Workload:
    if PEERS[adapter.name].distribution is None:
        raise UnsupportedError("part of Python")
    if case.family == FIRST_STEP and not (adapter.tracks and adapter.xp is not None):
        raise UnsupportedError("no gradients of arrays")
    if case.family == IMPORT_AFTER_NUMPY and adapter.name == "numpy":
        raise UnsupportedError("it is the baseline")
    if case.family == PEAK and adapter.xp is None:
        raise UnsupportedError("no arrays")
    metric = next(iter(case.metrics))
    ask = QUANTITIES[case.family]
    kept: list[Any] = []

    def run() -> Any:
        # Sizes do not change between rounds; what a new process tells is measured each time.
        kept[:] = [ask(adapter.name)]
        return kept[0].get("checked", [])

    def measure(_: float) -> dict[str, float]:
        if case.family in REPEATED:
            run()
        return {metric: kept[0]["measured"]}

    return Workload(run, measure=measure)


def check(case: Case, result: Any) -> str:
    if case.family == FIRST_STEP:
        value, (gradient,) = large_array.PROGRAMS[large_array.MIXED].by_hand(*_first_inputs())
        return agree(np.array(result), np.array([value, *gradient]))
    return ""


def _first_inputs() -> list[Any]:
    return large_array.PROGRAMS[large_array.MIXED].inputs(1000)


def _files(distribution: str) -> list[Path]:
    found = importlib.metadata.files(distribution) or []
    paths = [Path(str(item.locate())) for item in found if item.suffix != ".pyc"]
    return [path for path in paths if path.is_file()]


def _size(distribution: str) -> int:
    return sum(path.stat().st_size for path in _files(distribution))


def _distribution(peer: str) -> str:
    name = PEERS[peer].distribution
    assert name is not None
    return name


def _requirements(distribution: str, known: set[str]) -> set[str]:
    """Return the names of what is installed because of a distribution, itself included."""
    name = re.sub(r"[-_.]+", "-", distribution).lower()
    if name in known:
        return known
    try:
        required = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:
        return known
    known.add(name)
    for requirement in required:
        if "extra ==" not in requirement:
            match = re.match(r"[A-Za-z0-9._-]+", requirement)
            assert match is not None
            _requirements(match.group(), known)
    return known


def _deflated(peer: str) -> dict[str, Any]:
    if _size(_distribution(peer)) > TOO_LARGE_TO_DEFLATE:
        raise UnsupportedError("large; not worth the minute it takes")
    files = _files(_distribution(peer))
    return {"measured": sum(len(zlib.compress(path.read_bytes(), 6)) for path in files)}


def _installed(peer: str) -> dict[str, Any]:
    return {"measured": _size(_distribution(peer))}


def _whole(peer: str) -> dict[str, Any]:
    return {"measured": sum(_size(name) for name in _requirements(_distribution(peer), set()))}


def _in_new_process(program: str) -> dict[str, Any]:
    """Run a program that prints one JSON object as its last line."""
    finished = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False
    )
    if finished.returncode:
        raise RuntimeError(finished.stderr.strip().splitlines()[-1])
    answer: dict[str, Any] = json.loads(finished.stdout.strip().splitlines()[-1])
    return answer


def _timed_import(before: str) -> Callable[[str], dict[str, Any]]:
    return lambda peer: _in_new_process(
        f"import json, time{before}\n"
        f"start = time.process_time()\nimport {PEERS[peer].module}\n"
        "print(json.dumps({'measured': time.process_time() - start}))"
    )


def _first_step(peer: str) -> dict[str, Any]:
    return _in_new_process(f"from benchmarks.questions.footprint import *\nfirst_step({peer!r})")


def _peak(peer: str) -> dict[str, Any]:
    return _in_new_process(f"from benchmarks.questions.footprint import *\npeak_memory({peer!r})")


def _adapter(peer: str) -> Adapter:
    module = importlib.import_module(f"benchmarks.adapters.{PEERS[peer].adapter}")
    adapter: Adapter = module.ADAPTER
    return adapter


def first_step(peer: str) -> None:
    """Print the time of the first value and gradient of this process; runs in a new process."""
    adapter, inputs = _adapter(peer), _first_inputs()
    start = clock()
    program = large_array.PROGRAMS[large_array.MIXED].value
    result = adapter.value_and_gradient(lambda x: program(adapter.xp, x), inputs)()
    seconds = clock() - start
    value, (gradient,) = adapter.to_numpy(result)
    checked = [float(value), *gradient.tolist()]
    print(json.dumps({"measured": seconds, "checked": checked}))


def peak_memory(peer: str) -> None:
    """Print the peak resident set of this process after training; runs in a new process."""
    import resource

    case = Case(descent_loops.DIGITS_MLP, descent_loops.DIGITS_MLP)
    workload = descent_loops.prepare(_adapter(peer), case)
    for _ in range(50):
        workload.run()
    kibibytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"measured": kibibytes * 1024}))


QUANTITIES = {
    DOWNLOAD: _deflated,
    INSTALLED: _installed,
    WHOLE: _whole,
    IMPORT: _timed_import(""),
    IMPORT_AFTER_NUMPY: _timed_import(", numpy"),
    FIRST_STEP: _first_step,
    PEAK: _peak,
}
REPEATED = (IMPORT, IMPORT_AFTER_NUMPY, FIRST_STEP)
