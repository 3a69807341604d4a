"""Operations of your own: `Function`."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from wengert import _core
from wengert._core import FunctionContext, Tensor
from wengert.grad_mode import no_grad

__all__ = ["Function", "FunctionContext", "FunctionCtx", "once_differentiable"]

FunctionCtx = FunctionContext  # PyTorch's name


class Function:
    """An operation with a derivative of your own.

    Subclass it with two static methods and call `apply`: `forward(ctx, *args)` computes the
    result, unrecorded; `backward(ctx, *grad_outputs)` returns the gradient of each argument of
    `forward` (None where there is none). Or split `forward(*args)` and
    `setup_context(ctx, inputs, output)`. With a third static method, `jvp(ctx, *tangents)`, the
    operation has a forward-mode derivative too.

    A `backward` written with operations on tensors can itself be differentiated. What `forward`
    kept other than its inputs and outputs is no part of the graph: a second derivative that would
    have to pass through such a tensor raises.

    What is left in `ctx` can be read, and written, at the result's `grad_fn` too, and `ctx` has
    what a node has once the call is recorded: `name()`, `next_functions`, `metadata` and hooks.

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
    >>> y.grad_fn.saved_tensors
    (tensor(3., requires_grad=True),)
    >>> y.backward()
    >>> y.item(), x.grad.item()
    (9.0, 6.0)
    """

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: there are no instances, the methods are static."""
        del args, kwargs
        name = type(self).__name__
        raise RuntimeError(
            f"{name}: methods of a Function are static; call {name}.apply, without making an "
            "instance"
        )

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """Compute the result; override it.

        Parameters
        ----------
        ctx : FunctionContext
            Unless `setup_context` is overridden.
        *args, **kwargs
            What `apply` was given.

        Returns
        -------
        Tensor or tuple
            Of any shapes; what is no tensor in the tuple is passed through. An input changed in
            place must be returned and given to `ctx.mark_dirty`.
        """
        raise NotImplementedError(
            "You must implement the forward function for custom autograd.Function."
        )

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Any) -> None:
        """Leave what `backward` needs in `ctx`; override it if `forward` takes no ctx."""
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """Compute the gradients of the inputs; override it.

        Parameters
        ----------
        ctx : FunctionContext
        *grad_outputs : Tensor
            For each output, of its shape.

        Returns
        -------
        Tensor or None, or a tuple of them
            For each argument of `forward`, of its shape.
        """
        raise NotImplementedError(
            "You must implement the backward method for your custom autograd.Function (or vjp, "
            "its other name) to use it with backward()."
        )

    vjp = backward

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """Compute the tangents of the outputs; override it for forward mode.

        Parameters
        ----------
        ctx : FunctionContext
            `ctx.saved_tensors` gives what `ctx.save_for_forward` was given, if it was called.
        *grad_inputs : Tensor or None
            For each argument of `forward`, its tangent; None for what is no tensor.

        Returns
        -------
        Tensor or None, or a tuple of them
            For each output, of its shape; None is zero.

        >>> import wengert as wg
        >>> class Square(wg.Function):
        ...     @staticmethod
        ...     def forward(ctx, x):
        ...         ctx.save_for_forward(x)
        ...         return x * x
        ...     @staticmethod
        ...     def jvp(ctx, tangent):
        ...         (x,) = ctx.saved_tensors
        ...         return 2 * x * tangent
        >>> wg.jvp(Square.apply, (wg.tensor(3.0),), (wg.tensor(1.0),))
        (tensor(9.), tensor(6.))
        """
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with "
            "forward mode AD."
        )

    apply = classmethod(_core.apply_function)

    @classmethod
    def _bound_arguments(cls, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
        bound = inspect.signature(cls.forward).bind(*args, **kwargs)
        bound.apply_defaults()
        if bound.kwargs:
            raise TypeError(
                f"{cls.__name__}.forward: with setup_context there can be no keyword-only "
                f"arguments, but it has {', '.join(bound.kwargs)}"
            )
        return bound.args


_core.set_function_base(Function)


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

    checked._once_differentiable = True  # type: ignore[attr-defined]
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
