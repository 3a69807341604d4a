"""Updates in one call, and reading and writing along an axis, compared with PyTorch."""

import pytest
from both_engines import Engine, compare, names, plain, programs_in, refusal

import wengert as wg


def updates(T):
    x, a, b = T.variable([1.0, 2.0, 3.0]), T.variable([[0.5], [2.0]]), T.variable([3.0, -1.0, 4.0])
    y = T.addcmul(x, a, b, value=0.5) * x.addcdiv(a, b, value=-2) * T.lerp(x, b, 0.25)
    y.sum().backward()
    return y, x.grad, a.grad, b.grad


def weights_of_lerp(T):
    results = []
    for weight in (0.0, 0.3, 0.5, 0.9, 1.0, 1.5, T.variable([0.2, 0.7]), T.variable(0.6)):
        x, end = T.variable([1.0, 2.0]), T.variable([4.0, -1.0])
        y = x.lerp(end, weight)
        (y * y).sum().backward()
        results += [y, x.grad, end.grad, getattr(weight, "grad", None)]
    return results


def updates_in_place(T):
    x, a = T.variable([1.0, 2.0]), T.variable([3.0, 4.0])
    y = x * 2
    before = y._version
    same = y.addcmul_(a, a, value=0.5) is y
    y.addcdiv_(x, a).lerp_(a, 0.25)
    y.sum().backward()
    return same, y._version - before, y, x.grad, a.grad


def in_place_on_itself(T):
    x = T.variable([1.0, 2.0])
    y = x * 2
    y.addcmul_(x, y)
    refused = refusal(lambda: y.sum().backward(), "modified by an inplace operation")
    with T.no_grad():
        x.addcmul_(x, x)
    return refused, x


def in_place_through_views(T):
    x = T.variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    y = x * 1
    y[:, 1].addcmul_(x[:, 0], x[:, 2])
    y.T[2].lerp_(x[:, 0], 0.25)
    y[0].index_fill_(0, T.tensor([0]), 7.0)
    y[1, ::2].masked_fill_(T.tensor([True, False]), 5.0)
    (y * y).sum().backward()
    return y, x.grad


def second_derivatives(T):
    x, v = T.variable([0.5, 2.0, 3.0]), T.constant([1.0, -1.0, 2.0])

    def f(x):
        y = T.addcdiv(T.addcmul(x, x, x * x), x, x + 1).lerp(x * x, 0.7)
        y = y.scatter_add(0, T.tensor([0, 0, 2]), x * x).masked_fill(
            T.tensor([False, True, False]), 1
        )
        return (y.index_select(0, T.tensor([0, 0, 2])) ** 2).sum() + y.gather(
            0, T.tensor([2])
        ).sum()

    return T.functional.hvp(f, x, v), T.functional.hessian(f, x)


def along_an_axis(T):
    index = T.tensor([[0, 2, 2], [1, 0, 2]])
    results = []
    for axis in (0, 1, -1):
        x, src = (
            T.variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]]),
            T.variable([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]]),
        )
        y = x.gather(axis, index) * src
        z = x.scatter_add(axis, index, src) ** 2
        (y.sum() + z.sum()).backward()
        results += [y, z, x.grad, src.grad]
    return results


def scattered_once(T):
    x, src = T.variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), T.variable([[0.1, 0.2], [0.3, 0.4]])
    index = T.tensor([[2, 0], [1, 2]])
    y = x.scatter(1, index, src) * T.scatter(x, 1, index, 3.0) * x.scatter(1, index, value=2)
    (y * y).sum().backward()
    return y, x.grad, src.grad


def by_lists(T):
    x, src = T.variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]), T.variable([[0.1, 0.2], [0.3, 0.4]])
    index = T.tensor([2, 0])
    y = x.index_add(1, index, src, alpha=3) * x.index_copy(1, index, src)
    z = x.index_fill(1, index, 9.0) * x.index_select(1, T.tensor([1, 1, 0]))
    (y * y + z).sum().backward()
    return y, z, x.grad, src.grad


def by_lists_in_place(T):
    x, src = T.variable([1.0, 2.0, 3.0]), T.variable([0.1, 0.2])
    y = (x * x).index_add_(0, T.tensor([0, 0]), src)
    y.index_copy_(0, T.tensor([1]), src[:1]).index_fill_(0, T.tensor([2]), -1.0)
    y.scatter_add_(0, T.tensor([2, 0]), src).scatter_(0, T.tensor([1]), T.constant([7.0]))
    (y * y).sum().backward()
    return y, x.grad, src.grad


def a_value_with_a_gradient(T):
    x, v = T.variable([1.0, 2.0, 3.0]), T.variable(5.0)
    y = x.masked_fill(T.tensor([True, False, True]), v) * x.index_fill(0, T.tensor([1]), v)
    y.sum().backward()
    return y, x.grad, v.grad


def of_0d_tensors(T):
    x = T.variable(2.0)
    y = x.gather(0, T.tensor([0, 0])).sum() + x.scatter_add(0, T.tensor(0), T.constant(3.0)) * x
    y = y + x.masked_fill(T.tensor(False), 9) * T.addcmul(x, x, x) + x.index_select(0, T.tensor(0))
    y.backward()
    return y, x.grad, x.gather(0, T.tensor(0)).shape, x.index_add(0, T.tensor(0), x).shape


def of_no_elements(T):
    x = T.zeros((2, 0), dtype=T.float64, requires_grad=True)
    empty = T.zeros((0,), dtype=T.int64)
    y = T.addcmul(x, x, x).masked_fill(T.tensor(True), 1).index_select(1, empty)
    y.sum().backward()
    z = T.constant([[1.0, 2.0]])
    return (
        y.shape,
        x.grad.shape,
        z.gather(1, empty).shape,
        z.scatter(1, T.zeros((0, 2), dtype=T.int64), z),
    )


def products_added(T):
    x, m, v = T.variable([1.0, 2.0]), T.variable([[1.0, 2.0], [3.0, 4.0]]), T.variable([5.0, 6.0])
    y = T.addmm(x, m, m, beta=0.5, alpha=2) + T.addmv(x, m, v, alpha=-1) + x.addr(v, x)
    (y * y).sum().backward()
    z = T.constant([[float("nan"), 1.0], [2.0, 3.0]])
    return y, x.grad, m.grad, v.grad, T.addmm(z, m, m, beta=0), z.addmm_(m, m, beta=0)


def clamped_on_one_side(T):
    x = T.variable([-1.0, 0.5, 2.0])
    y = x.clamp_min(0.0) * x.clamp_max(1.0) * T.clamp_min(x, 0.5)
    y.sum().backward()
    z = (x * 1).clamp_min_(0.0).clamp_max_(1.0)
    return y, x.grad, z


def selected_by_masks(T):
    x = T.variable([[1.0, 2.0], [3.0, 4.0]])
    y = T.masked_select(x, x > 1.5) * 2
    z = x.masked_select(T.tensor([True, False]))
    (y.sum() + (z * z).sum()).backward()
    return y, z, x.grad, T.constant(3.0).masked_select(T.tensor(True)).shape


def comparisons_in_place(T):
    x = T.constant([1.0, 2.0, 3.0])
    a, b = x.clone().gt_(1.5), x.clone().eq_(T.constant([1.0, 0.0, 3.0]))
    mask = (x > 1).logical_and_(x < 3)
    w = T.variable([1.0, 2.0])
    y = (w * w).ge_(2)
    y.sum().backward()
    return a, b, mask, mask.logical_not_(), y, w.grad


def layouts(T):
    x = T.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    t, index = x.T, T.tensor([[1, 0], [0, 2]]).T
    out = [
        t.gather(0, index),
        t.scatter_add(0, index, x[:, ::2]),
        x[:, ::2].index_add(0, T.tensor([1]), x[:1, 1:]),
    ]
    return out, T.lerp(t, t[:, :1].expand(3, 2), 0.5)


def refusals(T):
    x = T.constant([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    return [
        refusal(call) and True
        for call in (
            lambda: x.gather(1, T.tensor([[3]])),
            lambda: x.gather(1, T.tensor([[-1]])),
            lambda: x.gather(1, T.tensor([1])),
            lambda: x.gather(1, T.tensor([[0], [0], [0]])),
            lambda: x.gather(1, T.constant([[0.0]])),
            lambda: x.index_select(1, T.tensor([3])),
            lambda: x.index_select(1, T.tensor([[1]])),
            lambda: x.index_add(1, T.tensor([0, 0]), x),
            lambda: x.index_copy(1, T.tensor([-1]), x[:, :1]),
            lambda: x.index_fill(1, T.tensor([3]), 1.0),
            lambda: x.index_fill(1, T.tensor([0]), x),
            lambda: x.scatter(1, T.tensor([[0, 0]]), x[:1, :1]),
            lambda: x.scatter_add_(1, T.tensor([[3]]), x),
            lambda: x.masked_fill(T.tensor([1, 0, 1]), 0.0),
            lambda: x.masked_fill(T.tensor([True, False, True]), x[0]),
            lambda: x[0].masked_fill_(T.tensor([[True], [True]]), 0.0),
            lambda: T.tensor([1, 2]).addcmul_(T.tensor([1, 2]), T.constant([1.0, 2.0])),
            lambda: T.addmm(x, x, x),
            lambda: T.variable([1.0]).addcmul_(x[0, :1], x[0, :1]),
        )
    ]


def adam(T, dtype, decay=0.0):
    """Written as a PyTorch user would, with the operations that its own Adam uses."""
    w = T.tensor([[0.5, -1.0], [2.0, 0.1]], dtype=dtype, requires_grad=True)
    data = T.tensor([[1.0, 2.0], [3.0, -1.0], [0.5, 0.25]], dtype=dtype)
    exp_avg, exp_avg_sq = T.zeros_like(w), T.zeros_like(w)
    rate, b1, b2, eps = 0.05, 0.9, 0.999, 1e-8
    losses = []
    for step in range(1, 40):
        w.grad = None
        loss = ((data @ w - 1.0) ** 2).mean() + (w * w).sum() * 0.01
        loss.backward()
        losses.append(loss.item())
        with T.no_grad():
            w.mul_(1 - rate * decay)
            exp_avg.mul_(b1).add_(w.grad, alpha=1 - b1)
            exp_avg_sq.mul_(b2).addcmul_(w.grad, w.grad, value=1 - b2)
            denom = (exp_avg_sq.sqrt() / (1 - b2**step) ** 0.5).add_(eps)
            w.addcdiv_(exp_avg, denom, value=-rate / (1 - b1**step))
    return losses, w


def adam_with_lerp(T):
    w = T.variable([0.5, -1.0])
    exp_avg = T.zeros_like(w)
    for _ in range(10):
        w.grad = None
        (w**4).sum().backward()
        exp_avg.lerp_(w.grad, 1 - 0.9)
        w.data.add_(exp_avg, alpha=-0.1)
    return w, exp_avg


def adam_in_double(T):
    return adam(T, T.float64), adam(T, T.float64, decay=0.1)


def rmsprop(T):
    w = T.variable([0.5, -1.0])
    square_avg, momentum = T.zeros_like(w), T.zeros_like(w)
    for _ in range(20):
        w.grad = None
        ((w - 3) ** 2).sum().backward()
        square_avg.mul_(0.99).addcmul_(w.grad, w.grad, value=0.01)
        momentum.mul_(0.9).addcdiv_(w.grad, square_avg.sqrt().add_(1e-8))
        with T.no_grad():
            w.sub_(momentum, alpha=0.01)
    return w


def adagrad_of_scalars(T):
    w, total = T.variable(2.0), T.constant(0.0)
    for _ in range(20):
        w.grad = None
        (w * w).backward()
        total.addcmul_(w.grad, w.grad)
        w.data.addcdiv_(w.grad, total.sqrt().add_(1e-10), value=-0.1)
    return w, total


PROGRAMS = programs_in(globals(), but=())


@names(PROGRAMS)
def test_as_in_pytorch(program):
    compare(program)


def test_adam_in_single_precision():
    torch = pytest.importorskip("torch")
    losses, w = adam(Engine(wg), wg.float32)
    expected, there = adam(Engine(torch), torch.float32)
    assert w.dtype == wg.float32
    assert losses == pytest.approx(expected, rel=1e-5)
    assert plain(w)[0] == pytest.approx(plain(there)[0], rel=1e-5)
    assert plain(w)[1] == pytest.approx(plain(there)[1], rel=1e-5)
