"""The graph behind tensors: nodes, edges, and hooks on what operations save.

>>> import wengert as wg
>>> x = wg.tensor(2.0, requires_grad=True)
>>> y = wg.exp(3 * x)
>>> y.grad_fn.name(), [node.name() for node, _ in y.grad_fn.next_functions]
('ExpBackward', ['MultiplyBackward'])
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Literal, NamedTuple

from wengert import _core
from wengert._core import HookHandle, Node, Tensor
from wengert.autograd import _hook_order

__all__ = [
    "GradientEdge",
    "Node",
    "allow_mutation_on_saved_tensors",
    "disable_saved_tensors_hooks",
    "get_gradient_edge",
    "increment_version",
    "register_multi_grad_hook",
    "save_on_cpu",
    "saved_tensors_hooks",
]


class saved_tensors_hooks:  # noqa: N801  (PyTorch's name)
    """Decide in what form operations keep values for the backward pass.

    Parameters
    ----------
    pack_hook : callable
        Called with each tensor that an operation saves, when it is recorded. What it returns is
        kept in the place of the tensor: a name of a file, an array of less precision, anything.
        It must not change the tensor.
    unpack_hook : callable
        Called with what `pack_hook` returned, each time a backward pass needs the value. Returns
        a tensor of the same shape and dtype.

    Raises
    ------
    RuntimeError
        On recording, if the pack hook changes its argument in place. In the backward pass, if
        the unpack hook returns another shape or dtype, or memory that was written to since.
    TypeError
        If the unpack hook returns no tensor.

    Notes
    -----
    For the current thread, until the end of the block. Of nested pairs the innermost is used. An
    operation's own result is given without its graph, so that keeping it as it is makes no cycle.
    Arrays of indices (`x[rows]`, `x[rows] = v`) are packed as int64 tensors of the indices, a
    mask in `x[mask]` as those of what is true. A Python number is no saved tensor.

    >>> import wengert as wg
    >>> names = []
    >>> def pack(tensor):
    ...     names.append(tensor.shape)
    ...     return tensor.detach().float()
    >>> def unpack(packed):
    ...     return packed.double()
    >>> x = wg.tensor([1.0, 2.0], requires_grad=True)
    >>> with wg.autograd.graph.saved_tensors_hooks(pack, unpack):
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> names, x.grad
    ([(2,), (2,)], tensor([2., 4.]))
    """

    def __init__(
        self, pack_hook: Callable[[Tensor], Any], unpack_hook: Callable[[Any], Tensor]
    ) -> None:
        self.pack_hook = pack_hook
        self.unpack_hook = unpack_hook

    def __enter__(self) -> None:
        _core.push_saved_tensors_hooks(self.pack_hook, self.unpack_hook)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        _core.pop_saved_tensors_hooks()


class save_on_cpu(saved_tensors_hooks):  # noqa: N801  (PyTorch's name)
    """Keep copies of what operations save, in main memory, where everything is here.

    Saved tensors may be written to in place meanwhile, as with `allow_mutation_on_saved_tensors`.

    Parameters
    ----------
    pin_memory, device_type
        Accepted for PyTorch's sake.

    >>> import wengert as wg
    >>> x = wg.tensor([1.0, 2.0], requires_grad=True)
    >>> with wg.autograd.graph.save_on_cpu():
    ...     y = (x * x).sum()
    >>> y.backward()
    >>> x.grad
    tensor([2., 4.])
    """

    def __init__(self, pin_memory: bool = False, device_type: str = "cpu") -> None:
        del pin_memory, device_type
        super().__init__(_detached_copy, _unchanged)


def _detached_copy(tensor: Tensor) -> Tensor:
    return tensor.detach().clone()


def _unchanged(tensor: Tensor) -> Tensor:
    return tensor


@contextmanager
def allow_mutation_on_saved_tensors() -> Generator[None, None, None]:
    """Let tensors that operations have saved be written to in place.

    What is recorded inside the block keeps copies of what it saves, made at once (PyTorch makes
    them when a tensor is written to), so backward passes see the values from before the write.

    >>> import wengert as wg
    >>> x = wg.tensor([1.0, 2.0], requires_grad=True)
    >>> with wg.autograd.graph.allow_mutation_on_saved_tensors():
    ...     y = 2 * x
    ...     z = (y * y).sum()
    ...     _ = y.mul_(0.0)
    ...     z.backward()
    >>> x.grad
    tensor([ 8., 16.])
    """
    with saved_tensors_hooks(_detached_copy, _unchanged):
        yield


def increment_version(tensor: Tensor | Iterable[Tensor]) -> None:
    """Count a tensor, or several, as written to in place, as code that wrote to its memory should.

    A backward pass that needs the value from before raises then.

    >>> import wengert as wg
    >>> x = wg.tensor([1.0, 2.0])
    >>> x.numpy()[0] = 5.0
    >>> wg.autograd.graph.increment_version(x)
    >>> x._version
    1
    """
    for each in (tensor,) if isinstance(tensor, Tensor) else tensor:
        _core.increment_version(each)


@contextmanager
def disable_saved_tensors_hooks(error_message: str) -> Generator[None, None, None]:
    """Refuse `saved_tensors_hooks` in this thread until the end of the block.

    Parameters
    ----------
    error_message : str
        Of the RuntimeError for whoever uses them meanwhile, or has them on already.

    >>> import wengert as wg
    >>> with wg.autograd.graph.disable_saved_tensors_hooks("not here"):
    ...     with wg.autograd.graph.saved_tensors_hooks(lambda x: x, lambda x: x):
    ...         pass
    Traceback (most recent call last):
    RuntimeError: not here
    """
    before = _core.disable_saved_tensors_hooks(error_message)
    try:
        yield
    finally:
        _core.disable_saved_tensors_hooks(before)


class _Handles:
    """Removes several hooks."""

    def __init__(self, handles: Sequence[HookHandle]) -> None:
        self._handles = tuple(handles)

    def remove(self) -> None:
        """Remove the hook; a second time does nothing."""
        for handle in self._handles:
            handle.remove()

    def __enter__(self) -> _Handles:
        return self

    def __exit__(self, *error: object) -> None:
        self.remove()


class _Gathering:
    """The gradients of several tensors in one pass."""

    def __init__(self, number: int, waits_for: int, count: int) -> None:
        self.number = number
        self.waits_for = waits_for
        self.grads: list[Tensor | None] = [None] * count


class _ByThread(threading.local):
    def __init__(self) -> None:
        self.passes: list[_Gathering] = []  # a pass within a pass comes after it


class _AllGradients:
    def __init__(self, tensors: tuple[Tensor, ...], function: Callable[..., Any]) -> None:
        # Not the tensors: their hooks would keep them alive. A pass that comes here has them.
        self._nodes = [_core.node_of(tensor) for tensor in tensors]
        self._function = function
        self._here = _ByThread()

    def received(self, i: int, grad: Tensor | None) -> None:
        gathering = self._gathering(i)
        gathering.grads[i] = grad
        gathering.waits_for -= 1
        if gathering.waits_for == 0:
            self._here.passes.remove(gathering)
            self._function(tuple(gathering.grads))

    def _gathering(self, i: int) -> _Gathering:
        number = _core.current_pass()
        passes = self._here.passes
        passes[:] = [p for p in passes if _core.is_running(p.number)]  # others ended by an error
        if not passes or passes[-1].number != number:
            own = self._nodes[i]
            waits_for = sum(node == own or _core.pass_awaits(node) for node in self._nodes)
            passes.append(_Gathering(number, waits_for, len(self._nodes)))
        return passes[-1]


class _FirstGradient:
    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function
        self._here = threading.local()

    def received(self, grad: Tensor) -> None:
        number = _core.current_pass()
        seen = [p for p in getattr(self._here, "passes", ()) if _core.is_running(p)]
        if number not in seen:
            self._here.passes = [*seen, number]
            self._function(grad)


def register_multi_grad_hook(
    tensors: Sequence[Tensor],
    fn: Callable[..., Any],
    *,
    mode: Literal["all", "any"] = "all",
) -> _Handles:
    """Call a function once a backward pass has the gradients of several tensors.

    Parameters
    ----------
    tensors : sequence of Tensor
        All of them must require grad.
    fn : callable
        With mode "all", called with a tuple of the gradients when the pass has all those that it
        computes, None for those that it does not reach or that get none. With mode "any", called
        with the first gradient. What it returns is ignored.
    mode : {"all", "any"}

    Returns
    -------
    handle
        With a method `remove`.

    >>> import wengert as wg
    >>> a, b = wg.tensor(2.0, requires_grad=True), wg.tensor(3.0, requires_grad=True)
    >>> handle = wg.autograd.graph.register_multi_grad_hook((a, b), print)
    >>> (a * b).backward()
    (tensor(3.), tensor(2.))
    """
    if mode not in ("all", "any"):
        raise ValueError(f"Expects mode to be one of ('all', 'any') but got {mode}")
    given = tuple(tensors)
    for i, tensor in enumerate(given):
        if not tensor.requires_grad:
            raise RuntimeError(
                f"register_multi_grad_hook: element {i} of tensors does not require grad, so no "
                "pass computes a gradient of it"
            )
    if mode == "any":
        first = _FirstGradient(fn)
        return _Handles([tensor.register_hook(first.received) for tensor in given])
    gathered = _AllGradients(given, fn)

    def receiver(i: int) -> Callable[[Tensor | None], None]:
        receive: Callable[[Tensor | None], None] = _hook_order.guarded(
            lambda grad: gathered.received(i, grad)
        )
        return receive

    return _Handles(
        [_core.register_hook(t, receiver(i), False, also_none=True) for i, t in enumerate(given)]
    )


class GradientEdge(NamedTuple):
    """A place in the graph where a gradient arrives.

    Attributes
    ----------
    node : Node
    output_nr : int
        Which of the node's results; here each result has a node of its own, so always 0.
    """

    node: Node
    output_nr: int


def get_gradient_edge(tensor: Tensor) -> GradientEdge:
    """The edge along which the gradient of a tensor arrives.

    `autograd.backward` and `autograd.grad` take it in the place of the tensor, whose value need
    not be kept for that.

    Raises
    ------
    RuntimeError
        If the tensor does not require grad.

    >>> import wengert as wg
    >>> x = wg.tensor(2.0, requires_grad=True)
    >>> y = x * x
    >>> edge = wg.autograd.graph.get_gradient_edge(y)
    >>> wg.autograd.grad(3 * y, edge)
    (tensor(3.),)
    """
    if not tensor.requires_grad:
        raise RuntimeError(
            "It is not possible to get the gradient edge for a Tensor that does not require "
            f"gradients; this one has shape {tensor.shape}"
        )
    return GradientEdge(_core.node_of(tensor), 0)
