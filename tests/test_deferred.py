"""Operations on large arrays wait, and are computed together when somebody asks for elements.

Nothing may tell but the time it takes. The programs here run once with each operation computed at
once, once with all of them waiting.
"""

import copy
import os
import pickle
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from deferral import at_once, check_same, leaf, points

import wengert as wg
from wengert import _core, autograd

SIZE = 20_000  # waits by itself


pytestmark = pytest.mark.usefixtures("everything_waits")


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("shape", [(7,), (1,), (3, 4), (2, 0, 3), (SIZE,), (130, 77)])
def test_values_and_gradients(shape, dtype):
    def program():
        x, y = leaf(shape, 1, dtype=dtype), leaf(shape, 2, dtype=dtype)
        z = wg.sin(x) * wg.exp(-x * y) + wg.tanh(y) / 2 - 1
        w = z**2 + z
        w.sum().backward()
        return z, w, x.grad, y.grad

    check_same(program)


def test_more_operations_than_wait_at_a_time():
    def program():
        x = leaf()
        y = x
        for _ in range(300):
            y = y * 0.9 + x
        y.sum().backward()
        return y, x.grad

    check_same(program)


def test_shapes_and_dtypes_taken_in_turns():
    def program():
        a, b, c = leaf(5), leaf((2, 3)), leaf(5, dtype="float32")
        results = [a, b, c]
        for _ in range(4):
            results = [wg.sin(r) * r for r in results]
        total = results[0].sum() + results[1].sum() + results[2].sum()
        total.backward()
        return *results, a.grad, b.grad, c.grad

    check_same(program)


def test_a_number_stretched():
    number = wg.tensor([[2.0]])
    stretched = wg.broadcast_to(number, (3, 4))
    y = wg.tensor(points((3, 4)))
    first, second = stretched * y, stretched + 1.0
    number.mul_(5.0)
    np.testing.assert_array_equal(first.numpy(), 2 * points((3, 4)))
    np.testing.assert_array_equal(second.numpy(), np.full((3, 4), 3.0))
    np.testing.assert_array_equal((stretched * y).numpy(), 10 * points((3, 4)))


WRITES = {
    "item": lambda x: x.__setitem__(0, 5.0),
    "slice": lambda x: x.__setitem__(slice(1, 3), wg.tensor([7.0, 8.0])),
    "whole": lambda x: x.__setitem__(..., 2.0),
    "operator": lambda x: x.__imul__(3.0),
    "method": lambda x: x.add_(x, alpha=2),
    "zero": lambda x: x.zero_(),
    "fill": lambda x: x.fill_(4.0),
    "view": lambda x: x[2:].mul_(10.0),
    "reshaped": lambda x: x.reshape(7, 1).zero_(),
    "alias": lambda x: x.detach().copy_(wg.zeros(7)),
    "data": lambda x: x.data.mul_(2.0),
    "new memory": lambda x: setattr(x, "data", wg.ones(7)),
    "scatter": lambda x: x.index_fill_(0, wg.tensor([1, 2]), 9.0),
    "NumPy's out": lambda x: np.multiply(x.numpy(), 2.0, out=x.numpy()),
    "NumPy's array": lambda x: x.numpy().__setitem__(slice(None), 3.0),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_what_is_written_later_does_not_matter(write):
    a = points()
    x = wg.tensor(a)
    before = x * 2.0
    write(x)
    after = x * 2.0
    np.testing.assert_array_equal(before.numpy(), a * 2)
    np.testing.assert_array_equal(after.numpy(), x.numpy() * 2)
    assert not np.array_equal(before.numpy(), after.numpy())


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES.keys())
def test_writing_to_a_result_that_waits(write):
    a = points()
    x = wg.tensor(a)
    y = x * 2.0
    z = y + 1.0
    write(y)
    np.testing.assert_array_equal(z.numpy(), a * 2 + 1)
    np.testing.assert_array_equal(x.numpy(), a)
    assert not np.array_equal(y.numpy(), a * 2)


class TestMemoryThatOthersWriteTo:
    def test_an_array_that_a_tensor_shares(self):
        a = points()
        x = wg.from_numpy(a)
        y = x * 2.0
        expected = a * 2
        a[:] = 0
        np.testing.assert_array_equal(y.numpy(), expected)

    def test_an_array_that_shares_a_tensor(self):
        x = wg.tensor(points())
        shared = x.numpy()
        part = shared[2:4]
        del shared
        y = x * 2.0
        expected = points() * 2
        part[:] = 0
        np.testing.assert_array_equal(y.numpy(), expected)

    def test_an_array_of_a_view(self):
        x = wg.tensor(points())
        shared = x[1:].numpy()
        y = x * 2.0
        shared[:] = 0
        np.testing.assert_array_equal(y.numpy(), points() * 2)

    def test_an_array_of_a_result_that_waited(self):
        x = wg.tensor(points())
        y = x * 2.0
        shared = y.numpy()
        z = y + 1.0
        shared[:] = 0
        np.testing.assert_array_equal(z.numpy(), points() * 2 + 1)


def test_a_saved_value_written_to_since_is_refused():
    x = leaf()
    y = wg.exp(x)
    z = wg.sin(y)
    y.detach().mul_(2.0)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        z.sum().backward()


def test_what_waits():
    own = [wg.ones(5), wg.rand(5), wg.tensor(points(5)), wg.linspace(0, 1, 5), wg.zeros(5)[1:]]
    stretched = wg.broadcast_to(wg.tensor(2.0, dtype="float32"), (4,))
    for x in [*own, stretched]:
        assert _core.is_deferred(x * 2.0), x
        assert _core.is_deferred(wg.sin(x)), x
    with wg.errstate(over="raise"):
        assert not _core.is_deferred(own[0] * 2.0)
    with autograd.detect_anomaly():
        assert not _core.is_deferred(own[0] * 2.0)
    for x in [wg.from_numpy(points()), wg.tensor([1, 2]), wg.tensor(3.0), own[0] > 1, own[2][::2]]:
        assert not _core.is_deferred(x + x), x
    _core.defer_from(6)
    assert not _core.is_deferred(own[0] * 2.0)


def test_an_array_that_shares_memory_ends_the_waiting_as_long_as_it_lives():
    x = wg.ones(5)
    y = x * 2.0
    seen = x.numpy()
    assert not _core.is_deferred(y)
    y = x * 2.0
    assert not _core.is_deferred(y)
    seen[:] = 0
    np.testing.assert_array_equal(y.numpy(), np.full(5, 2.0))
    del seen
    z = x * 2.0
    assert _core.is_deferred(z)
    np.testing.assert_array_equal(z.numpy(), np.zeros(5))


def test_looking_at_shape_and_graph_asks_for_no_elements():
    x = leaf()
    y = wg.exp(x) * 2.0
    part = wg.zeros(9)[2:]
    assert (y.shape, part.shape) == ((7,), (7,))
    assert (y.ndim, y.size, y.dtype, y.requires_grad) == (1, 7, wg.float64, True)
    assert y.grad_fn.name() == "MultiplyBackward"
    assert _core.is_deferred(y)
    np.testing.assert_array_equal(y.detach().numpy(), np.exp(points()) * 2)


def test_nobody_needs_a_result(no_leak):
    with no_leak():
        x = leaf()
        for _ in range(5):
            wg.sin(x) * wg.exp(x)
        y = wg.sin(x)
        del y, x
    x = leaf()
    z = wg.sin(x) * x
    kept = wg.exp(z)
    del z
    np.testing.assert_array_equal(
        kept.detach().numpy(), wg.exp(wg.tensor(np.sin(points()) * points())).numpy()
    )


def test_results_between_do_not_exist_as_a_whole():
    x = wg.tensor(points(SIZE))
    _ = float((x * 2.0).sum())
    before = wg.live_objects()["bytes"]
    y = wg.sin(x * 2.0 + 1.0) * 0.5
    assert wg.live_objects()["bytes"] - before < 1.5 * 8 * SIZE
    assert y.shape == (SIZE,)


def test_no_grad_hooks_functions_and_copies():
    class Twice(autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad):
            (x,) = ctx.saved_tensors
            return grad * 2.0 * x

    def program():
        x = leaf()
        y = wg.sin(x)
        y.register_hook(lambda g: g * 2.0 + 1.0)
        z = Twice.apply(y) * y
        with wg.no_grad():
            w = z * 3.0
            w += 1.0
        z.sum().backward()
        return z, w, x.grad, copy.deepcopy(w * 2.0), pickle.loads(pickle.dumps(w + 1.0))

    check_same(program)


def test_derivatives_of_higher_order():
    def program():
        x = leaf()
        (first,) = autograd.grad((wg.sin(x) * wg.exp(x)).sum(), x, create_graph=True)
        (second,) = autograd.grad((first * first).sum(), x, create_graph=True)
        (third,) = autograd.grad(second.sum(), x)
        along = wg.jvp(lambda t: wg.sin(t) * wg.exp(t), (points(),), (points(7, 1),))[1]
        return first, second, third, along, wg.hessian(lambda t: (t**3 * wg.sin(t)).sum(), points())

    check_same(program)


def test_a_pass_over_results_that_wait():
    def program():
        x, y = leaf(SIZE), leaf(SIZE, 1)
        kept = wg.exp(x) * y
        (kept * wg.sin(kept)).sum().backward(retain_graph=True)
        once = x.grad.clone()
        (kept * 2.0).sum().backward()
        return kept, once, x.grad, y.grad

    check_same(program)


def test_errstate_and_anomaly_see_each_operation():
    x = wg.tensor([1.0, 0.0])
    with wg.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide"):
        1.0 / x
    with autograd.detect_anomaly():
        y = leaf() * 2.0
        y.sum().backward()


def test_threads_that_use_each_others_results():
    a = points(300_000)
    expected = np.asarray(at_once(lambda: wg.exp(wg.sin(wg.tensor(a)) * 0.5)))
    agreed, finished = [], []

    def work(tensors):
        try:
            for _ in range(10):
                mine = wg.exp(wg.sin(tensors[0]) * 0.5)
                tensors.append(mine)
                others = [np.array_equal(other.numpy(), expected) for other in tensors[1:]]
                agreed.append(all(others))
        finally:  # a thread's own error would be lost
            finished.append(len(agreed))

    tensors = [wg.tensor(a)]
    threads = [threading.Thread(target=work, args=(tensors,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(finished) == 4
    assert agreed == [True] * 40


def test_threads_with_graphs_of_their_own():
    expected = at_once(lambda: _trained(3))
    found = {}

    def work(seed):
        found[seed] = _trained(3)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed in range(4):
        np.testing.assert_array_equal(found[seed], expected)


def _trained(steps):
    w = leaf(100_000)
    for _ in range(steps):
        w.grad = None
        ((wg.sin(w) * w - 0.5) ** 2).sum().backward()
        with wg.no_grad():
            w -= 0.1 * w.grad
    return w.detach().numpy().copy()


OUT_OF_MEMORY = """
import resource
import wengert as wg
x, other = wg.ones(4_000_000), wg.ones(3)
have = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (have + 300_000_000, resource.RLIM_INFINITY))
results = [x * float(i) for i in range(60)]
for tensor in (other, results[7]):
    try:
        tensor.numpy()
    except MemoryError:
        print("no memory")
assert other.tolist() == [1.0, 1.0, 1.0]
assert (x * 2.0).sum().item() == 8_000_000
try:
    results[7] + 1.0
except MemoryError:
    print("still none")
del results, tensor
assert (x * 3.0).sum().item() == 12_000_000
print("works on")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer needs address space")
def test_memory_runs_out():
    command = [sys.executable, "-c", OUT_OF_MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["no memory", "no memory", "still none", "works on"], done


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_computes_what_waited():
    x = wg.tensor(points(SIZE))
    y = x * 2.0 + 1.0
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(y.numpy(), points(SIZE) * 2 + 1) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    np.testing.assert_array_equal(y.numpy(), points(SIZE) * 2 + 1)
