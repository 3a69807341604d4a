"""Memory for time: what a function needs for its derivative is computed again when needed."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import numpy as np

from wengert import _core, tree
from wengert import random as own_random
from wengert._core import Node, Tensor
from wengert.autograd import _hook_order
from wengert.autograd.function import Function
from wengert.grad_mode import enable_grad

__all__ = ["checkpoint"]


class _Identity(Function):
    """A place in the graph of its own for a tensor, so that what depends on it can be told."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        del ctx
        return x.detach()

    @staticmethod
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        del ctx
        return grad_output


class _RandomState:
    """The state of the random numbers of `random`, `numpy.random` and `wengert.random`."""

    def __init__(self) -> None:
        self._own = own_random.get_rng_state()
        self._python = random.getstate()
        self._numpy = np.random.get_state()  # noqa: NPY002  (what users of it need restored)

    def restore(self) -> None:
        own_random.set_rng_state(self._own)
        random.setstate(self._python)
        np.random.set_state(self._numpy)  # noqa: NPY002


class _Evaluation:
    """One evaluation of the function, its graph divided into inside and outside.

    Note [Inside]: inside are the nodes that depend on the arguments; each is surely of this
    evaluation. The others were there before, or come from tensors closed over alone. Those that
    nodes inside use are the borders: as inputs of the checkpoint they get their gradients from
    it, and hand them on themselves. So no gradient depends on knowing what a function closes over.

    Attributes
    ----------
    outputs : list
        The leaves of what the function returned.
    recomputed : list of int
        Which outputs lie inside.
    borders : list of Tensor
    operation_count : int
        Of operations inside.
    fingerprint : int
        Of which operations they are, in order.
    """

    def __init__(
        self, run: _Run, markers: Sequence[Tensor], context: AbstractContextManager[Any]
    ) -> None:
        self.operation_count = 0
        self.fingerprint = 0
        with context:
            returned = run.call(markers)
        self.outputs, self.structure = tree.flatten(returned)
        self._markers = {_core.node_of(marker) for marker in markers}
        self._dependent: dict[Node, bool] = dict.fromkeys(self._markers, True)
        self._borders: dict[Node, None] = {}
        self.recomputed = [
            i
            for i, output in enumerate(self.outputs)
            if isinstance(output, Tensor) and output.requires_grad and self._is_inside(output)
        ]
        self.borders = [node._edge for node in self._borders]

    def _is_inside(self, output: Tensor) -> bool:
        node = _core.node_of(output)
        self._explore(node)
        return self._dependent[node] and node not in self._markers

    def _explore(self, root: Node) -> None:
        inputs_of: dict[Node, list[tuple[Node, bool]]] = {}
        stack = [root]
        while stack:
            node = stack[-1]
            if node in self._dependent:
                stack.pop()
                continue
            if node not in inputs_of:
                inputs_of[node] = _inputs(node)
                stack += [i for i, _ in inputs_of[node] if i not in self._dependent]
                continue
            stack.pop()
            inputs = inputs_of.pop(node)
            self._dependent[node] = any(self._dependent[i] for i, _ in inputs)
            if self._dependent[node]:
                self.operation_count += 1
                self.fingerprint = hash((self.fingerprint, node.operation))
                outside = (i for i, tracked in inputs if tracked and not self._dependent[i])
                self._borders.update(dict.fromkeys(outside))

    def signature(self) -> list[Any]:
        """What has to be the same when the function is evaluated again."""
        tensors = [self.outputs[i] for i in self.recomputed] + self.borders
        kinds = [(t.shape, t.dtype.name) for t in tensors]
        return [self.recomputed, kinds, f"{self.operation_count} operations"]


def _inputs(node: Node) -> list[tuple[Node, bool]]:
    if node.is_leaf:
        return []
    return [(i, i.requires_grad) for i in node.input_nodes]


class _Run:
    """The function with its arguments, apart from the tensors among them."""

    def __init__(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        preserve_rng_state: bool,
        determinism_check: str = "default",
        contexts: Sequence[AbstractContextManager[Any]] | None = None,
    ) -> None:
        self.function = function
        self.contexts = contexts or (nullcontext(), nullcontext())
        self._checked = determinism_check != "none"
        self._leaves, self._structure = tree.flatten((args, kwargs))
        self._positions = [i for i, x in enumerate(self._leaves) if isinstance(x, Tensor)]
        self.tensors: list[Tensor] = [self._leaves[i] for i in self._positions]
        for i in self._positions:  # kept, guarded against changes, by save_for_backward
            self._leaves[i] = None
        self._random_state = _RandomState() if preserve_rng_state else None
        self.signature: list[Any] = []
        self._fingerprint = 0

    def evaluate(self, markers: Sequence[Tensor]) -> _Evaluation:
        """The first evaluation; the second is compared with it."""
        evaluation = _Evaluation(self, markers, self.contexts[0])
        self.signature = evaluation.signature()
        self._fingerprint = evaluation.fingerprint
        return evaluation

    def call(self, tensors: Sequence[Tensor]) -> Any:
        leaves = list(self._leaves)
        for i, tensor in zip(self._positions, tensors, strict=True):
            leaves[i] = tensor
        args, kwargs = self._structure.unflatten(leaves)
        return self.function(*args, **kwargs)

    def evaluate_again(self, markers: Sequence[Tensor]) -> _Evaluation:
        """The second evaluation, with the random numbers of the first."""
        now = _RandomState() if self._random_state else None
        try:
            if self._random_state:
                self._random_state.restore()
            with enable_grad():
                evaluation = _Evaluation(self, markers, self.contexts[1])
        finally:
            if now:
                now.restore()
        self._compare(evaluation)
        return evaluation

    def _compare(self, evaluation: _Evaluation) -> None:
        again = evaluation.signature()
        is_as_large = again[0] == self.signature[0] and len(again[1]) == len(self.signature[1])
        if is_as_large and not self._checked:
            return
        if again != self.signature:
            raise RuntimeError(
                "checkpoint: Recomputed values have different metadata than during the forward "
                f"pass: {self.name} gave {self.signature}, evaluated again "
                f"{again} (outputs that depend on the arguments; shapes and dtypes of those and of "
                "the tensors closed over; operations on what depends on the arguments). It must do "
                "the same both times."
            )
        if evaluation.fingerprint != self._fingerprint:
            raise RuntimeError(
                f"checkpoint: {self.name} did {again[2]} in the forward pass, and as many but "
                "other ones evaluated again. It must do the same both times."
            )

    @property
    def name(self) -> str:
        return str(getattr(self.function, "__qualname__", repr(self.function)))


class _Checkpointed(Function):
    """Stands in the graph for all that the function did."""

    @staticmethod
    def forward(
        ctx: Any, run: _Run, evaluation: _Evaluation, *tensors: Tensor
    ) -> tuple[Tensor, ...]:
        ctx.run = run
        ctx.argument_count = len(tensors) - len(evaluation.borders)
        ctx.save_for_backward(*tensors)
        ctx.set_materialize_grads(False)
        return tuple(evaluation.outputs[i].detach() for i in evaluation.recomputed)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Any, ...]:
        arguments = ctx.saved_tensors[: ctx.argument_count]
        given = [g for g in grad_outputs if g is not None]
        used = [k for k, g in enumerate(grad_outputs) if g is not None]
        differentiate = functools.partial(_differentiate, ctx.run, used)
        if not _core.is_grad_enabled():
            markers = [_marker(x, linked=False) for x in arguments]
            return (None, None, *differentiate(markers, given))
        # Note [Higher orders]: a pass that is recorded calls for the derivative of the derivative.
        # Checkpointed itself, it is a part of the graph by its values alone; the pass within does
        # not meet the nodes of the one outside.
        run = _Run(differentiate, (list(arguments), given), {}, preserve_rng_state=False)
        return (None, None, *_checkpointed(run, linked=False))


def _differentiate(
    run: _Run, used: Sequence[int], markers: Sequence[Tensor], grad_outputs: Sequence[Tensor]
) -> list[Tensor | None]:
    """The gradients of arguments and borders, from an evaluation at the markers."""
    moment = _hook_order.moment()
    evaluation = run.evaluate_again(markers)
    outputs = [evaluation.outputs[evaluation.recomputed[k]] for k in used]
    with _hook_order.silenced(moment):
        wanted = [*markers, *evaluation.borders]
        return _gradients(outputs, grad_outputs, wanted, _core.is_grad_enabled())


def _marker(x: Tensor, linked: bool) -> Tensor:
    if not x.requires_grad:
        return x.detach()
    return _Identity.apply(x) if linked else x.detach().requires_grad_()


def _gradients(
    outputs: Sequence[Tensor], grads: Sequence[Tensor], wanted: Sequence[Tensor], recording: bool
) -> list[Tensor | None]:
    if not all(t.is_leaf for t in wanted if t.requires_grad):
        return _captured(outputs, grads, wanted, recording)
    # A pass asked for inputs marks them; these may be marked by the pass that called this one.
    found: dict[int, Tensor] = {}
    handles = []
    for i, t in enumerate(wanted):
        if t.requires_grad:
            handles.append(_core.register_hook(t, _keep_in(found, i), False))
    try:
        _core.run_backward(outputs, grads, None, True, recording, False)
    finally:
        for handle in handles:
            handle.remove()
    return [found.get(i) for i in range(len(wanted))]


def _keep_in(found: dict[int, Tensor], i: int) -> Callable[[Tensor], None]:
    def keep(grad: Tensor) -> None:
        found[i] = grad

    return keep


def _captured(
    outputs: Sequence[Tensor], grads: Sequence[Tensor], wanted: Sequence[Tensor], recording: bool
) -> list[Tensor | None]:
    differentiable = [i for i, t in enumerate(wanted) if t.requires_grad]
    retained = [(t, t.grad) for t in wanted if t.retains_grad]
    found = _core.run_backward(
        outputs, grads, [wanted[i] for i in differentiable], True, recording, False
    )
    for t, before in retained:  # retain_grad() has kept the part that this pass found
        if t.grad is not before:
            t.grad = before
    results: list[Tensor | None] = [None] * len(wanted)
    for i, grad in zip(differentiable, found, strict=True):
        results[i] = grad
    return results


def _checkpointed(run: _Run, linked: bool) -> Any:
    """What the function returns; `linked` says whether its arguments stay part of their graph."""
    tensors, run.tensors = run.tensors, []
    versions = [x._version for x in tensors]
    markers = [_marker(x, linked) for x in tensors]
    marker_versions = [marker._version for marker in markers]
    evaluation = run.evaluate(markers)
    for i, x in enumerate(tensors):
        if x._version != versions[i] or markers[i]._version != marker_versions[i]:
            raise RuntimeError(
                f"checkpoint: {run.name} has changed tensor {i} of its arguments, of shape "
                f"{x.shape}, in place; evaluated again it would start from the changed values. "
                "Clone it first"
            )
    if not evaluation.recomputed:
        return evaluation.structure.unflatten(evaluation.outputs)
    values = _Checkpointed.apply(run, evaluation, *tensors, *evaluation.borders)
    outputs = list(evaluation.outputs)
    for i, value in zip(evaluation.recomputed, values, strict=True):
        outputs[i] = value
    return evaluation.structure.unflatten(outputs)


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    context_fn: Callable[[], tuple[Any, Any]] | None = None,
    determinism_check: str = "default",
    debug: bool = False,
    early_stop: bool = True,
    **kwargs: Any,
) -> Any:
    """Call a function without keeping what its derivative needs: a backward pass calls it again.

    A long computation divided into checkpointed parts needs the memory of one part at a time, for
    the price of evaluating each part twice.

    Parameters
    ----------
    function : callable
        Must do the same whenever it is called with the same arguments; what it changes besides is
        changed again. Its arguments must not be changed in place, by itself or later.
    *args, **kwargs
        Its arguments; tensors among them also within tuples, lists and dicts.
    use_reentrant : bool, optional
        Accepted for PyTorch's sake. Gradients behave as with PyTorch's False in any case.
    preserve_rng_state : bool
        Give the second call the numbers that `random`, `numpy.random` and `wengert.randn` and its
        like gave the first.
        Generators that the function itself keeps are not known here.
    context_fn : callable, optional
        Returns two context managers: the function is first called in the one, again in the other.
    determinism_check : {"default", "none"}
        Compare what the second call does with the first: the operations, the shapes and dtypes of
        results and of tensors closed over. With "none" the gradient is taken of whatever the
        second call does, as long as as many results depend on the arguments.
    debug, early_stop : bool
        Accepted for PyTorch's sake. Errors say which calls differ in any case.

    Returns
    -------
    anything
        What the function returns.

    Raises
    ------
    RuntimeError
        If an argument is changed in place, or the second call does not do what the first did.
    ValueError
        If `determinism_check` is neither of the two.

    Notes
    -----
    Tensors that the function closes over get their gradients too, leaves or not. What it computes
    from those alone, not from its arguments, is kept and not computed again; so is all it computes
    if values with forward-mode tangents may be around.

    >>> import wengert as wg
    >>> weight = wg.tensor(2.0, requires_grad=True)
    >>> x = wg.tensor(3.0, requires_grad=True)
    >>> y = wg.checkpoint(lambda x: wg.sin(weight * x) ** 2, x)
    >>> y.backward()
    >>> expected = wg.sin(wg.tensor(12.0))  # d/dw sin(w x)**2 = x sin(2 w x)
    >>> bool(wg.abs(weight.grad - 3 * expected) < 1e-12)
    True
    """
    del use_reentrant, debug, early_stop
    if determinism_check not in ("default", "none"):
        raise ValueError(
            f"checkpoint: determinism_check must be 'default' or 'none', got {determinism_check!r}"
        )
    if not _core.is_grad_enabled() or _core.change_dual_level(0) > 0:
        return function(*args, **kwargs)
    contexts = context_fn() if context_fn else None
    run = _Run(function, args, kwargs, preserve_rng_state, determinism_check, contexts)
    return _checkpointed(run, linked=True)
