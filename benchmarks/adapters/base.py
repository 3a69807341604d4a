"""What the questions ask of every peer; an adapter answers what its peer can do."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from benchmarks.case import UnsupportedError

Program = Callable[..., Any]
Step = Callable[[], Any]


class Adapter:
    """A peer's way to say each workload. What stays unimplemented shows as a dash in the table.

    ``xp`` is the peer's namespace of array functions under NumPy's names; ``scalars`` is its
    namespace of functions of one number.
    """

    name: str
    xp: Any = None
    scalars: Any = None
    tracks = True

    def set_threads(self, count: int) -> None:
        """Set the number of threads where the environment variable was not enough."""

    def to_numpy(self, result: Any) -> Any:
        """Turn a result, or a tuple or list of results, into NumPy arrays."""
        if isinstance(result, (tuple, list)):
            return [self.to_numpy(item) for item in result]
        return np.asarray(result)

    def compiled(self, function: Program) -> Program:
        """Return the function, compiled where the peer compiles."""
        return function

    def wait(self, result: Any) -> Any:
        """Return the result once it has been computed."""
        return result

    def leaves(self, values: Sequence[float]) -> list[Any]:
        """Make tracked scalars."""
        raise UnsupportedError("no tracked scalars")

    def array(self, values: np.ndarray) -> Any:
        """Make a tracked array of the same dtype."""
        raise UnsupportedError("no tracked arrays")

    def constant(self, values: np.ndarray) -> Any:
        """Make an array that is not differentiated."""
        return values

    def tracked(self, program: Program, inputs: Sequence[Any]) -> Any:
        """Call ``program`` with inputs whose operations are recorded; return what it returns.

        Inputs come from ``leaves`` or ``array``. Peers that track only inside a transform override
        this.
        """
        return program(*inputs)

    def forced(self, statement: str) -> tuple[str, dict[str, Any]]:
        """Return the statement so that it computes its value at once, and the names this takes."""
        return statement, {}

    def record(self, program: Program, leaves: Sequence[Any]) -> Recording:
        """Run a scalar program and keep its graph."""
        raise UnsupportedError("no graph of scalars")

    def value_and_gradient(self, function: Program, inputs: Sequence[np.ndarray]) -> Step:
        """Return a step that gives ``(value, [gradient of each input])``."""
        raise UnsupportedError("no gradients of arrays")

    def pull_back(self, function: Program, inputs: Sequence[np.ndarray], seed: np.ndarray) -> Step:
        """Return a step: forward, then backward from ``seed``; gives the first input's gradient."""
        raise UnsupportedError("no gradients of arrays")

    def custom_operation(self, forward: Program, backward: Program) -> Program:
        """Return ``forward`` with ``backward`` as its derivative: gradient in, gradient out."""
        raise UnsupportedError("no operations of one's own")

    def descent(
        self, loss: Program, parameters: Sequence[Any], data: Sequence[Any], rate: float
    ) -> Step:
        """Return a step of gradient descent on ``loss(*parameters, *data)``, giving the loss."""
        raise UnsupportedError("no gradients of arrays")

    def hessian(self, function: Program, at: np.ndarray) -> list[Step]:
        """Return the peer's ways to a dense Hessian; the fastest counts."""
        raise UnsupportedError("no second derivatives")

    def hessian_vector(self, function: Program, at: np.ndarray, vector: np.ndarray) -> list[Step]:
        """Return the peer's ways to a Hessian-vector product; the fastest counts."""
        raise UnsupportedError("no second derivatives")

    def jacobian(self, function: Program, at: np.ndarray) -> list[Step]:
        """Return the peer's ways to a dense Jacobian; the fastest counts."""
        raise UnsupportedError("no Jacobian")

    def repeat(self, advance: Program, state: Any, drive: Sequence[float]) -> Any:
        """Advance a state once for each value of ``drive``."""
        for value in drive:
            state = advance(state, value)
        return state

    def log_softmax_loss(self, logits: Any, one_hot: Any) -> Any:
        """Return the mean cross entropy of a batch, in the peer's usual way."""
        xp = self.xp
        shifted = logits - xp.max(logits, axis=1, keepdims=True)
        total = xp.log(xp.sum(xp.exp(shifted), axis=1, keepdims=True))
        return xp.mean(xp.sum((total - shifted) * one_hot, axis=1))

    def relu(self, x: Any) -> Any:
        return self.xp.maximum(x, 0.0)


class Recording:
    """A recorded scalar program: walk it back, read it, and drop it when told."""

    def __init__(self, output: Any, leaves: Sequence[Any]) -> None:
        self.output = output
        self.leaves = leaves

    def backward(self) -> None:
        self.output.backward()

    def value(self) -> float:
        return float(self.output)

    def gradients(self) -> list[float]:
        # A leaf that the result does not depend on has no gradient.
        return [0.0 if leaf.grad is None else float(leaf.grad) for leaf in self.leaves]

    def free(self) -> None:
        self.output = None


class FunctionalAdapter(Adapter):
    """Peers that differentiate functions: parameters are values, a step returns new ones."""

    def _value_and_grad(self, function: Program, count: int) -> Program:
        raise NotImplementedError

    def leaves(self, values: Sequence[float]) -> list[Any]:
        return list(values)

    def value_and_gradient(self, function: Program, inputs: Sequence[np.ndarray]) -> Step:
        arrays = [self.constant(values) for values in inputs]
        both = self.compiled(self._value_and_grad(function, len(arrays)))
        return lambda: self.wait(both(*arrays))

    def descent(
        self, loss: Program, parameters: Sequence[Any], data: Sequence[Any], rate: float
    ) -> Step:
        # Arrays are arguments, as a compiler wants them; other data belongs to the program.
        places = [i for i, item in enumerate(data) if isinstance(item, np.ndarray)]
        count, everything = len(parameters), list(data)

        def with_data(*arguments: Any) -> Any:
            for place, array in zip(places, arguments[count:], strict=True):
                everything[place] = array
            return loss(*arguments[:count], *everything)

        both = self._value_and_grad(with_data, count)

        def update(current: Sequence[Any], *arrays: Any) -> tuple[Any, list[Any]]:
            value, gradients = both(*current, *arrays)
            return value, [p - rate * g for p, g in zip(current, gradients, strict=True)]

        update = self.compiled(update)
        state = [self.constant(p) if isinstance(p, np.ndarray) else p for p in parameters]
        arrays = [self.constant(data[place]) for place in places]

        def step() -> Any:
            value, state[:] = self.wait(update(state, *arrays))
            return value

        return step


def needs(namespace: Any, *names: str) -> list[Any]:
    """Return the named functions, or say that the peer lacks one of them."""
    missing = [name for name in names if not hasattr(namespace, name)]
    if missing:
        raise UnsupportedError(f"no {', '.join(missing)}")
    return [getattr(namespace, name) for name in names]


class MathScalars:
    """Functions of one float, for peers whose scalars are floats."""

    sin, exp, log, sqrt, tanh = math.sin, math.exp, math.log, math.sqrt, math.tanh
