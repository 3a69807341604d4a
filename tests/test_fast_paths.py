"""What goes a short way because it is frequent gives what the long way gives."""

from __future__ import annotations

import gc
import weakref

import numpy as np
import pytest

import wengert as wg


def tracked(value):
    return wg.tensor(value, requires_grad=True)


# ---- scalars ------------------------------------------------------------------------------------


def test_a_value_used_twice_by_one_operation():
    x = tracked(3.0)
    ((x + 1.0) * (x + 1.0)).backward()
    assert x.grad.item() == 8.0
    x.grad = None
    y = x + 1.0
    z = y * y
    del y
    z.backward()
    assert x.grad.item() == 8.0


def test_a_value_used_twice_and_held_or_used_elsewhere():
    x = tracked(3.0)
    y = x + 1.0
    (y * y).backward()
    assert x.grad.item() == 8.0
    x.grad = None
    (y * y + y / y - y).backward()
    assert x.grad.item() == 7.0


def test_a_value_used_twice_calls_its_hooks_once():
    x, seen = tracked(3.0), []
    y = x + 1.0
    y.register_hook(lambda grad: seen.append(grad.item()))
    y.retain_grad()
    z = y * y
    z.backward(retain_graph=True)
    assert seen == [8.0]
    assert y.grad.item() == 8.0
    del y
    z.backward()
    assert seen == [8.0, 8.0]
    assert x.grad.item() == 16.0


@pytest.mark.parametrize(
    ("operation", "slopes"),
    [
        (lambda x, y: x * y, (5.0, 3.0)),
        (lambda x, y: x - y, (1.0, -1.0)),
        (lambda x, y: x / y, (0.2, -0.12)),
        (lambda x, y: x**y, (5.0 * 3.0**4, 3.0**5 * np.log(3.0))),
    ],
)
def test_tensors_and_numbers_on_either_side(operation, slopes):
    for use_x, use_y in ((True, True), (True, False), (False, True)):
        x, y = tracked(3.0), tracked(5.0)
        result = operation(x if use_x else 3.0, y if use_y else 5.0)
        np.testing.assert_allclose(result.item(), operation(3.0, 5.0))
        result.backward()
        for leaf, used, slope in ((x, use_x, slopes[0]), (y, use_y, slopes[1])):
            if used:
                np.testing.assert_allclose(leaf.grad.item(), slope)
            else:
                assert leaf.grad is None


def test_shared_values_below_one_that_somebody_holds():
    x = tracked(2.0)
    held = x * 3.0  # is counted, and so is what lies below
    older, newer = held * 1.0, held * 1.0
    for _ in range(20):
        older, newer = newer, (older + newer) * 0.5
    newer.backward()
    assert x.grad.item() == 3.0


def test_scalars_that_were_written_to_since_they_were_saved():
    x, w = tracked(3.0), wg.tensor(2.0)
    y = x * 2.0
    z = y * y
    with wg.no_grad():
        y += 1.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.backward()
    product = x * w
    w += 1.0  # a number to the product, which has kept its own
    product.backward()
    assert x.grad.item() == 2.0


def test_a_second_pass_is_refused_where_values_were_saved():
    x = tracked(3.0)
    linear, product = x + 1.0, x * 2.0
    linear.backward()
    linear.backward()
    product.backward()
    with pytest.raises(RuntimeError, match="second time"):
        product.backward()
    assert x.grad.item() == 4.0


@pytest.mark.parametrize("two", [2, 2.0, int("2"), np.int64(2), np.float64(2.0)])
def test_squares(two):
    x = tracked(-3.0)
    (x**two).backward()
    assert x.grad.item() == -6.0
    assert (wg.tensor([True, False]) ** 2).tolist() == [1, 0]
    assert (wg.tensor(3) ** 2).dtype == wg.int64
    with wg.no_grad():
        assert not (x**two).requires_grad
    np.testing.assert_array_equal((wg.tensor([-1.0, 3.0]) ** two).numpy(), [1.0, 9.0])


def test_a_third_argument_of_pow_is_refused():
    with pytest.raises(TypeError, match="third argument"):
        pow(tracked(2.0), 2, 3)


# ---- handles ------------------------------------------------------------------------------------


def test_handles_that_are_used_again_begin_as_new():
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    for _ in range(3):
        used = [tracked(1.0), x[0], x[:1], x[1] * 2.0, x[0] * 2.0]
        references = [weakref.ref(used[3])]
        used[4].register_hook(lambda grad: None)
        used[0].grad = wg.tensor(1.0)
        assert references[0]() is used[3]
        used.clear()
        assert references[0]() is None
        fresh = [wg.tensor(float(i)) for i in range(200)]
        for i, tensor in enumerate(fresh):
            assert weakref.getweakrefcount(tensor) == 0
            assert not gc.is_tracked(tensor)
            assert tensor.item() == i
            assert tensor.grad is None
            assert tensor.is_leaf
            assert not tensor.requires_grad
            assert tensor._version == 0
        for tensor in fresh:
            tensor += 1.0  # noqa: PLW2901  # in place
        assert x.tolist() == [1.0, 2.0]


def test_handles_of_subclasses_are_not_used_for_tensors():
    class Named(wg.Tensor):
        pass

    for _ in range(100):
        named = Named(1.0)
        named.name = "a"
        assert isinstance(named, Named)
        del named
        assert type(wg.tensor(1.0)) is wg.Tensor


# ---- small arrays -------------------------------------------------------------------------------

SIZES = [0, 1, 2, 10, 4096, 4097]
BINARY = [
    (lambda a, b: a + b, lambda a, b: (np.ones_like(a), np.ones_like(a))),
    (lambda a, b: a - b, lambda a, b: (np.ones_like(a), -np.ones_like(a))),
    (lambda a, b: a * b, lambda a, b: (b, a)),
    (lambda a, b: a / b, lambda a, b: (1 / b, -a / b**2)),
]


def data(shape, dtype=np.float64):
    generator = np.random.default_rng(7)
    return (generator.uniform(0.5, 2.0, shape).astype(dtype) for _ in range(3))


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(("operation", "slopes"), BINARY)
def test_arrays_of_one_shape(operation, slopes, size, dtype):
    a, b, seed = data(size, dtype)
    x, y = tracked(a), tracked(b)
    result = operation(x, y)
    assert result.dtype == x.dtype
    np.testing.assert_allclose(result.detach().numpy(), operation(a, b), rtol=1e-6)
    result.backward(wg.tensor(seed))
    for leaf, slope in zip((x, y), slopes(a, b), strict=True):
        np.testing.assert_allclose(leaf.grad.numpy(), seed * slope, rtol=1e-5)


@pytest.mark.parametrize(("operation", "slopes"), BINARY)
def test_arrays_of_other_layouts(operation, slopes):
    a, b, seed = data((6, 4))
    layouts = [
        (lambda t: t.reshape(4, 6).mT, lambda g: g.reshape(4, 6).T),
        (lambda t: t, lambda g: g),
        (lambda t: t[::-1], lambda g: g[::-1]),
    ]
    for lay_x, see_x in layouts:
        for lay_y, see_y in layouts:
            x, y = tracked(a), tracked(b)
            result = operation(lay_x(x), lay_y(y))
            values = see_x(a), see_y(b)
            np.testing.assert_allclose(result.detach().numpy(), operation(*values))
            result.backward(wg.tensor(seed))
            for leaf, see, slope in zip((x, y), (see_x, see_y), slopes(*values), strict=True):
                np.testing.assert_allclose(see(leaf.grad.numpy()), seed * slope)


@pytest.mark.parametrize("size", SIZES)
def test_functions_of_one_array(size):
    a, _, seed = data(size)
    x = tracked(a)
    for function, expected, slope in (
        (wg.sin, np.sin, np.cos),
        (lambda t: -t, np.negative, lambda v: -np.ones_like(v)),
        (wg.exp, np.exp, np.exp),
    ):
        x.grad = None
        result = function(x)
        np.testing.assert_allclose(result.detach().numpy(), expected(a))
        result.backward(wg.tensor(seed))
        np.testing.assert_allclose(x.grad.numpy(), seed * slope(a))


def test_arrays_that_do_not_fit_go_the_general_way():
    x = tracked([1.0, 2.0, 3.0])
    assert (x + wg.tensor([1, 2, 3])).tolist() == [2.0, 4.0, 6.0]
    assert (x * wg.tensor([[1.0], [2.0]])).shape == (2, 3)
    assert (wg.tensor([1, 2]) / wg.tensor([2, 2])).tolist() == [0.5, 1.0]
    assert (wg.tensor([True]) + wg.tensor([True])).tolist() == [True]
    assert (x + wg.tensor([1.0, 1.0, 1.0], dtype=wg.float32)).dtype == wg.float64
    with pytest.raises(ValueError, match="do not broadcast"):
        x + wg.tensor([1.0, 2.0])
    with pytest.raises(TypeError, match="not defined for dtype float64"):
        x & x


def test_arrays_that_were_written_to_since_they_were_saved():
    x = tracked([1.0, 2.0])
    y = x * 2.0
    product, total = y * y, y + y
    with wg.no_grad():
        y += 1.0
    total.sum().backward(retain_graph=True)
    assert x.grad.tolist() == [4.0, 4.0]
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_arrays_keep_what_they_saved_and_no_longer():
    x = tracked(np.ones(10))
    x.grad = wg.tensor(np.zeros(10))
    gc.collect()
    before = wg.live_objects()["storages"]
    y = wg.exp(x)
    z = y * y
    total = z.sum()
    del y, z
    assert wg.live_objects()["storages"] == before + 1  # y's, which both have saved
    total.backward()
    assert wg.live_objects()["storages"] == before
    np.testing.assert_allclose(x.grad.numpy(), 2 * np.exp(2.0) * np.ones(10))


def test_modes_see_small_arrays():
    x, zero = tracked([1.0, 2.0]), wg.tensor([0.0, 1.0])
    with wg.no_grad():
        assert not (x * x).requires_grad
    assert (x / zero).tolist() == [float("inf"), 2.0]
    with wg.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide"):
        x / zero
    packed = []
    with wg.autograd.graph.saved_tensors_hooks(lambda t: packed.append(t) or t, lambda t: t):
        y = x * x
    assert len(packed) == 2
    y.sum().backward()
    assert x.grad.tolist() == [2.0, 4.0]
