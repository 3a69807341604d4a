"""PyTorch on the CPU, eager."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from .base import Program, Step
from .eager import EagerAdapter


class TorchAdapter(EagerAdapter):
    name = "torch"
    module = scalars = torch
    # torch.max along an axis also returns the places; amax is NumPy's max.
    xp = SimpleNamespace(**{**vars(torch), "max": torch.amax})

    def set_threads(self, count: int) -> None:
        torch.set_num_threads(count)

    def _tensor(self, values: Any, requires_grad: bool) -> Any:
        if isinstance(values, float):
            return torch.tensor(values, dtype=torch.float64, requires_grad=requires_grad)
        return torch.tensor(values, requires_grad=requires_grad)

    def hessian(self, function: Program, at: np.ndarray) -> list[Step]:
        x = self.constant(at)
        forward_over_reverse = torch.func.hessian(function)
        reverse_over_reverse = torch.func.jacrev(torch.func.jacrev(function))
        vectorized = {"vectorize": True, "outer_jacobian_strategy": "forward-mode"}
        return [
            lambda: forward_over_reverse(x),
            lambda: reverse_over_reverse(x),
            lambda: torch.autograd.functional.hessian(function, x, vectorize=True),
            lambda: torch.autograd.functional.hessian(function, x, **vectorized),
        ]

    def hessian_vector(self, function: Program, at: np.ndarray, vector: np.ndarray) -> list[Step]:
        x, direction = self.constant(at), self.constant(vector)
        gradient = torch.func.grad(function)
        return [
            *super().hessian_vector(function, at, vector),
            lambda: torch.func.jvp(gradient, (x,), (direction,))[1],
        ]

    def jacobian(self, function: Program, at: np.ndarray) -> list[Step]:
        x = self.constant(at)
        forward, reverse = torch.func.jacfwd(function), torch.func.jacrev(function)
        return [
            lambda: forward(x),
            lambda: reverse(x),
            lambda: torch.autograd.functional.jacobian(function, x, vectorize=True),
            lambda: torch.autograd.functional.jacobian(function, x),
        ]

    def log_softmax_loss(self, logits: Any, one_hot: Any) -> Any:
        return torch.nn.functional.cross_entropy(logits, one_hot)

    def relu(self, x: Any) -> Any:
        return torch.relu(x)


ADAPTER = TorchAdapter()
