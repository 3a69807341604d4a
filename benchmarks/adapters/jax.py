"""JAX without compilation of the user's function (each operation is still compiled once)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.case import UnsupportedError

from .base import FunctionalAdapter, Program, Recording, Step

jax.config.update("jax_enable_x64", True)


class JaxRecording(Recording):
    """The pair that ``jax.vjp`` returns."""

    def __init__(self, program: Program, leaves: Sequence[Any]) -> None:
        output, self._pull_back = jax.vjp(program, *leaves)
        super().__init__(jax.block_until_ready(output), leaves)
        self._gradients: tuple[Any, ...] = ()

    def backward(self) -> None:
        self._gradients = jax.block_until_ready(self._pull_back(jnp.ones_like(self.output)))

    def gradients(self) -> list[float]:
        return [float(gradient) for gradient in self._gradients]

    def free(self) -> None:
        self.output = self._pull_back = None


class JaxAdapter(FunctionalAdapter):
    name = "jax"
    xp = scalars = jnp

    def wait(self, result: Any) -> Any:
        return jax.block_until_ready(result)

    def leaves(self, values: Sequence[float]) -> list[Any]:
        return [jnp.float64(value) for value in values]

    def array(self, values: np.ndarray) -> Any:
        return jnp.asarray(values)

    constant = array

    def tracked(self, program: Program, inputs: Sequence[Any]) -> Any:
        kept = []

        def tracing(*traced: Any) -> Any:
            kept.append(program(*traced))
            return traced[0]

        jax.vjp(tracing, *inputs)
        return kept[0]

    def record(self, program: Program, leaves: Sequence[Any]) -> Recording:
        return JaxRecording(program, leaves)

    def _value_and_grad(self, function: Program, count: int) -> Program:
        return jax.value_and_grad(function, argnums=tuple(range(count)))

    def pull_back(self, function: Program, inputs: Sequence[np.ndarray], seed: np.ndarray) -> Step:
        arrays, cotangent = [self.array(values) for values in inputs], self.array(seed)

        def step(cotangent: Any, *arrays: Any) -> Any:
            return jax.vjp(function, *arrays)[1](cotangent)[0]

        step = self.compiled(step)
        return lambda: self.wait(step(cotangent, *arrays))

    def custom_operation(self, forward: Program, backward: Program) -> Program:
        operation = jax.custom_vjp(forward)
        operation.defvjp(lambda x: (forward(x), None), lambda _, grad: (backward(grad),))
        return operation

    def hessian(self, function: Program, at: np.ndarray) -> list[Step]:
        return self._ways([jax.hessian(function), jax.jacrev(jax.jacrev(function))], at)

    def hessian_vector(self, function: Program, at: np.ndarray, vector: np.ndarray) -> list[Step]:
        direction = self.array(vector)

        def product(x: Any) -> Any:
            return jax.jvp(jax.grad(function), (x,), (direction,))[1]

        return self._ways([product], at)

    def jacobian(self, function: Program, at: np.ndarray) -> list[Step]:
        return self._ways([jax.jacfwd(function), jax.jacrev(function)], at)

    def _ways(self, functions: list[Program], at: np.ndarray) -> list[Step]:
        x = self.array(at)
        ways = [self.compiled(function) for function in functions]
        return [lambda way=way: self.wait(way(x)) for way in ways]

    def relu(self, x: Any) -> Any:
        return jax.nn.relu(x)


class JaxJitAdapter(JaxAdapter):
    """The same programs, traced and compiled once; the compilation is not timed."""

    name = "jax.jit"

    def compiled(self, function: Program) -> Program:
        return jax.jit(function)

    def repeat(self, advance: Program, state: Any, drive: Sequence[float]) -> Any:
        """A scan, as JAX asks for: an unrolled loop would compile for minutes."""

        def body(state: Any, value: Any) -> Any:
            return advance(state, value), None

        return jax.lax.scan(body, state, jnp.asarray(drive))[0]

    def tracked(self, program: Program, inputs: Sequence[Any]) -> Any:
        raise UnsupportedError("operations exist only inside a compiled function")

    def leaves(self, values: Sequence[float]) -> list[Any]:
        raise UnsupportedError("no graph of scalars is recorded in a compiled call")


ADAPTER = JaxAdapter()
