"""autograd.functional: PyTorch's nesting of results, strictness and recorded results."""

import pytest

import wengert as wg
from wengert.autograd import functional

X = wg.tensor([1.0, 2.0])
Y = wg.tensor(3.0)


def two(x, y):
    return x * y, (x**2).sum()


def test_vjp():
    outputs, grads = functional.vjp(two, (X, Y), (wg.tensor([1.0, 10.0]), wg.tensor(100.0)))
    assert [o.tolist() for o in outputs] == [[3.0, 6.0], 5.0]
    assert [g.tolist() for g in grads] == [[3.0 + 200.0, 30.0 + 400.0], 21.0]
    assert not any(t.requires_grad for t in (*outputs, *grads))


def test_jvp():
    outputs, slopes = functional.jvp(two, (X, Y), (wg.tensor([1.0, 0.0]), wg.tensor(1.0)))
    assert [o.tolist() for o in outputs] == [[3.0, 6.0], 5.0]
    assert [s.tolist() for s in slopes] == [[4.0, 2.0], 2.0]


def test_vector_may_be_left_out_for_one_element():
    assert functional.vjp(wg.square, Y)[1].item() == 6.0
    assert functional.jvp(wg.square, Y)[1].item() == 6.0
    assert functional.hvp(wg.square, Y)[1].item() == 2.0
    with pytest.raises(RuntimeError, match=r"v can only be None .*shapes: \(2,\)"):
        functional.vjp(wg.square, X)
    with pytest.raises(RuntimeError, match=r"v has invalid size: should be \(2,\) but got"):
        functional.vjp(wg.square, X, Y)
    with pytest.raises(RuntimeError, match=r"v should contain a single Tensor\. jvp was given 2"):
        functional.jvp(wg.square, X, (X, X))


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
@pytest.mark.parametrize("vectorize", [False, True])
def test_jacobian_is_nested_by_output_and_input(strategy, vectorize):
    options = {"strategy": strategy, "vectorize": vectorize}
    rows = functional.jacobian(two, (X, Y), **options)
    assert [[block.tolist() for block in row] for row in rows] == [
        [[[3.0, 0.0], [0.0, 3.0]], [1.0, 2.0]],
        [[2.0, 4.0], 0.0],
    ]
    assert functional.jacobian(wg.square, X, **options).tolist() == [[2.0, 0.0], [0.0, 4.0]]
    (row,) = functional.jacobian(lambda x: (x * 2,), Y, **options)
    assert row.item() == 2.0
    (column,) = functional.jacobian(wg.square, (Y,), **options)
    assert column.item() == 6.0


@pytest.mark.parametrize("strategy", ["reverse-mode", "forward-mode"])
def test_hessian(strategy):
    h = functional.hessian(lambda x, y: (x**3).sum() * y, (X, Y), outer_jacobian_strategy=strategy)
    assert h[0][0].tolist() == [[18.0, 0.0], [0.0, 36.0]]
    assert h[0][1].tolist() == h[1][0].tolist() == [3.0, 12.0]
    assert h[1][1].item() == 0.0
    single = functional.hessian(lambda x: (x**3).sum(), X, outer_jacobian_strategy=strategy)
    assert single.tolist() == [[6.0, 0.0], [0.0, 12.0]]


@pytest.mark.parametrize("product", [functional.hvp, functional.vhp])
def test_products_with_the_hessian(product):
    value, (px, py) = product(
        lambda x, y: (x**3).sum() * y, (X, Y), (wg.tensor([1.0, 0.0]), wg.tensor(1.0))
    )
    assert value.item() == 27.0
    assert px.tolist() == [18.0 + 3.0, 12.0]
    assert py.item() == 3.0
    with pytest.raises(RuntimeError, match=r"contain a single element, got shape \(2,\)"):
        product(wg.square, X, X)


def test_recorded_results():
    x = wg.tensor(2.0, requires_grad=True)
    for result in (
        functional.vjp(lambda x: x**3, x, create_graph=True)[1],
        functional.jvp(lambda x: x**3, x, create_graph=True)[1],
        functional.jacobian(lambda x: x**3, x, create_graph=True),
    ):
        assert wg.autograd.grad(result, x)[0].item() == 12.0
    for result in (
        functional.hessian(lambda x: x**3, x, create_graph=True),
        functional.hvp(lambda x: x**3, x, create_graph=True)[1],
        functional.vhp(lambda x: x**3, x, create_graph=True)[1],
    ):
        assert wg.autograd.grad(result, x)[0].item() == 6.0
    assert not functional.jacobian(wg.square, x).requires_grad


def test_inputs_are_not_touched():
    x = wg.tensor(2.0, requires_grad=True)
    functional.hessian(lambda x: x**3, x)
    assert x.grad is None


def test_works_without_recording():
    with wg.no_grad():
        assert functional.jacobian(wg.square, Y).item() == 6.0
        assert functional.hessian(wg.square, Y).item() == 2.0


@pytest.mark.parametrize("name", ["vjp", "jvp", "jacobian"])
def test_strict_refuses_independence(name):
    function = getattr(functional, name)
    with pytest.raises(RuntimeError, match=f"is independent of input 1.*; {name} gives"):
        function(lambda x, y: x * 1, (Y, Y), *(() if name != "jvp" else ((Y, Y),)), strict=True)
    with pytest.raises(RuntimeError, match=f"Output 0 .* not require gradients.*{name} gives"):
        function(lambda x: wg.tensor(1.0), Y, strict=True)


def test_strict_products_with_the_hessian_refuse_linear_functions():
    with pytest.raises(RuntimeError, match=r"with respect to input 0 is independent"):
        functional.hvp(lambda x: x * 2, Y, strict=True)
    assert functional.hvp(lambda x: x * 2, Y)[1].item() == 0.0


def test_wrong_arguments_are_explained():
    with pytest.raises(TypeError, match="inputs given to vjp must be either a Tensor or a tuple"):
        functional.vjp(wg.square, [X])
    with pytest.raises(TypeError, match="value at index 1 has type <class"):
        functional.vjp(wg.square, (X, 1.0))
    with pytest.raises(TypeError, match=r"outputs .* to jacobian .* has type <class .float.>"):
        functional.jacobian(lambda x: 1.0, X)
    with pytest.raises(ValueError, match="Expected strategy"):
        functional.jacobian(wg.square, X, strategy="sideways")
    with pytest.raises(NotImplementedError, match="create_graph=True and strategy"):
        functional.jacobian(wg.square, X, create_graph=True, strategy="forward-mode")
    with pytest.raises(RuntimeError, match="strict=True"):
        functional.jacobian(wg.square, X, strict=True, vectorize=True)


def test_strict_refuses_constant_derivatives_that_are_to_be_differentiated():
    words = r"The jacobian .* is independent of input 0.*when create_graph=True"
    vectors = {"vjp": (Y,), "jvp": (Y,), "jacobian": ()}
    for name, arguments in vectors.items():
        function = getattr(functional, name)
        with pytest.raises(RuntimeError, match=words + f"; {name} gives"):
            function(lambda y: 2 * y, Y, *arguments, strict=True, create_graph=True)
        function(lambda y: 2 * y, Y, *arguments, strict=True)
        function(lambda y: y * y, Y, *arguments, strict=True, create_graph=True)
    with pytest.raises(RuntimeError, match=r"input 0 is independent of input 0.*hessian gives"):
        functional.hessian(lambda y: 2 * y, Y, strict=True)
    assert functional.hessian(lambda y: y**3, Y, strict=True).item() == 18.0
