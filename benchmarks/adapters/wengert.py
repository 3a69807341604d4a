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

    def _tensor(self, values: Any, requires_grad: bool) -> Any:
        return wengert.tensor(values, requires_grad=requires_grad)

    def hessian(self, function: Program, at: np.ndarray) -> list[Step]:
        leaf = self.array(at)
        return [lambda: wengert.hessian(function, leaf)]

    def jacobian(self, function: Program, at: np.ndarray) -> list[Step]:
        leaf = self.array(at)
        return [lambda: wengert.jacobian(function, leaf)]


ADAPTER = WengertAdapter()
