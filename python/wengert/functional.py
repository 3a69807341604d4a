"""Derivatives of functions: transforms that take a function and give a function or a derivative."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from wengert import _core
from wengert._core import Tensor
from wengert.creation import zeros, zeros_like
from wengert.grad_mode import enable_grad


def _variable(x: Any) -> Tensor:
    """A leaf with the value of `x`; what `x` itself was computed from is not followed."""
    source = x if isinstance(x, Tensor) else _core.tensor(x)
    if not source.dtype.is_floating_point:
        source = source.astype("float64")
    return source.detach().clone().requires_grad_()


def _linked_variable(x: Any) -> Tensor:
    """The same, but part of the graph of `x`, so that derivatives of derivatives go through."""
    if isinstance(x, Tensor) and x.requires_grad:
        return x.clone()
    return _variable(x)


def _require_tensor(output: Any, name: str) -> Tensor:
    if not isinstance(output, Tensor):
        raise TypeError(f"{name}: the function must return a Tensor, got {type(output).__name__}")
    return output


def _require_scalar(output: Any, name: str) -> Tensor:
    result = _require_tensor(output, name)
    if result.size != 1:
        raise ValueError(
            f"{name}: the function must return one number, got shape {result.shape}; use jacobian"
        )
    return result


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns what `f` returns and its gradient.

    Parameters
    ----------
    f : callable
        Returns one number (a Tensor of one element); with `has_aux` a pair of that and anything.
    argnums : int or sequence of int
        The arguments to differentiate by; a sequence gives a tuple of gradients.
    has_aux : bool

    >>> import wengert as wg
    >>> value, slope = wg.value_and_grad(lambda x: x**3)(2.0)
    >>> value.item(), slope.item()
    (8.0, 12.0)
    """
    several = not isinstance(argnums, int)
    positions = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)

    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        arguments = list(args)
        recording = _core.is_grad_enabled()
        for i in positions:
            arguments[i] = _linked_variable(arguments[i])
        variables = [arguments[i] for i in positions]
        with enable_grad():
            returned = f(*arguments, **kwargs)
            output = _require_scalar(returned[0] if has_aux else returned, "grad")
            recording = recording and _core.depends_on_others(output, variables)
            grads = _grads(output, variables, create_graph=recording)
        value: Any = output if recording else output.detach()
        if has_aux:
            value = (value, returned[1])
        return value, (tuple(grads) if several else grads[0])

    return evaluated


def _grads(
    output: Tensor,
    variables: Sequence[Tensor],
    grad_output: Tensor | None = None,
    create_graph: bool = False,
    retain_graph: bool = False,
) -> list[Tensor]:
    if not output.requires_grad:  # constant
        return [zeros_like(v) for v in variables]
    results = _core.run_backward(
        [output], [grad_output], variables, retain_graph or create_graph, create_graph, False
    )
    return [zeros_like(v) if g is None else g for v, g in zip(variables, results, strict=True)]


def grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the gradient of `f`; see `value_and_grad`.

    >>> import wengert as wg
    >>> wg.grad(wg.grad(wg.sin))(0.5).item() == -wg.sin(0.5).item()
    True
    """
    both = value_and_grad(f, argnums, has_aux)

    @functools.wraps(f)
    def gradient(*args: Any, **kwargs: Any) -> Any:
        value, grads = both(*args, **kwargs)
        return (grads, value[1]) if has_aux else grads

    return gradient


def vjp(f: Callable[..., Any], *primals: Any) -> tuple[Tensor, Callable[[Any], tuple[Tensor, ...]]]:
    """The value of `f` at `primals`, and the function that pulls a cotangent back through it.

    Pulling back is the product of the cotangent with the Jacobian of `f`, for each primal.

    >>> import wengert as wg
    >>> value, pull = wg.vjp(wg.sin, 0.0)
    >>> pull(2.0)
    (tensor(2.),)
    """
    recording = _core.is_grad_enabled()
    with enable_grad():
        variables = [_linked_variable(p) for p in primals]
        output = _require_tensor(f(*variables), "vjp")
    recording = recording and _core.depends_on_others(output, variables)

    def pull(cotangent: Any) -> tuple[Tensor, ...]:
        given = isinstance(cotangent, Tensor)
        g = cotangent if given else _core.tensor(cotangent, dtype=output.dtype)
        record = recording or (_core.is_grad_enabled() and g.requires_grad)
        return tuple(_grads(output, variables, g, record, retain_graph=True))

    return (output if recording else output.detach()), pull


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any]
) -> tuple[Tensor, Tensor]:
    """The value of `f` at `primals` and its directional derivative along `tangents`.

    One evaluation in forward mode, without a graph.

    >>> import wengert as wg
    >>> value, slope = wg.jvp(wg.sin, (0.0,), (3.0,))
    >>> slope.item()
    3.0
    """
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: got {len(primals)} primals and {len(tangents)} tangents")
    level = _core.change_dual_level(1)
    try:
        duals = []
        for primal, tangent in zip(primals, tangents, strict=True):
            p = _floating(primal)
            t = _floating(tangent, p.dtype)
            if p.shape != t.shape:
                raise ValueError(f"jvp: a primal has shape {p.shape}, its tangent {t.shape}")
            duals.append(_core.make_dual(p, t, level))
        output = _require_tensor(f(*duals), "jvp")
        value, slope = _core.unpack_dual(output, level)
    finally:
        _core.change_dual_level(-1)
    return value, zeros_like(value) if slope is None else slope


def _floating(x: Any, dtype: Any = None) -> Tensor:
    value = x if isinstance(x, Tensor) else _core.tensor(x)
    if dtype is not None:
        return value.astype(dtype)
    return value if value.dtype.is_floating_point else value.astype("float64")


def jacobian(f: Callable[[Any], Any], x: Any, create_graph: bool = False) -> Tensor:
    """All first derivatives of `f` at `x`: shape f(x).shape + x.shape.

    Parameters
    ----------
    f : callable
        From one tensor to one tensor.
    x : tensor or array
    create_graph : bool
        Make the result differentiable.

    >>> import wengert as wg
    >>> def f(x):
    ...     return wg.stack([x[0] * x[1], x[1] ** 2, x[2] + x[0]])
    >>> wg.jacobian(f, wg.tensor([1.0, 2.0, 3.0])).tolist()
    [[2.0, 1.0, 0.0], [0.0, 4.0, 0.0], [1.0, 0.0, 1.0]]
    """
    recording = _core.is_grad_enabled()
    with enable_grad():
        variable = _linked_variable(x)
        output = _require_tensor(f(variable), "jacobian")
        recording = recording and _core.depends_on_others(output, [variable])
        create_graph = create_graph or recording
        flat = _core.flatten(output)
        rows = [
            _grads(flat[i], [variable], create_graph=create_graph, retain_graph=True)[0]
            for i in range(flat.size)
        ]
        if not rows:
            return zeros(output.shape + variable.shape, dtype=variable.dtype)
        return _core.reshape(_core.stack(rows), output.shape + variable.shape)


def hessian(f: Callable[[Any], Any], x: Any) -> Tensor:
    """All second derivatives of a function of one number at `x`: shape x.shape + x.shape.

    >>> import wengert as wg
    >>> wg.hessian(lambda x: (x**3).sum(), wg.tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    """
    return jacobian(_differentiable_gradient(f), x)


def _differentiable_gradient(f: Callable[[Any], Any]) -> Callable[[Any], Tensor]:
    def gradient(x: Tensor) -> Tensor:
        output = _require_scalar(f(x), "hessian")
        return _grads(output, [x], create_graph=True)[0]

    return gradient


def hvp(f: Callable[[Any], Any], x: Any, v: Any) -> Tensor:
    """The product of the Hessian of `f` at `x` with a vector `v` of x's shape.

    >>> import wengert as wg
    >>> wg.hvp(lambda x: (x**3).sum(), [1.0, 2.0], [1.0, 1.0]).tolist()
    [6.0, 12.0]
    """
    recording = _core.is_grad_enabled()
    with enable_grad():
        variable = _linked_variable(x)
        vector = _floating(v, variable.dtype)
        gradient = _differentiable_gradient(f)(variable)
        recording = recording and (
            vector.requires_grad or _core.depends_on_others(gradient, [variable])
        )
        return _grads(gradient, [variable], vector, create_graph=recording)[0]
