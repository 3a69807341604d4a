"""Transforms of functions: grad, value_and_grad, vjp, jvp, jacobian, hessian, hvp, check_grads."""

import math

import numpy as np
import pytest

import wengert as wg
from wengert.testing import check_grads


def f(x):
    return (wg.sin(x) * x).sum()


def slope(x):
    return np.cos(x) * x + np.sin(x)


def curvature(x):
    return 2 * np.cos(x) - np.sin(x) * x


X = np.array([0.5, -1.0, 2.0])


def approx(values):
    return pytest.approx(np.asarray(values).tolist(), rel=1e-13, abs=1e-13)


# ---- grad and value_and_grad --------------------------------------------------------------------


@pytest.mark.parametrize("given", [X, X.tolist(), wg.tensor(X)], ids=["array", "list", "tensor"])
def test_value_and_grad_of_anything_that_makes_a_tensor(given):
    value, gradient = wg.value_and_grad(f)(given)
    assert value.item() == approx(np.sum(np.sin(X) * X))
    assert gradient.tolist() == approx(slope(X))
    assert not value.requires_grad
    assert not gradient.requires_grad
    assert wg.grad(f)(given).tolist() == approx(slope(X))


def test_integers_are_taken_as_floating_point():
    assert wg.grad(lambda x: x**2)(3).item() == 6
    assert wg.grad(lambda x: (x**2).sum())([1, 2]).tolist() == [2, 4]
    assert wg.grad(lambda x: x.sum())(wg.ones(2, dtype="float32")).dtype == "float32"


def test_a_leaf_is_not_touched():
    x = wg.tensor(X, requires_grad=True)
    wg.grad(f)(x)
    assert x.grad is None


def test_several_arguments():
    def g(x, y, *, power):
        return x**power * y

    assert wg.grad(g, argnums=1)(2.0, 3.0, power=3).item() == 8
    first, second = wg.grad(g, argnums=(0, 1))(2.0, 3.0, power=3)
    assert (first.item(), second.item()) == (36, 8)
    (only,) = wg.grad(g, argnums=(1,))(2.0, 3.0, power=3)
    assert only.item() == 8


def test_auxiliary_results():
    def g(x):
        return x**2, {"cube": x**3}

    (value, extra), gradient = wg.value_and_grad(g, has_aux=True)(2.0)
    assert (value.item(), extra["cube"].item(), gradient.item()) == (4, 8, 4)
    gradient, extra = wg.grad(g, has_aux=True)(2.0)
    assert (gradient.item(), extra["cube"].item()) == (4, 8)


def test_grad_nests():
    nested = wg.sin
    for expected in (math.cos, lambda x: -math.sin(x), lambda x: -math.cos(x), math.sin):
        nested = wg.grad(nested)
        assert nested(0.7).item() == approx(expected(0.7))


def test_grad_within_grad_of_another_variable():
    # d/dx [x * d/dy (x + y)] = 1: the two derivatives must not be confused.
    def outer(x):
        return x * wg.grad(lambda y: x + y)(1.0)

    assert wg.grad(outer)(1.0).item() == 1
    # d/dx [d/dy (x**2 y)] = 2 x
    assert wg.grad(lambda x: wg.grad(lambda y: x * x * y)(5.0))(3.0).item() == 6


@pytest.mark.parametrize(
    "inner",
    [
        lambda x: wg.grad(lambda y: x * x * y)(5.0),
        lambda x: wg.value_and_grad(lambda y: x * x + y - 5)(5.0)[0],
        lambda x: wg.grad(lambda y: (x * x * y, None), has_aux=True)(5.0)[0],
        lambda x: wg.vjp(lambda y: x * x * y, 5.0)[1](1.0)[0],
        lambda x: wg.vjp(lambda y: x * x + y - 5, 5.0)[0],
        lambda x: wg.vjp(lambda y: y * 1.0, 5.0)[1](x * x)[0],
        lambda x: wg.jvp(lambda y: x * x * y, (5.0,), (1.0,))[1],
        lambda x: wg.jacobian(lambda y: x * x * y, 5.0),
        lambda x: wg.hessian(lambda y: x * x * y * y / 2, 5.0),
        lambda x: wg.hvp(lambda y: x * x * y * y / 2, 5.0, 1.0),
        lambda x: wg.hvp(lambda y: y * y / 2, 5.0, x * x),
    ],
)
def test_inner_transforms_see_the_variables_of_outer_ones(inner):
    # Each is x**2 in another guise.
    assert wg.grad(inner)(3.0).item() == 6
    assert wg.grad(wg.grad(inner))(3.0).item() == 2
    assert wg.jvp(inner, (3.0,), (1.0,))[1].item() == 6
    x = wg.tensor(3.0, requires_grad=True)
    inner(x).backward()
    assert x.grad.item() == 6
    with wg.no_grad():
        assert inner(x).item() == 9
        assert not inner(x).requires_grad


def test_grad_inside_a_recorded_computation_is_recorded():
    x = wg.tensor(2.0, requires_grad=True)
    (wg.grad(lambda v: v**3)(x) * x).backward()
    assert x.grad.item() == 9 * 4  # (3 x**3)'


def test_grad_inside_no_grad():
    with wg.no_grad():
        assert wg.grad(lambda x: x**2)(3.0).item() == 6


def test_a_constant_function_has_a_zero_gradient():
    assert wg.grad(lambda x: wg.tensor(3.0))(wg.ones(2)).tolist() == [0, 0]
    first, second = wg.grad(lambda x, y: x * 2, argnums=(0, 1))(1.0, [1.0, 2.0])
    assert first.item() == 2
    assert second.tolist() == [0, 0]


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (lambda x: x * 2, ValueError, r"must return one number, got shape \(2,\); use jacobian"),
        (lambda x: 3.0, TypeError, "must return a Tensor, got float"),
        (lambda x: None, TypeError, "must return a Tensor, got NoneType"),
    ],
)
def test_grad_of_what_is_no_function_of_one_number(function, error, message):
    with pytest.raises(error, match=message):
        wg.grad(function)([1.0, 2.0])


# ---- products with the Jacobian -----------------------------------------------------------------


def g(x):
    return wg.stack([x[0] * x[1], x[1] ** 2, x[2] + x[0]])


def jacobian_of_g(x):
    return np.array([[x[1], x[0], 0], [0, 2 * x[1], 0], [1, 0, 1]])


def test_vjp_can_be_pulled_again():
    value, pull = wg.vjp(g, X)
    assert value.tolist() == approx([X[0] * X[1], X[1] ** 2, X[2] + X[0]])
    for cotangent in ([1.0, 2.0, 3.0], np.ones(3), wg.tensor([0.0, 1.0, 0.0])):
        (found,) = pull(cotangent)
        assert found.tolist() == approx(np.asarray(cotangent) @ jacobian_of_g(X))


def test_jvp_is_the_jacobian_times_the_tangent():
    tangent = np.array([1.0, 2.0, 3.0])
    value, found = wg.jvp(g, (X,), (tangent,))
    assert value.tolist() == approx([X[0] * X[1], X[1] ** 2, X[2] + X[0]])
    assert found.tolist() == approx(jacobian_of_g(X) @ tangent)
    value, found = wg.jvp(lambda x, y: x * y, (2.0, 3.0), (1.0, 10.0))
    assert (value.item(), found.item()) == (6, 23)
    assert wg.jvp(lambda x: wg.tensor([1.0, 2.0]), (1.0,), (1.0,))[1].tolist() == [0, 0]


def test_vjp_of_several_primals():
    value, pull = wg.vjp(lambda x, y: x * y, 2.0, 3.0)
    assert value.item() == 6
    assert [t.item() for t in pull(10.0)] == [30, 20]


def test_jvp_checks_its_arguments():
    with pytest.raises(ValueError, match="got 1 primals and 2 tangents"):
        wg.jvp(g, (X,), (X, X))
    with pytest.raises(ValueError, match=r"primal has shape \(3,\), its tangent \(2,\)"):
        wg.jvp(g, (X,), (X[:2],))
    # The level is closed after an error.
    assert wg.jvp(wg.sin, (0.0,), (2.0,))[1].item() == 2


def test_forward_over_forward_and_reverse():
    def second(x):
        return wg.jvp(lambda y: wg.jvp(wg.sin, (y,), (1.0,))[1], (x,), (1.0,))[1]

    assert second(0.7).item() == approx(-math.sin(0.7))
    assert wg.jvp(wg.grad(wg.sin), (0.7,), (1.0,))[1].item() == approx(-math.sin(0.7))
    reverse = wg.grad(lambda x: wg.jvp(wg.sin, (x,), (1.0,))[1])(0.7)
    assert reverse.item() == approx(-math.sin(0.7))
    assert wg.grad(second)(0.7).item() == approx(-math.cos(0.7))


# ---- matrices of derivatives --------------------------------------------------------------------


def test_jacobian_has_the_shape_of_output_and_input():
    assert wg.jacobian(g, X).tolist() == jacobian_of_g(X).tolist()
    x = np.arange(6.0).reshape(2, 3)
    found = wg.jacobian(lambda t: t.T * 2, x)
    assert found.shape == (3, 2, 2, 3)
    expected = np.zeros((3, 2, 2, 3))
    for i, j in np.ndindex(2, 3):
        expected[j, i, i, j] = 2
    assert found.tolist() == expected.tolist()
    assert wg.jacobian(lambda t: t.sum(), x).shape == (2, 3)
    assert wg.jacobian(lambda t: wg.stack([t, t * t]), 3.0).tolist() == [1, 6]
    assert wg.jacobian(lambda t: t[:0], X).shape == (0, 3)
    assert wg.jacobian(lambda t: wg.ones(2), X).tolist() == np.zeros((2, 3)).tolist()


def test_jacobian_can_be_differentiated():
    x = wg.tensor(X, requires_grad=True)
    wg.jacobian(g, x, create_graph=True).sum().backward()
    # The sum of all entries is x1 + x0 + 2 x1 + 2.
    assert x.grad.tolist() == [1, 3, 0]


def test_hessian_and_its_products():
    expected = pytest.approx(np.diag(curvature(X)), rel=1e-13, abs=1e-13)
    assert wg.hessian(f, X).numpy() == expected
    v = np.array([1.0, -2.0, 0.5])
    assert wg.hvp(f, X, v).tolist() == approx(curvature(X) * v)
    mixed = wg.hessian(lambda x: x[0] ** 2 * x[1] ** 3, [2.0, 3.0])
    assert mixed.tolist() == [[54, 108], [108, 72]]
    assert wg.hessian(lambda x: x.sum(), X).tolist() == np.zeros((3, 3)).tolist()
    assert wg.hvp(lambda x: x.sum(), X, v).tolist() == [0, 0, 0]


def test_transforms_leave_nothing_behind(no_leak):
    with no_leak():
        for _ in range(20):
            wg.grad(wg.grad(lambda x: wg.exp(x * x)))(0.5)
            wg.hessian(f, X)
            wg.jvp(g, (X,), (X,))
            wg.hvp(f, X, X)


# ---- checking -----------------------------------------------------------------------------------


class Square(wg.Function):
    factor = 2.0
    order = 1

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        if Square.order == 2:
            x = x.detach()  # right once, wrong when differentiated again
        return Square.factor * x * grad


def test_check_grads_accepts_a_right_derivative():
    check_grads(lambda x: Square.apply(x).sum(), [X], order=3, modes=["rev"])
    check_grads(lambda x, y: wg.sin(x) * y.sum(), [X, X[:2]], order=3)


def test_check_grads_finds_a_wrong_derivative(monkeypatch):
    monkeypatch.setattr(Square, "factor", 2.001)
    with pytest.raises(AssertionError, match=r"order 1, reverse mode: analytic .* but numeric"):
        check_grads(Square.apply, [X], modes=["rev"])


def test_check_grads_finds_a_wrong_second_derivative(monkeypatch):
    monkeypatch.setattr(Square, "order", 2)
    check_grads(Square.apply, [X], order=1, modes=["rev"])
    with pytest.raises((AssertionError, RuntimeError), match=r"order 2|does not require grad"):
        check_grads(Square.apply, [X], order=2, modes=["rev"])


def test_check_grads_finds_a_jump():
    with pytest.raises(AssertionError, match="order 1"):
        check_grads(wg.abs, [[1e-4]], order=1)
