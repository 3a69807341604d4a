"""Many passes in one, and one after the other where that cannot be done."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from wengert import _core
from wengert._core import Tensor
from wengert.creation import empty, zeros
from wengert.grad_mode import no_grad

Result = TypeVar("Result")

# As many numbers as a batch may have by default: so many that the cost of an operation no longer
# counts, and so few that a handful of such arrays stays in a processor's cache.
_ELEMENTS = 1 << 14

# Rows of more numbers than this go one by one: several would take memory and gain nothing.
_LARGE = 1 << 20


def attempt(whole: Callable[[], Result], one_by_one: Callable[[], Result]) -> Result:
    """What `whole` returns, unless something in it could not be done for a batch.

    That may have happened within code that caught the exception, so it is counted, too.
    """
    before = _core.batch_failures()
    try:
        result = whole()
    except Exception:
        if _core.batch_failures() == before:
            raise
    else:
        if _core.batch_failures() == before:
            return result
    _core.set_batch_failures(before)
    return one_by_one()


def require_chunk_size(chunk_size: int | None, name: str) -> None:
    """Refuse chunks without rows."""
    if chunk_size is not None and chunk_size <= 0:
        raise ValueError(
            f"{name}: `chunk_size` should be greater than 0, got {chunk_size!r}; None chooses one"
        )


def chunks(size: int, width: int, chunk_size: int | None) -> Iterator[tuple[int, int]]:
    """The first row of each chunk and how many rows it has.

    Parameters
    ----------
    size : int
        Of all chunks together.
    width : int
        How many numbers a row has.
    chunk_size : int, optional
        Rows in a chunk.
    """
    step = chunk_size or max(4 if width <= _LARGE else 1, _ELEMENTS // max(width, 1))
    for first in range(0, size, step):
        yield first, min(step, size - first)


class Rows:
    """Rows that arrive in chunks, for each of several tensors.

    Parameters
    ----------
    size : int
        How many rows there will be.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: list[Sequence[Tensor]] = []
        self._whole: list[Tensor] = []

    def add(self, first: int, parts: Sequence[Tensor]) -> None:
        """The rows from `first` on."""
        # A graph or a tangent has to reach through, and nothing needs joining if this is all.
        linked = any(p.requires_grad for p in parts) or _core.change_dual_level(0) > 0
        if self._parts or linked or not parts or parts[0].shape[0] == self._size:
            self._parts.append(parts)
            return
        with no_grad():
            if not self._whole:
                self._whole = [empty((self._size, *p.shape[1:]), dtype=p.dtype) for p in parts]
            for whole, part in zip(self._whole, parts, strict=True):
                whole[first : first + part.shape[0]] = part

    def joined(self) -> list[Tensor]:
        """All rows of each tensor."""
        if self._whole:
            return self._whole
        if len(self._parts) == 1:
            return list(self._parts[0])
        return [_core.concat(parts) for parts in zip(*self._parts, strict=True)]


def pull_back(
    outputs: Sequence[Tensor],
    grad_outputs: Sequence[Tensor],
    inputs: Sequence[Tensor],
    retain_graph: bool,
    create_graph: bool,
) -> list[Tensor | None]:
    """A backward pass for each row of the gradients; None for inputs that are not used."""
    size = grad_outputs[0].shape[0]

    def whole() -> list[Tensor | None]:
        return _core.run_batched_backward(outputs, grad_outputs, inputs, retain_graph, create_graph)

    def one_by_one() -> list[Tensor | None]:
        passes = [
            _core.run_backward(
                outputs,
                [g[i] for g in grad_outputs],
                inputs,
                retain_graph or i + 1 < size,
                create_graph,
                False,
            )
            for i in range(size)
        ]
        columns = zip(*passes, strict=True)
        return [stacked(rows, x) for rows, x in zip(columns, inputs, strict=True)]

    return attempt(whole, one_by_one)


def stacked(rows: Sequence[Tensor | None], model: Tensor) -> Tensor | None:
    """The rows in one tensor, with zeros for those that are None; None if all are."""
    if all(row is None for row in rows):
        return None
    nothing = zeros(model.shape, dtype=model.dtype)
    return _core.stack([nothing if row is None else row for row in rows])
