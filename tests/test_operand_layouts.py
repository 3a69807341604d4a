"""Operands of every layout are read right: short rows, stretched axes, strides, other dtypes."""

import numpy as np
import pytest

import wengert as wg

# Around the blocks (512 elements) and the share of a thread (4,096, from 8 shares on).
ROWS = [1, 2, 7, 170, 171, 256, 257, 1366, 20_000]
COLUMNS = [1, 2, 3, 4, 5, 8, 10, 63, 64, 65, 700]
DTYPES = ["float64", "float32", "int32", "bool"]


def numbers(shape, dtype="float64"):
    values = np.random.default_rng(7).integers(-9, 9, shape)
    return (values % 2 == 0) if dtype == "bool" else values.astype(dtype)


def check_sum(a, b):
    """Small integers add up exactly, so what is compared is where they were read."""
    expected = a + b
    result = wg.asarray(a) + wg.asarray(b)  # shares memory, so strides stay
    assert result.shape == expected.shape
    np.testing.assert_array_equal(result.numpy(), expected)


@pytest.mark.parametrize("columns", COLUMNS)
@pytest.mark.parametrize("rows", ROWS)
def test_rows_and_columns_are_stretched(rows, columns):
    if rows * columns > 300_000:
        rows = 300_000 // columns
    matrix, row, column = numbers((rows, columns)), numbers(columns), numbers((rows, 1))
    check_sum(matrix, row)
    check_sum(column, matrix)
    check_sum(row, column)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("columns", [2, 3, 4, 6, 10])
def test_stretched_operands_are_converted(columns, dtype):
    matrix = numbers((700, columns))
    check_sum(matrix, numbers(columns, dtype))
    check_sum(matrix, numbers((700, 1), dtype))
    check_sum(matrix, numbers((700, columns), dtype))
    check_sum(numbers((columns, 700), dtype).T, matrix)


def test_columns_of_wider_matrices_are_stretched():
    wide = numbers((900, 12))
    for columns in (1, 2, 3, 4, 5):
        check_sum(wide[:, 3:4], wide[:, :columns])
        check_sum(wide[::-1, 3:4], wide[:, :columns])
        check_sum(wide[:, :columns], wide[::-1, columns - 1 :: -1] if columns > 1 else wide[:, :1])
        check_sum(wide[5, :columns], wide[:, 2 : 2 + columns])
        check_sum(wide[::2, :columns], wide[::-2, -columns:])


def test_three_axes():
    cube = numbers((40, 30, 3))
    check_sum(cube, numbers((30, 3)))
    check_sum(cube, numbers((40, 1, 3)))
    check_sum(cube, numbers((40, 30, 1)))
    check_sum(cube, numbers((1, 30, 1)))
    check_sum(cube[:, ::2], numbers((40, 1, 1)))
    check_sum(cube.transpose(2, 1, 0), numbers((3, 1, 40)))
    check_sum(cube.transpose(1, 2, 0), numbers((3, 40)))


# From 4 MiB on, lines of 64 bytes are written past the cache if they are aligned.
@pytest.mark.parametrize(
    "shape", [(1000, 808), (808, 1000), (1003, 700), (1024, 1024), (5, 200_000)]
)
def test_large_transposed_operands(shape):
    matrix = numbers(shape)
    check_sum(matrix.T, numbers(shape[::-1]))
    check_sum(matrix.T, numbers(shape[0]))
    check_sum(matrix.T[:, ::-1], numbers(shape[::-1], "float32"))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64"])
@pytest.mark.parametrize("source", ["float64", "int32"])
def test_large_transposed_copies(source, dtype):
    cube = np.arange(3 * 1000 * 808, dtype=source).reshape(3, 1000, 808)
    for view in (
        cube.transpose(0, 2, 1),
        cube.transpose(2, 1, 0),
        cube[:, :, 3:].transpose(2, 0, 1),
    ):
        target = wg.zeros(view.shape, dtype=getattr(wg, dtype))
        target[...] = wg.asarray(view)
        np.testing.assert_array_equal(target.numpy(), view)


def test_single_elements_of_different_rank():
    check_sum(numbers(1), numbers((1, 1)))
    check_sum(numbers((1, 1, 1)), numbers((1, 1), "int32"))
    check_sum(numbers((3, 5))[1:2, ::-2][:, :1], numbers(1))


def test_gradients_of_distances_to_a_point():
    points = np.random.default_rng(3).normal(size=(2000, 2))
    centre = np.array([0.3, -0.2])
    tracked = wg.tensor(centre, requires_grad=True)
    wg.sqrt(((tracked - points) ** 2).sum(axis=1)).sum().backward()
    difference = centre - points
    expected = (difference / np.sqrt((difference**2).sum(axis=1, keepdims=True))).sum(axis=0)
    np.testing.assert_allclose(tracked.grad.numpy(), expected, rtol=1e-12)


def test_threads_change_nothing():
    generator = np.random.default_rng(5)
    points, centre, weights = (generator.normal(size=s) for s in [(50_000, 3), (3,), (50_000, 1)])
    across = wg.tensor(generator.normal(size=(1000, 803))).T
    before = wg.num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            wg.set_num_threads(threads)
            distances = wg.sin(wg.tensor(points) - centre) * weights
            results.append([distances.numpy(), (wg.sin(across) * across).numpy()])
    finally:
        wg.set_num_threads(before)
    for result in results[1:]:
        np.testing.assert_array_equal(result[0], results[0][0])
        np.testing.assert_array_equal(result[1], results[0][1])
