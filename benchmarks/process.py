"""A worker seen from the runner: started, asked, and buried when it crashes or hangs."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from pathlib import Path
from typing import Any

from benchmarks.peers import environment

CHECKOUT = Path(__file__).resolve().parent.parent


class WorkerProcess:
    """One peer with one number of threads."""

    def __init__(self, peer: str, interpreter: str, threads: int, core: int) -> None:
        command = [interpreter, "-m", "benchmarks.worker", peer, str(threads), str(core)]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=CHECKOUT,
            env=environment(threads),
        )
        self._unread = b""
        self.hello = self._read(timeout=60)

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def ask(self, request: dict[str, Any], timeout: float) -> dict[str, Any]:
        """Send a request; a crash or a hang is an answer like any other."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request).encode() + b"\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            return {"error": self._end()}
        return self._read(timeout)

    def _read(self, timeout: float) -> dict[str, Any]:
        assert self._process.stdout is not None
        descriptor = self._process.stdout.fileno()
        while b"\n" not in self._unread:
            ready, _, _ = select.select([descriptor], [], [], timeout)
            if not ready:
                self.close()
                return {"error": f"no answer in {timeout:.0f} s"}
            chunk = os.read(descriptor, 65536)
            if not chunk:
                return {"error": self._end()}
            self._unread += chunk
        line, _, self._unread = self._unread.partition(b"\n")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _end(self) -> str:
        code = self._process.wait()
        return f"crashed with signal {-code}" if code < 0 else f"ended with exit code {code}"

    def close(self) -> None:
        self._process.kill()
        self._process.communicate()


class WorkerPool:
    """The workers of a run: started when first asked for, replaced when they died."""

    def __init__(self, interpreters: dict[str, str], core: int) -> None:
        self.peers = list(interpreters)
        self.versions: dict[str, str] = {}
        self.missing: set[str] = set()
        self._interpreters = interpreters
        self._core = core
        self._workers: dict[tuple[str, int], WorkerProcess] = {}

    def worker(self, peer: str, threads: int) -> WorkerProcess | None:
        """Return a living worker, or None where the peer is not installed."""
        if peer in self.missing:
            return None
        worker = self._workers.get((peer, threads))
        if worker is None or not worker.alive:
            worker = WorkerProcess(peer, self._interpreters[peer], threads, self._core)
            self._workers[peer, threads] = worker
        if "version" not in worker.hello:
            worker.close()
            self.missing.add(peer)
            return None
        self.versions[peer] = worker.hello["version"]
        return worker

    def close(self) -> None:
        for worker in self._workers.values():
            worker.close()
        self._workers.clear()


class BusyNeighbour:
    """Keeps one core busy for as long as the ``with`` block lasts."""

    def __init__(self, core: int) -> None:
        self._program = f"import os\nos.sched_setaffinity(0, {{{core}}})\nwhile True: pass"

    def __enter__(self) -> None:
        self._process = subprocess.Popen([sys.executable, "-c", self._program])

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()
