"""The methods of Tensor that are written in Python."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from wengert import _core, autograd, interop
from wengert._core import Tensor
from wengert.autograd import _hook_order
from wengert.devices import device
from wengert.grad_mode import no_grad


def _backward(
    self: Tensor,
    gradient: Any = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | dict[Any, Tensor] | None = None,
) -> None:
    """Add the gradient of this tensor into the `grad` of every leaf; see `autograd.backward`.

    >>> import wengert as wg
    >>> w = wg.tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> w.grad
    tensor([2., 4.])
    """
    if inputs is None and (gradient is None or type(gradient) is Tensor):  # without detours
        keep = create_graph if retain_graph is None else retain_graph
        _core.run_backward((self,), (gradient,), None, keep, create_graph, True)
    else:
        autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


def _register_hook(self: Tensor, hook: Callable[[Tensor], Any]) -> _core.HookHandle:
    """Call `hook` with the gradient of this tensor whenever a pass computes it.

    What it returns, if not None, replaces the gradient. Returns a handle with `remove()`.
    """
    return _core.register_hook(self, _hook_order.guarded(hook), False)


def _register_post_accumulate_grad_hook(
    self: Tensor, hook: Callable[[Tensor], Any]
) -> _core.HookHandle:
    """Call `hook` with this leaf after a pass has added to its `grad`."""
    return _core.register_hook(self, hook, True)


def _zero_grad(self: Tensor, set_to_none: bool = True) -> None:
    """Forget the gradient gathered so far, as PyTorch's optimisers do between steps.

    Parameters
    ----------
    set_to_none : bool
        Leave None (the default). If False, a gradient that is there becomes zeros in place, so
        that whoever else holds it sees them; the graph of a recorded one is let go.

    >>> import wengert as wg
    >>> w = wg.tensor(3.0, requires_grad=True)
    >>> for _ in range(2):
    ...     w.zero_grad()
    ...     (w * w).backward()
    >>> w.grad
    tensor(6.)
    """
    if set_to_none or self.grad is None:
        self.grad = None
        return
    if self.grad.requires_grad:
        self.grad = self.grad.detach()
    with no_grad():
        self.grad.zero_()


def _repr(self: Tensor) -> str:
    array = self.detach().numpy()
    prefix = "tensor("
    text = np.array2string(array, separator=", ", prefix=prefix)
    parts = [text]
    if self.dtype.name not in ("float64", "int64", "bool"):
        parts.append(f"dtype={self.dtype!r}")
    if self.grad_fn is not None:
        parts.append(f"grad_fn=<{self.grad_fn.name()}>")
    elif self.requires_grad:
        parts.append("requires_grad=True")
    return f"{prefix}{', '.join(parts)})"


def _format(self: Tensor, spec: str) -> str:
    if self.ndim == 0:
        return format(self.item(), spec)
    if spec:
        raise TypeError(
            f"unsupported format string for a tensor of shape {self.shape}: format its elements"
        )
    return repr(self)


def _array(self: Tensor, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
    array = self.numpy()
    if dtype is not None and array.dtype != dtype:
        return array.astype(dtype)
    return array.copy() if copy else array


def _to(self: Tensor, *args: Any, **kwargs: Any) -> Tensor:
    """Converted to a dtype, or to that of a tensor; itself if it has that dtype.

    A device may be named, too, in PyTorch's ways (`x.to("cpu")`, `x.to("cpu", dtype)`): there is
    only one.

    >>> import wengert as wg
    >>> wg.tensor([1, 2]).to("cpu", wg.float32)
    tensor([1., 2.], dtype=wengert.float32)
    """
    dtype = kwargs.pop("dtype", None)
    for given in (*args, kwargs.pop("device", None), kwargs.pop("other", None)):
        if isinstance(given, Tensor):
            dtype = given.dtype
        elif isinstance(given, device) or str(given).startswith(_DEVICES):
            _core.require_cpu(given)
        elif given is not None:
            dtype = given
    if kwargs:
        raise TypeError(f"to: unexpected keyword {next(iter(kwargs))!r}; expected dtype or device")
    return self if dtype is None else self.astype(dtype)


def _cpu(self: Tensor) -> Tensor:
    """The tensor itself: there is no other device."""
    return self


def _is_inference(self: Tensor) -> bool:
    """Whether `inference_mode` has marked the tensor: it marks none, so this is False."""
    del self
    return False


def _type_as(self: Tensor, other: Tensor) -> Tensor:
    """Converted to the dtype of another tensor."""
    return self.astype(other.dtype)


def _conversion(dtype: Any) -> Callable[[Tensor], Tensor]:
    def convert(self: Tensor) -> Tensor:
        return self.astype(dtype)

    convert.__doc__ = f"Converted to {dtype.name}."
    return convert


def _rebuild(array: np.ndarray[Any, Any], requires_grad: bool) -> Tensor:
    return _core.tensor(array, requires_grad=requires_grad)


def _rebuild_subclass(kind: Any, array: np.ndarray[Any, Any], requires_grad: bool) -> Tensor:
    # Without its __init__, which may take other arguments; the attributes follow as its state.
    rebuilt: Tensor = _core.tensor(array).as_subclass(kind)
    return rebuilt.requires_grad_(requires_grad)


def _refuse_non_leaf(self: Tensor, what: str) -> None:
    if not self.is_leaf:
        raise RuntimeError(
            f"Only Tensors created explicitly by the user (graph leaves) support {what}; this one "
            f"was computed by '{self.grad_fn.operation if self.grad_fn else '?'}': use detach() or "
            "clone()"
        )


def _reduce_ex(self: Tensor, protocol: int) -> tuple[Any, ...]:
    del protocol
    _refuse_non_leaf(self, "pickling and the deepcopy protocol at the moment")
    if _core.has_hooks(self):
        warnings.warn(
            f"the hooks on a tensor of shape {self.shape} are not pickled; register them again on "
            "what is loaded",
            stacklevel=2,
        )
    return _reduced(self)


def _reduced(self: Tensor) -> tuple[Any, ...]:
    array = self.detach().numpy()
    if type(self) is Tensor:
        return _rebuild, (array, self.requires_grad)
    return _rebuild_subclass, (type(self), array, self.requires_grad), self.__dict__ or None


def _deepcopied(x: Any, memo: dict[int, Any]) -> Any:
    import copy  # noqa: PLC0415  (few programs need it)

    return copy.deepcopy(x, memo)


def _copied_view(self: Tensor, memo: dict[int, Any]) -> Tensor | None:
    """The same part of the copied owner; None if it is no view, or of one that cannot be copied."""
    base = self._base
    if base is None or not base.is_leaf or not base.is_contiguous() or self.size == 0:
        return None
    memory, part = base.detach().numpy(), self.detach().numpy()
    owner: Tensor = _deepcopied(base, memo).detach()
    step = part.__array_interface__["data"][0] - memory.__array_interface__["data"][0]
    first = owner[np.unravel_index(step // memory.itemsize, memory.shape)]
    if self.ndim > 0:
        at_first = first.detach().numpy()
        strided = np.lib.stride_tricks.as_strided(at_first, part.shape, part.strides)
        first = _core.from_numpy(strided)
    return first.as_subclass(type(self)).requires_grad_(self.requires_grad)


def _deepcopy(self: Tensor, memo: dict[int, Any]) -> Tensor:
    _refuse_non_leaf(self, "the deepcopy protocol at the moment")
    if id(self) in memo:
        already: Tensor = memo[id(self)]
        return already
    copied = _copied_view(self, memo)
    if copied is None:
        rebuilt = _reduced(self)
        copied = rebuilt[0](*rebuilt[1])
    memo[id(self)] = copied
    if attributes := getattr(self, "__dict__", None):
        copied.__dict__.update(_deepcopied(attributes, memo))
    if self.grad is not None:
        copied.grad = self.grad.detach().clone()
    return copied


def _copy(self: Tensor) -> Tensor:
    if not self.is_leaf:
        return self
    copied = self.detach().as_subclass(type(self)).requires_grad_(self.requires_grad)
    if attributes := getattr(self, "__dict__", None):
        copied.__dict__.update(attributes)
    return copied


_CPU = device()
_DEVICES = ("cpu", "cuda", "mps", "xpu", "meta")

_METHODS: dict[str, Any] = {
    "backward": _backward,
    "zero_grad": _zero_grad,
    "register_hook": _register_hook,
    "register_post_accumulate_grad_hook": _register_post_accumulate_grad_hook,
    "to": _to,
    "cpu": _cpu,
    "device": property(lambda _: _CPU, doc="Where the elements lie: the processor."),
    "type_as": _type_as,
    "is_inference": _is_inference,
    "float": _conversion(_core.float32),
    "double": _conversion(_core.float64),
    "int": _conversion(_core.int32),
    "long": _conversion(_core.int64),
    "bool": _conversion(_core.bool),
    "__repr__": _repr,
    "__format__": _format,
    "__array__": _array,
    "__array_ufunc__": interop.array_ufunc,
    "__array_function__": interop.array_function,
    "__reduce_ex__": _reduce_ex,
    "__deepcopy__": _deepcopy,
    "__copy__": _copy,
}

for _name, _method in _METHODS.items():
    if hasattr(_method, "__name__") and not _name.startswith("__"):
        _method.__name__ = _name
        _method.__qualname__ = f"Tensor.{_name}"
    setattr(Tensor, _name, _method)
