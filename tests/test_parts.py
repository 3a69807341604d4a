"""Tensors in parts: narrow, select, unstack, split, chunk, diagonal."""

import numpy as np
import pytest

import wengert as wg

ROWS = np.arange(12.0).reshape(3, 4)


def values_of(parts):
    return [np.asarray(part).tolist() for part in parts]


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_unstack_undoes_stack(dim):
    parts = wg.unstack(wg.tensor(ROWS), dim)
    assert values_of(parts) == [np.take(ROWS, i, dim).tolist() for i in range(ROWS.shape[dim])]
    assert np.array_equal(wg.stack(list(parts), dim), ROWS)
    assert values_of(wg.tensor(ROWS).unbind(dim=dim)) == values_of(parts)


@pytest.mark.parametrize(
    ("sizes", "dim", "lengths"),
    [(2, 1, [2, 2]), (3, 1, [3, 1]), (9, 1, [4]), ([1, 0, 3], -1, [1, 0, 3]), (1, 0, [1, 1, 1])],
)
def test_split_by_length_or_by_sections(sizes, dim, lengths):
    parts = wg.tensor(ROWS).split(sizes, dim=dim)
    places = np.cumsum(lengths)[:-1]
    assert values_of(parts) == [part.tolist() for part in np.split(ROWS, places, dim)]


@pytest.mark.parametrize(("chunks", "lengths"), [(1, [4]), (2, [2, 2]), (3, [2, 2]), (9, [1] * 4)])
def test_chunks_are_of_one_length_but_for_the_last(chunks, lengths):
    assert [part.shape[1] for part in wg.tensor(ROWS).chunk(chunks, dim=1)] == lengths


def test_an_empty_axis_has_one_empty_piece():
    assert [part.shape for part in wg.split(wg.zeros((0, 2)), 3)] == [(0, 2)]
    assert [part.shape for part in wg.chunk(wg.zeros((0, 2)), 3)] == [(0, 2)]
    assert wg.unstack(wg.zeros((0, 2))) == ()


def test_narrow_and_select():
    x = wg.tensor(ROWS)
    assert np.array_equal(x.narrow(1, 1, 2), ROWS[:, 1:3])
    assert np.array_equal(x.narrow(0, -2, 2), ROWS[1:])
    assert np.array_equal(x.select(1, -1), ROWS[:, -1])


@pytest.mark.parametrize(
    "parts_of",
    [
        lambda x: x.unbind(1),
        lambda x: x.split(3, dim=1),
        lambda x: x.chunk(2),
        lambda x: (x.narrow(0, 1, 2), x.select(0, 0)),
        lambda x: (x.diagonal(), x.diagonal(1)),
    ],
    ids=["unbind", "split", "chunk", "narrow-select", "diagonal"],
)
def test_writes_to_parts_reach_the_whole_and_are_differentiated(parts_of):
    """sum(w * x**2) after part k of x was multiplied by k + 2."""
    weights = np.arange(1.0, 13.0).reshape(3, 4)
    factors = np.ones_like(ROWS)
    for k, part in enumerate(parts_of(wg.from_numpy(factors))):
        with wg.no_grad():
            part.mul_(k + 2)
    leaf = wg.tensor(ROWS, requires_grad=True)
    x = leaf * 1
    for k, part in enumerate(parts_of(x)):
        part.mul_(k + 2)
    assert np.array_equal(x.detach(), ROWS * factors)
    (x * x * wg.tensor(weights)).sum().backward()
    np.testing.assert_allclose(leaf.grad, 2 * weights * ROWS * factors**2)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda x: x.split(0), ValueError, "split: expected a positive length of the pieces"),
        (lambda x: x.split([1, 1]), ValueError, r"must add up to 3, the extent of axis 0"),
        (lambda x: x.split([4, -1]), ValueError, r"sections \[4, -1\] must not be negative"),
        (lambda x: x.split(1, dim=2), IndexError, "split: axis 2 is out of range for shape"),
        (lambda x: x.chunk(0), ValueError, "chunk: expected a positive number of pieces, got 0"),
        (lambda x: x.narrow(0, 2, 2), ValueError, "narrow: a stretch of 2 from 2 does not lie"),
        (lambda x: x.select(0, 3), IndexError, "3"),
        (lambda x: wg.tensor(1.0).unbind(), ValueError, "unstack: expected at least 1 dimension"),
        (lambda x: x[0].diagonal(), ValueError, r"diagonal: expected at least 2 dimensions, got"),
        (lambda x: x.diagonal(0, 1, -1), ValueError, "diagonal: axis1 and axis2 must differ"),
        (lambda x: x.diagonal(0, 0, 2), IndexError, "diagonal: axis 2"),
    ],
)
def test_errors_say_what_was_given(call, error, text):
    with pytest.raises(error, match=text):
        call(wg.tensor(ROWS))
