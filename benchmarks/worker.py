"""One peer in its own process: answers requests for a question, one JSON line each.

Started by the runner as ``python -m benchmarks.worker PEER QUESTION THREADS CORE``.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import os
import sys
import time
from typing import IO, Any

from .case import Case, Unsupported, Workload, WrongResult
from .measure import seconds_per_call
from .peers import PEERS


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
    """Holds the adapter, the question and the workload of the case in hand."""

    def __init__(self, peer_name: str, question: str, threads: int) -> None:
        module = importlib.import_module(f".adapters.{PEERS[peer_name].adapter}", __package__)
        self.adapter = module.ADAPTER
        self.adapter.set_threads(threads)
        self.question = importlib.import_module(f".questions.{question}", __package__)
        self.workload: Workload | None = None

    def check(self, case: Case) -> dict[str, Any]:
        """Prepare the case, run it once and compare; nothing is timed before this has passed."""
        self.workload = None
        workload = self.question.prepare(self.adapter, case)
        start = time.perf_counter()
        result = self.adapter.to_numpy((workload.checked or workload.run)())
        seconds = time.perf_counter() - start
        digest = self.question.check(case, result)
        self.workload = workload
        return {"seconds": seconds, "digest": digest}

    def measure(self, budget: float) -> dict[str, Any]:
        workload = self.workload
        assert workload is not None
        if workload.measure is not None:
            return {"metrics": workload.measure(budget)}
        seconds = seconds_per_call(workload.run, budget)
        return {"metrics": {"time": seconds / workload.per}, "run_seconds": seconds}

    def answer(self, request: dict[str, Any]) -> dict[str, Any]:
        try:
            if request["do"] == "check":
                return self.check(Case.from_json(request["case"]))
            return self.measure(request["budget"])
        except Unsupported as reason:
            return {"unsupported": str(reason)}
        except WrongResult as reason:
            return {"error": f"wrong result: {reason}"}
        except Exception as error:  # a peer may fail in its own way; the table shows how
            return {"error": f"{type(error).__name__}: {error}"[:300]}


def main() -> None:
    peer_name, question, threads, core = sys.argv[1:5]
    pin(int(threads), int(core))
    answers = private_output()

    def send(message: dict[str, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    try:
        worker = Worker(peer_name, question, int(threads))
        send({"version": version_of(peer_name)})
    except (ImportError, importlib.metadata.PackageNotFoundError) as error:
        send({"missing": str(error)})
        return
    for line in sys.stdin:
        send(worker.answer(json.loads(line)))


if __name__ == "__main__":
    main()
