"""Hooks on what operations save for the backward pass."""

import threading

import numpy as np
import pytest

import wengert as wg
from wengert.autograd import graph

SHAPES = pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])


def variable(data):
    return wg.tensor(data, requires_grad=True)


class Log:
    """Hooks that keep a copy and write down what they are called with."""

    def __init__(self):
        self.packed = []
        self.unpacked = []

    def pack(self, tensor):
        self.packed.append(tensor.tolist())
        return tensor.numpy().copy() if not tensor.requires_grad else tensor.detach().numpy().copy()

    def unpack(self, array):
        self.unpacked.append(array.tolist())
        return wg.tensor(array)

    def on(self):
        return graph.saved_tensors_hooks(self.pack, self.unpack)


class Cube(wg.Function):
    @staticmethod
    def forward(ctx, x):
        y = x * x * x
        ctx.save_for_backward(x, y)
        return y

    @staticmethod
    def backward(ctx, grad_output):
        x, y = ctx.saved_tensors
        return 3 * y / x * grad_output


class Square(wg.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * x

    @staticmethod
    def backward(ctx, grad_output):
        (x,) = ctx.saved_tensors
        return 2 * x * grad_output


class SquareAndCube(wg.Function):
    @staticmethod
    def forward(ctx, x):
        square, cube = x * x, x * x * x
        ctx.save_for_backward(x, square, cube)
        return square, cube

    @staticmethod
    def backward(ctx, grad_square, grad_cube):
        x, square, _ = ctx.saved_tensors
        return 2 * x * grad_square + 3 * square * grad_cube


# ---- what is packed and unpacked ----------------------------------------------------------------


@SHAPES
def test_each_saved_tensor_is_packed_once_and_unpacked_for_each_pass(data):
    log = Log()
    x = variable(data)
    with log.on():
        y = x * x
        z = wg.exp(y)
        total = (z * 3).sum()
    assert log.packed == [x.tolist(), x.tolist(), z.tolist()]
    assert log.unpacked == []
    total.backward(retain_graph=True)
    assert log.unpacked == [z.tolist(), x.tolist(), x.tolist()]
    total.backward()
    assert len(log.unpacked) == 6
    expected = 2 * 3 * 2 * x.detach() * z.detach()
    assert x.grad.tolist() == pytest.approx(expected.tolist(), rel=1e-14)
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        total.backward()


@SHAPES
def test_operations_outside_the_block_keep_their_values_themselves(data):
    log = Log()
    x = variable(data)
    with log.on():
        pass
    y = wg.exp(x)
    with log.on(), wg.no_grad():
        wg.exp(x)
    with log.on():
        wg.exp(wg.tensor(data))
        x + 1  # saves nothing
    y.sum().backward()
    assert log.packed == log.unpacked == []


def test_constants_among_the_operands_are_packed():
    log = Log()
    x, c = variable(2.0), wg.tensor(5.0)
    with log.on():
        y = x * c * 7.0
    assert log.packed == [5.0]
    y.backward()
    assert log.unpacked == [5.0]
    assert x.grad.item() == 35


@pytest.mark.parametrize(
    ("function", "count"),
    [
        (wg.prod, 1),
        (wg.max, 2),
        (lambda x: x @ wg.tensor([1.0, 5.0, 7.0]), 1),
        (lambda x: wg.where(x > 1.5, x * 2.0, x).sum(), 1),
        (lambda x: wg.stack([x, x])[:, 1:].sum(), 0),
        (wg.norm, 2),
        (lambda x: (x[wg.tensor([0, 2])] ** 3).sum(), 1),
        (lambda x: (wg.sin(x).astype("float32") * 2).sum(), 1),
        (lambda x: wg.arctan2(x, 2.0).sum(), 1),
        (lambda x: (x * wg.tensor([[1.0], [2.0]])).sum(), 1),
    ],
)
def test_gradients_are_the_same_through_hooks(function, count):
    def outcome():
        x = variable([1.0, 2.0, 3.0])
        (first,) = wg.autograd.grad(function(x), x, create_graph=True)
        if not first.requires_grad:
            return [first.tolist()]
        return [first.tolist(), wg.autograd.grad((first * first).sum(), x)[0].tolist()]

    expected = outcome()
    log = Log()
    with log.on():
        assert outcome() == expected
    assert len(log.packed) >= count


@SHAPES
@pytest.mark.parametrize("function", [Cube, SquareAndCube])
def test_what_functions_save(data, function):
    log = Log()
    x = variable(data)
    with log.on():
        results = function.apply(x)
        several = results if isinstance(results, tuple) else (results,)
    assert log.packed == [x.tolist(), *(r.tolist() for r in several)]
    total = sum(r.sum() for r in several)
    (first,) = wg.autograd.grad(total, x, create_graph=True)
    assert len(log.unpacked) == len(log.packed)
    (second,) = wg.autograd.grad(first.sum(), x, retain_graph=True)
    v = x.detach()
    slope, bend = (3 * v**2, 6 * v) if function is Cube else (2 * v + 3 * v**2, 2 + 6 * v)
    assert first.tolist() == pytest.approx(slope.tolist(), rel=1e-14)
    assert second.tolist() == pytest.approx(bend.tolist(), rel=1e-14)
    total.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        total.backward()


@SHAPES
def test_derivatives_of_derivatives_go_through_unpacked_values(data):
    x, w = variable(data), variable(data)
    log = Log()
    with log.on():
        y = wg.exp(x * w) / w
    (first,) = wg.autograd.grad(y.sum(), x, create_graph=True)  # exp(x w)
    first.sum().backward()
    v = x.detach()
    e = wg.exp(v * v)
    assert x.grad.tolist() == pytest.approx((v * e).tolist(), rel=1e-13)
    assert w.grad.tolist() == pytest.approx((v * e).tolist(), rel=1e-13)


@SHAPES
def test_the_unpacked_value_is_the_one_used(data):
    x = variable(data)
    with graph.saved_tensors_hooks(lambda t: None, lambda _: wg.full_like(x.detach(), 10.0)):
        y = wg.exp(x)
    y.sum().backward()
    assert x.grad.tolist() == wg.full_like(x.detach(), 10.0).tolist()


def test_pack_gets_the_very_tensor_that_is_an_operand():
    x = variable([1.0, 2.0])
    seen = []
    with graph.saved_tensors_hooks(lambda t: seen.append(t is x) or t.detach(), lambda t: t):
        (x**3).sum().backward()
    assert seen == [True]


@SHAPES
def test_a_hook_that_returns_the_tensor_itself_changes_nothing_and_leaks_nothing(data, no_leak):
    with no_leak():
        x = variable(data)
        with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
            total = Cube.apply(wg.exp(x * x)).sum()
        (first,) = wg.autograd.grad(total, x, create_graph=True)
        wg.autograd.grad(first.sum(), x)
        del x, total, first


def test_hooks_nest_and_belong_to_their_thread():
    seen = []

    def hooks(name):
        return graph.saved_tensors_hooks(lambda t: seen.append(name) or t, lambda t: t)

    x = variable(2.0)
    with hooks("outer"):
        with hooks("inner"):
            wg.exp(x)
        thread = threading.Thread(target=lambda: wg.exp(variable(1.0)))
        thread.start()
        thread.join()
        wg.exp(x)
    wg.exp(x)
    assert seen == ["inner", "outer"]


# ---- memory -------------------------------------------------------------------------------------


def test_what_was_packed_lets_go_of_its_value():
    size = 10_000
    kept = []

    def to_disk(tensor):
        kept.append(tensor.tolist()[0])
        return len(kept) - 1

    def from_disk(i):
        return wg.full((size,), kept[i])

    def chain(x):
        for _ in range(20):
            x = wg.exp(x) * 1e-4
        return x.sum()

    x = variable(np.zeros(size))
    expected = wg.autograd.grad(chain(x), x)[0].tolist()
    before = wg.live_objects()["bytes"]
    y = chain(x)
    unpacked = wg.live_objects()["bytes"] - before
    del y
    with graph.saved_tensors_hooks(to_disk, from_disk):
        y = chain(x)
    assert wg.live_objects()["bytes"] - before < unpacked / 10
    y.backward()
    assert x.grad.tolist() == expected


# ---- in-place changes ---------------------------------------------------------------------------


@SHAPES
def test_a_pack_hook_must_not_change_its_argument(data):
    x = variable(data)
    with graph.saved_tensors_hooks(lambda t: t.add_(1.0), lambda t: t):
        with pytest.raises(RuntimeError, match="pack hook is modifying its input in place"):
            wg.exp(x * 1.0)
        with pytest.raises(RuntimeError, match="pack hook is modifying its input in place"):
            (x * 1.0) ** 3
    (x**3).sum().backward()
    assert x.grad.tolist() == (3 * x.detach() ** 2).tolist()


@SHAPES
def test_memory_kept_by_a_pack_hook_is_guarded(data):
    x = variable(data)
    y = x * 1.0
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        z = y**3
    y += 1.0
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace operation.*'power'.*version 1; e"
    ):
        z.sum().backward()


@SHAPES
def test_memory_kept_for_a_function_is_guarded(data):
    x = variable(data)
    y = x * 1.0
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        z = Square.apply(y)
    with wg.no_grad():
        y += 1.0
    with pytest.raises(
        RuntimeError, match=r"modified by an inplace.*save_for_backward.*version 1; e"
    ):
        z.sum().backward()
    with graph.saved_tensors_hooks(lambda t: t, lambda t: wg.ones(7)):
        z = Square.apply(x)
    with pytest.raises(RuntimeError, match=r"for 'save_for_backward' the unpack .* shape \(7,\)"):
        z.sum().backward()


def test_hooks_around_a_checkpoint():
    w = variable([1.0, 2.0])
    log = Log()
    x = variable([3.0, 4.0])
    with log.on():
        y = wg.checkpoint(lambda x: (wg.exp(x) * (w + 1.0) * (w * 2.0)).sum(), x)
    y.backward()
    v, u = x.detach(), w.detach()
    assert x.grad.tolist() == pytest.approx((wg.exp(v) * (u + 1) * u * 2).tolist(), rel=1e-14)
    assert w.grad.tolist() == pytest.approx((wg.exp(v) * (4 * u + 2)).tolist(), rel=1e-14)


@SHAPES
def test_a_copy_made_by_a_pack_hook_is_safe_from_changes(data):
    log = Log()
    x = variable(data)
    y = x * 1.0
    with log.on():
        z = y**3
    y += 1.0
    z.sum().backward()
    assert x.grad.tolist() == (3 * x.detach() ** 2).tolist()


# ---- errors -------------------------------------------------------------------------------------


@SHAPES
def test_what_unpack_may_return(data):
    def outcome(returned):
        x = variable(data)
        with graph.saved_tensors_hooks(lambda t: t, lambda t: returned):
            y = wg.exp(x)
        y.sum().backward()

    with pytest.raises(TypeError, match=r"unpack_hook expected to be a Tensor but got .*'float'"):
        outcome(1.0)
    with pytest.raises(TypeError, match="but got result of type 'NoneType'"):
        outcome(None)
    with pytest.raises(RuntimeError, match=r"for 'exp' the unpack hook returned .* shape \(5,\)"):
        outcome(wg.ones(5))
    with pytest.raises(RuntimeError, match=r"dtype float32, expected shape .* and dtype float64"):
        outcome(wg.tensor(data, dtype="float32"))


def test_hooks_must_be_callable():
    for pair in ((3, print), (print, 3)):
        hooks = graph.saved_tensors_hooks(*pair)
        with pytest.raises(TypeError, match="saved_tensors_hooks: a hook must be callable, got a"):
            hooks.__enter__()
    with pytest.raises(RuntimeError, match="there are none to leave"):
        graph.saved_tensors_hooks(print, print).__exit__(None, None, None)


@SHAPES
@pytest.mark.parametrize("place", ["pack", "unpack"])
@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_a_raising_hook_leaves_everything_usable(data, place, error, no_leak):
    failing = [True]

    def hook(name):
        def call(t):
            if name == place and failing[0]:
                raise error(f"from {name}")
            return t

        return call

    with no_leak():
        x = variable(data)
        for _ in range(2):
            y = x * 2.0
            with graph.saved_tensors_hooks(hook("pack"), hook("unpack")):
                if place == "pack":
                    with pytest.raises(error, match="from pack"):
                        wg.exp(y) * y
                    failing[0] = False
                    z = (wg.exp(y) * y).sum()
                    failing[0] = True
                else:
                    z = (wg.exp(y) * y).sum()
                    with pytest.raises(error, match="from unpack"):
                        z.backward(retain_graph=True)
                    failing[0] = False
            x.grad = None
            z.backward()
            failing[0] = True
            v = 2 * x.detach()
            expected = (2 * wg.exp(v) * (v + 1)).tolist()
            assert x.grad.tolist() == pytest.approx(expected, rel=1e-14)
        del x, y, z, v


def test_hooks_can_be_refused():
    x = variable(2.0)
    with graph.disable_saved_tensors_hooks("no hooks here"):
        wg.exp(x).backward()
        with pytest.raises(RuntimeError, match="no hooks here"):
            graph.saved_tensors_hooks(print, print).__enter__()
        with graph.disable_saved_tensors_hooks("nor here"):
            pass
        with pytest.raises(RuntimeError, match="no hooks here"):
            graph.saved_tensors_hooks(print, print).__enter__()
    log = Log()
    with log.on():
        with pytest.raises(RuntimeError, match="too late"):
            graph.disable_saved_tensors_hooks("too late").__enter__()
        wg.exp(x)
    assert len(log.packed) == 1
