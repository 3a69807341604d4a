"""Passes over large arrays go through whole regions of elementwise nodes at once.

Small arrays are worked through node by node, so what a program gives on pieces of its input is
what it must give on all of it.
"""

import gc
import random

import numpy as np
import pytest

import wengert as wg
from wengert import autograd

PIECE = 1 << 10  # too small for a region
SIZE = 80 * PIECE  # one node alone is a region from 1 << 16 on
BOTH = (12 * PIECE, SIZE)


def points(size=SIZE, seed=0, dtype="float64"):
    return np.random.default_rng(seed).uniform(0.5, 1.5, size).astype(dtype)


def gradients(function, *arrays):
    """The gradients of the sum of an elementwise function."""
    leaves = [wg.tensor(a, requires_grad=True) for a in arrays]
    function(*leaves).sum().backward()
    return [leaf.grad.numpy() for leaf in leaves]


def gradients_in_pieces(function, *arrays):
    starts = range(0, len(arrays[0]), PIECE)
    pieces = [gradients(function, *(a[s : s + PIECE] for a in arrays)) for s in starts]
    return [np.concatenate(parts) for parts in zip(*pieces, strict=True)]


def check_against_pieces(function, *arrays):
    rtol = 1e-4 if arrays[0].dtype == np.float32 else 1e-12
    found, expected = gradients(function, *arrays), gradients_in_pieces(function, *arrays)
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_allclose(mine, theirs, rtol, rtol)


def deep(x, y):
    for _ in range(150):
        x = x * 0.99 + y
        y = wg.sin(x) - y
    return x * y


UNARY = {
    "alone": wg.exp,
    "alone, of the input": wg.log,
    "nothing saved": lambda x: -x,
    "same input twice": lambda x: x * x,
    "passes the gradient on": lambda x: x + x,
    "mixed": lambda x: wg.sin(x) * wg.exp(-x * x) + wg.tanh(x),
    "numbers": lambda x: ((x * 2.0 + x) * x - x / 3.0) ** 2 - 1,
    "a number as gradient twice": lambda x: 1 - (2 - x),
    "results saved and used": lambda x: wg.sqrt(x) * wg.exp(wg.sqrt(x)),
    "no derivative on one way": lambda x: wg.floor(x * 3) * x,
    "a comparison between": lambda x: wg.where(x > 1, x * x, wg.exp(x)) * x,
    "views between": lambda x: wg.exp(x)[::-1][::-1] * wg.sin(x).reshape(-1, 2).reshape(-1),
    "kinks": lambda x: wg.maximum(x * x, 1.0) * abs(x - 1),
}
BINARY = {
    "sum": lambda x, y: x + y,
    "difference": lambda x, y: x - y,
    "product": lambda x, y: x * y,
    "quotient": lambda x, y: x / y,
    "many steps": deep,
    "power": lambda x, y: x**y * wg.exp(y),
    "one way each": lambda x, y: wg.sin(x) * 2 + wg.cos(y) * 3,
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", BOTH)
@pytest.mark.parametrize("function", UNARY.values(), ids=UNARY.keys())
def test_one_input(function, size, dtype):
    check_against_pieces(function, points(size, dtype=dtype))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", BOTH)
@pytest.mark.parametrize("function", BINARY.values(), ids=BINARY.keys())
def test_two_inputs(function, size, dtype):
    check_against_pieces(function, points(size, 1, dtype), points(size, 2, dtype))


STEPS = (
    lambda a, b: a * b,
    lambda a, b: a - b * 0.5,
    lambda a, b: wg.sin(a),
    lambda a, b: wg.tanh(a) + b,
    lambda a, b: a / (1 + b * b),
    lambda a, b: wg.exp(-a * a),
    wg.maximum,
)


def random_program(seed):
    """Elementwise operations on what there is, by chance; some results are kept by their names."""

    def program(*leaves):
        chance = random.Random(seed)
        values = list(leaves)
        for _ in range(chance.randrange(4, 25)):
            made = chance.choice(STEPS)(*(chance.choice(values[-6:]) for _ in range(2)))
            if chance.random() < 0.15:
                made.retain_grad()
            if chance.random() < 0.15:
                made.register_hook(lambda g: g * 0.5)
            values.append(made)
            if chance.random() < 0.5:
                del values[chance.randrange(len(values) - 1)]
        return sum(values[-3:]) + sum(leaf * leaf for leaf in leaves)

    return program


@pytest.mark.parametrize("seed", range(60))
def test_random_programs(seed):
    check_against_pieces(random_program(seed), *(points(BOTH[0], s) for s in range(3)))


@pytest.mark.parametrize("function", BINARY.values(), ids=BINARY.keys())
def test_the_result_does_not_depend_on_how_many_threads_there_are(function):
    arrays = points(SIZE + 77, 1), points(SIZE + 77, 2)
    before = wg.num_threads()
    try:
        wg.set_num_threads(1)
        alone = gradients(function, *arrays)
        wg.set_num_threads(3)
        together = gradients(function, *arrays)
    finally:
        wg.set_num_threads(before)
    for mine, theirs in zip(alone, together, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_inputs_of_other_shapes_and_dtypes():
    rows, columns = 40, 2048
    a = points(rows * columns).reshape(rows, columns)
    b, c = points(columns, 1), points(rows, 2).reshape(rows, 1)
    x, row, column = (wg.tensor(v, requires_grad=True) for v in (a, b, c))
    number = wg.tensor(1.5, requires_grad=True)
    half = wg.tensor(a.astype("float32"), requires_grad=True)
    (wg.exp((x + row) * number - column) * (half + 1.0)).sum().backward()
    e = np.exp((a + b) * 1.5 - c) * (a.astype("float32") + 1.0)
    np.testing.assert_allclose(x.grad.numpy(), 1.5 * e, 1e-12)
    np.testing.assert_allclose(row.grad.numpy(), (1.5 * e).sum(0), 1e-12)
    np.testing.assert_allclose(column.grad.numpy(), -e.sum(1, keepdims=True), 1e-12)
    np.testing.assert_allclose(number.grad.item(), ((a + b) * e).sum(), 1e-12)
    assert half.grad.dtype == wg.float32
    np.testing.assert_allclose(half.grad.numpy(), np.exp((a + b) * 1.5 - c), 1e-5)


def test_operands_that_are_not_contiguous():
    a = points(SIZE).reshape(256, -1)
    b = points(SIZE, 1).reshape(-1, 256)
    x, y = wg.tensor(a, requires_grad=True), wg.tensor(b, requires_grad=True)
    (wg.sin(x * y.T) * x).sum().backward()
    np.testing.assert_allclose(
        x.grad.numpy(), np.cos(a * b.T) * b.T * a + np.sin(a * b.T), 1e-12, 1e-12
    )
    np.testing.assert_allclose(y.grad.numpy(), (np.cos(a * b.T) * a * a).T, 1e-12, 1e-12)


class TestWhatSomebodyHolds:
    """Nothing that can still be seen is written over."""

    def test_values(self):
        a = points()
        x = wg.tensor(a, requires_grad=True)
        y = wg.exp(x)
        z = y * x
        seen = z.detach().numpy()
        z.sum().backward()
        np.testing.assert_allclose(y.detach().numpy(), np.exp(a), 1e-14)
        np.testing.assert_allclose(seen, np.exp(a) * a, 1e-14)
        np.testing.assert_array_equal(x.detach().numpy(), a)

    def test_an_array_of_a_value_whose_tensor_is_gone(self):
        a = points()
        x = wg.tensor(a, requires_grad=True)
        y = wg.exp(x)
        seen, memory = y.detach().numpy(), np.asarray(y.detach())
        total = y.sum()
        del y
        total.backward()
        np.testing.assert_allclose(seen, np.exp(a), 1e-14)
        np.testing.assert_allclose(memory, np.exp(a), 1e-14)
        np.testing.assert_allclose(x.grad.numpy(), np.exp(a), 1e-14)

    def test_a_view_of_a_value_whose_tensor_is_gone(self):
        a = points()
        x = wg.tensor(a, requires_grad=True)
        y = wg.exp(x)
        part = y.detach()[10:20]
        total = y.sum()
        del y
        total.backward()
        np.testing.assert_allclose(part.numpy(), np.exp(a)[10:20], 1e-14)

    @pytest.mark.parametrize("function", UNARY.values(), ids=UNARY.keys())
    def test_the_gradient_given(self, function):
        given = wg.tensor(points(seed=3))
        x = wg.tensor(points(), requires_grad=True)
        function(x).backward(given)
        np.testing.assert_array_equal(given.numpy(), points(seed=3))
        given.zero_()
        assert (x.grad.numpy() != 0).all() or function is UNARY["a comparison between"]

    def test_gradients_of_leaves_are_apart(self):
        x, y = (wg.tensor(points(), requires_grad=True) for _ in range(2))
        (wg.exp(x + y) + (x - y)).sum().backward()
        expected = y.grad.numpy().copy()
        x.grad.zero_()
        np.testing.assert_array_equal(y.grad.numpy(), expected)

    def test_gradients_kept_of_nodes_between(self):
        a = points()
        x = wg.tensor(a, requires_grad=True)
        y = wg.sin(x)
        z = y * y
        z.retain_grad()
        y.retain_grad()
        wg.exp(z).sum().backward()
        s = np.sin(a)
        np.testing.assert_allclose(z.grad.numpy(), np.exp(s * s), 1e-12)
        np.testing.assert_allclose(y.grad.numpy(), np.exp(s * s) * 2 * s, 1e-12)
        np.testing.assert_allclose(x.grad.numpy(), np.exp(s * s) * 2 * s * np.cos(a), 1e-12)

    def test_gradients_that_hooks_saw(self):
        a = points()
        x = wg.tensor(a, requires_grad=True)
        y = wg.sin(x) * 2
        seen = []
        y.register_hook(seen.append)
        (y * y).sum().backward()
        np.testing.assert_allclose(seen[0].numpy(), 4 * np.sin(a), 1e-14)


def test_a_second_pass_without_retain_graph_is_refused():
    x = wg.tensor(points(), requires_grad=True)
    y = wg.exp(x) * wg.tanh(x)
    total = y.sum()
    total.backward()
    with pytest.raises(RuntimeError, match="second time"):
        total.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.sum().backward()


def test_passes_over_a_retained_graph_give_the_same_each_time():
    x = wg.tensor(points(), requires_grad=True)
    total = (wg.exp(x) * wg.tanh(x) / (1 + x)).sum()
    found = []
    for again in (True, True, False):
        x.grad = None
        total.backward(retain_graph=again)
        found.append(x.grad.numpy().copy())
    np.testing.assert_array_equal(found[0], found[1])
    np.testing.assert_array_equal(found[0], found[2])


def test_gradients_add_up_over_passes_and_outputs():
    a = points()
    x = wg.tensor(a, requires_grad=True)
    y = wg.exp(x) * x
    autograd.backward([y.sum(), (y * y).sum(), x.sum()])
    e = np.exp(a)
    expected = (e * a + e) * (1 + 2 * e * a) + 1
    np.testing.assert_allclose(x.grad.numpy(), expected, 1e-12)
    wg.sin(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), expected + np.cos(a), 1e-12)


def test_a_value_written_to_since_is_refused():
    x = wg.tensor(points(), requires_grad=True)
    y = wg.exp(x)
    z = wg.sin(y) * 2
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()
    wg.exp(x).sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), np.exp(points()), 1e-14)


def test_gradients_of_chosen_inputs():
    a, b = points(seed=1), points(seed=2)
    x, y = wg.tensor(a, requires_grad=True), wg.tensor(b, requires_grad=True)
    between = wg.exp(x) * y
    total = (wg.sin(between) + between * x).sum()
    dbetween, dx = autograd.grad(total, [between, x], retain_graph=True)
    e = np.exp(a) * b
    np.testing.assert_allclose(dbetween.numpy(), np.cos(e) + a, 1e-12, 1e-12)
    np.testing.assert_allclose(dx.numpy(), (np.cos(e) + a) * e + e, 1e-12, 1e-12)
    (dy,) = autograd.grad(total, [y])
    np.testing.assert_allclose(dy.numpy(), (np.cos(e) + a) * np.exp(a), 1e-12, 1e-12)
    assert x.grad is None
    assert y.grad is None


def test_second_derivatives():
    def slope(function, x):
        return autograd.grad(function(x).sum(), x, create_graph=True)[0]

    for function in UNARY.values():
        check_against_pieces(lambda x, f=function: slope(f, x) * x, points())


def test_a_hook_that_fails_leaves_a_graph_that_works():
    a = points()
    x = wg.tensor(a, requires_grad=True)
    y = wg.sin(x) * x

    def fail(grad):
        raise ValueError("no")

    handle = y.register_hook(fail)
    total = (wg.exp(y) * y).sum()
    with pytest.raises(ValueError, match="no"):
        total.backward(retain_graph=True)
    handle.remove()
    x.grad = None
    total.backward()
    s = np.sin(a) * a
    np.testing.assert_allclose(
        x.grad.numpy(), np.exp(s) * (1 + s) * (np.sin(a) + np.cos(a) * a), 1e-12
    )


def test_a_pass_within_a_pass():
    a = points()
    x = wg.tensor(a, requires_grad=True)
    y = wg.sin(x)
    inner = []

    def run_another(grad):
        t = wg.tensor(a, requires_grad=True)
        with wg.enable_grad():
            (wg.exp(t) * t).sum().backward()
        inner.append(t.grad.numpy())

    y.register_hook(run_another)
    (y * y * y).sum().backward()
    np.testing.assert_allclose(inner[0], np.exp(a) * (1 + a), 1e-12)
    np.testing.assert_allclose(x.grad.numpy(), 3 * np.sin(a) ** 2 * np.cos(a), 1e-12)


def test_under_anomaly_detection_and_errstate():
    expected = gradients(UNARY["mixed"], points())[0]
    with autograd.detect_anomaly():
        found = gradients(UNARY["mixed"], points())[0]
    np.testing.assert_allclose(found, expected, 1e-13)
    with wg.errstate(divide="raise", over="raise", invalid="raise"):
        found = gradients(UNARY["mixed"], points())[0]
    np.testing.assert_allclose(found, expected, 1e-13)


def test_nan_and_infinity_go_where_they_go_in_small_arrays():
    a = points()
    a[::7], a[1::7], a[2::7], a[3::7] = 0, np.inf, np.nan, -1
    for function in UNARY.values():
        check_against_pieces(function, a)


def test_nothing_is_left_behind(no_leak):
    with no_leak():
        for function in UNARY.values():
            gradients(function, points())


def test_memory_of_a_long_chain_in_the_pass():
    x = wg.tensor(points(1 << 17), requires_grad=True)
    y = x
    for _ in range(200):
        y = wg.sin(y)
    total = y.sum()
    del y
    gc.collect()
    before = wg.live_objects()["bytes"]
    total.backward()
    assert wg.live_objects()["bytes"] < before  # the gradient lies where a value was
    assert np.isfinite(x.grad.numpy()).all()
