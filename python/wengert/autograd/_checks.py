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
