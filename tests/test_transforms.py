"""Transforms of functions, over tensors and nested containers of tensors."""

from collections import namedtuple

import numpy as np
import pytest

import wengert as wg

Point = namedtuple("Point", ["x", "y"])


def test_tree_is_put_together_again():
    nested = {"a": [1, (2, Point(3, 4))], "b": {}, "c": None}
    leaves, structure = wg.tree.flatten(nested)
    assert leaves == [1, 2, 3, 4, None]
    assert structure.unflatten(leaves) == nested
    assert isinstance(structure.unflatten(leaves)["a"][1][1], Point)
    with pytest.raises(ValueError, match="got 1 leaves, the structure has 5"):
        structure.unflatten([1])


def test_tree_of_another_structure_is_named():
    _, structure = wg.tree.flatten({"a": [1, 2]})
    assert structure.leaves_of({"a": [5, 6]}, "given") == [5, 6]
    with pytest.raises(ValueError, match=r"given\['a'\]: expected a list of 2, got a tuple"):
        structure.leaves_of({"a": (5, 6)}, "given")
    with pytest.raises(ValueError, match=r"given: expected a dict with keys \['a'\], got a dict"):
        structure.leaves_of({"b": 1}, "given")


def test_gradient_is_nested_as_the_argument():
    def f(p):
        return p["w"][0] ** 2 * p["w"][1] + p["b"].x * 3 + p["b"].y

    g = wg.grad(f)({"w": [2.0, wg.tensor(5.0)], "b": Point(1.0, wg.tensor(1.0))})
    assert [v.item() for v in g["w"]] == [20.0, 4.0]
    assert isinstance(g["b"], Point)
    assert (g["b"].x.item(), g["b"].y.item()) == (3.0, 1.0)


def test_argnums_and_aux():
    def f(x, y, scale=1.0):
        return x * y**2 * scale, {"sum": x + y}

    value, grads = wg.value_and_grad(f, argnums=(1, 0), has_aux=True)(2.0, 3.0, scale=10.0)
    assert value[0].item() == 180.0
    assert value[1]["sum"].item() == 5.0
    assert not value[1]["sum"].requires_grad
    assert [g.item() for g in grads] == [120.0, 90.0]
    gradient, aux = wg.grad(f, argnums=-1, has_aux=True)(2.0, 3.0)
    assert gradient.item() == 12.0
    assert aux["sum"].item() == 5.0


def test_wrong_calls_are_explained():
    with pytest.raises(ValueError, match="argnums has 1, but the function was called with 1"):
        wg.grad(lambda x: x, argnums=1)(1.0)
    with pytest.raises(TypeError, match="must return a pair"):
        wg.grad(lambda x: x, has_aux=True)(1.0)
    with pytest.raises(ValueError, match="use jacobian"):
        wg.grad(lambda x: x)([1.0, 2.0])
    with pytest.raises(ValueError, match=r"a cotangent has shape \(2,\)"):
        wg.vjp(lambda x: x.sum(), [1.0, 2.0])[1]([1.0, 2.0])
    with pytest.raises(ValueError, match="2 primals and 1 tangents"):
        wg.jvp(lambda x, y: x, (1.0, 2.0), (1.0,))


@pytest.mark.parametrize("inner", [wg.grad, wg.jacrev, wg.jacfwd, wg.hessian])
def test_transform_within_a_transform_sees_the_outer_variable(inner):
    # d/dw of d/dx (w x**3) = 3 x**2, of d2/dx2: 6 x
    outer = wg.grad(lambda w: inner(lambda x: w * x**3)(2.0))
    assert outer(5.0).item() == 12.0  # 3 x**2 and 6 x agree at 2


def test_vjp_within_a_transform_sees_the_outer_variable():
    def f(w):
        value, pull = wg.vjp(lambda x: w * x**3, 2.0)
        return pull(1.0)[0] + value

    assert wg.grad(f)(5.0).item() == 12.0 + 8.0


def test_hvp_within_a_transform_sees_the_outer_variable():
    assert wg.grad(lambda w: wg.hvp(lambda x: w * x**3, 2.0, 1.0))(5.0).item() == 12.0


def test_gradient_depends_on_a_tensor_closed_over():
    w = wg.tensor(5.0, requires_grad=True)
    wg.grad(lambda x: w * x**3)(2.0).backward()
    assert w.grad.item() == 12.0
    with wg.no_grad():
        assert not wg.grad(lambda x: w * x**3)(2.0).requires_grad


def test_vjp_and_jvp_of_nested_containers():
    def f(p, q):
        return {"s": p["a"] * q, "t": (p["b"] ** 2,)}, "aux"

    p = {"a": wg.tensor([1.0, 2.0]), "b": 3.0}
    value, pull, aux = wg.vjp(f, p, 4.0, has_aux=True)
    assert aux == "aux"
    assert value["s"].tolist() == [4.0, 8.0]
    gp, gq = pull({"s": [1.0, 10.0], "t": (100.0,)})
    assert gp["a"].tolist() == [4.0, 40.0]
    assert gp["b"].item() == 600.0
    assert gq.item() == 1.0 + 20.0
    assert pull({"s": [0.0, 0.0], "t": (1.0,)})[0]["b"].item() == 6.0

    tangent = {"a": [1.0, 0.0], "b": 1.0}
    value, slope, aux = wg.jvp(f, (p, 4.0), (tangent, 0.5), has_aux=True)
    assert aux == "aux"
    assert value["t"][0].item() == 9.0
    assert slope["s"].tolist() == [4.0 + 0.5, 1.0]
    assert slope["t"][0].item() == 6.0


def test_linearize():
    x = wg.tensor([1.0, 2.0])
    value, derivative = wg.linearize(lambda x, y: x**2 * y, x, 3.0)
    x[0] = 100.0
    assert value.tolist() == [3.0, 12.0]
    assert derivative([1.0, 0.0], 0.0).tolist() == [6.0, 0.0]
    assert derivative([0.0, 1.0], 1.0).tolist() == [1.0, 12.0 + 4.0]


@pytest.mark.parametrize("transform", [wg.jacrev, wg.jacfwd])
def test_jacobian_of_several(transform):
    def f(x, p):
        return {"a": x * p["s"], "b": (x**2).sum()}

    x = wg.tensor([[1.0, 2.0, 3.0]])
    j = transform(f, argnums=(0, 1))(x, {"s": 5.0})
    dx, dp = j["a"]
    assert np.array_equal(dx.numpy(), 5 * np.eye(3).reshape(1, 3, 1, 3))
    assert dp["s"].tolist() == [[1.0, 2.0, 3.0]]
    assert j["b"][0].tolist() == [[2.0, 4.0, 6.0]]
    assert j["b"][1]["s"].item() == 0.0


@pytest.mark.parametrize("transform", [wg.jacrev, wg.jacfwd])
def test_jacobian_with_aux_and_without_elements(transform):
    j, aux = transform(lambda x: (x * 2, x.sum()), has_aux=True)([1.0, 2.0])
    assert j.tolist() == [[2.0, 0.0], [0.0, 2.0]]
    assert aux.item() == 3.0
    assert transform(lambda x: wg.zeros(0))(1.0).shape == (0,)
    assert transform(lambda x: wg.ones(2))(wg.zeros((0, 3))).shape == (2, 0, 3)
    assert transform(lambda x: wg.ones(2))(1.0).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("outer", [wg.jacrev, wg.jacfwd])
@pytest.mark.parametrize("inner", [wg.jacrev, wg.jacfwd])
def test_second_derivative_in_every_combination_of_modes(outer, inner):
    matrix = outer(inner(lambda x: x[0] ** 3 * x[1] ** 2))([2.0, 3.0])
    assert matrix.tolist() == [[6 * 2 * 9, 6 * 4 * 3], [6 * 4 * 3, 2 * 8]]


def test_jacobian_counts_evaluations():
    calls = []

    def f(x):
        calls.append(1)
        return wg.stack([x[0] * k for k in range(5)])

    assert wg.jacobian(f, [2.0, 1.0]).tolist() == [[k, 0.0] for k in range(5)]
    assert len(calls) == 2  # one to see the sizes, one for both columns
    calls.clear()
    wg.jacobian(lambda x: f(x)[:1], [2.0, 1.0])
    assert len(calls) == 1


def test_tall_jacobian_of_a_function_without_forward_mode():
    class Square(wg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            return 2 * ctx.saved_tensors[0] * grad_output

    def f(x):
        return wg.stack([Square.apply(x), x])

    assert wg.jacobian(f, 3.0).tolist() == [6.0, 1.0]
    with pytest.raises(RuntimeError, match="Square: has no forward-mode derivative"):
        wg.jvp(f, (3.0,), (1.0,))


def test_hessian_of_nested_arguments():
    h = wg.hessian(lambda p: p["x"] ** 2 * p["y"])({"x": 3.0, "y": 5.0})
    assert {k: {m: v.item() for m, v in row.items()} for k, row in h.items()} == {
        "x": {"x": 10.0, "y": 6.0},
        "y": {"x": 6.0, "y": 0.0},
    }


def test_hvp_of_nested_arguments():
    x = {"a": wg.tensor([1.0, 2.0]), "b": 3.0}
    product = wg.hvp(lambda p: (p["a"] ** 2).sum() * p["b"], x, {"a": [1.0, 0.0], "b": 1.0})
    assert product["a"].tolist() == [6.0 + 2.0, 4.0]
    assert product["b"].item() == 2.0


def test_tall_jacobian_of_a_recorded_jacobian_is_a_constant():
    def gradient(x):
        return wg.jacobian(lambda y: (y**3).sum(), x, create_graph=True)

    third = wg.jacobian(lambda x: wg.jacobian(gradient, x, create_graph=True), [1.0, 2.0])
    assert third.numpy().tolist() == [[[6.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 6.0]]]
