"""One peer in its own process: answers the runner's requests, one JSON line each.

Started by the runner as ``python -m benchmarks.worker PEER THREADS CORE``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time
from typing import IO, Any

from benchmarks.case import Case, UnsupportedError, Workload, WrongResultError
from benchmarks.measure import seconds_per_call
from benchmarks.peers import PEERS


def pin(threads: int, core: int) -> None:
    """Keep a single-threaded peer on one core, before it counts the cores it may use."""
    if threads == 1 and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {core})


def private_output() -> IO[str]:
    """Move standard output away from whatever the peer prints, and return the way to the runner."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return answers


def version_of(peer_name: str) -> str:
    distribution = PEERS[peer_name].distribution
    if distribution is None:
        return sys.version.split()[0]
    return importlib.metadata.version(distribution)


class Worker:
    """Holds the adapter and the workload of the case in hand."""

    def __init__(self, peer_name: str, threads: int) -> None:
        module = importlib.import_module(f".adapters.{PEERS[peer_name].adapter}", __package__)
        self.adapter = module.ADAPTER
        self.adapter.set_threads(threads)
        self.workload: Workload | None = None
        self.first_run_seconds = 0.0

    def check(self, question_name: str, case: Case) -> dict[str, Any]:
        """Prepare the case, run it once and compare; nothing is timed before this has passed."""
        self.workload = None
        question = importlib.import_module(f".questions.{question_name}", __package__)
        workload = question.prepare(self.adapter, case)
        start = time.perf_counter()
        result = self.adapter.to_numpy((workload.checked or workload.run)())
        seconds = time.perf_counter() - start
        digest = question.check(case, result)
        self.workload, self.first_run_seconds = workload, seconds
        return {"seconds": seconds, "digest": digest}

    def measure(self, budget: float) -> dict[str, Any]:
        workload = self.workload
        assert workload is not None
        if workload.measure is None:
            seconds = seconds_per_call(workload.run, budget)
            return {"metrics": {"time": seconds / workload.per}, "run_seconds": seconds}
        start = time.perf_counter()
        metrics = workload.measure(budget)
        # The first run may have compiled something; a measurement holds at least one run.
        seconds = min(self.first_run_seconds, time.perf_counter() - start)
        return {"metrics": metrics, "run_seconds": seconds}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            if request["do"] == "check":
                return self.check(request["question"], Case.from_json(request["case"]))
            return self.measure(request["budget"])
        except UnsupportedError as reason:
            return {"unsupported": str(reason)}
        except WrongResultError as reason:
            return {"error": f"wrong result: {reason}"}
        except Exception as error:  # a peer may fail in its own way; the table shows how
            return {"error": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    peer_name, threads, core = sys.argv[1:4]
    pin(int(threads), int(core))
    answers = private_output()

    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        worker = Worker(peer_name, int(threads))
        send({"version": version_of(peer_name)})
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        send({"missing": str(error)})
        return
    for line in sys.stdin:
        send(worker.answer(json.loads(line)))


if __name__ == "__main__":
    main()
