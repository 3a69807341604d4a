"""What the functional interface asks of its arguments."""

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
    if not isinstance(given, tuple):
        raise TypeError(
            f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but got "
            f"{type(given).__name__}"
        )
    for i, tensor in enumerate(given):
        if not isinstance(tensor, Tensor):
            raise TypeError(
                f"The {what} given to {name} must be either a Tensor or a tuple of Tensors but the "
                f"value at index {i} has type {type(tensor).__name__}"
            )
    return True, given


def require_dependence(
    outputs: Sequence[Tensor], variables: Sequence[Tensor], name: str, of: str = "output"
) -> None:
    """Raise if an output's graph lacks a variable, whose gradient would be zeros."""
    wanted = [_core.node_of(variable) for variable in variables]
    for i, output in enumerate(outputs):
        reached = set(_core.topological_order([_core.node_of(output)]))
        for k, node in enumerate(wanted):
            if node not in reached:
                raise RuntimeError(
                    f"{name}: {of} {i} of the user-provided function is independent of input {k}. "
                    "This is not allowed in strict mode."
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
