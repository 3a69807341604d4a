"""Whole matrices of derivatives."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

from wengert import _core, tree
from wengert._core import Tensor
from wengert.creation import zeros
from wengert.functional import _batches, _variables, forward
from wengert.functional._variables import Arguments
from wengert.grad_mode import enable_grad


def rows(
    outputs: Sequence[Tensor],
    variables: Sequence[Tensor],
    create_graph: bool,
    chunk_size: int | None = None,
) -> list[list[Tensor]]:
    """The blocks of the Jacobian by output and variable, `chunk_size` rows of them in one pass."""
    return [_rows_of(output, variables, create_graph, chunk_size) for output in outputs]


def _rows_of(
    output: Tensor, variables: Sequence[Tensor], create_graph: bool, chunk_size: int | None
) -> list[Tensor]:
    shapes = [output.shape + variable.shape for variable in variables]
    if not output.requires_grad or not output.size or not variables:
        pairs = zip(shapes, variables, strict=True)
        return [zeros(shape, dtype=variable.dtype) for shape, variable in pairs]
    blocks = _batches.attempt(
        lambda: _rows_at_once(output, variables, create_graph, chunk_size),
        lambda: _rows_one_by_one(output, variables, create_graph),
    )
    return [_core.reshape(b, shape) for b, shape in zip(blocks, shapes, strict=True)]


def _rows_at_once(
    output: Tensor, variables: Sequence[Tensor], create_graph: bool, chunk_size: int | None
) -> list[Tensor]:
    width = max(_core.largest_in_graph(output), _size(variables))
    found = _batches.Rows(output.size)
    for first, count in _batches.chunks(output.size, width, chunk_size):
        grads = _core.pull_back_units(output, first, count, variables, True, create_graph)
        pairs = zip(grads, variables, strict=True)
        found.add(
            first, [zeros((count, *v.shape), dtype=v.dtype) if g is None else g for g, v in pairs]
        )
    return found.joined()


def _rows_one_by_one(
    output: Tensor, variables: Sequence[Tensor], create_graph: bool
) -> list[Tensor]:
    flat = _core.flatten(output)
    passes = [
        _variables.pull_back([flat[i]], variables, [None], create_graph, retain_graph=True)
        for i in range(flat.size)
    ]
    return [_core.stack(row) for row in zip(*passes, strict=True)]


def jacrev(
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `f`, many rows at a time in reverse mode.

    One evaluation, and one reverse pass over it for each chunk of rows; cheaper than `jacfwd`
    where `f` has more inputs than outputs. A graph with hooks or a `Function` takes one pass for
    each row.

    Parameters
    ----------
    f : callable
        Returns a tensor, or a tuple, list or dict of tensors; with `has_aux` a pair of that and
        anything.
    argnums : int or sequence of int
        The arguments to differentiate by; a sequence gives a tuple for each output.
    has_aux : bool
    chunk_size : int, optional
        How many rows are worked out at a time: a pass holds so many copies of each intermediate
        gradient. By default as many as keep each within 16,384 numbers.

    Returns
    -------
    callable
        Gives the Jacobian, nested as the outputs and, within, as the arguments; each block has
        the shape of the output followed by that of the argument.

    Raises
    ------
    ValueError
        If `chunk_size` is not positive.

    >>> import wengert as wg
    >>> def f(x):
    ...     return {"sum": x["a"] + x["b"], "product": x["a"] * x["b"]}
    >>> wg.jacrev(f)({"a": 2.0, "b": 3.0})["product"]
    {'a': tensor(3.), 'b': tensor(2.)}
    """
    several = not isinstance(argnums, int)
    positions = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    _batches.require_chunk_size(chunk_size, "jacrev")

    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> Any:
        arguments = Arguments(args, positions, "jacrev")
        may_link = _core.is_grad_enabled()
        with enable_grad():
            returned = f(*arguments.values, **kwargs)
            result, aux = _variables.split_aux(returned, has_aux, "jacrev")
            outputs, structure = _variables.require_tensors(result, "jacrev")
            variables = arguments.variables
            linked = arguments.linked or (
                may_link and _variables.depends_on_others(outputs, variables)
            )
            blocks = rows(outputs, variables, linked, chunk_size)
        nested = [arguments.unflatten(row) for row in blocks]
        matrix = structure.unflatten([row if several else row[0] for row in nested])
        if not has_aux:
            return matrix
        return matrix, aux if linked else tree.map_leaves(_variables.constant, aux)

    return evaluated


def jacobian(f: Callable[..., Any], x: Any, create_graph: bool = False) -> Any:
    """All first derivatives of `f` at `x`: shape f(x).shape + x.shape.

    Parameters
    ----------
    f : callable
        From one argument to a tensor, or a tuple, list or dict of tensors.
    x : tensor or array
        Or a tuple, list or dict of them; the result is nested as that of `jacrev`.
    create_graph : bool
        Make the result differentiable with respect to `x`, if that requires grad.

    Notes
    -----
    Of `jacrev` and `jacfwd` the one with fewer rows or columns is taken.

    >>> import wengert as wg
    >>> def f(x):
    ...     return wg.stack([x[0] * x[1], x[1] ** 2, x[2] + x[0]])
    >>> wg.jacobian(f, wg.tensor([1.0, 2.0, 3.0])).tolist()
    [[2.0, 1.0, 0.0], [0.0, 4.0, 0.0], [1.0, 0.0, 1.0]]
    """
    arguments = Arguments((x,), (0,), "jacobian")
    variables = arguments.variables
    may_link = _core.is_grad_enabled()
    with enable_grad():
        outputs, structure = _variables.require_tensors(f(*arguments.values), "jacobian")
        linked = create_graph or arguments.linked
        linked = linked or (may_link and _variables.depends_on_others(outputs, variables))
        blocks = None
        if not linked and _size(outputs) > _size(variables):
            blocks = _columns_or_none(f, x, variables)
        if blocks is None:
            blocks = rows(outputs, variables, linked)
    return structure.unflatten([arguments.unflatten(row)[0] for row in blocks])


def _size(tensors: Sequence[Tensor]) -> int:
    return sum(tensor.size for tensor in tensors)


def _columns_or_none(
    f: Callable[..., Any], x: Any, variables: Sequence[Tensor]
) -> list[list[Tensor]] | None:
    _, structure = _variables.flatten_argument(x)
    points = [variable.detach() for variable in variables]
    try:
        blocks, _, _ = forward.columns(f, [structure], points, name="jacobian")
    except RuntimeError:  # an operation without a derivative in forward mode
        return None
    # The function may have made variables of its own; nothing outside depends on them.
    return [[block.detach() for block in row] for row in blocks]


def hessian(f: Callable[..., Any], *primals: Any, argnums: int | Sequence[int] = 0) -> Any:
    """All second derivatives of a function of one number: shape x.shape + x.shape.

    Parameters
    ----------
    f : callable
        Returns one number (a Tensor of one element).
    *primals
        Where to take the derivatives. Without them the result is a function that takes them.
    argnums : int or sequence of int
        The arguments to differentiate by; a sequence gives a tuple of tuples.

    >>> import wengert as wg
    >>> wg.hessian(lambda x: (x**3).sum(), wg.tensor([1.0, 2.0])).tolist()
    [[6.0, 0.0], [0.0, 12.0]]
    >>> wg.hessian(lambda x, y: x * y**2, argnums=(0, 1))(2.0, 3.0)
    ((tensor(0.), tensor(6.)), (tensor(6.), tensor(4.)))
    """
    several = not isinstance(argnums, int)
    positions = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)

    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> Any:
        arguments = Arguments(args, positions, "hessian")
        variables = arguments.variables
        may_link = _core.is_grad_enabled()
        with enable_grad():
            output = _variables.require_scalar(f(*arguments.values, **kwargs), "hessian")
            linked = arguments.linked or (
                may_link and _variables.depends_on_others([output], variables)
            )
            gradient = _variables.pull_back([output], variables, [None], create_graph=True)
            blocks = rows(gradient, variables, linked)
        nested = [arguments.unflatten(row) for row in blocks]
        nested = [row if several else row[0] for row in nested]
        result = arguments.unflatten(nested)
        return result if several else result[0]

    return evaluated(*primals) if primals else evaluated
