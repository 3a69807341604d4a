"""Gradients of recorded computations: `backward`, `grad` and the extension API `Function`."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from wengert import _core, grad_mode
from wengert._core import Node, Tensor
from wengert._on_demand import on_demand
from wengert.grad_mode import (
    enable_grad,
    errstate,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)

if TYPE_CHECKING:
    from wengert.autograd import forward_ad, functional, graph
    from wengert.autograd.anomaly_mode import (
        detect_anomaly,
        is_anomaly_check_nan_enabled,
        is_anomaly_enabled,
        set_anomaly_enabled,
        set_detect_anomaly,
    )
    from wengert.autograd.checkpointing import checkpoint
    from wengert.autograd.function import Function, FunctionContext, once_differentiable
    from wengert.autograd.gradient_checks import GradcheckError, gradcheck, gradgradcheck
else:
    # Most programs need none of it.
    __getattr__ = on_demand(
        __name__,
        {
            "anomaly_mode": (
                "detect_anomaly",
                "is_anomaly_check_nan_enabled",
                "is_anomaly_enabled",
                "set_anomaly_enabled",
                "set_detect_anomaly",
            ),
            "checkpointing": ("checkpoint",),
            "forward_ad": (),
            "function": ("Function", "FunctionContext", "once_differentiable"),
            "functional": (),
            "gradient_checks": ("GradcheckError", "gradcheck", "gradgradcheck"),
            "graph": (),
        },
    )

__all__ = [
    "Function",
    "FunctionContext",
    "GradcheckError",
    "Node",
    "backward",
    "checkpoint",
    "detect_anomaly",
    "enable_grad",
    "errstate",
    "forward_ad",
    "functional",
    "grad",
    "grad_mode",
    "gradcheck",
    "gradgradcheck",
    "graph",
    "inference_mode",
    "is_anomaly_check_nan_enabled",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "once_differentiable",
    "set_anomaly_enabled",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _is_edge(given: Any) -> bool:
    if type(given) in (Tensor, tuple, list):
        return False
    from wengert.autograd.graph import GradientEdge  # noqa: PLC0415  (few programs have any)

    return isinstance(given, GradientEdge)


def _sequence(tensors: Any) -> Sequence[Any]:
    if type(tensors) is Tensor:  # without detours
        return (tensors,)
    if isinstance(tensors, dict):
        tensors = tuple(tensors.values())
    elif isinstance(tensors, Tensor) or tensors is None or _is_edge(tensors):
        tensors = (tensors,)
    return tuple(t.node if _is_edge(t) else t for t in tensors)


def _given_grads(tensors: Any, grads: Any) -> Sequence[Any]:
    # The gradient of a single tensor may be anything that makes a tensor, a list of numbers too.
    if isinstance(tensors, Tensor) and not isinstance(grads, Tensor):
        several = isinstance(grads, list | tuple) and any(
            g is None or isinstance(g, Tensor) for g in grads
        )
        return grads if several else (grads,)
    return _sequence(grads)


def _matching_grads(tensors: Any, outputs: Sequence[Any], grads: Any, name: str) -> Sequence[Any]:
    given = (None,) * len(outputs) if grads is None else _given_grads(tensors, grads)
    if len(given) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(given)} gradients in {name}")
    return [
        None if g is None else _core.tensor(g) if not isinstance(g, Tensor) else g for g in given
    ]


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    grad_variables: Any = None,
    inputs: Tensor | Sequence[Tensor] | dict[Any, Tensor] | None = None,
) -> None:
    """Add the gradients of the sum of `tensors` into the `grad` of every leaf.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
    grad_tensors : Tensor or sequence of Tensor, optional
        The gradient to start from, of each tensor's shape; may be left out for tensors of one
        element, then it is 1.
    retain_graph : bool, optional
        Keep what the graph has saved, for another pass. By default kept if `create_graph`.
    create_graph : bool
        Record the pass itself, so that gradients can be differentiated.
    grad_variables
        The old name of `grad_tensors`; warns.
    inputs : Tensor, sequence of Tensor or dict of Tensor, optional
        Only these get gradients. One that is no leaf keeps its gradient as after `retain_grad()`.

    Raises
    ------
    RuntimeError
        If a tensor has no graph, if a pass has freed what is needed, or if a saved value was
        changed in place since.
    """
    if grad_variables is not None:
        warnings.warn(
            "`grad_variables` is deprecated. Use `grad_tensors` instead.", FutureWarning, 2
        )
        if grad_tensors is not None:
            raise RuntimeError(
                "`grad_tensors` and `grad_variables` (deprecated) arguments both passed to "
                "`backward()`. Please only use `grad_tensors`."
            )
        grad_tensors = grad_variables
    outputs = _sequence(tensors)
    chosen = None if inputs is None else _sequence(inputs)
    if chosen is not None and len(chosen) == 0:
        raise RuntimeError(
            "`inputs` argument to `backward()` cannot be empty; leave it out to reach every leaf."
        )
    keep = create_graph if retain_graph is None else retain_graph
    grads = _matching_grads(tensors, outputs, grad_tensors, "backward")
    _core.run_backward(outputs, grads, chosen, keep, create_graph, True)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor] | dict[Any, Tensor],
    grad_outputs: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of the sum of `outputs` with respect to `inputs`; no `grad` is touched.

    Parameters
    ----------
    outputs, grad_outputs, retain_graph, create_graph
        As in `backward`.
    inputs : Tensor, sequence of Tensor or dict of Tensor
        Leaves or not.
    only_inputs : bool
        Accepted for PyTorch's sake: only the inputs' gradients are computed in any case.
    allow_unused : bool, optional
        Give None for an input that the outputs do not depend on, instead of an error.
    is_grads_batched : bool
        Take the first axis of each of `grad_outputs` as one of many gradients, all of which are
        pulled back in one pass. Where the graph holds a `Function` or a hook it is one pass for
        each of them.
    materialize_grads : bool
        Give zeros, of the input's shape, for an input that is not used.

    Returns
    -------
    tuple of Tensor
        One gradient for each input, of its shape (a dict with the same keys for a dict); with
        `is_grads_batched` behind an axis of as many as there are gradients to start from.

    >>> import wengert as wg
    >>> x = wg.tensor(3.0, requires_grad=True)
    >>> (first,) = wg.autograd.grad(x**3, x, create_graph=True)
    >>> wg.autograd.grad(first, x)
    (tensor(18.),)
    >>> y = wg.stack([x, x**2])
    >>> wg.autograd.grad(y, x, wg.eye(2), is_grads_batched=True)
    (tensor([1., 6.]),)
    """
    out = _sequence(outputs)
    wanted = _sequence(inputs)
    if not wanted:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    if materialize_grads and allow_unused is False:
        raise ValueError(
            "Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
            "allow_unused=False."
        )
    if not only_inputs:
        warnings.warn(
            "only_inputs argument is deprecated and is ignored now (defaults to True); to "
            "accumulate gradients of other leaves call backward().",
            FutureWarning,
            2,
        )
    keep = create_graph if retain_graph is None else retain_graph
    grads = _matching_grads(outputs, out, grad_outputs, "grad")
    if is_grads_batched:
        from wengert.autograd import _checks  # noqa: PLC0415  (few programs need it)
        from wengert.functional import _batches  # noqa: PLC0415

        _checks.require_batches(out, grads)
        results = _batches.pull_back(out, grads, wanted, keep, create_graph)
    else:
        results = _core.run_backward(out, grads, wanted, keep, create_graph, False)
    for i, result in enumerate(results):
        if result is not None:
            continue
        if materialize_grads:
            results[i] = _core.tensor(np.zeros(wanted[i].shape), dtype=wanted[i].dtype)
        elif not allow_unused:
            raise RuntimeError(
                f"The differentiated Tensor at index {i} appears to not have been used in the "
                "graph. Set allow_unused=True if this is the desired behavior. Its shape is "
                f"{wanted[i].shape}; it gets None then, or zeros with materialize_grads=True."
            )
    return dict(zip(inputs, results, strict=True)) if isinstance(inputs, dict) else tuple(results)
