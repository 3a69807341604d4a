"""Passes within passes: from hooks, from Functions, from other threads."""

import os
import signal
import threading

import numpy as np
import pytest

import wengert as wg
from wengert.autograd import Function


def variable(data):
    return wg.tensor(data, requires_grad=True)


SHAPES = pytest.mark.parametrize("make", [variable, lambda v: variable([v])])


def number(tensor):
    return tensor.detach().reshape(-1)[0].item()


def product_and_square(make):
    """x = 2, z = 3, y = x z, u = y x: du/dx = 2 x z = 12, du/dz = x**2 = 4, dy/dx = 3."""
    x, z = make(2.0), make(3.0)
    y = x * z
    return x, z, y, y * x


# ---- from hooks ---------------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("inner_inputs", ["x", "z", "y", "xz"])
def test_grad_within_grad_leaves_the_outer_pass_alone(make, inner_inputs):
    x, z, y, u = product_and_square(make)
    values = {"x": x, "z": z, "y": y}
    expected = {"x": 3, "z": 2, "y": 1}
    seen = []

    def hook(_):
        wanted = [values[name] for name in inner_inputs]
        seen.append([number(g) for g in wg.autograd.grad(y, wanted, retain_graph=True)])

    u.register_hook(hook)
    found = wg.autograd.grad(u, [x, z, y])
    assert [number(g) for g in found] == [12, 4, 2]
    assert seen == [[expected[name] for name in inner_inputs]]


@SHAPES
def test_backward_within_backward_accumulates_both(make):
    x, z, y, u = product_and_square(make)
    u.register_hook(lambda g: y.backward(retain_graph=True))
    u.backward()
    assert number(x.grad) == 12 + 3
    assert number(z.grad) == 4 + 2


@SHAPES
def test_backward_within_grad_and_grad_within_backward(make):
    x, z, y, u = product_and_square(make)
    handle = u.register_hook(lambda g: y.backward(retain_graph=True))
    (found,) = wg.autograd.grad(u, x, retain_graph=True)
    assert (number(found), number(x.grad), number(z.grad)) == (12, 3, 2)
    handle.remove()
    x.grad = z.grad = None
    seen = []
    u.register_hook(lambda g: seen.extend(wg.autograd.grad(y, [x], retain_graph=True)))
    u.backward()
    assert [number(g) for g in seen] == [3]
    assert (number(x.grad), number(z.grad)) == (12, 4)


@SHAPES
def test_the_same_graph_within_itself(make):
    x, z, y, u = product_and_square(make)
    depth = []

    def hook(_):
        if len(depth) < 4:
            depth.append(len(depth))
            u.backward(retain_graph=True)

    y.register_hook(hook)
    u.backward(retain_graph=True)
    assert number(x.grad) == 5 * 12
    assert number(z.grad) == 5 * 4


@SHAPES
def test_a_failing_inner_pass_leaves_the_outer_one_alone(make):
    x, z, y, u = product_and_square(make)
    failing = y * 1
    failing.register_hook(lambda g: 1 / 0)

    def hook(_):
        with pytest.raises(ZeroDivisionError):
            failing.backward(retain_graph=True)

    u.register_hook(hook)
    u.backward()
    assert (number(x.grad), number(z.grad)) == (12, 4)


@SHAPES
def test_inner_passes_that_record_themselves(make):
    x, _, _, u = product_and_square(make)
    seen = []

    def hook(_):
        handle.remove()
        with wg.enable_grad():
            (first,) = wg.autograd.grad(u * u, x, create_graph=True)
            (second,) = wg.autograd.grad(first, x, retain_graph=True)
        seen.append(number(second))

    handle = u.register_hook(hook)
    (found,) = wg.autograd.grad(u, x, create_graph=True)
    assert number(found) == 12
    assert seen == [12 * 9 * 4]  # d2(x**4 z**2) = 12 x**2 z**2
    (second,) = wg.autograd.grad(found, x)
    assert number(second) == 6


# ---- from Functions -----------------------------------------------------------------------------


class Recomputed(Function):
    """Computes its result again in backward, and differentiates that."""

    @staticmethod
    def forward(ctx, compute, x):
        ctx.compute = compute
        ctx.save_for_backward(x)
        return compute(x)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        with wg.enable_grad():
            inner = x.detach().requires_grad_()
            result = ctx.compute(inner)
        (found,) = wg.autograd.grad(result, inner, grad)
        return None, found


@SHAPES
def test_recomputation_in_backward(make):
    x = make(0.5)
    y = Recomputed.apply(wg.sin, x * 2) * x
    y.backward()
    assert number(x.grad) == pytest.approx(2 * np.cos(1.0) * 0.5 + np.sin(1.0), rel=1e-14)


@SHAPES
def test_recomputation_within_recomputation(make):
    def layered(depth):
        if depth == 0:
            return wg.sin
        return lambda x: Recomputed.apply(layered(depth - 1), x * 1.5)

    x = make(0.1)
    layered(20)(x).backward()
    scale = 1.5**20
    assert number(x.grad) == pytest.approx(scale * np.cos(0.1 * scale), rel=1e-9)


def test_accumulating_backward_in_a_function_reaches_other_leaves():
    weight = variable(3.0)

    class WithWeight(Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * weight

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            with wg.enable_grad():
                (x.detach() * weight).backward(grad)
            return grad * weight.detach()

    x = variable(2.0)
    (WithWeight.apply(x) * 5).backward()
    assert (x.grad.item(), weight.grad.item()) == (15, 10)


# ---- from threads -------------------------------------------------------------------------------


def in_threads(count, work):
    errors = []

    def guarded(i):
        try:
            work(i)
        except BaseException as error:  # noqa: BLE001  (raised again below)
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(i,)) for i in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


@pytest.mark.parametrize("size", [0, 10, 100_000])
def test_shared_leaves_accumulate_without_loss(size):
    # Long kernels let other threads run; adding to a leaf must not.
    x = variable(np.ones(size) if size else 1.0)
    in_threads(4, lambda i: [(x * float(i)).sum().backward() for _ in range(50)])
    assert set(x.grad.reshape(-1).tolist()) == {50.0 * (0 + 1 + 2 + 3)}


def test_separate_graphs_in_threads():
    results = {}

    def work(i):
        data = np.linspace(0, 1, 60_000) + i
        w = variable(data)
        for _ in range(10):
            w.grad = None
            (wg.sin(w) * w).sum().backward()
        results[i] = np.abs(w.grad.numpy() - (np.cos(data) * data + np.sin(data))).max()

    in_threads(4, work)
    assert len(results) == 4
    assert max(results.values()) < 1e-13


def test_one_graph_differentiated_in_several_threads():
    x = variable(np.linspace(0.1, 1, 60_000))
    y = wg.exp(wg.sin(x) * x)
    loss = y.sum()
    expected = wg.autograd.grad(loss, x, retain_graph=True)[0].numpy()
    found = {}

    def work(i):
        for _ in range(10):
            (found[i],) = wg.autograd.grad(loss, x, retain_graph=True)

    in_threads(4, work)
    for gradient in found.values():
        assert np.array_equal(gradient.numpy(), expected)


def test_hooks_and_functions_in_threads():
    x = variable(2.0)

    def work(i):
        for _ in range(200):
            y = Recomputed.apply(wg.sin, x * 1.0)
            y.register_hook(lambda g: g * 2)
            y.backward()

    in_threads(4, work)
    assert x.grad.item() == pytest.approx(800 * 2 * np.cos(2.0), rel=1e-12)


def test_an_interrupt_in_one_thread_leaves_the_others_alone():
    x = variable(np.ones(60_000))

    def fail(_):
        raise KeyboardInterrupt

    def work(i):
        for _ in range(20):
            y = x * 1.0
            if i % 2:
                y.register_hook(fail)
                with pytest.raises(KeyboardInterrupt):
                    y.sum().backward()
            else:
                y.sum().backward()

    in_threads(4, work)
    assert set(x.grad.tolist()) == {40.0}


# ---- signals and processes ----------------------------------------------------------------------


@pytest.fixture
def interrupts():
    """Shells start background jobs with SIGINT ignored, and Python leaves it so."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@SHAPES
@pytest.mark.usefixtures("interrupts")
def test_an_interrupt_from_the_keyboard_leaves_the_graph_usable(make):
    x = make(2.0)
    y = x * x
    handle = y.register_hook(lambda g: signal.raise_signal(signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):
        (y * 3).backward(retain_graph=True)
    handle.remove()
    x.grad = None
    (y * 3).backward()
    assert number(x.grad) == 12


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_process_goes_on():
    x = variable(np.linspace(0, 1, 500_000))
    expected = np.cos(x.detach().numpy())
    loss = wg.sin(x).sum()
    loss.backward(retain_graph=True)  # the worker threads are awake now, and not in the child
    child = os.fork()
    if child == 0:
        try:
            x.grad = None
            loss.backward()
            (wg.sin(x) * 2).sum().backward()
            os._exit(0 if np.allclose(x.grad.numpy(), 3 * expected) else 1)
        except BaseException:  # noqa: BLE001  (the parent reports it)
            os._exit(2)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    loss.backward()
    assert x.grad.numpy() == pytest.approx(2 * expected)
