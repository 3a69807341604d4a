"""MLX on the CPU; lazy, so every step ends with ``mx.eval``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from .base import FunctionalAdapter, Program, Step

mx.set_default_device(mx.cpu)


class MlxAdapter(FunctionalAdapter):
    name = "mlx"
    xp = mx

    def wait(self, result: Any) -> Any:
        mx.eval(result)
        return result

    def forced(self, statement: str) -> tuple[str, dict[str, Any]]:
        return f"evaluate({statement})", {"evaluate": mx.eval}

    def array(self, values: np.ndarray) -> Any:
        dtype = {"float64": mx.float64, "float32": mx.float32}[str(values.dtype)]
        return mx.array(values, dtype=dtype)

    constant = array

    def _value_and_grad(self, function: Program, count: int) -> Program:
        both = mx.value_and_grad(function, argnums=list(range(count)))
        if count > 1:
            return both

        def listed(*arguments: Any) -> tuple[Any, list[Any]]:
            value, gradient = both(*arguments)
            return value, [gradient[0] if isinstance(gradient, (tuple, list)) else gradient]

        return listed

    def pull_back(self, function: Program, inputs: Sequence[np.ndarray], seed: np.ndarray) -> Step:
        arrays, cotangents = [self.array(values) for values in inputs], [self.array(seed)]

        def outputs(*arrays: Any) -> list[Any]:
            return [function(*arrays)]

        return lambda: self.wait(mx.vjp(outputs, arrays, cotangents)[1][0])

    def hessian_vector(self, function: Program, at: np.ndarray, vector: np.ndarray) -> list[Step]:
        x, direction = self.array(at), self.array(vector)
        gradient = mx.grad(function)
        return [lambda: self.wait(mx.jvp(lambda x: [gradient(x)], [x], [direction])[1][0])]


ADAPTER = MlxAdapter()
