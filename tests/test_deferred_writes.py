"""What is written in place while it is computed, in one loop with all that waits.

Nothing may tell but the time it takes.
"""

import operator
import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from deferral import check_same, leaf, points

import wengert as wg
from wengert import _core, autograd

SIZE = 20_000  # waits by itself


pytestmark = pytest.mark.usefixtures("everything_waits")


def tensors(size=7, dtype="float64", count=4):
    return [wg.tensor(points(size, seed, dtype=dtype)) for seed in range(count)]


def _methods(w, g, v, m):
    w.sub_(g * 0.5)
    w.add_(g * v, alpha=-0.1)
    w.subtract_(g * v, alpha=0.25)
    w.mul_(g + v).div_(wg.exp(v)).maximum_(g * 0.3)
    w.pow_(v * 0.1)
    return w, g, v, m


def _operators(w, g, v, m):
    w -= 0.1 * g
    w += g * v
    w *= g + 1.0
    w /= 2.0 * v
    w **= v - 0.5
    w //= 0.01 * v
    w %= 3.0 * g
    return w, g, v, m


def _momentum(w, g, v, m):
    for _ in range(3):
        v *= 0.9
        v += g
        w -= 0.1 * v
    for _ in range(3):
        v = 0.9 * v + g
        w -= 0.1 * v
    return w, g, v, m


def _adam(w, g, v, m):
    for step in range(1, 4):
        m = 0.9 * m + 0.1 * g
        v = 0.999 * v + 0.001 * g * g
        w -= 0.01 * (m / (1 - 0.9**step)) / (wg.sqrt(v / (1 - 0.999**step)) + 1e-8)
    return w, g, v, m


def _adam_in_place(w, g, v, m):
    for step in range(1, 4):
        m.mul_(0.9).add_(g, alpha=0.1)
        v.mul_(0.999).add_(g * g, alpha=0.001)
        w.add_(m / ((v / (1 - 0.999**step)).sqrt() + 1e-8), alpha=-0.01)
        w.addcdiv_(m, wg.sqrt(v) + 1e-8, -0.1)
        w.addcmul_(m * 2.0, v)
    return w, g, v, m


def _weight_decay(w, g, v, m):
    for _ in range(3):
        w -= 0.1 * (g + 0.01 * w)
        w.add_(w * g, alpha=-0.5)
    return w, g, v, m


def _kept(w, g, v, m):
    """Results are asked for that the write had no need to make."""
    step = 0.1 * g
    w -= step
    w -= step
    change = w * step
    w += change
    w -= (twice := 2.0 * step)
    other = w * 3.0
    w *= wg.exp(change)
    return w, step, change, twice, other


def _kept_by_a_list(w, g, v, m):
    steps = [0.1 * g, g * v, w * g]
    for step in steps:
        w -= step
    return w, *steps


def _lent(w, g, v, m):
    """Only the tuple refers to the operand during the call, and does so afterwards."""
    pair, reading = (w, 0.1 * g), (w, w * g)
    operator.isub(*pair)
    operator.imul(*reading)
    later = (w, wg.sin(w) + g)
    operator.iadd(*later)
    w.mul_(2.0)
    return w, pair[1], reading[1], later[1]


def _copies(w, g, v, m):
    w.copy_(g * 2.0 + w)
    v[...] = v * g + w
    m[:] = m[:] * 2.0
    return w, g, v, m


def _views(w, g, v, m):
    flat = wg.tensor(points(14, 9))
    first, second = flat[:7], flat[7:]
    first -= 0.1 * g
    second *= first + g
    flat[3:10] = flat[3:10] * 2.0 + g
    flat[:-7] -= flat[7:] * 0.5
    w[1:] -= w[:-1] * 0.5
    w[:-1] -= w[1:] * 0.5
    return w, flat, g, v, m


def _overlapping(w, g, v, m):
    """In the same memory, a block and an element apart; no views, whose writes go another way."""
    base = wg.tensor(points(w.size + 300, 9)).detach()
    a, b, c = (base[i : w.size + i].detach() for i in (0, 1, 257))
    a -= b * 0.5
    b -= a * 0.5
    c *= a * 0.9 + b
    kept = a * 2.0
    b *= g + kept
    a += b * c
    return base, kept, c


def _waiting_target(w, g, v, m):
    y = w * 2.0
    z = y + 1.0
    y += 1.0
    y *= g * v
    u = y - z
    u -= y
    y -= y
    return y, z, u


PROGRAMS = [
    _methods,
    _operators,
    _momentum,
    _adam,
    _adam_in_place,
    _weight_decay,
    _kept,
    _kept_by_a_list,
    _lent,
    _copies,
    _views,
    _overlapping,
    _waiting_target,
]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("program", PROGRAMS)
def test_loops(program, dtype):
    check_same(lambda: program(*tensors(7, dtype)))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("program", [_operators, _adam, _weight_decay, _kept, _overlapping])
@pytest.mark.parametrize("size", [SIZE, 100_003])
def test_long_arrays(program, size, dtype):
    check_same(lambda: program(*tensors(size, dtype)))


def test_a_descent_and_what_it_gives():
    a, b = points(SIZE), points(SIZE, 1)

    def descend():
        w, c = wg.tensor(a, requires_grad=True), wg.tensor(b)
        for _ in range(3):
            w.grad = None
            ((w - c) ** 2).sum().backward()
            with wg.no_grad():
                w -= 0.25 * w.grad
        return w, w.grad

    expected = a
    for _ in range(3):
        grad = 2 * (expected - b)
        expected = expected - 0.25 * grad
    found, gradient = descend()
    np.testing.assert_allclose(found.detach().numpy(), expected, rtol=1e-14)
    np.testing.assert_allclose(gradient.numpy(), grad, rtol=1e-12)
    check_same(descend)


class TestWhatIsWritten:
    def test_the_memory_of_the_target_and_nothing_else(self):
        w, g = wg.tensor(points(SIZE)), wg.tensor(points(SIZE, 1))
        where = w.numpy().ctypes.data
        (w * g).sum().item()
        before = wg.live_objects()["bytes"]
        step = [0.1 * g]
        w -= step.pop()
        assert wg.live_objects()["bytes"] == before
        assert w.numpy().ctypes.data == where
        np.testing.assert_array_equal(w.numpy(), points(SIZE) - 0.1 * points(SIZE, 1))

    def test_an_operand_that_somebody_keeps_is_computed_with_it(self):
        w, g = tensors(count=2)
        step = 0.1 * g
        w -= step
        assert not _core.is_deferred(step)
        np.testing.assert_array_equal(step.numpy(), 0.1 * points(7, 1))

    def test_views_and_arrays_that_share_the_target_see_it(self):
        w, g = tensors(count=2)
        part, alias, array = w[2:], w.detach(), w.numpy()
        w -= 0.1 * g
        expected = points() - 0.1 * points(7, 1)
        np.testing.assert_array_equal(array, expected)
        np.testing.assert_array_equal(part.numpy(), expected[2:])
        np.testing.assert_array_equal(alias.numpy(), expected)

    def test_an_array_that_the_target_shares(self):
        a = points()
        w, g = wg.from_numpy(a), wg.tensor(points(7, 1))
        w -= 0.1 * g
        np.testing.assert_array_equal(a, points() - 0.1 * points(7, 1))
        w += a * g
        np.testing.assert_array_equal(w.numpy(), a)

    def test_what_waits_read_the_target_as_it_was(self):
        w, g = tensors(count=2)
        before = w * 2.0
        step = w * g
        w -= step
        after = w * 2.0
        first, second = points(), points(7, 1)
        np.testing.assert_array_equal(before.numpy(), first * 2)
        np.testing.assert_array_equal(step.numpy(), first * second)
        np.testing.assert_array_equal(after.numpy(), (first - first * second) * 2)


def test_versions_count_and_what_was_saved_is_refused():
    w, g = leaf(), wg.tensor(points(7, 1))
    y = (w * w).sum()
    assert w._version == 0
    with wg.no_grad():
        w -= 0.1 * g
    assert w._version == 1
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.backward()


def test_a_leaf_that_requires_grad_is_refused_as_before():
    w, g = leaf(), wg.tensor(points(7, 1))
    with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
        w -= 0.1 * g
    assert w._version == 0
    np.testing.assert_array_equal(w.detach().numpy(), points())


def test_what_is_recorded_is_recorded():
    def program():
        x, w, g = leaf(), *tensors(count=2)
        y = x * 2.0
        y -= 0.1 * g
        y *= wg.sin(x)
        w -= 0.5 * x  # starts to require grad
        (y * w).sum().backward()
        return y, w, x.grad

    check_same(program)


def test_duals():
    def program():
        def f(t):
            y = t * 2.0
            y -= 0.1 * t
            return y

        return wg.jvp(f, (points(),), (points(7, 1),))

    check_same(program)


def test_read_only_memory():
    a = points()
    a.flags.writeable = False
    w, g = wg.from_numpy(a), wg.tensor(points(7, 1))
    with pytest.raises(ValueError, match="read-only"):
        w -= 0.1 * g
    np.testing.assert_array_equal(a, points())


@pytest.mark.parametrize("target", ["float32", "float64"])
def test_another_dtype_or_shape(target):
    def program():
        w = wg.tensor(points((3, 4), dtype=target))
        g = wg.tensor(points((3, 4), 1))
        row, column = wg.tensor(points(4, 2)), wg.tensor(points((3, 1), 3))
        w -= 0.1 * g
        w -= row * 0.1
        w *= column + 1.0
        w -= wg.tensor(0.5) * row
        counts = wg.tensor([1, 2, 3, 4])
        counts += counts * 2
        return w, counts

    check_same(program)
    with pytest.raises(RuntimeError, match="broadcast shape"):
        wg.ones(4).sub_(wg.ones((3, 4)) * 2.0)
    with pytest.raises(TypeError, match="can't be cast"):
        wg.tensor([1, 2]).sub_(wg.ones(2) * 2.0)


def test_errstate_and_anomaly_see_the_write():
    w, g = wg.tensor([1.0, 1.0]), wg.tensor([0.5, 0.0])
    step = g * 2.0
    with wg.errstate(divide="raise"), pytest.raises(FloatingPointError, match="divide"):
        w /= step
    np.testing.assert_array_equal(w.numpy(), [1, 1])
    step = g * 2.0
    with autograd.detect_anomaly():
        w -= step
    np.testing.assert_array_equal(w.numpy(), [0, 1])


OUT_OF_MEMORY = """
import resource
import wengert as wg
w, g = wg.ones(4_000_000), wg.ones(4_000_000)
have = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (have + 200_000_000, resource.RLIM_INFINITY))
kept = [g * float(i) for i in range(60)]
try:
    w -= kept[3]
except MemoryError:
    print("no memory")
print(w._version, w.sum().item())
try:
    kept[3] + 1.0
except MemoryError:
    print("still none")
del kept
w -= 0.5 * g
print(w._version, w.sum().item())
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="a sanitizer needs address space")
def test_memory_runs_out_and_nothing_was_written():
    command = [sys.executable, "-c", OUT_OF_MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    expected = ["no memory", "0 4000000.0", "still none", "1 2000000.0"]
    assert done.stdout.splitlines() == expected, done


def test_threads_that_read_while_another_one_writes():
    size, rounds = 300_000, 10
    w, ones = wg.zeros(size), wg.ones(size)
    wrong, finished = [], []

    def write():
        for _ in range(rounds):
            w.add_(ones * 1.0)
        finished.append(True)

    def read():
        for _ in range(rounds):
            seen = w + 0.0
            array = seen.numpy()
            if array.min() != array.max():
                wrong.append(array)
        finished.append(True)

    threads = [threading.Thread(target=run) for run in (write, read, read)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(finished) == 3
    assert not wrong
    np.testing.assert_array_equal(w.numpy(), np.full(size, float(rounds)))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads and fork
def test_a_process_forked_during_a_write_does_not_write_again():
    size = 2_000_000
    w, ones, other = wg.zeros(size), wg.ones(size), wg.ones(3)
    memory = w.numpy()  # to look without asking for elements
    stop, finished = threading.Event(), []

    def write():
        while not stop.is_set():
            w.add_(ones * 1.0)
        finished.append(True)

    def goes_on():
        before = memory.copy()
        return (other * 2.0).tolist() == [2.0] * 3 and np.array_equal(memory, before)

    assert _in_forked_processes(write, stop, goes_on) == [0] * 20
    assert finished  # a thread's own error would be lost


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")  # of threads and fork
def test_a_process_forked_during_a_write_has_no_values_of_half_of_it():
    w, ones = wg.zeros(2_000_000), wg.ones(2_000_000)
    stop, finished, kept = threading.Event(), [], []

    def write():
        while not stop.is_set():
            kept[:] = [w * 2.0]
            w.add_(ones * 1.0)
        finished.append(True)

    def is_whole():
        try:
            return all(np.ptp(value.numpy()) == 0 for value in kept)
        except MemoryError:  # lost
            return True

    assert _in_forked_processes(write, stop, is_whole) == [0] * 20
    assert finished


def _in_forked_processes(write, stop, check):
    """Twenty processes' exit codes, 0 if the check is true there, forked while a thread writes."""
    thread = threading.Thread(target=write)
    thread.start()
    codes = []
    for _ in range(20):
        child = os.fork()
        if child == 0:
            os._exit(0 if check() else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    thread.join()
    return codes


def test_nothing_leaks(no_leak):
    with no_leak():
        w, g = tensors(count=2)
        for _ in range(5):
            w -= 0.1 * g
            w.add_(g * g, alpha=0.5)
            kept = g * w
            w *= kept
        del w, g, kept
