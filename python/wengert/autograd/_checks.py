"""What the functional interface asks of its arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from wengert import _core
from wengert._core import Tensor


def as_tuple(given: Any, what: str, name: str) -> tuple[bool, tuple[Tensor, ...]]:
    """Whether there are several tensors, and the tensors.

    Raises
    ------
    TypeError
        If `given` is neither a tensor nor a tuple of tensors.
    """
    if isinstance(given, Tensor):
        return False, (given,)
    source = f"{what} of the user-provided function" if what == "outputs" else what
    if not isinstance(given, tuple):
        raise TypeError(
            f"The {source} given to {name} must be either a Tensor or a tuple of Tensors but the "
            f"given {source} has type {type(given)}."
        )
    for i, tensor in enumerate(given):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"The {source} given to {name} must be either a Tensor or a tuple of Tensors but "
                f"the value at index {i} has type {type(tensor)}."
            )
    return True, given


def _independent(results: Sequence[Tensor], variables: Sequence[Tensor]) -> tuple[int, int] | None:
    """A result, and a variable that it does not depend on; None if there is no such pair."""
    wanted = [_core.node_of(variable) for variable in variables]
    for i, result in enumerate(results):
        reached = set(_core.topological_order([_core.node_of(result)]))
        for k, node in enumerate(wanted):
            if node not in reached:
                return i, k
    return None


def require_dependence(outputs: Sequence[Tensor], variables: Sequence[Tensor], name: str) -> None:
    """Raise if an output's graph lacks a variable, whose gradient would be zeros."""
    if pair := _independent(outputs, variables):
        raise RuntimeError(
            f"Output {pair[0]} of the user-provided function is independent of input {pair[1]}. "
            f"This is not allowed in strict mode; {name} gives zeros with strict=False."
        )


def require_second_dependence(
    gradients: Sequence[Tensor], variables: Sequence[Tensor], name: str
) -> None:
    """Raise if a gradient's graph lacks a variable, so that second derivatives are zeros."""
    if pair := _independent(gradients, variables):
        raise RuntimeError(
            "While computing the hessian, found that the jacobian of the user-provided function "
            f"with respect to input {pair[0]} is independent of input {pair[1]}. This is not "
            f"allowed in strict mode; {name} gives zeros with strict=False."
        )


def require_recorded(gradients: Sequence[Tensor], name: str) -> None:
    """Raise if a derivative that is to be differentiated again is a constant."""
    for i, gradient in enumerate(gradients):
        if not gradient.requires_grad:
            raise RuntimeError(
                "The jacobian of the user-provided function is independent of input "
                f"{i}. This is not allowed in strict mode when create_graph=True; {name} gives a "
                "constant with strict=False."
            )


def require_strategy(strategy: str, create_graph: bool, strict: bool, vectorize: bool) -> None:
    """Refuse combinations that PyTorch refuses."""
    if strategy not in ("reverse-mode", "forward-mode"):
        raise ValueError(
            'Expected strategy to be either "forward-mode" or "reverse-mode". Hint: If your '
            'function has more outputs than inputs, "forward-mode" tends to be more performant. '
            f'Otherwise, prefer to use "reverse-mode"; got {strategy!r}'
        )
    if strategy == "forward-mode" and create_graph:
        raise NotImplementedError(
            "jacobian: create_graph=True and strategy='forward-mode' are not supported together; "
            "use wengert.jacfwd or strategy='reverse-mode'"
        )
    if strict and (vectorize or strategy == "forward-mode"):
        raise RuntimeError(
            "jacobian: strict=True is supported neither together with vectorize=True nor with "
            "strategy='forward-mode'; use strategy='reverse-mode' and vectorize=False"
        )


def require_batches(outputs: Sequence[Tensor], grads: Sequence[Tensor | None]) -> None:
    """Refuse gradients that are not batches of what belongs to the outputs."""
    sizes = []
    for i, (output, grad) in enumerate(zip(outputs, grads, strict=True)):
        if grad is None:
            raise RuntimeError(
                f"grad: with is_grads_batched=True grad_outputs[{i}] is missing; pass a tensor of "
                f"shape (n, *{output.shape}) for each output"
            )
        if grad.ndim == 0 or grad.shape[1:] != output.shape:
            raise RuntimeError(
                "If `is_grads_batched=True`, we interpret the first dimension of each grad_output "
                "as the batch dimension. The sizes of the remaining dimensions are expected to "
                "match the shape of corresponding output, but a mismatch was detected: "
                f"grad_output[{i}] has a shape of {grad.shape} and output[{i}] has a shape of "
                f"{output.shape}."
            )
        sizes.append(grad.shape[0])
    if len(set(sizes)) > 1:
        raise ValueError(
            f"grad: expected all grad_outputs to have the same size in the batch dimension, got "
            f"sizes {sizes}"
        )
    if sizes and sizes[0] == 0:
        raise ValueError(
            "grad: is_grads_batched=True needs at least one gradient, got grad_outputs of size 0 "
            "in the batch dimension"
        )
