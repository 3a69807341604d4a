"""Transforms in forward mode: products with the Jacobian from the right, without a graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from wengert import _core, tree
from wengert._core import Tensor
from wengert.creation import zeros, zeros_like
from wengert.functional import _batches, _variables
from wengert.functional._variables import flatten_argument
from wengert.tree import LEAF, Structure


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
    values, slopes, structure, aux = _evaluated(
        f,
        structures,
        lambda level: [
            _core.make_dual(p, t, level) for p, t in zip(points, directions, strict=True)
        ],
        _core.unpack_dual,
        has_aux,
        name,
    )
    pairs = zip(slopes, values, strict=True)
    return values, [zeros_like(v) if s is None else s for s, v in pairs], structure, aux


def push_forward_batch(
    f: Callable[..., Any], points: Sequence[Tensor], tangents: Sequence[Tensor], name: str
) -> list[Tensor]:
    """The slopes of the outputs along each row of the tangents, in such rows."""
    leaves = [LEAF] * len(points)
    size = tangents[0].shape[0]

    def at_once() -> list[Tensor]:
        batch = _core.begin_batch(size)
        values, slopes, _, _ = _evaluated(
            f,
            leaves,
            lambda level: [
                _core.make_batched_dual(p, t, level, batch)
                for p, t in zip(points, tangents, strict=True)
            ],
            functools.partial(_unpacked, batch),
            False,
            name,
        )
        return _rows(values, slopes, size)

    def one_by_one() -> list[Tensor]:
        runs = [
            push_forward(f, leaves, points, [t[k] for t in tangents], name=name)[1]
            for k in range(size)
        ]
        return [_core.stack(rows) for rows in zip(*runs, strict=True)]

    return _batches.attempt(at_once, one_by_one)


def _unpacked(batch: tuple[int, int], output: Tensor, level: int) -> tuple[Tensor, Tensor | None]:
    return _core.unpack_batched_dual(output, level, batch)


def _rows(values: Sequence[Tensor], slopes: Sequence[Tensor | None], size: int) -> list[Tensor]:
    pairs = zip(values, slopes, strict=True)
    return [zeros((size, *v.shape), dtype=v.dtype) if s is None else s for v, s in pairs]


def _evaluated(
    f: Callable[..., Any],
    structures: Sequence[Structure],
    dual: Callable[[int], list[Tensor]],
    unpacked: Callable[[Tensor, int], tuple[Tensor, Tensor | None]],
    has_aux: bool,
    name: str,
) -> tuple[list[Tensor], list[Tensor | None], Structure, Any]:
    """What `f` returns of points made dual at a new level, taken apart again."""
    level = _core.change_dual_level(1)
    try:
        returned = f(*_nested(structures, dual(level)))
        result, aux = _variables.split_aux(returned, has_aux, name)
        outputs, structure = _variables.require_tensors(result, name)
        pairs = [unpacked(output, level) for output in outputs]
        aux = tree.map_leaves(functools.partial(_without_tangent, level), aux)
    finally:
        _core.change_dual_level(-1)
    return [value for value, _ in pairs], [slope for _, slope in pairs], structure, aux


def _without_tangent(level: int, x: Any) -> Any:
    return _core.primal_of(x, level) if isinstance(x, Tensor) else x


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
    f: Callable[..., Any],
    argnums: int | Sequence[int] = 0,
    has_aux: bool = False,
    *,
    chunk_size: int | None = None,
) -> Callable[..., Any]:
    """A function that returns the Jacobian of `f`, many columns at a time in forward mode.

    One evaluation for each chunk of columns; cheaper than `jacrev` where `f` has more outputs than
    inputs. A function that takes tangents apart, or has derivatives taken by hooks, is evaluated
    for each column.

    Parameters
    ----------
    f, argnums, has_aux
        As in `jacrev`, and so is what the result returns.
    chunk_size : int, optional
        How many columns are worked out at a time. By default as many as make 16,384 numbers.

    >>> import wengert as wg
    >>> wg.jacfwd(lambda x: wg.stack([x, x**2, x**3]))(2.0).tolist()
    [1.0, 4.0, 12.0]
    """
    several = not isinstance(argnums, int)
    positions = tuple(argnums) if isinstance(argnums, Sequence) else (argnums,)
    _batches.require_chunk_size(chunk_size, "jacfwd")

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
        blocks, structure, aux = columns(
            of_variables, structures, points, has_aux, chunk_size=chunk_size
        )
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
    chunk_size: int | None = None,
) -> tuple[list[list[Tensor]], Structure, Any]:
    """The blocks of the Jacobian by output and input, how outputs are nested, and aux."""
    size = sum(point.size for point in points)
    if not size:  # nothing to differentiate by: only the shapes are wanted
        result, aux = _variables.split_aux(f(*_nested(structures, points)), has_aux, name)
        values, structure = _variables.require_tensors(result, name)
        blocks = [[zeros(v.shape + p.shape, dtype=v.dtype) for p in points] for v in values]
        return blocks, structure, aux
    problem = _Columns(f, structures, points, has_aux, name)
    values, slopes, structure, aux = _batches.attempt(
        lambda: problem.at_once(chunk_size), problem.one_by_one
    )
    pairs = zip(values, slopes, strict=True)
    return [_blocks(value, rows, points) for value, rows in pairs], structure, aux


def _blocks(value: Tensor, slopes: Tensor, points: Sequence[Tensor]) -> list[Tensor]:
    """By point, the slopes along each of its elements, which come behind the value's axes."""
    blocks = []
    start = 0
    for point in points:
        part = slopes[start : start + point.size]
        start += point.size
        turned = _core.permute(part, (*range(1, part.ndim), 0))
        blocks.append(_core.reshape(turned, value.shape + point.shape))
    return blocks


class _Columns(NamedTuple):
    """A Jacobian whose columns, one for each element of the points, are asked for."""

    f: Callable[..., Any]
    structures: Sequence[Structure]
    points: Sequence[Tensor]
    has_aux: bool
    name: str

    def at_once(self, chunk_size: int | None) -> tuple[list[Tensor], list[Tensor], Structure, Any]:
        size = sum(point.size for point in self.points)
        rows = _batches.Rows(size)
        for first, count in _batches.chunks(size, size, chunk_size):
            batch = _core.begin_batch(count)
            values, slopes, structure, aux = _evaluated(
                self.f,
                self.structures,
                functools.partial(self._units, first, batch),
                functools.partial(_unpacked, batch),
                self.has_aux,
                self.name,
            )
            rows.add(first, _rows(values, slopes, count))
        return values, rows.joined(), structure, aux

    def _units(self, first: int, batch: tuple[int, int], level: int) -> list[Tensor]:
        duals = []
        start = 0
        for point in self.points:
            own = first < start + point.size and start < first + batch[1]
            duals.append(_core.make_unit_dual(point, first - start, level, batch) if own else point)
            start += point.size
        return duals

    def one_by_one(self) -> tuple[list[Tensor], list[Tensor], Structure, Any]:
        columns = []
        for i, point in enumerate(self.points):
            for k in range(point.size):
                directions = [zeros_like(p) for p in self.points]
                directions[i] = _unit(point, k)
                values, slopes, structure, aux = push_forward(
                    self.f, self.structures, self.points, directions, self.has_aux, self.name
                )
                columns.append(slopes)
        return values, [_core.stack(rows) for rows in zip(*columns, strict=True)], structure, aux


def _unit(point: Tensor, k: int) -> Tensor:
    unit = zeros(point.size, dtype=point.dtype)
    unit[k] = 1
    return _core.reshape(unit, point.shape)
