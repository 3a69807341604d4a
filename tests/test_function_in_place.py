"""Function: inputs that forward changes in place, returns as they are, or returns views of."""

import pytest

import wengert as wg
from wengert.autograd import Function


def variable(data):
    return wg.tensor(data, requires_grad=True)


def of(forward, backward):
    methods = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
    return type("Made", (Function,), methods)


class Double(Function):
    """Doubles its input in place."""

    @staticmethod
    def forward(ctx, x):
        x *= 2
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class SquareInPlace(Function):
    """Saves its input before, and its result after it has changed it."""

    @staticmethod
    def forward(ctx, x):
        before = x.detach().clone()
        x *= before
        ctx.mark_dirty(x)
        ctx.save_for_backward(before, x)
        return x

    @staticmethod
    def backward(ctx, grad):
        before, after = ctx.saved_tensors
        assert (before * before - after).abs().max().item() == 0
        return grad * 2 * before


SHAPES = pytest.mark.parametrize("data", [3.0, [3.0, 4.0]])


# ---- mark_dirty ---------------------------------------------------------------------------------


@SHAPES
def test_the_changed_input_takes_the_place_of_the_result(data):
    x = variable(data)
    y = x * 1
    z = Double.apply(y)
    assert z is y
    assert z.grad_fn.name() == "DoubleBackward"
    assert y.tolist() == (2 * x.detach()).tolist()
    (y * y).sum().backward()  # (2x)^2
    assert x.grad.tolist() == (8 * x.detach()).tolist()


@SHAPES
def test_a_saved_result_of_a_changed_input(data):
    x = variable(data)
    y = x * 1
    SquareInPlace.apply(y).sum().backward()
    assert x.grad.tolist() == (2 * x.detach()).tolist()


def test_the_second_derivative_through_a_changed_result():
    class Exp(Function):
        @staticmethod
        def forward(ctx, x):
            x.copy_(wg.exp(x))
            ctx.mark_dirty(x)
            ctx.save_for_backward(x)
            return x

        @staticmethod
        def backward(ctx, grad):
            return grad * ctx.saved_tensors[0]

    x = variable([0.5, 1.0])
    (first,) = wg.autograd.grad(Exp.apply(x * 1).sum(), x, create_graph=True)
    (second,) = wg.autograd.grad(first.sum(), x)
    assert second.tolist() == wg.exp(x.detach()).tolist()


def test_what_was_saved_before_notices_the_change():
    x = variable([1.0, 2.0])
    y = wg.exp(x)
    Double.apply(y)
    with pytest.raises(RuntimeError, match=r"'exp', saved by 'exp' .* at version 1; expected"):
        y.sum().backward()


def test_a_changed_view_changes_its_owner():
    x = variable([1.0, 2.0])
    y = x * 1
    view = y[0:1]
    assert Double.apply(view) is view
    assert view.tolist() == [2]
    assert y.tolist() == [2, 2]
    (y * wg.tensor([3.0, 4.0])).sum().backward()
    assert x.grad.tolist() == [6, 4]


def test_views_follow_their_changed_owner():
    x = variable([1.0, 2.0])
    y = x * 1
    view = y[0:1]
    Double.apply(y)
    (view * 3).sum().backward()
    assert view.tolist() == [2]
    assert x.grad.tolist() == [6, 0]


def test_a_changed_constant_becomes_part_of_the_graph():
    class AddTo(Function):
        @staticmethod
        def forward(ctx, target, x):
            target += x
            ctx.mark_dirty(target)
            return target

        @staticmethod
        def backward(ctx, grad):
            return grad, grad

    total, x = wg.zeros(2), variable([1.0, 2.0])
    assert AddTo.apply(total, x) is total
    assert total.requires_grad
    (total * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


def test_a_changed_input_beside_another_result():
    def forward(ctx, x):
        x *= 2
        ctx.mark_dirty(x)
        return x, x * 3

    function = of(forward, lambda ctx, a, b: a * 2 + b * 6)
    x = variable([1.0, 2.0])
    y = x * 1
    a, b = function.apply(y)
    assert a is y
    (a + b).sum().backward()
    assert x.grad.tolist() == [8, 8]
    with pytest.raises(RuntimeError, match=r"input that is a view .* cannot return more than one"):
        function.apply((x * 1)[:1])


def test_nothing_is_recorded_without_grad():
    with wg.no_grad():
        x = variable([1.0, 2.0])
        assert Double.apply(x) is x
    assert x.is_leaf
    assert x.tolist() == [2, 4]
    constant = wg.ones(2)
    assert Double.apply(constant) is constant
    assert not constant.requires_grad


@pytest.mark.parametrize(
    ("forward", "argument", "error", "message"),
    [
        (Double.forward, lambda x: x, RuntimeError, "a leaf Variable that requires grad is being"),
        (Double.forward, lambda x: x[:1], RuntimeError, "a view of a leaf Variable that requires"),
        (
            lambda ctx, x: (ctx.mark_dirty(x), x * 1)[1],
            lambda x: x * 1,
            RuntimeError,
            "Some elements marked as dirty during the forward method were not returned as output",
        ),
        (
            lambda ctx, x: (y := x * 2, ctx.mark_dirty(y))[0],
            lambda x: x * 1,
            RuntimeError,
            r"mark_dirty\(\) received a tensor of shape \(2,\) that was not an input",
        ),
        (
            lambda ctx, x: (ctx.mark_dirty(3), x)[1],
            lambda x: x * 1,
            TypeError,
            "mark_dirty can only mark tensors, but argument 0 is of type 'int'",
        ),
        (
            lambda ctx, x: (x.__imul__(2), x * 1)[1],
            lambda x: x * 1,
            RuntimeError,
            r"Made.forward changed input 0 \(shape \(2,\)\), which requires grad, in place: say so",
        ),
    ],
)
def test_mistakes_are_named(forward, argument, error, message):
    x = variable([1.0, 2.0])
    with pytest.raises(error, match=message):
        of(forward, lambda ctx, grad: grad * 2).apply(argument(x))


def test_a_buffer_that_needs_no_gradient_may_be_changed():
    class RunningSum(Function):
        @staticmethod
        def forward(ctx, x, total):
            total += x
            return x * 2

        @staticmethod
        def backward(ctx, grad):
            return grad * 2, None

    x, total = variable([1.0, 2.0]), wg.zeros(2)
    RunningSum.apply(x, total).sum().backward()
    assert total.tolist() == [1, 2]
    assert not total.requires_grad
    assert x.grad.tolist() == [2, 2]


# ---- views --------------------------------------------------------------------------------------


class Identity(Function):
    """Returns its input, with a derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad * 3


class First(Function):
    """Returns a view of its input, with a derivative of its own."""

    @staticmethod
    def forward(ctx, x):
        return x[:1]

    @staticmethod
    def backward(ctx, grad):
        return wg.concat([grad, grad]) * 3


def test_an_input_returned_as_it_is_shares_its_memory():
    x = variable([1.0, 2.0])
    y = x * 1
    z = Identity.apply(y)
    assert z is not y
    assert y.grad_fn.operation == "multiply"
    with wg.no_grad():
        y *= 2
    assert z.tolist() == [2, 4]
    z.sum().backward()
    assert x.grad.tolist() == [3, 3]
    assert Identity.apply(wg.ones(2)).tolist() == [1, 1]


def test_a_result_that_is_a_view_has_the_gradient_of_the_function():
    x = variable([1.0, 2.0])
    First.apply(x).sum().backward()
    assert x.grad.tolist() == [3, 3]


@pytest.mark.parametrize("function", [Identity, First])
def test_a_view_of_an_input_cannot_be_changed(function):
    y = variable([1.0, 2.0]) * 1
    z = function.apply(y)
    with pytest.raises(
        RuntimeError, match="output of a custom Function is a view and is being mod"
    ):
        z *= 2
    with pytest.raises(
        RuntimeError, match="output of a custom Function is a view and is being mod"
    ):
        z[0] = 2
    assert y.tolist() == [1, 2]


@pytest.mark.parametrize("function", [Identity, First])
def test_an_input_that_is_changed_later_ends_its_views(function):
    y = variable([1.0, 2.0]) * 1
    z = function.apply(y)
    y *= 2
    assert z.tolist() == y.tolist()[: len(z)]
    with pytest.raises(
        RuntimeError, match="its base or another view of its base has been modified"
    ):
        (z * 1).sum().backward()


def test_a_view_of_memory_of_its_own_can_be_changed():
    function = of(lambda ctx, x: (x * 2).reshape(1, 2), lambda ctx, grad: grad.reshape(2) * 2)
    x = variable([1.0, 2.0])
    y = function.apply(x)
    y *= 3
    y.sum().backward()
    assert x.grad.tolist() == [6, 6]


def test_a_constant_view_of_a_recorded_tensor_cannot_be_changed():
    def forward(ctx, x):
        part = x[:1]
        ctx.mark_non_differentiable(part)
        return part

    part = of(forward, lambda ctx, grad: None).apply(variable([1.0, 2.0]) * 1)
    assert not part.requires_grad
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode and is being modif"):
        part *= 2
    with pytest.raises(RuntimeError, match="A view was created in no_grad mode and is being modif"):
        part[0] = 2
    with wg.no_grad():
        part *= 2
    assert part.tolist() == [2]
