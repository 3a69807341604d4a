"""Runs a question: every peer in a process of its own, rounds interleaved, medians kept."""

from __future__ import annotations

import importlib
import statistics
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from benchmarks.case import Case
from benchmarks.process import BusyNeighbour, WorkerPool


@dataclass(frozen=True)
class Settings:
    """How much a run may take. The quick settings serve continuous integration."""

    quick: bool
    rounds: int
    seconds_per_round: float
    seconds_per_case: float
    longest_run: float
    timeout: float
    core: int

    @classmethod
    def full(cls, core: int) -> Settings:
        return cls(False, 5, 0.1, 2.0, 5.0, 45.0, core)

    @classmethod
    def for_ci(cls, core: int) -> Settings:
        return cls(True, 3, 0.01, 0.3, 0.5, 15.0, core)

    def with_rounds(self, rounds: int) -> Settings:
        return replace(self, rounds=rounds)


class QuestionRun:
    """The state of one question's run: its workers, and how long each program took them."""

    def __init__(
        self, question: str, pool: WorkerPool, settings: Settings, progress: Callable[[str], None]
    ) -> None:
        self.name = question
        self.module = importlib.import_module(f".questions.{question}", __package__)
        self.pool = pool
        self.settings = settings
        self.progress = progress
        self._run_seconds: dict[tuple[Any, ...], tuple[int, float]] = {}

    def run(self) -> dict[str, Any]:
        """Run all cases and return what the JSON file holds of this question."""
        rows: list[dict[str, Any]] = []
        for case in self.module.cases(self.settings.quick):
            self.progress(f"{self.name}: {case.name}")
            rows.extend(self._rows_of(case))
        if not self.settings.quick:
            self.pool.close()
        return {"title": self.module.TITLE, "rows": rows}

    def _rows_of(self, case: Case) -> list[dict[str, Any]]:
        if case.fresh:
            self.pool.close()
        neighbour = BusyNeighbour(self._other_core()) if case.busy else nullcontext()
        with neighbour:
            checked = {peer: self._check(peer, case) for peer in self.pool.peers}
            samples = self._measure(case, [p for p, a in checked.items() if "seconds" in a])
        if case.fresh:
            self.pool.close()
        rows = []
        for metric, unit in case.metrics.items():
            cells = {
                peer: self._cell(answer, samples.get(peer), metric)
                for peer, answer in checked.items()
                if "missing" not in answer
            }
            rows.append({"case": case.to_json(), "metric": metric, "unit": unit, "cells": cells})
        return rows

    def _cell(
        self, checked: dict[str, Any], answers: list[dict[str, Any]] | None, metric: str
    ) -> dict[str, Any]:
        """Return a table's cell: the median and its rounds, or why there is none."""
        for key in ("unsupported", "error", "skipped"):
            if key in checked:
                return {key: checked[key]}
        failed = [answer["error"] for answer in answers or [] if "error" in answer]
        if failed:
            return {"error": failed[0]}
        values = [a["metrics"][metric] for a in answers or [] if metric in a.get("metrics", {})]
        if not values:
            return {"unsupported": "not measured"}
        return {
            "median": statistics.median(values),
            "rounds": values,
            "digest": checked.get("digest"),
        }

    def _check(self, peer: str, case: Case) -> dict[str, Any]:
        predicted = self._predicted_seconds(peer, case)
        if predicted == float("inf"):
            return {"skipped": "failed at a smaller size"}
        if predicted > self.settings.longest_run:
            return {"skipped": f"about {predicted:.0f} s a run"}
        worker = self.pool.worker(peer, case.threads)
        if worker is None:
            return {"missing": peer}
        request = {"do": "check", "question": self.name, "case": case.to_json()}
        answer = worker.ask(request, self.settings.timeout)
        if "seconds" in answer:
            self._remember(peer, case, answer["seconds"])
        elif "error" in answer:
            # The next size would fail too, and a crash costs a new process each time.
            self._remember(peer, case, float("inf") if not worker.alive else 0.0)
        return answer

    def _measure(self, case: Case, peers: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Measure in interleaved rounds; a peer leaves when its time for the case is used up."""
        samples: dict[str, list[dict[str, Any]]] = {peer: [] for peer in peers}
        used = dict.fromkeys(peers, 0.0)
        request = {"do": "measure", "budget": self.settings.seconds_per_round}
        for number in range(1 if case.fresh else self.settings.rounds):
            # Who goes first changes, so that nobody always follows the same neighbour.
            first = number % max(1, len(peers))
            for peer in peers[first:] + peers[:first]:
                worker = self.pool.worker(peer, case.threads)
                if worker is None or used[peer] > self.settings.seconds_per_case:
                    continue
                answer = worker.ask(request, self.settings.timeout)
                samples[peer].append(answer)
                used[peer] += self._spent(peer, case, answer)
        return samples

    def _spent(self, peer: str, case: Case, answer: dict[str, Any]) -> float:
        # In a fresh process the first run is all there is.
        if "run_seconds" in answer and not case.fresh:
            self._remember(peer, case, answer["run_seconds"])
        _, seconds = self._run_seconds[self._kind(peer, case)]
        return max(seconds, self.settings.seconds_per_round)

    def _kind(self, peer: str, case: Case) -> tuple[Any, ...]:
        return (peer, case.family, case.dtype, case.threads, case.busy)

    def _remember(self, peer: str, case: Case, seconds: float) -> None:
        self._run_seconds[self._kind(peer, case)] = (case.size, seconds)

    def _predicted_seconds(self, peer: str, case: Case) -> float:
        size, seconds = self._run_seconds.get(self._kind(peer, case), (case.size, 0.0))
        return seconds * case.size / size

    def _other_core(self) -> int:
        return 0 if self.settings.core else 1
