"""The vocabulary of PyTorch, which wengert shares: leaves, backward(), .grad, no_grad()."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Adapter, Program, Recording, Step


class EagerAdapter(Adapter):
    """Peers with tensors that record what is done to them."""

    module: Any

    def _tensor(self, values: Any, requires_grad: bool) -> Any:
        raise NotImplementedError

    def to_numpy(self, result: Any) -> Any:
        if isinstance(result, self.module.Tensor):
            return np.array(result.detach().numpy())
        return super().to_numpy(result)

    def leaves(self, values: Sequence[float]) -> list[Any]:
        return [self._tensor(value, True) for value in values]

    def array(self, values: np.ndarray) -> Any:
        return self._tensor(values, True)

    def constant(self, values: np.ndarray) -> Any:
        return self._tensor(values, False)

    def record(self, program: Program, leaves: Sequence[Any]) -> Recording:
        return Recording(program(*leaves), leaves)

    def value_and_gradient(self, function: Program, inputs: Sequence[np.ndarray]) -> Step:
        leaves = [self.array(values) for values in inputs]

        def step() -> tuple[Any, list[Any]]:
            for leaf in leaves:
                leaf.grad = None
            value = function(*leaves)
            value.backward()
            return value, [leaf.grad for leaf in leaves]

        return step

    def pull_back(self, function: Program, inputs: Sequence[np.ndarray], seed: np.ndarray) -> Step:
        leaves = [self.array(values) for values in inputs]
        cotangent = self.constant(seed)

        def step() -> Any:
            for leaf in leaves:
                leaf.grad = None
            function(*leaves).backward(cotangent)
            return leaves[0].grad

        return step

    def custom_operation(self, forward: Program, backward: Program) -> Program:
        class Custom(self.module.autograd.Function):  # type: ignore[name-defined,misc]
            @staticmethod
            def forward(ctx: Any, x: Any) -> Any:
                return forward(x)

            @staticmethod
            def backward(ctx: Any, grad: Any) -> Any:
                return backward(grad)

        return Custom.apply

    def descent(
        self, loss: Program, parameters: Sequence[Any], data: Sequence[Any], rate: float
    ) -> Step:
        leaves = [self._tensor(p, True) for p in parameters]
        constants = [self.constant(d) if isinstance(d, np.ndarray) else d for d in data]
        no_grad = self.module.no_grad

        def step() -> Any:
            value = loss(*leaves, *constants)
            value.backward()
            with no_grad():
                for leaf in leaves:
                    leaf -= rate * leaf.grad  # noqa: PLW2901  # in place
                    leaf.grad = None
            return value

        return step

    def hessian_vector(self, function: Program, at: np.ndarray, vector: np.ndarray) -> list[Step]:
        leaf, direction = self.array(at), self.constant(vector)
        grad = self.module.autograd.grad

        def double_backward() -> Any:
            (gradient,) = grad(function(leaf), [leaf], create_graph=True)
            return grad(gradient, [leaf], grad_outputs=direction)[0]

        return [double_backward]
