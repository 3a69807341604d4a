"""wengert itself."""

from __future__ import annotations

from typing import Any

import numpy as np

import wengert

from .base import Program, Step
from .eager import EagerAdapter


class WengertAdapter(EagerAdapter):
    name = "wengert"
    module = xp = scalars = wengert

    def set_threads(self, count: int) -> None:
        getattr(wengert, "set_num_threads", lambda _: None)(count)

    def wait(self, result: Any) -> Any:
        result.detach().numpy()  # operations on large arrays wait until somebody looks
        return result

    def _waiting(self, steps: list[Step]) -> list[Step]:
        return [lambda step=step: self.wait(step()) for step in steps]

    def _tensor(self, values: Any, requires_grad: bool) -> Any:
        return wengert.tensor(values, requires_grad=requires_grad)

    def hessian(self, function: Program, at: np.ndarray) -> list[Step]:
        x = self.constant(at)
        gradient = wengert.jacfwd(wengert.grad(function))
        return self._waiting([lambda: wengert.hessian(function, x), lambda: gradient(x)])

    def jacobian(self, function: Program, at: np.ndarray) -> list[Step]:
        x = self.constant(at)
        forward = wengert.jacfwd(function)
        return self._waiting([lambda: wengert.jacobian(function, x), lambda: forward(x)])

    def hessian_vector(self, function: Program, at: np.ndarray, vector: np.ndarray) -> list[Step]:
        x, direction = self.constant(at), self.constant(vector)
        gradient = wengert.grad(function)
        return self._waiting(
            [
                *super().hessian_vector(function, at, vector),
                lambda: wengert.hvp(function, x, direction),
                lambda: wengert.jvp(gradient, (x,), (direction,))[1],
            ]
        )


ADAPTER = WengertAdapter()
