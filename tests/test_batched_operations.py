"""One pass with many gradients, or tangents, against one pass for each: every operation."""

import numpy as np
import pytest
from function_samples import CASES, call, inputs_of
from operation_samples import (
    ELEMENTWISE,
    array_of,
    identity_of,
    is_differentiable,
    smooth_points,
)

import wengert as wg
from wengert import _core, autograd

DIFFERENTIABLE = [record for record in ELEMENTWISE if is_differentiable(record)]
FUNCTION_CASES = [c for c in CASES if c[0] not in ("argmax", "argmin", "any", "all")]
SHAPES = {1: [((2, 3),), ((),), ((0, 2),)]}
SHAPES[2] = [((2, 3), (2, 3)), ((2, 1), (3,)), ((), (2,)), ((2,), ()), ((), ()), ((0, 1), (2,))]
ELEMENTWISE_CASES = [
    (record, shapes) for record in DIFFERENTIABLE for shapes in SHAPES[record["arity"]]
]


def of_elementwise(record):
    """The operation on a list of inputs."""
    return lambda inputs: getattr(wg, record["name"])(*inputs)


def of_function(name, sample):
    return lambda inputs: call(getattr(wg, name), name, sample, inputs)


def random_like(count, value, seed):
    random = np.random.default_rng(seed)
    return random.standard_normal((count, *value.shape)).astype(value.dtype)


def rows_of(outputs, gradients, inputs, create_graph=False):
    """The gradients row by row, stacked; zeros where an input is not used."""
    rows = [
        _core.run_backward([outputs], [g], inputs, True, create_graph, False) for g in gradients
    ]
    return [
        wg.stack([wg.zeros_like(x) if row[i] is None else row[i] for row in rows])
        for i, x in enumerate(inputs)
    ]


def at_once(output, gradients, inputs, create_graph=False):
    """The same in one pass; an exception if that is not possible."""
    found = _core.run_batched_backward([output], [gradients], inputs, True, create_graph)
    size = gradients.shape[0]
    return [
        wg.zeros((size, *x.shape), dtype=x.dtype) if f is None else f
        for f, x in zip(found, inputs, strict=True)
    ]


def assert_close(found, expected, dtype="float64"):
    for f, e in zip(found, expected, strict=True):
        assert f.shape == e.shape
        assert f.dtype == e.dtype
        tolerance = 1e-4 if dtype == "float32" else 1e-11
        np.testing.assert_allclose(array_of(f), array_of(e), tolerance, tolerance)


def variables_of(arrays, dtype):
    return [wg.tensor(a.astype(dtype), requires_grad=True) for a in arrays]


def check_reverse(f, arrays, dtype):
    inputs = variables_of(arrays, dtype)
    output = f(inputs)
    if not output.requires_grad:
        return
    gradients = wg.tensor(random_like(3, output, 1))
    expected = rows_of(output, gradients, inputs)
    assert_close(at_once(output, gradients, inputs), expected, dtype)
    # In another layout in memory, and some of them zero.
    turned = wg.tensor(np.asfortranarray(array_of(gradients))[::-1].copy(order="F"))
    assert_close(at_once(output, turned, inputs), [e[[2, 1, 0]] for e in expected], dtype)
    zeroed = gradients * wg.tensor([1.0, 0.0, 1.0], dtype=dtype).reshape(3, *[1] * output.ndim)
    assert_close(at_once(output, zeroed, inputs), rows_of(output, zeroed, inputs), dtype)


def check_second_order(f, arrays):
    """A batched pass over a recorded pass, and a recorded batched pass under a plain one."""
    inputs = variables_of(arrays, "float64")
    output = f(inputs)
    if not output.requires_grad:
        return
    seed = wg.tensor(random_like(1, output, 2)[0], requires_grad=True)
    first = [
        g
        for g in _core.run_backward([output], [seed], inputs, True, True, False)
        if g is not None and g.requires_grad
    ]
    wanted = [*inputs, seed]
    for gradient in first:
        gradients = wg.tensor(random_like(3, gradient, 3))
        assert_close(at_once(gradient, gradients, wanted), rows_of(gradient, gradients, wanted))
    seeds = wg.tensor(random_like(3, output, 4), requires_grad=True)
    totals = []
    for rows in (rows_of(output, seeds, inputs, True), at_once(output, seeds, inputs, True)):
        weights = [wg.tensor(random_like(1, r, 5)[0]) for r in rows]
        total = sum((r * w).sum() for r, w in zip(rows, weights, strict=True))
        if not total.requires_grad:
            return
        totals.append(_core.run_backward([total], [None], [*inputs, seeds], True, True, False))
    pairs = [(t, e) for e, t in zip(*totals, strict=True) if t is not None or e is not None]
    for found, expected in pairs:
        if found is None or expected is None:  # one way has noticed that it is zero
            assert not np.any(array_of(expected if found is None else found))
        else:
            assert_close([found], [expected])


def check_forward(f, arrays):
    """All columns of the Jacobian in one evaluation, also of the gradient."""
    inputs = [wg.tensor(a) for a in arrays]
    size = sum(x.size for x in inputs)
    if not size:
        return

    def gradient(xs):
        output = f(xs)
        weights = wg.tensor(random_like(1, output, 6)[0])
        return list(wg.grad(lambda ys: (f(ys) * weights).sum())(xs))

    for function in (f, gradient):
        before = _core.batch_failures()
        blocks = wg.jacfwd(function)(inputs)
        assert _core.batch_failures() == before
        expected = wg.jacfwd(function, chunk_size=1)(inputs)
        for found, e in zip(wg.tree.flatten(blocks)[0], wg.tree.flatten(expected)[0], strict=True):
            assert_close([found], [e])
    value, slope = wg.jvp(f, (inputs,), ([wg.ones_like(x) for x in inputs],))
    total = sum(
        array_of(b).sum(tuple(range(value.ndim, b.ndim)))
        for b in wg.tree.flatten(wg.jacfwd(f)(inputs))[0]
    )
    np.testing.assert_allclose(array_of(slope), total, 1e-9, 1e-9)


every_elementwise = pytest.mark.parametrize(
    ("record", "shapes"),
    ELEMENTWISE_CASES,
    ids=[f"{identity_of(r)}-{s}" for r, s in ELEMENTWISE_CASES],
)
every_function = pytest.mark.parametrize(
    ("name", "sample"), [c[:2] for c in FUNCTION_CASES], ids=[c[2] for c in FUNCTION_CASES]
)


@every_elementwise
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_elementwise_gradients(record, shapes, dtype):
    check_reverse(of_elementwise(record), smooth_points(record, *shapes), dtype)


@every_elementwise
def test_elementwise_second_order(record, shapes):
    check_second_order(of_elementwise(record), smooth_points(record, *shapes))


@every_elementwise
def test_elementwise_tangents(record, shapes):
    check_forward(of_elementwise(record), smooth_points(record, *shapes))


@every_function
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_function_gradients(name, sample, dtype):
    check_reverse(of_function(name, sample), inputs_of(name, sample), dtype)


@every_function
def test_function_second_order(name, sample):
    check_second_order(of_function(name, sample), inputs_of(name, sample))


@every_function
def test_function_tangents(name, sample):
    check_forward(of_function(name, sample), inputs_of(name, sample))


PRODUCTS = {
    "matrix @ x": lambda a, x: wg.tanh(a @ x),
    "x @ matrix": lambda a, x: wg.sin(x @ a),
    "residuals": lambda a, x: a @ x - 2.0,
    "matrices": lambda a, x: wg.exp(x.reshape(4, 3) @ a[:3]),
    "of transposed": lambda a, x: (a.T @ x) ** 2,
    "after a mixing operation": lambda a, x: (a @ x) * wg.exp(a @ x).sum(),
}


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("special", [0.5, 0.0, np.inf, np.nan])
@pytest.mark.parametrize("function", PRODUCTS.values(), ids=PRODUCTS.keys())
def test_jacobians_of_products_with_matrices(function, special, dtype):
    """Their rows begin with one element; 0 * inf is NaN in all others."""
    rng = np.random.default_rng(0)
    a, x = (wg.tensor(rng.uniform(-1, 1, s).astype(dtype)) for s in ((12, 12), (12,)))
    a[2, 5] = special
    y = x.detach().requires_grad_()
    out = function(a, y)
    rows = wg.eye(out.size, dtype=dtype).reshape(out.size, *out.shape)
    expected = [autograd.grad(out, y, row, retain_graph=True)[0].numpy() for row in rows]
    tolerance = (
        {"rtol": 1e-12, "atol": 1e-12} if dtype == "float64" else {"rtol": 1e-5, "atol": 1e-5}
    )
    (found,) = autograd.grad(out, y, rows, is_grads_batched=True)
    np.testing.assert_allclose(found.numpy(), expected, **tolerance)
    expected = [
        wg.jvp(lambda x: function(a, x), (x,), (row,))[1].numpy() for row in wg.eye(12, dtype=dtype)
    ]
    found = wg.jacfwd(lambda x: function(a, x))(x).numpy().reshape(out.size, 12)
    np.testing.assert_allclose(found.T, np.reshape(expected, (12, -1)), **tolerance)
