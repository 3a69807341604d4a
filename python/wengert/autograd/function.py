"""Operations of your own: `Function`."""

import functools
from collections.abc import Callable
from typing import Any

from wengert import _core
from wengert._core import Tensor
from wengert.grad_mode import no_grad


class _Output:
    """Stands for an output among the saved tensors: keeping the tensor itself would be a cycle."""

    __slots__ = ("position",)

    def __init__(self, position: int) -> None:
        self.position = position


class FunctionContext:
    """What `forward` leaves for `backward`.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        For each argument of `apply`, whether its gradient is wanted.
    """

    def __init__(self, function: "type[Function]", args: tuple[Any, ...]) -> None:
        self._function = function
        self._saved: list[Any] | None = []
        self._outputs: tuple[Any, ...] = ()
        self._non_differentiable: tuple[Any, ...] = ()
        self._materialize_grads = True
        self._has_packed = False
        self.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (inputs, outputs or others) for `backward`, guarded against changes."""
        for tensor in tensors:
            if tensor is not None and not isinstance(tensor, Tensor):
                raise TypeError(
                    "save_for_backward can only save tensors, but one argument is of type "
                    f"'{type(tensor).__name__}'; set it as an attribute of ctx"
                )
        self._saved = list(tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What `save_for_backward` was given."""
        if self._saved is None:
            raise RuntimeError(
                "Trying to backward through the graph a second time (or directly access saved "
                "tensors after they have already been freed): "
                f"'{self._function.__name__}' has freed its saved tensors; pass "
                "retain_graph=True to the first backward"
            )
        return tuple(self._given_back(saved) for saved in self._saved)

    def _given_back(self, saved: Any) -> Any:
        if isinstance(saved, _Output):
            return self._outputs[saved.position]
        return saved.unpack() if isinstance(saved, _core.SavedTensor) else saved

    def mark_non_differentiable(self, *outputs: Tensor) -> None:
        """Say that outputs have no gradient."""
        self._non_differentiable = outputs

    def set_materialize_grads(self, value: bool) -> None:
        """Whether `backward` gets zeros (the default) or None for outputs that were not used."""
        self._materialize_grads = bool(value)

    # What the compiled core calls.

    def _settle(self, outputs: tuple[Any, ...]) -> None:
        assert self._saved is not None
        for i, saved in enumerate(self._saved):
            for position, output in enumerate(outputs):
                if saved is output and saved is not None:
                    self._saved[i] = _Output(position)
        if _core.packs_saved_tensors():  # outputs are packed with the graph
            for i, saved in enumerate(self._saved):
                if isinstance(saved, Tensor) and _core.node_of(saved).has_value:
                    self._saved[i] = _core.SavedTensor(saved)
                    self._has_packed = True

    def _saved_inputs(self) -> list[Tensor]:
        return [saved for saved in self._saved or () if isinstance(saved, Tensor)]

    def _saved_positions(self) -> list[int]:
        return [saved.position for saved in self._saved or () if isinstance(saved, _Output)]

    def _free(self) -> None:
        self._saved = None


class Function:
    """An operation with a derivative of your own.

    Subclass it with two static methods and call `apply`: `forward(ctx, *args)` computes the
    result, unrecorded; `backward(ctx, *grad_outputs)` returns the gradient of each argument of
    `forward` (None where there is none). Or split `forward(*args)` and
    `setup_context(ctx, inputs, output)`.

    A `backward` written with operations on tensors can itself be differentiated.

    >>> import wengert as wg
    >>> class Square(wg.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...     @staticmethod
    ...     def backward(ctx, grad_output):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * grad_output
    >>> x = wg.tensor(3.0, requires_grad=True)
    >>> y = Square.apply(x)
    >>> y.backward()
    >>> y.item(), x.grad.item()
    (9.0, 6.0)
    """

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; override it."""
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Leave what `backward` needs in `ctx`; override it if `forward` takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the inputs; override it."""
        raise NotImplementedError(
            "You must implement the backward method for your custom autograd.Function to use it "
            "with backward()."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Compute the result and record the call.

        Parameters
        ----------
        *args, **kwargs
            Whatever `forward` takes; only tensors among `args` get gradients.
        """
        for name, value in kwargs.items():
            if isinstance(value, Tensor) and value.requires_grad:
                raise TypeError(
                    f"{cls.__name__}.apply: the tensor {name}= requires grad, which only arguments "
                    "without a keyword can get; pass it by position"
                )
        level = _core.change_dual_level(0)
        if level:
            _refuse_tangents(cls, args, level)
        context = FunctionContext(cls, args)
        with no_grad():
            if cls.setup_context is Function.setup_context:
                returned = cls.forward(context, *args, **kwargs)
            else:
                returned = cls.forward(*args, **kwargs)
                cls.setup_context(context, args, returned)
        if isinstance(returned, list):
            returned = tuple(returned)
        context._settle(returned if isinstance(returned, tuple) else (returned,))
        return _core.apply_function(context, args, returned)


def _refuse_tangents(function: type[Function], args: tuple[Any, ...], level: int) -> None:
    # Without this the tangents would be lost, and the derivative zero.
    for arg in args:
        if not isinstance(arg, Tensor):
            continue
        if any(_core.unpack_dual(arg, k)[1] is not None for k in range(1, level + 1)):
            raise RuntimeError(
                f"{function.__name__}: has no forward-mode derivative; use reverse mode, or write "
                "the function with operations on tensors"
            )


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a `backward` that cannot be differentiated: a second derivative raises."""

    @functools.wraps(backward)
    def checked(ctx: Any, *grad_outputs: Any) -> Any:
        recording = _core.is_grad_enabled()
        with no_grad():
            results = backward(ctx, *grad_outputs)
        if not recording:
            return results
        several = results if isinstance(results, tuple) else (results,)
        # All that the results may depend on leads to the refusal: they cannot pass for constants.
        sources = (*grad_outputs, *ctx.saved_tensors, _core.tensor(0.0, requires_grad=True))
        refused = tuple(
            _NotDifferentiable.apply(r, *sources) if isinstance(r, Tensor) else r for r in several
        )
        return refused if isinstance(results, tuple) else refused[0]

    return checked


class _NotDifferentiable(Function):
    @staticmethod
    def forward(ctx: Any, result: Tensor, *sources: Any) -> Tensor:
        del ctx, sources
        return result.clone()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        del ctx, grad_outputs
        raise RuntimeError(
            "trying to differentiate twice a function that was marked with @once_differentiable"
        )
