"""Function: what forward computes and keeps is a constant, and no second derivative is wrong."""

import threading

import pytest

import wengert as wg
from wengert.autograd import Function, grad, once_differentiable


def variable(data):
    return wg.tensor(data, requires_grad=True)


class Keeper(Function):
    """y * 1 for a y that `make` computes; the gradient is read from what was kept."""

    @staticmethod
    def forward(ctx, x, make):
        return make(ctx, x)

    @staticmethod
    def backward(ctx, by_result, *others):
        return by_result * (ctx.saved_tensors[0] if ctx.saved_tensors else ctx.read()), None


class Box:
    """Any object."""


def keep(ctx, tensor):
    ctx.read = lambda: ctx.kept
    ctx.kept = tensor


def attribute(ctx, x):
    keep(ctx, wg.exp(x))
    return ctx.kept * 1


def saved(ctx, x):
    result = wg.exp(x)
    ctx.save_for_backward(result)
    return result * 1


def nested(ctx, x):
    result = wg.exp(x)
    ctx.kept = [{"a": (result,)}]
    ctx.read = lambda: ctx.kept[0]["a"][0]
    return result * 1


def updated(ctx, x):
    buffer = wg.zeros_like(x)
    buffer += x
    keep(ctx, wg.exp(buffer))
    return ctx.kept * 1


def in_an_object(ctx, x):
    ctx.box = Box()
    ctx.box.kept = wg.exp(x)
    ctx.read = lambda: ctx.box.kept
    return ctx.box.kept * 1


def view_of_the_input(ctx, x):
    keep(ctx, x.reshape(x.shape))
    return x * 1


def written(ctx, x):
    kept = wg.zeros(x.shape)
    kept[...] = x
    keep(ctx, kept)
    return x * 1


def added(ctx, x):
    kept = wg.zeros(x.shape)
    kept += x
    keep(ctx, kept)
    return x * 1


def written_through_a_view(ctx, x):
    kept = wg.zeros((2, *x.shape))
    kept[0].add_(x)
    keep(ctx, kept[0] + 0)
    return x * 1


def stacked(ctx, x):
    keep(ctx, wg.stack([x, x])[0])
    return x * 1


def gradient(ctx, x):
    with wg.enable_grad():
        (found,) = grad((x**3).sum(), x)
    keep(ctx, found)
    return x * 1


def after_many(ctx, x):
    kept = x
    for _ in range(300):
        kept = kept + 1
    keep(ctx, kept)
    return x * 1


LOST = [
    attribute,
    saved,
    nested,
    updated,
    in_an_object,
    view_of_the_input,
    written,
    added,
    written_through_a_view,
    stacked,
    gradient,
    after_many,
]
MESSAGE = r"Keeper: cannot differentiate twice through a tensor of shape {} and dtype float64 that "
SHAPES = pytest.mark.parametrize("data", [0.5, [0.5, 0.25]])


@SHAPES
@pytest.mark.parametrize("make", LOST)
def test_a_second_derivative_through_an_intermediate_raises(make, data, no_leak):
    with no_leak():
        x = variable(data)
        (first,) = grad(Keeper.apply(x, make).sum(), x, create_graph=True)
        shape = str(x.shape).replace("(", r"\(").replace(")", r"\)")
        with pytest.raises(RuntimeError, match=MESSAGE.format(shape)) as caught:
            grad(first.sum(), x)
        assert "inputs given to save_for_backward" in str(caught.value)
        assert "keep its detach()" in str(caught.value)
        del caught, x, first


@SHAPES
@pytest.mark.parametrize("make", LOST)
def test_first_derivatives_are_not_affected(make, data):
    x = variable(data)
    y = Keeper.apply(x, make).sum()
    (expected,) = grad(y, x, retain_graph=True)
    (first,) = grad(y, x, create_graph=True)  # whose own derivative nobody asks for
    assert first.tolist() == expected.tolist()
    (again,) = grad(y, x)
    assert again.tolist() == expected.tolist()
    assert not again.requires_grad


def test_what_was_kept_is_the_same_afterwards():
    contexts = []

    def make(ctx, x):
        contexts.append(ctx)
        return attribute(ctx, x)

    x = variable([0.5])
    kept_during = []
    y = Keeper.apply(x, make)
    y.register_hook(lambda g: kept_during.append(contexts[0].kept.requires_grad))
    grad(y.sum(), x, create_graph=True)
    assert not contexts[0].kept.requires_grad
    assert contexts[0].kept.grad_fn is None


def returned(ctx, x):
    keep(ctx, wg.exp(x))
    return ctx.kept


def returned_and_saved(ctx, x):
    result = wg.exp(x)
    ctx.save_for_backward(result)
    return result


def returned_beside(ctx, x):
    keep(ctx, wg.exp(x))
    return ctx.kept, x * 2


def input_itself(ctx, x):
    keep(ctx, x)
    return x * x * 0.5


@SHAPES
@pytest.mark.parametrize("make", [returned, returned_and_saved, returned_beside])
def test_a_kept_output_is_differentiated(make, data):
    x = variable(data)
    result = Keeper.apply(x, make)
    result = result[0] if isinstance(result, tuple) else result
    (first,) = grad(result.sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    assert second.tolist() == wg.exp(x.detach()).tolist()


def test_the_kept_output_is_the_output():
    def make(ctx, x):
        contexts.append(ctx)
        return returned(ctx, x)

    contexts = []
    result = Keeper.apply(variable([1.0]), make)
    assert contexts.pop().kept is result


@SHAPES
def test_a_kept_input_is_differentiated(data):
    x = variable(data)
    (first,) = grad(Keeper.apply(x, input_itself).sum(), x, create_graph=True)
    (second,) = grad(first.sum(), x)
    assert second.tolist() == (x.detach() * 0 + 1).tolist()


def detached(ctx, x):
    keep(ctx, wg.exp(x).detach())
    return x * 1


def of_the_detached(ctx, x):
    keep(ctx, wg.exp(x.detach()))
    return x * 1


def constant(ctx, x):
    keep(ctx, wg.ones(x.shape) * 3)
    return x * 1


def of_another_variable(ctx, x):
    keep(ctx, OTHER * 2 + x.detach() * 0)
    return x * 1


def flags(ctx, x):
    positive = x > 0
    ctx.read = positive.double
    ctx.positive = positive
    return x * 1


OTHER = variable(3.0)


@SHAPES
@pytest.mark.parametrize("make", [detached, of_the_detached, constant, of_another_variable, flags])
def test_constants_are_constants(make, data):
    x = variable(data)
    y = Keeper.apply(x * 1, make) * x  # so that the first derivative depends on x
    (first,) = grad(y.sum(), x, create_graph=True)
    grad(first.sum(), x)


def test_what_depends_on_constants_only_is_a_constant():
    class Scale(Function):
        @staticmethod
        def forward(ctx, x, w):
            ctx.scale = w * w
            return x * ctx.scale

        @staticmethod
        def backward(ctx, by_result):
            return by_result * ctx.scale, None

    x, w = variable(2.0), wg.tensor(3.0)  # w requires no grad: nothing depends on it
    (first,) = grad(Scale.apply(x, w) * x, x, create_graph=True)
    assert grad(first, x)[0].item() == 18


def test_once_differentiable_keeps_what_it_likes():
    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.result = wg.exp(x)
            return ctx.result * 1

        @staticmethod
        @once_differentiable
        def backward(ctx, by_result):
            return wg.tensor(by_result.detach().numpy() * ctx.result.numpy())

    x = variable([0.5])
    (first,) = grad(Once.apply(x), x, create_graph=True)
    assert first.tolist() == wg.exp(x.detach()).tolist()
    with pytest.raises(RuntimeError, match="marked with @once_differentiable"):
        first.backward()


def test_an_intermediate_in_a_recorded_jvp_raises():
    class Kept(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.result = wg.exp(x)
            return ctx.result * 1

        @staticmethod
        def jvp(ctx, tangent):
            return ctx.result * tangent

    x = wg.tensor([0.5, 1.0])
    assert wg.jacfwd(lambda x: Kept.apply(x).sum())(x).tolist() == wg.exp(x).tolist()
    with pytest.raises(RuntimeError, match="Kept: cannot differentiate twice through a tensor of"):
        wg.jacrev(wg.jacfwd(Kept.apply))(x)
    with pytest.raises(RuntimeError, match=r"Kept: cannot differentiate jvp along the tangents of"):
        wg.jacfwd(wg.jacfwd(Kept.apply))(x)


def test_an_exception_in_forward_ends_the_log():
    def make(ctx, x):
        keep(ctx, wg.exp(x))
        raise ValueError("on purpose")

    x = variable([0.5])
    with pytest.raises(ValueError, match="on purpose"):
        Keeper.apply(x, make)
    with wg.no_grad():
        kept = wg.exp(x)
    (first,) = grad((kept * x).sum(), x, create_graph=True)
    assert first.tolist() == kept.tolist()


def test_functions_within_functions():
    def outer(ctx, x):
        keep(ctx, Keeper.apply(x, returned))
        return ctx.kept * 1

    def recorded(ctx, x):
        with wg.enable_grad():
            inner = Keeper.apply(x, attribute)
        keep(ctx, wg.exp(x))
        return inner.detach() + ctx.kept

    x = variable([0.5])
    for make in (outer, recorded):
        (first,) = grad(Keeper.apply(x, make), x, create_graph=True)
        with pytest.raises(RuntimeError, match="cannot differentiate twice"):
            grad(first, x)


def test_threads_have_logs_of_their_own():
    def work():
        for _ in range(200):
            (first,) = grad(Keeper.apply(x, returned).sum(), x, create_graph=True)
            results.append(grad(first.sum(), x)[0].tolist())
            (first,) = grad(Keeper.apply(x, attribute).sum(), x, create_graph=True)
            try:
                grad(first.sum(), x)
            except RuntimeError:
                continue
            results.append("not raised")

    x = variable([0.5])
    results = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [wg.exp(x.detach()).tolist()] * 800


def test_error_modes_hold_in_forward():
    def make(ctx, x):
        with wg.errstate(divide="raise"):
            pass
        return x / 0

    with (
        wg.errstate(divide="raise"),
        pytest.raises(FloatingPointError, match="divide by zero"),
    ):
        Keeper.apply(variable([1.0]), make)
    assert Keeper.apply(variable(1.0), make).item() == wg.inf
