"""micrograd: scalars in plain Python, with + - * / ** and relu."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from typing import Any

from micrograd.engine import Value

from .base import Adapter, Program, Recording, Step

# Its sort recurses once a node of depth; a deep graph is given the depth it needs.
sys.setrecursionlimit(200_000)


class MicrogradScalars:
    """The functions that its powers can say."""

    @staticmethod
    def sqrt(x: Value) -> Value:
        return x**0.5


class MicrogradRecording(Recording):
    def value(self) -> float:
        return self.output.data

    def free(self) -> None:
        # Its nodes refer to themselves, so only the collector frees them.
        super().free()
        gc.collect()


class MicrogradAdapter(Adapter):
    name = "micrograd"
    scalars = MicrogradScalars

    def to_numpy(self, result: Any) -> Any:
        return super().to_numpy(result.data if isinstance(result, Value) else result)

    def leaves(self, values: Sequence[float]) -> list[Any]:
        return [Value(value) for value in values]

    def record(self, program: Program, leaves: Sequence[Any]) -> Recording:
        return MicrogradRecording(program(*leaves), leaves)

    def descent(
        self, loss: Program, parameters: Sequence[Any], data: Sequence[Any], rate: float
    ) -> Step:
        leaves = self.leaves(parameters)

        def step() -> Value:
            value = loss(*leaves, *data)
            value.backward()
            for leaf in leaves:
                leaf.data -= rate * leaf.grad
                leaf.grad = 0
            return value

        return step


ADAPTER = MicrogradAdapter()
