"""Loops of every kind keep nothing: as many nodes and buffers live after 10,000 iterations."""

import pytest

import wengert as wg
from wengert.autograd import Function, forward_ad

COUNT = 10_000


def variable(data):
    return wg.tensor(data, requires_grad=True)


class Product(Function):
    """Two arguments, two results, one saved."""

    @staticmethod
    def forward(ctx, x, y):
        product = x * y
        ctx.save_for_backward(x, y, product)
        ctx.product = product
        return product, x + y

    @staticmethod
    def backward(ctx, by_product, by_sum):
        x, y, _ = ctx.saved_tensors
        return by_product * y + by_sum, by_product * x + by_sum

    @staticmethod
    def jvp(ctx, along_x, along_y):
        x, y, _ = ctx.saved_tensors
        return along_x * y + along_y * x, along_x + along_y


class Double(Function):
    """Changes its input in place and keeps it."""

    @staticmethod
    def forward(ctx, x):
        x *= 2
        ctx.mark_dirty(x)
        ctx.save_for_backward(x)
        ctx.x = x
        return x

    @staticmethod
    def backward(ctx, grad):
        return grad * 2


class Kept(Function):
    """Keeps an intermediate."""

    @staticmethod
    def forward(ctx, x):
        ctx.square = x * x
        return ctx.square * x

    @staticmethod
    def backward(ctx, grad):
        return 3 * grad * ctx.square


def accumulate(x):
    x.grad = None
    (wg.sin(x) * x).sum().backward()


def accumulate_more(x):
    (wg.sin(x) * x).sum().backward()


def grad(x):
    wg.autograd.grad((x * x).sum(), x)


def create_graph(x):
    (first,) = wg.autograd.grad((x**3).sum(), x, create_graph=True)
    wg.autograd.grad(first.sum(), x)


def accumulate_with_graph(x):
    (x**3).sum().backward(create_graph=True)
    x.grad = None


def function(x):
    product, total = Product.apply(x, x)
    (product * total).sum().backward()
    x.grad = None


def function_twice(x):
    (first,) = wg.autograd.grad(Product.apply(x, x)[0].sum(), x, create_graph=True)
    wg.autograd.grad(first.sum(), x)


def function_with_tangents(x):
    wg.jvp(lambda x: Product.apply(x, x)[0], (x,), (wg.ones_like(x),))


def function_in_place(x):
    Double.apply(x * 1).sum().backward()
    x.grad = None


def function_never_differentiated(x):
    Product.apply(x, x)
    Double.apply(x * 1)


def function_with_intermediates(x):
    (first,) = wg.autograd.grad(Kept.apply(x).sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="cannot differentiate twice"):
        wg.autograd.grad(first.sum(), x)


def function_that_fails(x):
    with pytest.raises(ValueError, match="do not broadcast"):
        Product.apply(x, wg.ones(3, 4, 5, 7) if x.ndim else wg.ones(2) + wg.ones(3))


def checkpoint(x):
    wg.checkpoint(lambda x: wg.sin(x) * x, x).sum().backward()
    x.grad = None


def hooks(x):
    y = x * 2
    handle = y.register_hook(lambda g: g * y.detach())  # a cycle
    y.retain_grad()
    y.sum().backward()
    x.grad = None
    handle.remove()


def in_place(x):
    y = x * 1
    y *= x
    y[...] = y + 1
    part = y.reshape(-1)
    part += 1
    y.sum().backward()
    x.grad = None


def forward_mode(x):
    with forward_ad.dual_level():
        dual = forward_ad.make_dual(x, wg.ones_like(x))
        forward_ad.unpack_dual(wg.sin(dual) * dual)


def forward_over_reverse(x):
    wg.hvp(lambda x: (x**3).sum(), x, wg.ones_like(x))


def transforms(x):
    wg.grad(lambda x: (x * x).sum())(x)
    wg.value_and_grad(lambda x: (x * x).sum())(x)
    wg.vjp(wg.sin, x)


LOOPS = [
    accumulate,
    accumulate_more,
    grad,
    create_graph,
    accumulate_with_graph,
    function,
    function_twice,
    function_with_tangents,
    function_in_place,
    function_never_differentiated,
    function_with_intermediates,
    function_that_fails,
    checkpoint,
    hooks,
    in_place,
    forward_mode,
    forward_over_reverse,
    transforms,
]
SLOW = {checkpoint, function_with_intermediates, transforms, function_with_tangents}


@pytest.mark.parametrize("data", [0.5, [0.5, 1.5]])
@pytest.mark.parametrize("loop", LOOPS)
def test_a_loop_keeps_nothing(loop, data, no_leak):
    with no_leak():
        x = variable(data)
        for _ in range(COUNT // 5 if loop in SLOW else COUNT):
            loop(x)
        del x


# ---- exceptions ---------------------------------------------------------------------------------


class Failing(Function):
    """Fails where it is told to."""

    where = ""

    @staticmethod
    def forward(x):
        fail_in("forward")
        return x * x

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.output = output
        fail_in("setup_context")

    @staticmethod
    def backward(ctx, grad):
        fail_in("backward")
        return 2 * ctx.saved_tensors[0] * grad

    @staticmethod
    def jvp(ctx, tangent):
        fail_in("jvp")
        return 2 * ctx.saved_tensors[0] * tangent


def fail_in(where):
    if Failing.where == where:
        raise ValueError(f"on purpose in {where}")


def by_function(x):
    Failing.apply(wg.sin(x) * 1).sum().backward()


def by_checkpoint(x):
    def compute(x):
        fail_in("checkpoint" if wg.is_grad_enabled() else "nowhere")
        return wg.sin(x) ** 2

    wg.checkpoint(compute, x).sum().backward()


def by_tangents(x):
    wg.jvp(lambda x: Failing.apply(wg.sin(x)), (x,), (wg.ones_like(x),))
    by_function(x)


@pytest.mark.parametrize("data", [0.5, [0.5, 1.5]])
@pytest.mark.parametrize(
    ("where", "compute"),
    [
        ("forward", by_function),
        ("setup_context", by_function),
        ("backward", by_function),
        ("jvp", by_tangents),
        ("checkpoint", by_checkpoint),
    ],
)
def test_an_exception_keeps_nothing_and_changes_nothing(where, compute, data, no_leak, monkeypatch):
    with no_leak():
        x = variable(data)
        for _ in range(20):
            monkeypatch.setattr(Failing, "where", where)
            with pytest.raises(ValueError, match=f"on purpose in {where}"):
                compute(x)
            assert wg.is_grad_enabled()
            monkeypatch.setattr(Failing, "where", "")
            x.grad = None
            compute(x)
            expected = wg.sin(2 * x.detach()).tolist()
            assert x.grad.tolist() == pytest.approx(expected, rel=1e-13)
        del x
