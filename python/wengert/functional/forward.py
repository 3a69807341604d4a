"""Transforms in forward mode: products with the Jacobian from the right, without a graph."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from wengert import _core, tree
from wengert._core import Tensor
from wengert.creation import zeros, zeros_like
from wengert.functional import _variables
from wengert.functional._variables import flatten_argument
from wengert.tree import Structure


def jvp(
    f: Callable[..., Any], primals: Sequence[Any], tangents: Sequence[Any], has_aux: bool = False
) -> tuple[Any, ...]:
    """The value of `f` at `primals` and its directional derivative along `tangents`.

    One evaluation in forward mode, without a graph.

    Parameters
    ----------
    f : callable
        Returns a tensor, or a tuple, list or dict of tensors; with `has_aux` a pair of that and
        anything.
    primals, tangents : sequence
        One for each argument of `f`, nested and shaped alike.
    has_aux : bool

    Returns
    -------
    value, slope : as `f` returns it
    aux : anything
        With `has_aux` only.

    >>> import wengert as wg
    >>> value, slope = wg.jvp(wg.sin, (0.0,), (3.0,))
    >>> slope.item()
    3.0
    """
    if len(primals) != len(tangents):
        raise ValueError(f"jvp: got {len(primals)} primals and {len(tangents)} tangents")
    points: list[Tensor] = []
    directions: list[Tensor] = []
    structures = []
    for primal, tangent in zip(primals, tangents, strict=True):
        leaves, structure = flatten_argument(primal)
        values = [_variables.floating(leaf) for leaf in leaves]
        points += values
        directions += _tangents_like(tangent, structure, values)
        structures.append(structure)
    values, slopes, structure, aux = push_forward(f, structures, points, directions, has_aux)
    results = (structure.unflatten(values), structure.unflatten(slopes))
    return (*results, aux) if has_aux else results


def _tangents_like(tangent: Any, structure: Structure, values: list[Tensor]) -> list[Tensor]:
    leaves = structure.leaves_of(tangent, "jvp: tangents")
    results = []
    for leaf, value in zip(leaves, values, strict=True):
        t = _variables.floating(leaf, value.dtype)
        if value.shape != t.shape:
            raise ValueError(f"jvp: a primal has shape {value.shape}, its tangent {t.shape}")
        results.append(t)
    return results


def _nested(structures: Sequence[Structure], leaves: Sequence[Any]) -> list[Any]:
    nested = []
    start = 0
    for structure in structures:
        nested.append(structure.unflatten(leaves[start : start + structure.size]))
        start += structure.size
    return nested


def push_forward(
    f: Callable[..., Any],
    structures: Sequence[Structure],
    points: Sequence[Tensor],
    directions: Sequence[Tensor],
    has_aux: bool = False,
    name: str = "jvp",
) -> tuple[list[Tensor], list[Tensor], Structure, Any]:
    """Values and slopes of the outputs' leaves, how those are nested, and aux."""
    level = _core.change_dual_level(1)
    try:
        duals = [_core.make_dual(p, t, level) for p, t in zip(points, directions, strict=True)]
        returned = f(*_nested(structures, duals))
        result, aux = _variables.split_aux(returned, has_aux, name)
        outputs, structure = _variables.require_tensors(result, name)
        pairs = [_core.unpack_dual(output, level) for output in outputs]
        aux = tree.map_leaves(functools.partial(_without_tangent, level), aux)
    finally:
        _core.change_dual_level(-1)
    values = [value for value, _ in pairs]
    slopes = [zeros_like(value) if slope is None else slope for value, slope in pairs]
    return values, slopes, structure, aux


def _without_tangent(level: int, x: Any) -> Any:
    return _core.unpack_dual(x, level)[0] if isinstance(x, Tensor) else x


def linearize(f: Callable[..., Any], *primals: Any) -> tuple[Any, Callable[..., Any]]:
    """The value of `f` at `primals`, and the linear function that approximates it there.

    Parameters
    ----------
    f : callable
        Returns a tensor, or a tuple, list or dict of tensors.
    *primals
        Tensors, or tuples, lists and dicts of tensors.

    Returns
    -------
    value : as `f` returns it
    derivative : callable
        From one tangent for each primal to the directional derivative of `f` along them. Each
        call evaluates `f` once more, in forward mode.

    >>> import wengert as wg
    >>> value, derivative = wg.linearize(lambda x, y: x * y, 2.0, 3.0)
    >>> value.item(), derivative(1.0, 0.0).item(), derivative(0.0, 1.0).item()
    (6.0, 3.0, 2.0)
    """
    # Kept as they are now: a later change in place must not move the point.
    points = [tree.map_leaves(_fixed, _as_tensors(primal)) for primal in primals]
    value = f(*points)
    _variables.require_tensors(value, "linearize")

    def derivative(*tangents: Any) -> Any:
        return jvp(f, points, tangents)[1]

    return value, derivative


def _as_tensors(primal: Any) -> Any:
    leaves, structure = flatten_argument(primal)
    return structure.unflatten([_variables.floating(leaf) for leaf in leaves])


def _fixed(x: Tensor) -> Tensor:
    return x.clone()


def jacfwd(
    f: Callable[..., Any], argnums: int | Sequence[int] = 0, has_aux: bool = False
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `f`, column by column in forward mode.

    One evaluation for each element of the arguments; cheaper than `jacrev` where `f` has more
    outputs than inputs.

    Parameters
    ----------
    f : callable
        Returns a tensor, or a tuple, list or dict of tensors; with `has_aux` a pair of that and
        anything.
    argnums : int or sequence of int
        The arguments to differentiate by; a sequence gives a tuple for each output.
    has_aux : bool

    Returns
    -------
    callable
        Gives the Jacobian, nested as the outputs and, within, as the arguments; each block has
        the shape of the output followed by that of the argument.

    >>> import wengert as wg
    >>> wg.jacfwd(lambda x: wg.stack([x, x**2, x**3]))(2.0).tolist()
    [1.0, 4.0, 12.0]
    """
    several = not isinstance(argnums, int)
    positions = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)

    @functools.wraps(f)
    def evaluated(*args: Any, **kwargs: Any) -> Any:
        def of_variables(*chosen: Any) -> Any:
            filled = list(args)
            for position, argument in zip(positions, chosen, strict=True):
                filled[position] = argument
            return f(*filled, **kwargs)

        flat = [flatten_argument(args[position]) for position in positions]
        structures = [structure for _, structure in flat]
        points = [_variables.floating(leaf) for leaves, _ in flat for leaf in leaves]
        blocks, structure, aux = columns(of_variables, structures, points, has_aux)
        rows = []
        for row in blocks:
            nested = _nested(structures, row)
            rows.append(tuple(nested) if several else nested[0])
        result = structure.unflatten(rows)
        return (result, aux) if has_aux else result

    return evaluated


def columns(
    f: Callable[..., Any],
    structures: Sequence[Structure],
    points: Sequence[Tensor],
    has_aux: bool = False,
    name: str = "jacfwd",
) -> tuple[list[list[Tensor]], Structure, Any]:
    """The blocks of the Jacobian by output and input, how outputs are nested, and aux."""
    slopes_of: list[list[list[Tensor]]] = []  # by input, element of it, output
    structure = None
    aux = None
    values: list[Tensor] = []
    for i, point in enumerate(points):
        slopes_of.append([])
        for k in range(point.size):
            directions = [zeros_like(p) for p in points]
            directions[i] = _unit(point, k)
            values, slopes, structure, aux = push_forward(
                f, structures, points, directions, has_aux, name
            )
            slopes_of[i].append(slopes)
    if structure is None:  # nothing to differentiate by: only the shapes are wanted
        result, aux = _variables.split_aux(f(*_nested(structures, points)), has_aux, name)
        values, structure = _variables.require_tensors(result, name)
    blocks = [
        [_block(value, p, [s[o] for s in slopes_of[i]]) for i, p in enumerate(points)]
        for o, value in enumerate(values)
    ]
    return blocks, structure, aux


def _unit(point: Tensor, k: int) -> Tensor:
    unit = zeros(point.size, dtype=point.dtype)
    unit[k] = 1
    return _core.reshape(unit, point.shape)


def _block(value: Tensor, point: Tensor, slopes: Sequence[Tensor]) -> Tensor:
    shape = value.shape + point.shape
    if not slopes:
        return zeros(shape, dtype=value.dtype)
    return _core.reshape(_core.stack(slopes, axis=-1), shape)
