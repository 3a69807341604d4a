"""Derivatives of every elementwise operation, from the records of the table."""

import numpy as np
import pytest
from operation_samples import (
    ELEMENTWISE,
    array_of,
    check_jacobians,
    identity_of,
    is_differentiable,
    numeric_jacobian,
    of_joined,
    smooth_points,
)

import wengert as wg

SMOOTH = [record for record in ELEMENTWISE if is_differentiable(record)]
UNARY = [record for record in SMOOTH if record["arity"] == 1]
BINARY = [record for record in SMOOTH if record["arity"] == 2]

every_smooth = pytest.mark.parametrize("record", SMOOTH, ids=identity_of)
every_unary = pytest.mark.parametrize("record", UNARY, ids=identity_of)
every_binary = pytest.mark.parametrize("record", BINARY, ids=identity_of)


def function_of(record):
    return getattr(wg, record["name"])


@every_unary
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_jacobians_of_one_input_to_third_order(record, shape):
    (x,) = smooth_points(record, shape)
    check_jacobians(function_of(record), np.asarray(x), order=3)


@every_binary
@pytest.mark.parametrize(
    "shapes", [((), ()), ((2,), (2,)), ((2, 1), (1, 2)), ((), (2,)), ((2,), ())], ids=str
)
def test_jacobians_of_two_inputs_to_second_order(record, shapes):
    points = smooth_points(record, *shapes)
    joined = np.concatenate([np.ravel(p) for p in points])
    check_jacobians(of_joined(function_of(record), *shapes), joined, order=2)


@every_binary
def test_jacobians_of_two_inputs_to_third_order(record):
    points = smooth_points(record, (), (2,), seed=1)
    joined = np.concatenate([np.ravel(p) for p in points])
    check_jacobians(of_joined(function_of(record), (), (2,)), joined, order=3)


def gradients_in_all_ways(record, points):
    """One pass with every operand a leaf, then one for each subset that requires grad."""
    operation = function_of(record)
    found = []
    for subset in ((0,), (1,), (0, 1)):
        leaves = [wg.tensor(p, requires_grad=i in subset) for i, p in enumerate(points)]
        result = operation(*leaves)
        result.backward(wg.ones_like(result))
        found.append([None if leaf.grad is None else leaf.grad.numpy() for leaf in leaves])
    return found


@every_binary
@pytest.mark.parametrize(
    "shapes",
    [((), ()), ((3,), (3,)), ((3,), ()), ((), (3,)), ((2, 1), (3,)), ((0, 2), (2,))],
    ids=str,
)
def test_the_gradient_does_not_depend_on_what_else_requires_grad(record, shapes):
    points = smooth_points(record, *shapes)
    first, second, both = gradients_in_all_ways(record, points)
    assert first[1] is None
    assert second[0] is None
    np.testing.assert_array_equal(first[0], both[0])
    np.testing.assert_array_equal(second[1], both[1])
    for shape, gradient in zip(shapes, both, strict=True):
        assert gradient.shape == shape


@every_binary
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_a_number_on_either_side_counts_as_a_constant(record, shape):
    operation = function_of(record)
    x, y = smooth_points(record, shape, ())
    u, v = smooth_points(record, (), shape)
    for result, constant, point in (
        (lambda a: operation(a, float(y)), lambda a: operation(a, wg.tensor(y)), x),
        (lambda a: operation(float(u), a), lambda a: operation(wg.tensor(u), a), v),
    ):
        got = array_of(wg.jacobian(result, point))
        np.testing.assert_array_equal(got, array_of(wg.jacobian(constant, point)))
        numeric = numeric_jacobian(
            lambda a, f=result: array_of(f(wg.tensor(a))).copy(), np.asarray(point)
        )
        np.testing.assert_allclose(got, numeric, rtol=1e-6, atol=1e-6)


@every_smooth
@pytest.mark.parametrize("size", [None, 1, 7, 64])
def test_forward_and_reverse_mode_agree(record, size):
    shape = () if size is None else (size,)
    seeds = range(10) if size is None else range(3)
    for seed in seeds:
        random = np.random.default_rng(seed)
        points = [random.uniform(low, high, shape) for low, high in record["domain"]]
        for i in range(len(points)):
            leaves = [wg.tensor(p, requires_grad=k == i) for k, p in enumerate(points)]
            result = function_of(record)(*leaves)
            result.backward(wg.ones_like(result))
            tangents = [np.ones(shape) if k == i else np.zeros(shape) for k in range(len(points))]
            _, slope = wg.jvp(function_of(record), points, tangents)
            np.testing.assert_array_equal(slope.numpy(), leaves[i].grad.numpy())


@every_smooth
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_have_the_dtype_of_their_tensor(record, dtype):
    points = smooth_points(record, *[(3,)] * record["arity"])
    leaves = [wg.tensor(p, dtype=dtype, requires_grad=True) for p in points]
    result = function_of(record)(*leaves)
    result.backward(wg.ones_like(result))
    exact = [wg.tensor(p.astype(dtype), dtype="float64", requires_grad=True) for p in points]
    function_of(record)(*exact).backward(wg.ones(3))
    for leaf, other in zip(leaves, exact, strict=True):
        assert leaf.grad.dtype == dtype
        np.testing.assert_allclose(
            leaf.grad.numpy(), other.grad.numpy(), rtol=2e-5 if dtype == "float32" else 0
        )


@every_binary
@pytest.mark.parametrize("shapes", [((3,), (3,)), ((), (3,)), ((3,), ()), ((), ())], ids=str)
@pytest.mark.parametrize("dtypes", [("float32", "float64"), ("float64", "float32")], ids=str)
def test_mixed_dtypes(record, shapes, dtypes):
    points = list(map(np.asarray, smooth_points(record, *shapes), dtypes))
    leaves = [wg.tensor(p, requires_grad=True) for p in points]
    result = function_of(record)(*leaves)
    assert result.dtype == "float64"
    result.backward(wg.ones_like(result))
    exact = [wg.tensor(p, dtype="float64", requires_grad=True) for p in points]
    value = function_of(record)(*exact)
    value.backward(wg.ones_like(value))
    np.testing.assert_allclose(array_of(result), array_of(value), rtol=1e-14)
    for leaf, other, dtype in zip(leaves, exact, dtypes, strict=True):
        assert leaf.grad.dtype == dtype
        assert leaf.grad.shape == leaf.shape
        rtol = 1e-6 if dtype == "float32" else 1e-14
        np.testing.assert_allclose(leaf.grad.numpy(), other.grad.numpy(), rtol)


@every_binary
@pytest.mark.parametrize("shape", [(), (3,)], ids=str)
def test_an_operand_used_twice_gets_both_gradients(record, shape):
    x, _ = smooth_points(record, shape, ())
    leaves = [wg.tensor(x, requires_grad=True), wg.tensor(x, requires_grad=True)]
    function_of(record)(*leaves).sum().backward()
    shared = wg.tensor(x, requires_grad=True)
    function_of(record)(shared, shared).sum().backward()
    total = leaves[0].grad.numpy() + leaves[1].grad.numpy()
    np.testing.assert_array_equal(shared.grad.numpy(), total)


@every_smooth
@pytest.mark.parametrize("layout", ["transposed", "reversed", "stretched", "strided"])
def test_gradients_of_views(record, layout):
    views = {
        "transposed": ((2, 3), lambda t: t.T),
        "reversed": ((3, 2), lambda t: t[::-1, ::-1]),
        "stretched": ((2,), lambda t: wg.broadcast_to(t, (3, 2))),
        "strided": ((6, 4), lambda t: t[::2, 1::2]),
    }
    shape, view = views[layout]
    points = smooth_points(record, *[shape] * record["arity"])[: record["arity"]]
    leaves = [wg.tensor(p, requires_grad=True) for p in points]
    copies = [wg.tensor(array_of(view(leaf)).copy(), requires_grad=True) for leaf in leaves]
    weights = wg.tensor(np.arange(1.0, 7).reshape(3, 2))
    (function_of(record)(*map(view, leaves)) * weights).sum().backward()
    (function_of(record)(*copies) * weights).sum().backward()
    for leaf, copy in zip(leaves, copies, strict=True):
        np.testing.assert_allclose(
            leaf.grad.sum().item(), copy.grad.sum().item(), rtol=1e-12, atol=1e-12
        )
        if layout != "stretched":
            np.testing.assert_allclose(array_of(view(leaf.grad)), array_of(copy.grad), rtol=1e-14)


@pytest.mark.parametrize("shape", [(), (1,), (3,), (4, 1), (1, 3)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradient_of_a_stretched_subtrahend(shape, dtype):
    generator = np.random.default_rng(11)
    matrix, weights = generator.normal(size=(2, 4, 3))
    subtrahend = generator.normal(size=shape).astype(dtype)

    def loss(s):
        return (weights * (wg.tensor(matrix) - s) ** 3).sum()

    def summed(terms):
        kept = (1,) * (2 - len(shape)) + shape
        axes = tuple(i for i in range(2) if kept[i] == 1)
        return terms.sum(axis=axes, keepdims=True).reshape(shape)

    s = wg.tensor(subtrahend, requires_grad=True)
    (gradient,) = wg.autograd.grad(loss(s), [s], create_graph=True)
    expected = summed(-3 * weights * (matrix - subtrahend) ** 2)
    tolerance = 1e-12 if dtype == "float64" else 1e-5
    assert gradient.dtype == s.dtype
    np.testing.assert_allclose(gradient.detach().numpy(), expected, rtol=tolerance)
    diagonal = summed(6 * weights * (matrix - subtrahend))
    gradient.sum().backward()
    np.testing.assert_allclose(s.grad.numpy(), diagonal, rtol=tolerance, atol=tolerance)
    hessian = wg.hessian(loss, wg.tensor(subtrahend)).numpy().reshape(s.size, s.size)
    np.testing.assert_allclose(hessian, np.diag(np.ravel(diagonal)), rtol=tolerance, atol=tolerance)
