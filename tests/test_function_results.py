"""Function: what forward may return, and the gradients that backward gets for it."""

import pytest

import wengert as wg
from wengert.autograd import Function


def variable(data):
    return wg.tensor(data, requires_grad=True)


SHAPES = pytest.mark.parametrize("data", [0.5, [0.5, 1.5]])


class Exp(Function):
    """Saves its result."""

    @staticmethod
    def forward(ctx, x):
        result = wg.exp(x)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx, grad):
        (result,) = ctx.saved_tensors
        return grad * result


class SumAndProduct(Function):
    """Two results, one of them saved."""

    @staticmethod
    def forward(ctx, x, y):
        product = x * y
        ctx.save_for_backward(x, y, product)
        return x + y, product

    @staticmethod
    def backward(ctx, by_sum, by_product):
        x, y, product = ctx.saved_tensors
        assert (product - x * y).abs().max().item() == 0
        return by_sum + by_product * y, by_sum + by_product * x


def approx(tensor):
    return pytest.approx(tensor.tolist(), rel=1e-13)


# ---- results ------------------------------------------------------------------------------------


@SHAPES
def test_several_results(data):
    x, y = variable(data), variable(data)
    total, product = SumAndProduct.apply(x, y)
    assert total.grad_fn is not None
    assert product.grad_fn != total.grad_fn
    (total * 2 + product * 3).sum().backward()
    expected = approx(2 + 3 * x.detach())
    assert x.grad.tolist() == expected
    assert y.grad.tolist() == expected


@SHAPES
def test_a_result_that_is_not_used_has_zeros_as_gradient(data):
    x, y = variable(data), variable(data)
    _, product = SumAndProduct.apply(x, y)
    product.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_gradients_of_unused_results_can_be_none():
    class Split(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            return x * 1, x * 2

        @staticmethod
        def backward(ctx, first, second):
            seen.append((first is None, second is None))
            return second * 2 if first is None else first

    seen = []
    x = variable([1.0])
    Split.apply(x)[0].backward()
    Split.apply(x)[1].backward()
    assert seen == [(False, True), (True, False)]
    assert x.grad.tolist() == [3]


def test_results_that_are_no_tensors():
    class Mixed(Function):
        @staticmethod
        def forward(ctx, x):
            result = wg.exp(x)
            ctx.save_for_backward(result)
            return "text", x * 2, None, result, 7

        @staticmethod
        def backward(ctx, *grads):
            assert [g is None for g in grads] == [True, False, True, False, True]
            (result,) = ctx.saved_tensors
            return grads[1] * 2 + grads[3] * result

    x = variable([0.5, 1.0])
    text, double, nothing, result, seven = Mixed.apply(x)
    assert (text, nothing, seven) == ("text", None, 7)
    (double + result).sum().backward()
    assert x.grad.tolist() == approx(2 + wg.exp(x.detach()))
    assert type("Text", (Function,), {"forward": staticmethod(lambda ctx, x: "a")}).apply(x) == "a"
    with pytest.raises(TypeError, match=r"Named.forward: expected a Tensor or a tuple.*a 'dict'"):
        type("Named", (Function,), {"forward": staticmethod(lambda ctx, x: {"a": x})}).apply(x)


def test_results_without_gradient():
    class SignAndAbs(Function):
        @staticmethod
        def forward(ctx, x):
            positive, constant = x > 0, x * 1
            ctx.mark_non_differentiable(positive, constant)
            ctx.save_for_backward(x)
            return wg.abs(x), positive, constant

        @staticmethod
        def backward(ctx, grad, *others):
            (x,) = ctx.saved_tensors
            return wg.where(x > 0, grad, -grad)

    x = variable([-1.0, 2.0])
    size, positive, constant = SignAndAbs.apply(x)
    assert not positive.requires_grad
    assert not constant.requires_grad
    size.sum().backward()
    assert x.grad.tolist() == [-1, 1]


def test_a_result_may_be_the_input_itself():
    class Identity(Function):
        @staticmethod
        def forward(ctx, x):
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * 3

    x = variable([1.0])
    y = Identity.apply(x)
    assert y is not x
    y.backward()
    assert x.grad.tolist() == [3]
    assert x.is_leaf


@SHAPES
def test_what_needs_no_gradient_is_not_recorded(data):
    assert not Exp.apply(wg.tensor(data)).requires_grad
    with wg.no_grad():
        assert not Exp.apply(variable(data)).requires_grad
    constant = wg.tensor(data)
    x = variable(data)
    total, product = SumAndProduct.apply(x, constant)
    (total + product).sum().backward()
    assert constant.grad is None
    assert x.grad.tolist() == approx(1 + constant)


class Discarding(wg.Function):
    """Twice its input, with no gradient."""

    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, grad_output):
        return None


@pytest.mark.parametrize("data", [2.0, [2.0]])
def test_without_any_gradient_there_is_none(data):
    x = wg.tensor(data, requires_grad=True)
    w = wg.tensor(data, requires_grad=True)
    Discarding.apply(wg.exp(x * w)).sum().backward()
    assert x.grad is None
    assert w.grad is None
    (Discarding.apply(x * w) + x * 5).sum().backward()
    assert x.grad.tolist() == wg.full_like(x.detach(), 5.0).tolist()
    assert w.grad is None


@pytest.mark.parametrize("data", [2.0, [2.0]])
def test_a_gradient_of_zero_is_not_none(data):
    x = wg.tensor(data, requires_grad=True)
    (x * 0.0 + Discarding.apply(x)).sum().backward()
    assert x.grad.tolist() == wg.zeros_like(x.detach()).tolist()


@pytest.mark.parametrize("data", [2.0, [2.0]])
def test_what_gets_no_gradient_counts_as_unused(data):
    x = wg.tensor(data, requires_grad=True)
    y = Discarding.apply(wg.sin(x)).sum()
    assert wg.autograd.grad(y, x, allow_unused=True, retain_graph=True) == (None,)
    with pytest.raises(RuntimeError, match="appears to not have been used in the graph"):
        wg.autograd.grad(y, x)
