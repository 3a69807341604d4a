"""What is returned at kinks, ties, poles and outside of domains: each case at the exact point."""

import math

import numpy as np
import pytest
from operation_samples import array_of, forward_jacobian

import wengert as wg

INF = math.inf
NAN = math.nan

# name: (function, inputs, value, derivative with respect to each input)
ELEMENTWISE = {
    "sqrt at 0": (wg.sqrt, [0], 0, [INF]),
    "sqrt at -1": (wg.sqrt, [-1], NAN, [NAN]),
    "abs at 0": (wg.abs, [0], 0, [0]),
    "sign at 0": (wg.sign, [0], 0, [0]),
    "hypot at (0, 0)": (wg.hypot, [0, 0], 0, [0, 0]),
    "relu at 0": (wg.relu, [0], 0, [0]),
    "maximum(x, 0) at 0": (lambda x: wg.maximum(x, 0), [0], 0, [0.5]),
    "minimum(0, x) at 0": (lambda x: wg.minimum(0, x), [0], 0, [0.5]),
    "maximum at a tie": (wg.maximum, [3, 3], 3, [0.5, 0.5]),
    "minimum at a tie": (wg.minimum, [3, 3], 3, [0.5, 0.5]),
    "fmax at a tie": (wg.fmax, [3, 3], 3, [0.5, 0.5]),
    "fmin at a tie": (wg.fmin, [3, 3], 3, [0.5, 0.5]),
    "maximum(1, nan)": (wg.maximum, [1, NAN], NAN, [0, 1]),
    "maximum(nan, 1)": (wg.maximum, [NAN, 1], NAN, [1, 0]),
    "minimum(1, nan)": (wg.minimum, [1, NAN], NAN, [0, 1]),
    "minimum(nan, 1)": (wg.minimum, [NAN, 1], NAN, [1, 0]),
    "fmax(1, nan)": (wg.fmax, [1, NAN], 1, [1, 0]),
    "fmax(nan, 1)": (wg.fmax, [NAN, 1], 1, [0, 1]),
    "fmin(1, nan)": (wg.fmin, [1, NAN], 1, [1, 0]),
    "fmin(nan, 1)": (wg.fmin, [NAN, 1], 1, [0, 1]),
    "maximum of two infinities": (wg.maximum, [INF, INF], INF, [0.5, 0.5]),
    "maximum of two nans": (wg.maximum, [NAN, NAN], NAN, [0.5, 0.5]),
    "minimum of two nans": (wg.minimum, [NAN, NAN], NAN, [0.5, 0.5]),
    "abs at nan": (wg.abs, [NAN], NAN, [NAN]),
    "abs at -inf": (wg.abs, [-INF], INF, [-1]),
    "clip at the lower bound": (lambda x: wg.clip(x, 1, 2), [1], 1, [1]),
    "clip at the upper bound": (lambda x: wg.clip(x, 1, 2), [2], 2, [1]),
    "clip below": (lambda x: wg.clip(x, 1, 2), [0.5], 1, [0]),
    "clip above": (lambda x: wg.clip(x, 1, 2), [2.5], 2, [0]),
    "clip at bounds that are tensors": (wg.clip, [1, 1, 2], 1, [1, 0, 0]),
    "clip below a tensor": (wg.clip, [0, 1, 2], 1, [0, 1, 0]),
    "clip above a tensor": (wg.clip, [3, 1, 2], 2, [0, 0, 1]),
    "clip of nan": (lambda x: wg.clip(x, 1, 2), [NAN], NAN, [1]),
    "x**0 at 0": (lambda x: x**0, [0], 1, [0]),
    "x**0.0 at 0": (lambda x: x**0.0, [0], 1, [0]),
    "x**0 at inf": (lambda x: x**0, [INF], 1, [0]),
    "x**1 at 0": (lambda x: x**1, [0], 0, [1]),
    "x**2 at 0": (lambda x: x**2, [0], 0, [0]),
    "x**2.0 at 0": (lambda x: x**2.0, [0], 0, [0]),
    "x**3 at 0": (lambda x: x**3, [0], 0, [0]),
    "x**0.5 at 0": (lambda x: x**0.5, [0], 0, [INF]),
    "x**-1 at 0": (lambda x: x**-1, [0], INF, [-INF]),
    "power at (0, 0)": (wg.power, [0, 0], 1, [0, 0]),
    "power at (0, 2)": (wg.power, [0, 2], 0, [0, 0]),
    "power at (0, 1)": (wg.power, [0, 1], 0, [1, 0]),
    "power at (-2, 2)": (wg.power, [-2, 2], 4, [-4, NAN]),
    "0.0**y at 2": (lambda y: 0.0**y, [2], 0, [0]),
    "0**y at 2": (lambda y: 0**y, [2], 0, [0]),
    "(-2)**2 with a number": (lambda x: x**2, [-2], 4, [-4]),
    "(-2)**3 with a number": (lambda x: x**3, [-2], -8, [12]),
    "log at 0": (wg.log, [0], -INF, [INF]),
    "log at -1": (wg.log, [-1], NAN, [NAN]),
    "log2 at 0": (wg.log2, [0], -INF, [INF]),
    "log2 at -1": (wg.log2, [-1], NAN, [NAN]),
    "log10 at 0": (wg.log10, [0], -INF, [INF]),
    "log10 at -1": (wg.log10, [-1], NAN, [NAN]),
    "log1p at -1": (wg.log1p, [-1], -INF, [INF]),
    "log1p at -2": (wg.log1p, [-2], NAN, [NAN]),
    "1/x at 0": (lambda x: 1 / x, [0], INF, [-INF]),
    "reciprocal at 0": (wg.reciprocal, [0], INF, [-INF]),
    "x/y at (0, 0)": (wg.divide, [0, 0], NAN, [INF, NAN]),
    "atan2 at (0, 0)": (wg.atan2, [0, 0], 0, [0, 0]),
    "xlogy at (0, 0)": (wg.xlogy, [0, 0], 0, [0, 0]),
    "asin at 1": (wg.asin, [1], math.pi / 2, [INF]),
    "asin at -1": (wg.asin, [-1], -math.pi / 2, [INF]),
    "asin at 2": (wg.asin, [2], NAN, [NAN]),
    "acos at 1": (wg.acos, [1], 0, [-INF]),
    "acos at -1": (wg.acos, [-1], math.pi, [-INF]),
    "acos at 2": (wg.acos, [2], NAN, [NAN]),
    "acosh at 1": (wg.acosh, [1], 0, [INF]),
    "acosh at 0.5": (wg.acosh, [0.5], NAN, [NAN]),
    "atanh at 1": (wg.atanh, [1], INF, [INF]),
    "atanh at -1": (wg.atanh, [-1], -INF, [INF]),
    "atanh at 2": (wg.atanh, [2], NAN, [NAN]),
    "where(x > 0, log(x), 0) at 0": (lambda x: wg.where(x > 0, wg.log(x), 0), [0], 0, [0]),
    "where(x > 0, sqrt(x), x) at -1": (lambda x: wg.where(x > 0, wg.sqrt(x), x), [-1], -1, [1]),
    "where(x > 0, 1 / x, x) at 0": (lambda x: wg.where(x > 0, 1 / x, x), [0], 0, [1]),
    "where(x > 0, x / x, 0) at 0": (lambda x: wg.where(x > 0, x / x, 0), [0], 0, [0]),
    "sign of nan": (wg.sign, [NAN], NAN, [0]),
    "floor at 1": (wg.floor, [1], 1, [0]),
    "remainder at a jump": (lambda x: x % 2, [4], 0, [1]),
    "remainder of inf": (lambda x: x % 2, [INF], NAN, [NAN]),
    "remainder by 0": (lambda x: x % 0, [4], NAN, [NAN]),
    "remainder by inf": (lambda x: x % INF, [4], 4, [1]),
}

# name: (function, input, value, gradient of the sum of the results)
REDUCTIONS = {
    "norm at 0": (wg.norm, [0, 0], 0, [0, 0]),
    "norm of order 1 at 0": (lambda x: wg.norm(x, 1), [0, 0], 0, [0, 0]),
    "norm of order 3 at 0": (lambda x: wg.norm(x, 3), [0, 0], 0, [0, 0]),
    "norm of order inf at 0": (lambda x: wg.norm(x, INF), [0, 0], 0, [0, 0]),
    "norm of a row of zeros": (
        lambda x: wg.norm(x, axis=1),
        [[0, 0], [3, 4]],
        [0, 5],
        [[0, 0], [0.6, 0.8]],
    ),
    "std of constants": (wg.std, [2, 2, 2], 0, [0, 0, 0]),
    "var of constants": (wg.var, [2, 2, 2], 0, [0, 0, 0]),
    "std of one element": (wg.std, [2], 0, [0]),
    "var of one element": (wg.var, [2], 0, [0]),
    "var of one element, ddof 1": (lambda x: wg.var(x, ddof=1), [2], NAN, [NAN]),
    "std of one element, ddof 1": (lambda x: wg.std(x, ddof=1), [2], NAN, [NAN]),
    "max with ties": (wg.max, [1, 3, 3], 3, [0, 0.5, 0.5]),
    "min with ties": (wg.min, [1, 3, 1], 1, [0.5, 0, 0.5]),
    "max of four ties": (wg.max, [[3, 3], [3, 3]], 3, [[0.25, 0.25], [0.25, 0.25]]),
    "max over an axis with ties": (
        lambda x: wg.max(x, axis=1),
        [[1, 3, 3], [2, 0, 1]],
        [3, 2],
        [[0, 0.5, 0.5], [1, 0, 0]],
    ),
    "min over an axis with ties": (
        lambda x: wg.min(x, axis=0),
        [[1, 3, 3], [1, 0, 1]],
        [1, 0, 1],
        [[0.5, 0, 0], [0.5, 1, 1]],
    ),
    "amax with ties": (wg.amax, [3, 3], 3, [0.5, 0.5]),
    "max with nan": (wg.max, [1, NAN, 3], NAN, [0, 1, 0]),
    "min with two nan": (wg.min, [NAN, NAN, 3], NAN, [0.5, 0.5, 0]),
    "prod with one zero": (wg.prod, [0, 2, 3], 0, [6, 0, 0]),
    "prod with two zeros": (wg.prod, [0, 0, 3], 0, [0, 0, 0]),
    "prod over an axis with zeros": (
        lambda x: wg.prod(x, axis=1),
        [[2, 0, 3], [0, 5, 0]],
        [0, 0],
        [[0, 6, 0], [0, 0, 0]],
    ),
    "max that lost at a pole": (lambda x: wg.max(wg.sqrt(x)), [0, 4], 2, [0, 0.25]),
    "row that was not indexed": (lambda x: wg.sqrt(x)[1], [0, 4], 2, [0, 0.25]),
    "row that was not indexed by an array": (lambda x: wg.sqrt(x)[[1]], [0, 4], [2], [0, 0.25]),
    "row overwritten": (lambda x: overwritten(wg.sqrt(x)), [0, 4], [7, 2], [0, 0.25]),
}

ORDERS = {
    "x**1 at 0": (lambda x: x**1, 0, [1, 0, 0]),
    "x**2 at 0": (lambda x: x**2, 0, [0, 2, 0]),
    "x**2.0 at 0": (lambda x: x**2.0, 0, [0, 2, 0]),
    "power(x, 2) at 0": (lambda x: wg.power(x, 2), 0, [0, 2, 0]),
    "square at 0": (wg.square, 0, [0, 2, 0]),
    "x**3 at 0": (lambda x: x**3, 0, [0, 0, 6]),
    "x**0 at 0": (lambda x: x**0, 0, [0, 0, 0]),
    "0.0**y at 2": (lambda y: 0.0**y, 2, [0, 0, 0]),
    "x * x at 0": (lambda x: x * x, 0, [0, 2, 0]),
    "relu at 0": (wg.relu, 0, [0, 0, 0]),
    "abs at 0": (wg.abs, 0, [0, 0, 0]),
    "clip at a bound": (lambda x: wg.clip(x, 0, 1), 0, [1, 0, 0]),
    "maximum(x, 0) at 0": (lambda x: wg.maximum(x, 0), 0, [0.5, 0, 0]),
    "1/x at 0": (lambda x: 1 / x, 0, [-INF, INF, -INF]),
    "log at 0": (wg.log, 0, [INF, -INF, INF]),
    "sqrt at 0": (wg.sqrt, 0, [INF, -INF, INF]),
    "where(x > 0, log(x), 0) at 0": (lambda x: wg.where(x > 0, wg.log(x), 0), 0, [0, 0, 0]),
    "log(1 + x) at 0": (lambda x: wg.log(1 + x), 0, [1, -1, 2]),
    "log1p at 0": (wg.log1p, 0, [1, -1, 2]),
}


def overwritten(x):
    x = x * 1
    x[0] = 7.0
    return x


def as_cases(table):
    return pytest.mark.parametrize("case", table.values(), ids=table.keys())


def arrays_of(inputs, shape, dtype):
    return [np.full(shape, x, dtype) for x in inputs]


@as_cases(ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (1,), (5,), (67,)], ids=str)  # the last by vectors
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise_in_reverse_mode(case, shape, dtype):
    function, inputs, value, gradients = case
    leaves = [wg.tensor(a, requires_grad=True) for a in arrays_of(inputs, shape, dtype)]
    result = function(*leaves)
    result.backward(wg.ones_like(result))
    rtol = 1e-6 if dtype == "float32" else 1e-15
    np.testing.assert_allclose(array_of(result), np.full(shape, value), rtol)
    for leaf, gradient in zip(leaves, gradients, strict=True):
        np.testing.assert_array_equal(leaf.grad.numpy(), np.full(shape, gradient))


@as_cases(ELEMENTWISE)
@pytest.mark.parametrize("shape", [(), (67,)], ids=str)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise_one_input_at_a_time(case, shape, dtype):
    """Both modes; what else would have a gradient of NaN must not matter."""
    function, inputs, _, gradients = case
    arrays = arrays_of(inputs, shape, dtype)
    for i, gradient in enumerate(gradients):
        leaves = [wg.tensor(a, requires_grad=k == i) for k, a in enumerate(arrays)]
        result = function(*leaves)
        result.backward(wg.ones_like(result))
        np.testing.assert_array_equal(leaves[i].grad.numpy(), np.full(shape, gradient))

        def of_one(x, i=i):
            others = [wg.tensor(a) for a in arrays]
            return function(*[x if k == i else other for k, other in enumerate(others)])

        tangent = np.ones(shape, dtype)
        _, slope = wg.jvp(of_one, (wg.tensor(arrays[i]),), (wg.tensor(tangent),))
        np.testing.assert_array_equal(array_of(slope), np.full(shape, gradient))


@as_cases(ELEMENTWISE)
def test_a_gradient_of_zero_stays_zero(case):
    function, inputs, *_ = case
    for shape in ((), (3,)):
        leaves = [wg.tensor(a, requires_grad=True) for a in arrays_of(inputs, shape, "float64")]
        result = function(*leaves)
        result.backward(wg.zeros_like(result))
        for leaf in leaves:
            np.testing.assert_array_equal(leaf.grad.numpy(), np.zeros(shape))
        tangents = [wg.zeros(shape) for _ in leaves]
        _, slope = wg.jvp(function, [leaf.detach() for leaf in leaves], tangents)
        np.testing.assert_array_equal(array_of(slope), np.zeros(shape))


@as_cases(REDUCTIONS)
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_reductions_and_selections(case, dtype):
    function, x, value, gradient = case
    leaf = wg.tensor(x, dtype=dtype, requires_grad=True)
    result = function(leaf)
    result.sum().backward()
    rtol = 1e-6 if dtype == "float32" else 1e-15
    np.testing.assert_allclose(array_of(result), np.array(value), rtol)
    np.testing.assert_allclose(leaf.grad.numpy(), np.array(gradient), rtol)
    forward = forward_jacobian(lambda t: function(t).sum(), leaf.detach())
    np.testing.assert_allclose(array_of(forward), np.array(gradient), rtol)


def derivatives(function, transform, order):
    for _ in range(order):
        function = transform(function)
    return function


def forward(function):
    return lambda x: wg.jvp(function, (x,), (wg.ones_like(x),))[1]


def reverse(function):
    return wg.grad(lambda x: function(x).sum())


@as_cases(ORDERS)
@pytest.mark.parametrize("transforms", ["rrr", "fff", "rff", "frr", "rrf", "frf"])
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_higher_orders(case, transforms, shape):
    function, point, expected = case
    current = function
    for order, mode in enumerate(transforms):
        current = reverse(current) if mode == "r" else forward(current)
        got = array_of(current(wg.tensor(np.full(shape, point, float))))
        np.testing.assert_array_equal(got, np.full(shape, expected[order]), f"order {order + 1}")


def product_of_others(x, *left_out):
    return math.prod(v for i, v in enumerate(x) if i not in left_out)


@pytest.mark.parametrize("x", [[0.0, 2, 3], [0.0, 0, 3], [0.0, 0, 0], [0.0, 2, 0, 4, 5], [2.0]])
def test_all_derivatives_of_prod_are_exact_with_zeros(x):
    n = len(x)
    point = wg.tensor(x)
    first = [product_of_others(x, i) for i in range(n)]
    second = [[product_of_others(x, i, j) * (i != j) for j in range(n)] for i in range(n)]
    third = [
        [
            [product_of_others(x, i, j, k) * (len({i, j, k}) == 3) for k in range(n)]
            for j in range(n)
        ]
        for i in range(n)
    ]
    np.testing.assert_array_equal(wg.jacobian(wg.prod, point).numpy(), first)
    np.testing.assert_array_equal(wg.hessian(wg.prod, point).numpy(), second)
    np.testing.assert_array_equal(
        wg.jacobian(lambda a: wg.jacobian(wg.grad(wg.prod), a, create_graph=True), point).numpy(),
        third,
    )
    np.testing.assert_array_equal(array_of(forward_jacobian(wg.prod, point)), first)
    np.testing.assert_array_equal(array_of(forward_jacobian(wg.grad(wg.prod), point)), second)


def test_least_norm_counts_only_operands_that_require_grad():
    """Both are active, one is a constant: the operand-wise split does not depend on that."""
    x = wg.tensor(2.0, requires_grad=True)
    wg.maximum(x, wg.tensor(2.0)).backward()
    assert x.grad.item() == 0.5


def test_a_kink_does_not_leak_into_a_smooth_composite():
    for function, order_2 in (
        (lambda x: wg.relu(x) ** 2 + wg.relu(-x) ** 2, None),
        (lambda x: wg.abs(x) ** 2, None),
        (lambda x: wg.abs(x) * wg.abs(x), None),
    ):
        x = wg.tensor(0.0, requires_grad=True)
        function(x).backward()
        assert x.grad.item() == 0
        assert order_2 is None


def test_sums_of_no_element():
    empty = wg.zeros(0, requires_grad=True)
    assert empty.sum().item() == 0
    assert math.isnan(empty.mean().item())
    assert wg.prod(empty).item() == 1
    for reduction in (wg.sum, wg.mean, wg.prod):
        reduction(empty).backward()
        assert empty.grad.shape == (0,)
    for name in ("max", "min", "argmax", "argmin"):
        with pytest.raises(ValueError, match=rf"^{name}: .*\(0,\) has no element to choose from"):
            getattr(wg, name)(empty)


def test_repeated_indices_keep_the_last_write():
    target = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    value = wg.tensor([10.0, 20.0, 30.0], requires_grad=True)
    x = target * 1
    x[[0, 2, 0]] = value
    np.testing.assert_array_equal(array_of(x), [30, 2, 20])
    (x * wg.tensor([1.0, 2.0, 4.0])).sum().backward()
    np.testing.assert_array_equal(target.grad.numpy(), [0, 2, 0])
    np.testing.assert_array_equal(value.grad.numpy(), [0, 4, 1])


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
def test_integers_cannot_require_grad(dtype):
    text = rf"only Tensors of floating point dtype can require gradients.* dtype {dtype}; use"
    with pytest.raises(RuntimeError, match=text):
        wg.tensor([1, 0], dtype=dtype, requires_grad=True)
    tensor = wg.tensor([1, 0], dtype=dtype)
    with pytest.raises(RuntimeError, match=text):
        tensor.requires_grad = True
    with pytest.raises(RuntimeError, match=text):
        tensor.requires_grad_()
    assert not tensor.requires_grad


def test_backward_of_more_than_one_element():
    x = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    text = r"^grad can be implicitly created only for scalar outputs.*\(3,\)"
    with pytest.raises(RuntimeError, match=text):
        (x * x).backward()
    assert x.grad is None
