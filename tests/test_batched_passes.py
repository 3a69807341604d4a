"""Batched passes: arguments, what cannot be done at once, batches within batches, memory."""

import gc

import numpy as np
import pytest

import wengert as wg
from wengert import _core, autograd
from wengert.autograd import forward_ad

X = wg.tensor([1.0, 2.0, 3.0])


def variable(*values):
    return wg.tensor(list(values), requires_grad=True)


class Cube(wg.Function):
    """Recorded as a node of Python's."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    def backward(ctx, grad_output):
        return 3 * ctx.saved_tensors[0] ** 2 * grad_output


def test_batched_gradients():
    x = variable(1.0, 2.0, 3.0)
    (rows,) = autograd.grad(x**2, x, wg.eye(3), is_grads_batched=True)
    assert rows.tolist() == [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]
    assert not rows.requires_grad
    y = wg.tensor(2.0, requires_grad=True)
    (rows,) = autograd.grad(y**3, y, [1.0, 10.0], is_grads_batched=True)
    assert rows.tolist() == [12.0, 120.0]


def test_several_outputs_and_inputs():
    x, y = variable(1.0, 2.0), wg.tensor(3.0, requires_grad=True)
    seeds = (wg.tensor([[1.0, 0.0], [0.0, 1.0]]), wg.tensor([0.0, 10.0]))
    gx, gy = autograd.grad((x * y, y**2), (x, y), seeds, is_grads_batched=True)
    assert gx.tolist() == [[3.0, 0.0], [0.0, 3.0]]
    assert gy.tolist() == [1.0, 2.0 + 60.0]


def test_unused_inputs():
    x, unused = variable(1.0), variable(1.0, 1.0)
    options = {"is_grads_batched": True, "retain_graph": True}
    output = x * 2
    with pytest.raises(
        RuntimeError, match=r"index 1 appears to not have been used in the graph.*shape is \(2,\)"
    ):
        autograd.grad(output, (x, unused), wg.ones((4, 1)), **options)
    found = autograd.grad(output, (x, unused), wg.ones((4, 1)), allow_unused=True, **options)
    assert found[1] is None
    found = autograd.grad(output, (x, unused), wg.ones((4, 1)), materialize_grads=True, **options)
    assert found[1].tolist() == [0.0, 0.0]


def test_wrong_gradients_are_explained():
    x = variable(1.0, 2.0, 3.0)
    y = x**2
    with pytest.raises(RuntimeError, match=r"grad_outputs\[0\] is missing"):
        autograd.grad(y, x, is_grads_batched=True)
    expected = (
        r"first dimension .* grad_output\[0\] has a shape of \(3,\) and output\[0\] .* \(3,\)"
    )
    with pytest.raises(RuntimeError, match=expected):
        autograd.grad(y, x, wg.ones(3), is_grads_batched=True)
    with pytest.raises(RuntimeError, match=r"grad_output\[0\] has a shape of \(4, 2\)"):
        autograd.grad(y, x, wg.ones((4, 2)), is_grads_batched=True)
    with pytest.raises(RuntimeError, match=r"grad_output\[0\] has a shape of \(\)"):
        autograd.grad(y.sum(), x, wg.tensor(1.0), is_grads_batched=True)
    with pytest.raises(ValueError, match=r"same size in the batch dimension, got sizes \[2, 4\]"):
        autograd.grad((y, y), x, (wg.ones((2, 3)), wg.ones((4, 3))), is_grads_batched=True)
    with pytest.raises(ValueError, match="at least one gradient"):
        autograd.grad(y, x, wg.ones((0, 3)), is_grads_batched=True)
    with pytest.raises(RuntimeError, match="does not require grad and does not have a grad_fn"):
        autograd.grad(X * 2, x, wg.eye(3), is_grads_batched=True)


def test_graph_is_freed_after_a_batched_pass():
    x = variable(1.0, 2.0, 3.0)
    y = wg.sin(x)
    autograd.grad(y, x, wg.eye(3), is_grads_batched=True, retain_graph=True)
    autograd.grad(y, x, wg.eye(3), is_grads_batched=True)
    with pytest.raises(RuntimeError, match=r"second time .*: 'sin'"):
        autograd.grad(y, x, wg.eye(3), is_grads_batched=True)


def test_saved_values_are_guarded():
    x = variable(1.0, 2.0, 3.0)
    z = x * 1
    y = wg.sin(z)
    with wg.no_grad():
        z += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        autograd.grad(y, x, wg.eye(3), is_grads_batched=True)


def test_seeds_are_not_shared_with_the_result():
    x = variable(1.0, 2.0)
    seeds = wg.eye(2)
    (rows,) = autograd.grad(x + 1, x, seeds, is_grads_batched=True)
    rows += 1
    assert seeds.tolist() == [[1.0, 0.0], [0.0, 1.0]]


def test_recorded_batch_is_differentiated():
    x = variable(1.0, 2.0)
    seeds = wg.tensor([[1.0, 0.0], [2.0, 3.0], [0.0, 1.0]], requires_grad=True)
    (rows,) = autograd.grad(x**3, x, seeds, is_grads_batched=True, create_graph=True)
    assert rows.requires_grad
    gx, gs = autograd.grad((rows**2).sum(), (x, seeds), retain_graph=True)
    # rows = 3 s x**2, so sum(rows**2) = 9 s**2 x**4.
    s, v = seeds.detach().numpy(), x.detach().numpy()
    np.testing.assert_allclose(gx.numpy(), (36 * s**2 * v**3).sum(0), 1e-14)
    np.testing.assert_allclose(gs.numpy(), 18 * s * v**4, 1e-14)
    rows.sum().backward()
    np.testing.assert_allclose(x.grad.numpy(), (6 * s * v).sum(0), 1e-14)


def test_batch_over_a_recorded_batch():
    x = variable(1.0, 2.0)
    jacobian = wg.jacobian(lambda x: x**3, x, create_graph=True)
    (rows,) = autograd.grad(jacobian, x, wg.ones((2, 2, 2)), is_grads_batched=True)
    assert rows.tolist() == [[6.0, 12.0], [6.0, 12.0]]


@pytest.mark.parametrize("inner", [wg.jacrev, wg.jacfwd])
@pytest.mark.parametrize("outer", [wg.jacrev, wg.jacfwd])
def test_transforms_nest(inner, outer):
    third = outer(outer(inner(lambda x: wg.sin(x) * x.sum())))(X).numpy()
    x = X.numpy()
    expected = np.zeros((3, 3, 3, 3))  # by output, then three times by input
    total = x.sum()
    for i in range(3):
        expected[i, i, i, i] -= total * np.cos(x[i])
        for k in range(3):
            for place in ((k, i, i), (i, k, i), (i, i, k)):
                expected[(i, *place)] -= np.sin(x[i])
    np.testing.assert_allclose(third, expected, 1e-12, 1e-12)


def test_hessian_is_forward_over_reverse():
    def f(x):
        return (x[1:] * wg.sin(x[:-1])).sum() + wg.prod(x) + wg.norm(x) + wg.max(x * x)

    before = _core.batch_failures()
    expected = wg.hessian(f, X)
    found = wg.jacfwd(wg.grad(f))(X)
    assert _core.batch_failures() == before
    np.testing.assert_allclose(found.numpy(), expected.numpy(), 1e-12, 1e-12)
    inner = wg.jacfwd(f)
    np.testing.assert_allclose(wg.jacrev(inner)(X).numpy(), expected.numpy(), 1e-12, 1e-12)


def test_functions_and_hooks_take_rows_one_by_one():
    seen = []

    def hook(grad):
        seen.append(grad.shape)
        return grad * 2

    def f(x):
        y = wg.sin(x)
        y.register_hook(hook)
        return y * x.sum()

    x = variable(1.0, 2.0)
    point = x.detach()
    expected = 2 * wg.jacobian(lambda x: wg.sin(x) * x.sum().detach(), point)
    expected = expected + wg.jacobian(lambda x: wg.sin(x).detach() * x.sum(), point)
    np.testing.assert_allclose(wg.jacrev(f)(point).numpy(), expected.numpy(), 1e-14)
    assert seen == [(2,), (2,)]
    before = _core.batch_failures()
    cubes = wg.jacrev(lambda x: Cube.apply(x) * x.sum())(X)
    assert _core.batch_failures() == before  # made up for
    np.testing.assert_allclose(cubes.numpy(), wg.jacrev(lambda x: x**3 * x.sum())(X).numpy(), 1e-14)
    (rows,) = autograd.grad(Cube.apply(x), x, wg.eye(2), is_grads_batched=True)
    assert rows.tolist() == [[3.0, 0.0], [0.0, 12.0]]
    kept = x * 1
    kept.retain_grad()
    (rows,) = autograd.grad(kept**2, x, wg.eye(2), is_grads_batched=True)
    assert rows.tolist() == [[2.0, 0.0], [0.0, 4.0]]


def test_passes_one_by_one_free_the_graph_and_find_unused_inputs():
    x, unused = variable(1.0, 2.0), variable(1.0)
    y = Cube.apply(x)
    options = {"is_grads_batched": True, "allow_unused": True}
    _, nothing = autograd.grad(y, (x, unused), wg.eye(2), **options)
    assert nothing is None
    with pytest.raises(RuntimeError, match="second time"):
        autograd.grad(y, x, wg.eye(2), is_grads_batched=True)


def test_errors_of_functions_come_through():
    def f(x):
        raise ValueError("of my own")

    with pytest.raises(ValueError, match="of my own"):
        wg.jacfwd(f)(X)
    with pytest.raises(ValueError, match="of my own"):
        wg.jacrev(f)(X)


def test_tangents_taken_apart_are_never_batches():
    shapes = []

    def f(x):
        shapes.append(forward_ad.unpack_dual(x).tangent.shape)
        return x**2

    assert wg.jacfwd(f)(X).tolist() == [[2.0, 0.0, 0.0], [0.0, 4.0, 0.0], [0.0, 0.0, 6.0]]
    assert set(shapes) == {(3,)}


def test_exception_caught_by_the_function_does_not_matter():
    def f(x):
        try:
            slope = forward_ad.unpack_dual(x).tangent
        except RuntimeError:
            return x * 1000
        return x * slope.sum()

    assert np.diag(wg.jacfwd(f)(X).numpy()).tolist() == [1.0, 1.0, 1.0]


def test_gradients_with_hooks_within_forward_mode():
    scale = wg.tensor(3.0, requires_grad=True)
    twice = scale * 1
    twice.register_hook(lambda g: g * 2)

    def slope(x):
        return autograd.grad((x * twice).sum(), scale, create_graph=True)[0] * x

    found = wg.jacfwd(slope)(wg.tensor([1.0, 2.0]))
    # 2 sum(x) x, with a hook that doubles: 2 (sum(x) on the diagonal, x beside it).
    assert found.tolist() == [[2 * 3.0 + 2.0, 2.0], [4.0, 2 * 3.0 + 4.0]]


def test_in_place_operations_within_forward_mode():
    def f(x):
        out = wg.zeros(4)
        out[1:] = x * 2
        out[0] = x[0] * x[1]
        out *= x.sum()
        return out

    expected = wg.jacrev(f)(X)
    before = _core.batch_failures()
    np.testing.assert_allclose(wg.jacfwd(f)(X).numpy(), expected.numpy(), 1e-14)
    assert _core.batch_failures() == before


def test_control_flow_sees_values():
    def f(x):
        return wg.stack([v * 2 if v.item() > 1.5 else v * 3 for v in x])

    assert np.diag(wg.jacfwd(f)(X).numpy()).tolist() == [3.0, 2.0, 2.0]


@pytest.mark.parametrize("transform", [wg.jacrev, wg.jacfwd])
@pytest.mark.parametrize("chunk_size", [None, 1, 2, 5, 100])
def test_chunks(transform, chunk_size):
    def f(x):
        return {"a": wg.sin(x["u"]) * x["v"], "b": (x["u"] ** 2).sum(), "c": x["v"] * 2}

    point = {"u": wg.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]), "v": wg.tensor(2.0)}
    found = transform(f, chunk_size=chunk_size)(point)
    u = point["u"].numpy()
    assert found["a"]["u"].shape == (2, 3, 2, 3)
    np.testing.assert_allclose(
        found["a"]["u"].numpy().reshape(6, 6), np.diag(2 * np.cos(u).ravel()), 1e-14, 1e-14
    )
    np.testing.assert_allclose(found["a"]["v"].numpy(), np.sin(u), 1e-14)
    np.testing.assert_allclose(found["b"]["u"].numpy(), 2 * u, 1e-14)
    assert found["b"]["v"].item() == 0.0
    assert not found["c"]["u"].numpy().any()
    assert found["c"]["v"].item() == 2.0


def test_chunks_must_have_rows():
    with pytest.raises(ValueError, match="jacrev: `chunk_size` should be greater than 0, got 0"):
        wg.jacrev(wg.sin, chunk_size=0)
    with pytest.raises(ValueError, match="jacfwd: `chunk_size` should be greater than 0, got -1"):
        wg.jacfwd(wg.sin, chunk_size=-1)


def test_large_jacobians_need_memory_for_little_more_than_the_result():
    x = wg.tensor(np.linspace(0.1, 1, 1000))
    found = wg.jacrev(lambda x: wg.sin(x) * x.sum())(x).numpy()
    v = x.numpy()
    np.testing.assert_allclose(
        found, np.diag(np.cos(v) * v.sum()) + np.sin(v)[:, None], 1e-13, 1e-13
    )


def test_large_intermediate_values_are_not_multiplied():
    def f(x):
        wide = wg.sin(x[0] * wg.tensor(np.linspace(0, 1, 2**20 + 1)))
        return wg.stack([wide.sum(), wide[0] + x[1]]) * wg.ones((4, 2))

    point = wg.tensor([1.0, 2.0], requires_grad=True)
    output = f(point)
    assert _core.largest_in_graph(output) == 2**20 + 1
    rows = wg.jacrev(f)(wg.tensor([1.0, 2.0]))
    assert rows.shape == (4, 2, 2)
    assert rows[3, 1].tolist() == [0.0, 1.0]
    (slope,) = autograd.grad(output[0, 0], point)
    np.testing.assert_allclose(rows[0, 0].numpy(), slope.numpy(), 1e-12)


def test_mixed_dtypes():
    def f(x, y):
        return (x * y, y.astype("float64").sum() * x)

    x, y = wg.tensor([1.0, 2.0]), wg.tensor([3.0, 4.0], dtype="float32")
    for transform in (wg.jacrev, wg.jacfwd):
        (xx, xy), (yx, yy) = transform(f, argnums=(0, 1))(x, y)
        assert xx.tolist() == [[3.0, 0.0], [0.0, 4.0]]
        assert xy.tolist() == [[1.0, 0.0], [0.0, 2.0]]
        assert yx.tolist() == [[7.0, 0.0], [0.0, 7.0]]
        assert yy.tolist() == [[1.0, 1.0], [2.0, 2.0]]


def test_closed_over_variables_are_reached():
    scale = wg.tensor(3.0, requires_grad=True)
    for transform in (wg.jacrev, wg.jacfwd):
        matrix = transform(lambda x: x**2 * scale)(wg.tensor([1.0, 2.0]))
        (slope,) = autograd.grad(matrix.sum(), scale)
        assert slope.item() == 6.0
    matrix = wg.jacfwd(lambda x: x**2 * scale, chunk_size=1)(wg.tensor([1.0, 2.0]))
    assert autograd.grad(matrix.sum(), scale)[0].item() == 6.0


def test_results_without_elements():
    for transform in (wg.jacrev, wg.jacfwd):
        assert transform(lambda x: x[:0])(X).shape == (0, 3)
        assert transform(lambda x: wg.stack([x.sum(), x.sum()]))(wg.zeros(0)).shape == (2, 0)
        assert transform(lambda x: {})(X) == {}
        assert transform(lambda x: wg.tensor([1.0, 2.0]))(X).tolist() == [[0.0] * 3] * 2


def test_gradient_that_is_infinite_where_a_row_is_zero():
    # Row 0 does not use the infinite slope of sqrt at 0: zero, not NaN.
    x = variable(0.0, 4.0)
    (rows,) = autograd.grad(wg.sqrt(x), x, wg.eye(2), is_grads_batched=True)
    assert rows.tolist() == [[np.inf, 0.0], [0.0, 0.25]]


def test_graph_of_a_batch_shows_its_items():
    x = variable(1.0, 2.0)
    (rows,) = autograd.grad(wg.sin(x), x, wg.eye(2), is_grads_batched=True, create_graph=True)
    inner = rows.grad_fn.input_nodes[0]
    assert inner.shape == (2,)
    gradients = inner.input_nodes[0].tensor
    assert not gradients.requires_grad
    assert (gradients * 1).tolist() == [[1, 0], [0, 1]]
    assert "unbatch" in wg.to_dot(rows.sum())


def test_nothing_is_left_behind():
    def work():
        wg.hessian(lambda x: (wg.sin(x) * x).sum(), X)
        wg.jacfwd(wg.grad(lambda x: (wg.sin(x) * x).sum()))(X)
        wg.jacfwd(lambda x: forward_ad.unpack_dual(x).primal * x)(X)
        x = variable(1.0, 2.0)
        (rows,) = autograd.grad(x**3, x, wg.eye(2), is_grads_batched=True, create_graph=True)
        rows.sum().backward()
        wg.jacrev(Cube.apply)(X)

    work()
    gc.collect()
    before = wg._core.live_objects()
    for _ in range(3):
        work()
    gc.collect()
    assert wg._core.live_objects() == before
