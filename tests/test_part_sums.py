"""Gradients for large slices wait and are added together.

The programs here run once with each gradient added at once, once with those for slices of arrays of
any size waiting: the results are the same, bit for bit.
"""

import numpy as np
import pytest
from deferral import at_once, check_same, leaf, points

import wengert as wg
from wengert import _core, autograd

pytestmark = pytest.mark.usefixtures("everything_waits")


def rosenbrock(x):
    return (100.0 * (x[1:] - x[:-1] ** 2) ** 2 + (1.0 - x[:-1]) ** 2).sum()


def with_square(x):
    y = x * 2.0
    return rosenbrock(y) + (y * y).sum()


FUNCTIONS = {
    "rosenbrock": rosenbrock,
    "differences": lambda x: ((x[1:] - x[:-1]) ** 2).sum(),
    "second differences": lambda x: ((x[2:] - 2.0 * x[1:-1] + x[:-2]) ** 2 * x[1:-1]).sum(),
    "one slice": lambda x: (x[1:] ** 3).sum(),
    "all of it": lambda x: (x[:] * x[1:].sum() * x[0:] ** 2).sum(),
    "halves": lambda x: (wg.sin(x[: len(x) // 2]) * x[len(x) // 2 : len(x) // 2 * 2]).sum(),
    "small parts too": lambda x: (x[1:] * x[:-1]).sum() + (x[:1] * x[-1:]).sum() * 2.0,
    "empty parts": lambda x: (x[1:] ** 2).sum() + (x[3:3] ** 2).sum() + (x[:-1] ** 3).sum(),
    "with itself first": lambda x: (x**3).sum() + ((x[1:] - x[:-1]) ** 2).sum(),
    "with itself last": lambda x: ((x[1:] * x[:-1]) ** 2).sum() + (wg.exp(x) * x).sum(),
    "of a result": lambda x: rosenbrock(wg.sin(x) * x),
    "of a result used twice": with_square,
    "of slices": lambda x: rosenbrock(x[1:-1]) + rosenbrock(x[:-1]),
    "steps between": lambda x: (x[1:] * x[:-1]).sum() + (x[::2] ** 2).sum() + (x[::-1] * x).sum(),
    "a number for a gradient": lambda x: x[1:].sum() * 2.0 + (x[:-1] ** 2).sum() + x[2:].sum(),
    "many parts": lambda x: sum(((x[1:] * x[:-1]) ** k).sum() for k in range(1, 13)),
    "arrays of indices": lambda x: (x[1:] * x[:-1]).sum() + (x[np.array([1, 2, 1])] ** 2).sum(),
    "an item": lambda x: (x[1:] * x[:-1]).sum() + (x[2] ** 2).sum(),
}


def derivatives(function, x):
    (first,) = autograd.grad(function(x), x, create_graph=True)
    (second,) = autograd.grad((first**2).sum(), x, create_graph=True)
    (third,) = autograd.grad((second * 0.5).sum(), x)
    return first, second, third


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(9,), (513,), (5, 3), (1100, 2)])
def test_gradients_and_derivatives_of_higher_order(function, dtype, shape):
    def program():
        x = leaf(shape, dtype=dtype)
        function(x).backward()
        once = x.grad.clone()
        function(x).backward()
        return once, x.grad, *derivatives(function, leaf(shape, 1, dtype=dtype))

    check_same(program)


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS.keys())
def test_transforms(function):
    def program():
        x, v = points(12), points(12, 1)
        along = wg.jvp(wg.grad(function), (x,), (v,))[1]
        return wg.grad(function)(x), wg.hvp(function, x, v), along, wg.hessian(function, x)

    check_same(program)


@pytest.mark.parametrize("threads", [1, 2])
def test_large_arrays_by_themselves(threads):
    """As they are by default, against formulas."""
    _core.defer_from(1 << 13)
    before = wg.num_threads()
    wg.set_num_threads(threads)
    try:
        x, v = points(100_003), points(100_003, 1)
        head, tail = x[:-1], x[1:]
        gradient, product = np.zeros_like(x), np.zeros_like(x)
        gradient[1:] = 200 * (tail - head**2)
        gradient[:-1] -= 400 * head * (tail - head**2) + 2 * (1 - head)
        product[:-1] = (1200 * head**2 - 400 * tail + 2) * v[:-1] - 400 * head * v[1:]
        product[1:] += 200 * v[1:] - 400 * head * v[:-1]
        np.testing.assert_allclose(wg.grad(rosenbrock)(x).numpy(), gradient, 1e-12, 1e-10)
        np.testing.assert_allclose(wg.hvp(rosenbrock, x, v).numpy(), product, 1e-12, 1e-9)
    finally:
        wg.set_num_threads(before)


def test_signs_of_zeros():
    def program():
        x = wg.tensor(np.full(6, -0.0), requires_grad=True)
        ((x[1:-1] * wg.tensor(np.full(4, -0.0))).sum() + (x[:-1] * x[:-1]).sum()).backward()
        return 1.0 / x.grad, 1.0 / leaf(3)

    with np.errstate(divide="ignore"):
        check_same(program)


def test_several_arrays_in_turns():
    def program():
        x, y = leaf(7), leaf(7, 1)
        z = (x[1:] * y[:-1]) ** 2 + wg.sin(y[1:]) * x[:-1]
        z.sum().backward(retain_graph=True)
        once = x.grad.clone(), y.grad.clone()
        gradients = autograd.grad(z.sum(), [x, y], create_graph=True)
        sum((g * g).sum() for g in gradients).backward()
        return *once, *gradients, x.grad, y.grad

    check_same(program)


def test_a_gradient_that_is_passed_on_as_it_is():
    def program():
        x, other, v = leaf(7), leaf(6), wg.tensor(points(6, 3))
        y = x[1:] + other + x[:-1] - x[1:] * other
        y.backward(v)
        return x.grad, other.grad, v

    check_same(program)


class TestCodeOfOthers:
    """Nobody sees a sum without its parts, or writes to a part before it is added."""

    def test_hooks_see_and_change_gradients(self):
        def program():
            x = leaf(8)
            y = x * 1.0
            seen = []
            y.register_hook(lambda g: seen.append(g.clone()))
            part = y[1:]
            part.register_hook(lambda g: g * 2.0)
            late = y[:-1] * 1.0
            late.register_hook(lambda g: seen.append(g.clone()))
            (part * late + y[2:].sum() * y[:-1].sum()).sum().backward()
            return *seen, x.grad

        check_same(program)

    def test_a_hook_that_writes_to_a_gradient(self):
        def program():
            x = leaf(8)
            inner = wg.exp(x[:-1])
            kept = []
            first = x[1:] + inner
            first.register_hook(kept.append)
            inner.register_hook(lambda _: kept[0].zero_())
            (first * first).sum().backward()
            return (x.grad,)

        check_same(program)

    def test_a_function_in_between(self):
        class Twice(autograd.Function):
            @staticmethod
            def forward(ctx, x):
                return x * 2.0

            @staticmethod
            def backward(ctx, grad):
                with wg.enable_grad():
                    inner = wg.tensor(points(7), requires_grad=True)
                    rosenbrock(inner).backward()
                return grad * 2.0 + inner.grad

        def program():
            x = leaf(8)
            (x[1:] * Twice.apply(x[:-1]) + x[1:]).sum().backward()
            return (x.grad,)

        check_same(program)

    def test_kept_gradients(self):
        def program():
            x = leaf(8)
            y = x * x
            y.retain_grad()
            rosenbrock(y).backward()
            return x.grad, y.grad

        check_same(program)

    def test_saved_tensor_hooks_anomaly_and_errstate(self):
        def program():
            x = leaf(8)
            with autograd.graph.saved_tensors_hooks(lambda t: t.detach().numpy().copy(), wg.tensor):
                packed = rosenbrock(x)
            packed.backward()
            with autograd.detect_anomaly():
                rosenbrock(x).backward()
            with wg.errstate(over="raise"):
                rosenbrock(x).backward()
            return (x.grad,)

        check_same(program)


def test_a_pass_that_fails_leaves_nothing_behind(no_leak):
    class Fails(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 1.0

        @staticmethod
        def backward(ctx, grad):
            raise ValueError("on purpose")

    expected = at_once(lambda: wg.grad(rosenbrock)(points(8)).numpy())
    with no_leak():
        x = leaf(8)
        y = (x[1:] * Fails.apply(x[:-1])).sum() + (x[1:] ** 2).sum()
        with pytest.raises(ValueError, match="on purpose"):
            y.backward()
        assert x.grad is None
        rosenbrock(x).backward()
        np.testing.assert_array_equal(x.grad.numpy(), expected)
        del x, y


def test_parts_of_a_part_of_the_inputs():
    def program():
        x = leaf(8)
        y = x * 2.0
        z = rosenbrock(y)
        (chosen,) = autograd.grad(z, [y], retain_graph=True)
        both = autograd.grad(z, [x, y])
        return chosen, *both

    check_same(program)


def test_gradients_returned_are_nobody_elses():
    x = leaf(8)
    (first,) = autograd.grad((x[1:] * 2.0).sum() + (x[:-1] ** 2).sum(), [x], retain_graph=True)
    before = first.numpy().copy()
    rosenbrock(x).backward()
    np.testing.assert_array_equal(first.numpy(), before)
