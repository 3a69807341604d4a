"""XAD: a C++ tape of scalars with a Python wrapper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import xad
import xad.math
from xad.adj_1st import Real, Tape

from .base import Adapter, Program, Recording, Step


class XadRecording(Recording):
    """One tape for one program."""

    def __init__(self, program: Program, leaves: Sequence[Any]) -> None:
        self._tape = Tape()
        self._tape.activate()
        self._tape.registerInputs(list(leaves))
        self._tape.newRecording()
        super().__init__(program(*leaves), leaves)

    def backward(self) -> None:
        self._tape.registerOutput(self.output)
        self.output.setAdjoint(1.0)
        self._tape.computeAdjoints()

    def value(self) -> float:
        return self.output.getValue()

    def gradients(self) -> list[float]:
        return [leaf.getDerivative() for leaf in self.leaves]

    def free(self) -> None:
        self.output = None
        self._tape.clearAll()
        self._tape.deactivate()


class XadAdapter(Adapter):
    name = "xad"
    scalars = xad.math

    def to_numpy(self, result: Any) -> Any:
        return super().to_numpy(xad.value(result) if isinstance(result, Real) else result)

    def leaves(self, values: Sequence[float]) -> list[Any]:
        return [Real(value) for value in values]

    def tracked(self, program: Program, inputs: Sequence[Any]) -> Any:
        with Tape() as tape:
            tape.registerInputs(list(inputs))
            tape.newRecording()
            return program(*inputs)

    def record(self, program: Program, leaves: Sequence[Any]) -> Recording:
        return XadRecording(program, leaves)

    def descent(
        self, loss: Program, parameters: Sequence[Any], data: Sequence[Any], rate: float
    ) -> Step:
        current = [float(p) for p in parameters]
        tape = Tape()

        def step() -> float:
            leaves = self.leaves(current)
            with tape:
                tape.registerInputs(leaves)
                tape.newRecording()
                value = loss(*leaves, *data)
                tape.registerOutput(value)
                value.setAdjoint(1.0)
                tape.computeAdjoints()
                current[:] = [
                    p - rate * leaf.getDerivative() for p, leaf in zip(current, leaves, strict=True)
                ]
                return value.getValue()

        return step


ADAPTER = XadAdapter()
