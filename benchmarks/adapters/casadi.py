"""CasADi: a symbolic program, built once and replayed; building and differentiating is not timed
where a step is, and is what ``record`` and ``backward`` mean for a graph."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import casadi
import numpy as np

from .base import Adapter, Program, Recording, Step


class CasadiRecording(Recording):
    """Recording builds the expression; walking back builds the gradient's expression."""

    def __init__(self, program: Program, leaves: Sequence[Any], values: Sequence[float]) -> None:
        super().__init__(program(*leaves), leaves)
        self._values = values
        self._gradient: Any = None

    def backward(self) -> None:
        self._gradient = casadi.gradient(self.output, casadi.vertcat(*self.leaves))

    def value(self) -> float:
        return self._evaluate(self.output)[0]

    def gradients(self) -> list[float]:
        return self._evaluate(self._gradient)

    def _evaluate(self, expression: Any) -> list[float]:
        function = casadi.Function("f", list(self.leaves), [expression])
        return np.asarray(function(*self._values)).ravel().tolist()

    def free(self) -> None:
        self.output = self._gradient = None


class CasadiAdapter(Adapter):
    name = "casadi"
    scalars = casadi

    def leaves(self, values: Sequence[float]) -> list[Any]:
        self._values = list(values)
        return [casadi.SX.sym(f"x{i}") for i in range(len(values))]

    def record(self, program: Program, leaves: Sequence[Any]) -> Recording:
        return CasadiRecording(program, leaves, self._values)

    def descent(
        self, loss: Program, parameters: Sequence[Any], data: Sequence[Any], rate: float
    ) -> Step:
        current = [float(p) for p in parameters]
        symbols = self.leaves(current)
        value = loss(*symbols, *data)
        gradient = casadi.gradient(value, casadi.vertcat(*symbols))
        replay = casadi.Function("step", symbols, [value, gradient])

        def step() -> float:
            value, gradient = replay(*current)
            for index in range(len(current)):
                current[index] -= rate * float(gradient[index])
            return float(value)

        return step


ADAPTER = CasadiAdapter()
