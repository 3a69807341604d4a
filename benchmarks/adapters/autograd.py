"""HIPS autograd."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import autograd
import autograd.extend
import autograd.numpy as anp
import numpy as np
from autograd.core import make_vjp as core_make_vjp

from benchmarks.case import UnsupportedError

from .base import FunctionalAdapter, Program, Recording, Step


class AutogradRecording(Recording):
    """One input is traced, so several scalars travel as a list."""

    def __init__(self, program: Program, leaves: Sequence[float]) -> None:
        self._pull_back, output = autograd.make_vjp(lambda xs: program(*xs))(list(leaves))
        super().__init__(output, leaves)
        self._gradients: list[float] = []

    def backward(self) -> None:
        self._gradients = self._pull_back(1.0)

    def gradients(self) -> list[float]:
        return [float(gradient) for gradient in self._gradients]

    def free(self) -> None:
        self.output = self._pull_back = None


class AutogradAdapter(FunctionalAdapter):
    name = "autograd"
    xp = scalars = anp

    def array(self, values: np.ndarray) -> Any:
        return values

    def tracked(self, program: Program, inputs: Sequence[Any]) -> Any:
        kept = []

        def tracing(traced: Any) -> Any:
            kept.append(program(*[traced[i] for i in range(len(inputs))]))
            return traced[0]

        core_make_vjp(tracing, list(inputs))
        return kept[0]

    def record(self, program: Program, leaves: Sequence[Any]) -> Recording:
        if len(leaves) > 1000:
            raise UnsupportedError("the gradient of a list of n values takes n^2 steps")
        return AutogradRecording(program, leaves)

    def _value_and_grad(self, function: Program, count: int) -> Program:
        if count > 1:
            return autograd.value_and_grad(function, tuple(range(count)))
        single = autograd.value_and_grad(function)

        def listed(*arguments: Any) -> tuple[Any, list[Any]]:
            value, gradient = single(*arguments)
            return value, [gradient]

        return listed

    def pull_back(self, function: Program, inputs: Sequence[np.ndarray], seed: np.ndarray) -> Step:
        first, rest = inputs[0], inputs[1:]
        return lambda: autograd.make_vjp(function)(first, *rest)[0](seed)

    def custom_operation(self, forward: Program, backward: Program) -> Program:
        operation = autograd.extend.primitive(forward)
        autograd.extend.defvjp(operation, lambda result, x: backward)
        return operation

    def hessian(self, function: Program, at: np.ndarray) -> list[Step]:
        hessian = autograd.hessian(function)
        return [lambda: hessian(at)]

    def hessian_vector(self, function: Program, at: np.ndarray, vector: np.ndarray) -> list[Step]:
        product = autograd.hessian_vector_product(function)
        return [lambda: product(at, vector)]

    def jacobian(self, function: Program, at: np.ndarray) -> list[Step]:
        jacobian = autograd.jacobian(function)
        return [lambda: jacobian(at)]


ADAPTER = AutogradAdapter()
