"""Function: operations whose derivative is written in Python."""

import math

import pytest

import wengert as wg
from wengert.autograd import Function, once_differentiable


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


class Cube(Function):
    """Saves its input, and keeps what is no tensor in the context."""

    @staticmethod
    def forward(ctx, x, scale=1.0):
        ctx.save_for_backward(x)
        ctx.scale = scale
        return scale * x**3

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return 3 * ctx.scale * x * x * grad, None


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


# ---- what is saved ------------------------------------------------------------------------------


@SHAPES
def test_a_saved_result(data):
    x = variable(data)
    y = Exp.apply(x)
    assert y.tolist() == wg.exp(x.detach()).tolist()
    assert y.grad_fn.operation == "Exp"
    assert y.grad_fn.name() == "ExpBackward"
    (y * 2).sum().backward()
    assert x.grad.tolist() == approx(2 * wg.exp(x.detach()))


@SHAPES
def test_a_saved_result_outlives_its_tensor(data):
    x = variable(data)
    z = Exp.apply(x) + 1
    z.sum().backward()
    assert x.grad.tolist() == approx(wg.exp(x.detach()))


@SHAPES
def test_a_saved_input_and_arguments_of_any_kind(data):
    x = variable(data)
    Cube.apply(x, 2.0).sum().backward()
    assert x.grad.tolist() == approx(6 * x.detach() ** 2)
    x.grad = None
    Cube.apply(x, scale=3.0).sum().backward()
    assert x.grad.tolist() == approx(9 * x.detach() ** 2)
    with pytest.raises(TypeError, match=r"Cube.apply: the tensor scale= requires grad"):
        Cube.apply(x, scale=variable(1.0))


@SHAPES
def test_a_saved_tensor_of_another_origin(data):
    class TimesKept(Function):
        @staticmethod
        def forward(ctx, x):
            other = wg.sin(x)
            ctx.save_for_backward(None, other)
            return x * other

        @staticmethod
        def backward(ctx, grad):
            nothing, other = ctx.saved_tensors
            assert nothing is None
            return grad * other

    x = variable(data)
    TimesKept.apply(x).sum().backward()
    assert x.grad.tolist() == approx(wg.sin(x.detach()))


def test_only_tensors_can_be_saved():
    class Wrong(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x, 3.0)

    with pytest.raises(TypeError, match=r"can only save tensors.*'float'; set it as an attribute"):
        Wrong.apply(variable(1.0))


@SHAPES
@pytest.mark.parametrize("function", [Exp, Cube])
def test_saved_tensors_are_freed_and_guarded(data, function):
    x = variable(data)
    y = function.apply(x)
    y.sum().backward(retain_graph=True)
    y.sum().backward()
    with pytest.raises(RuntimeError, match=f"second time.*'{function.__name__}'"):
        y.sum().backward()
    y = function.apply(x)
    with wg.no_grad():
        x += 1
        y += 1
    with pytest.raises(RuntimeError, match=f"by an inplace operation.*'{function.__name__}'"):
        y.sum().backward()


def test_a_saved_result_of_several_is_guarded():
    x, y = variable([1.0, 2.0]), variable([3.0, 4.0])
    total, product = SumAndProduct.apply(x, y)
    with wg.no_grad():
        total += 1  # not saved
    (total + product).sum().backward()
    assert x.grad.tolist() == [4, 5]
    total, product = SumAndProduct.apply(x, y)
    with wg.no_grad():
        product += 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        product.sum().backward()


def test_without_saved_tensors_a_pass_can_be_repeated():
    class Twice(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2

    x = variable([1.0])
    y = Twice.apply(x)
    y.backward()
    y.backward()
    assert x.grad.tolist() == [4]


# ---- the context --------------------------------------------------------------------------------


def test_needs_input_grad_tells_which_gradients_are_wanted():
    class Product(Function):
        @staticmethod
        def forward(ctx, x, factor, y):
            ctx.save_for_backward(x, y)
            return x * factor * y

        @staticmethod
        def backward(ctx, grad):
            seen.append(ctx.needs_input_grad)
            x, y = ctx.saved_tensors
            return (
                grad * y if ctx.needs_input_grad[0] else None,
                None,
                grad * x if ctx.needs_input_grad[2] else None,
            )

    seen = []
    x, y = variable(2.0), wg.tensor(3.0)
    Product.apply(x, 1.0, y).backward()
    assert seen == [(True, False, False)]
    assert x.grad.item() == 3


@SHAPES
def test_setup_context_apart_from_forward(data):
    class Square(Function):
        @staticmethod
        def forward(x, factor):
            return x * x * factor

        @staticmethod
        def setup_context(ctx, inputs, output):
            x, ctx.factor = inputs
            assert output.shape == x.shape
            ctx.save_for_backward(x)

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * x * ctx.factor * grad, None

    x = variable(data)
    Square.apply(x, 5.0).sum().backward()
    assert x.grad.tolist() == approx(10 * x.detach())


def test_grad_mode_in_forward_and_backward():
    class Modes(Function):
        @staticmethod
        def forward(ctx, x):
            modes.append(wg.is_grad_enabled())
            return x * 1

        @staticmethod
        def backward(ctx, grad):
            modes.append(wg.is_grad_enabled())
            return grad

    modes = []
    x = variable(1.0)
    Modes.apply(x).backward()
    Modes.apply(x).backward(create_graph=True)
    assert modes == [False, False, False, True]
    assert wg.is_grad_enabled()


# ---- derivatives of derivatives -----------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize(
    ("function", "derivatives"),
    [
        (Exp, [math.exp, math.exp, math.exp]),
        (Cube, [lambda x: 3 * x * x, lambda x: 6 * x, lambda x: 6.0]),
        (
            type("Twin", (), {"apply": lambda x: sum(SumAndProduct.apply(x, x))}),
            [lambda x: 2 + 2 * x, lambda x: 2.0, lambda x: 0.0],
        ),
    ],
)
def test_backward_written_in_operations_is_differentiated_again(data, function, derivatives):
    x = variable(data)
    value = function.apply(x).sum()
    for derivative in derivatives:
        (found,) = wg.autograd.grad(value, x, create_graph=True, materialize_grads=True)
        expected = [derivative(v) for v in x.detach().reshape(-1).tolist()]
        assert found.detach().reshape(-1).tolist() == pytest.approx(expected, rel=1e-13)
        value = found.sum()
        if not value.requires_grad:
            break


def test_once_differentiable_raises_the_second_time():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        @once_differentiable
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return 2 * grad * x

    x = variable([3.0])
    Once.apply(x).backward()
    assert x.grad.tolist() == [6]
    (first,) = wg.autograd.grad(Once.apply(x), x, create_graph=True)
    assert first.tolist() == [6]
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        first.backward()


def test_functions_compose_with_hooks_and_operations():
    x = variable(0.5)
    y = Exp.apply(Cube.apply(wg.sin(x)))
    y.register_hook(lambda g: g * 2)
    y.backward()
    sine, cosine = math.sin(0.5), math.cos(0.5)
    assert x.grad.item() == pytest.approx(2 * math.exp(sine**3) * 3 * sine**2 * cosine, rel=1e-13)
