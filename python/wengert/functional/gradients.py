"""Transforms in reverse mode: gradients, and products with the Jacobian from the left."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from wengert import _core, tree
from wengert.functional import _variables
from wengert.functional._variables import Arguments
from wengert.grad_mode import enable_grad


def value_and_grad(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., tuple[Any, Any]]:
    """A function that returns what `f` returns and its gradient.

    Parameters
    ----------
    f : callable
        Returns one number (a Tensor of one element); with `has_aux` a pair of that and anything.
    argnums : int or sequence of int
        The arguments to differentiate by; a sequence gives a tuple of gradients. An argument may
        be a tensor, or a tuple, list or dict of tensors: its gradient is nested in the same way.
    has_aux : bool

    Notes
    -----
    Where `f` also depends on other tensors that require grad, value and gradient are recorded, so
    that they can be differentiated with respect to those; not so under `no_grad`.

    >>> import wengert as wg
    >>> value, slope = wg.value_and_grad(lambda x: x**3)(2.0)
    >>> value.item(), slope.item()
    (8.0, 12.0)
    >>> def loss(parameters, x):
    ...     return (parameters["slope"] * x + parameters["offset"]).sum()
    >>> wg.grad(loss)({"slope": 2.0, "offset": 1.0}, wg.tensor([1.0, 2.0]))
    {'slope': tensor(3.), 'offset': tensor(2.)}
    """
    several = not isinstance(argnums, int)
    positions = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)

    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> tuple[Any, Any]:
        arguments = Arguments(args, positions, "grad")
        may_link = _core.is_grad_enabled()
        with enable_grad():
            returned = f(*arguments.values, **kwargs)
            result, aux = _variables.split_aux(returned, has_aux, "grad")
            output = _variables.require_scalar(result, "grad")
            linked = arguments.linked or (
                may_link and _variables.depends_on_others([output], arguments.variables)
            )
            grads = _variables.pull_back([output], arguments.variables, [None], linked)
        nested = arguments.unflatten(grads)
        if not linked:
            output = output.detach()
            aux = tree.map_leaves(_variables.constant, aux) if has_aux else None
        value = (output, aux) if has_aux else output
        return value, (nested if several else nested[0])

    return evaluated


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


def vjp(f: Callable[..., Any], *primals: Any, has_aux: bool = False) -> tuple[Any, ...]:
    """The value of `f` at `primals`, and the function that pulls a cotangent back through it.

    Pulling back is the product of the cotangent with the Jacobian of `f`, for each primal.

    Parameters
    ----------
    f : callable
        Returns a tensor, or a tuple, list or dict of tensors; with `has_aux` a pair of that and
        anything.
    *primals
        Tensors, or tuples, lists and dicts of tensors.
    has_aux : bool

    Returns
    -------
    value : as `f` returns it
    pull : callable
        From a cotangent, nested as the value, to a tuple of one result for each primal, nested as
        that primal. It may be called any number of times.
    aux : anything
        With `has_aux` only.

    >>> import wengert as wg
    >>> value, pull = wg.vjp(wg.sin, 0.0)
    >>> pull(2.0)
    (tensor(2.),)
    """
    arguments = Arguments(primals, range(len(primals)), "vjp")
    may_link = _core.is_grad_enabled()
    with enable_grad():
        returned = f(*arguments.values)
    result, aux = _variables.split_aux(returned, has_aux, "vjp")
    outputs, structure = _variables.require_tensors(result, "vjp")
    variables = arguments.variables
    linked = arguments.linked or (may_link and _variables.depends_on_others(outputs, variables))

    def pull(cotangent: Any) -> tuple[Any, ...]:
        given = _variables.tensors_like(cotangent, structure, outputs, "vjp", "cotangent")
        record = _core.is_grad_enabled() and (linked or any(g.requires_grad for g in given))
        grads = _variables.pull_back(outputs, variables, given, record, retain_graph=True)
        return arguments.unflatten(grads)

    if linked:
        value = result
    else:
        value = structure.unflatten([output.detach() for output in outputs])
        aux = tree.map_leaves(_variables.constant, aux)
    return (value, pull, aux) if has_aux else (value, pull)


def hvp(f: Callable[..., Any], x: Any, v: Any) -> Any:
    """The product of the Hessian of `f` at `x` with a vector `v`, nested and shaped as `x`.

    Two reverse passes; the Hessian is not formed.

    >>> import wengert as wg
    >>> wg.hvp(lambda x: (x**3).sum(), [1.0, 2.0], [1.0, 1.0]).tolist()
    [6.0, 12.0]
    """
    arguments = Arguments((x,), (0,), "hvp")
    may_link = _core.is_grad_enabled()
    variables = arguments.variables
    _, structure = _variables.flatten_argument(x)
    vector = _variables.tensors_like(v, structure, variables, "hvp", "vector")
    with enable_grad():
        output = _variables.require_scalar(f(*arguments.values), "hvp")
        gradients = _variables.pull_back([output], variables, [None], create_graph=True)
        linked = may_link and (
            arguments.linked
            or any(t.requires_grad for t in vector)
            or _variables.depends_on_others([output], variables)
        )
        products = _variables.pull_back(gradients, variables, vector, create_graph=linked)
    return arguments.unflatten(products)[0]
