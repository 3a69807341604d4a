"""The sum of a result that waits is taken while it is computed.

What takes a few cheap operations is not even written then: it waits on.
"""

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from deferral import at_once, check_same, leaf, points

import wengert as wg
from wengert import _core, autograd

pytestmark = pytest.mark.usefixtures("everything_waits")


# A piece of a sum has 2,048 elements, a row 64, a run 32,768.
SIZES = [1, 7, 8, 63, 64, 65, 2047, 2048, 2049, 32_767, 32_768, 32_769, 100_003]


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("size", SIZES)
def test_sums_are_those_of_the_whole_array(size, dtype):
    def program():
        x = wg.tensor(points(size, dtype=dtype))
        kept = wg.exp(x * 3.0)
        return [(x * 3.0).sum(), wg.exp(x * 3.0).sum(), kept.sum(), kept, (x - 1.0).mean()]

    check_same(program)
    x = points(size, dtype=dtype)
    tolerance = 1e-13 if dtype == "float64" else 1e-5
    assert (wg.tensor(x) * 3.0).sum().item() == pytest.approx(
        np.sum(x.astype("float64") * 3.0), rel=tolerance
    )


@pytest.mark.parametrize("shape", [(3, 4), (1, 5), (5, 1), (130, 77), (2, 3, 4), (2, 1, 3000)])
def test_axes_of_any_kind(shape):
    def program():
        x = leaf(shape)
        y = x * 2.0 + 1.0
        results = [y.sum(axis=0), y.sum(axis=-1, keepdims=True), y.sum(keepdims=True), y.sum()]
        results += [y.sum(axis=tuple(range(len(shape)))), y.mean(), y.mean(keepdims=True)]
        sum((result * result).sum() for result in results).backward()
        return [*results, x.grad]

    check_same(program)


def sums_of_one(z):
    return z.sum() * z.sum() + (z * z).sum()


PROGRAMS = {
    "squared error": lambda x, y: ((x - y) ** 2).sum(),
    "variance": lambda x, y: ((x - x.mean()) ** 2).mean() * (y * y).mean(),
    "softmax": lambda x, y: (wg.exp(x) / wg.exp(x).sum() * y).sum(),
    "sum of sums": lambda x, y: (x * y).sum() * (x + y).sum() + wg.tanh(x * y).sum(),
    "of one result twice": lambda x, y: sums_of_one(x * y),
    "dtype": lambda x, y: wg.sum(x * y, dtype="float32").astype("float64"),
    "norm": lambda x, y: wg.norm(x * y),
}


@pytest.mark.parametrize("function", PROGRAMS.values(), ids=PROGRAMS.keys())
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_gradients_of_sums(function, dtype):
    def program():
        x, y = leaf(5000, 1, dtype=dtype), leaf(5000, 2, dtype=dtype)
        value = function(x, y)
        first = autograd.grad(value, [x, y], create_graph=True)
        second = autograd.grad((first[0] * first[1]).sum(), [x, y])
        with wg.no_grad():
            plain = function(x, y)
        tangent = wg.jvp(function, (x.detach(), y.detach()), (wg.ones(5000), wg.ones(5000)))
        return [value, plain, *first, *second, *tangent]

    expected, found = at_once(program), program()
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.dtype == theirs.dtype  # a pass may add the terms of a gradient in another order
        np.testing.assert_allclose(
            mine.detach().numpy(), theirs.detach().numpy(), 1e-12 if dtype == "float64" else 1e-4
        )


def test_a_few_cheap_operations_wait_on():
    x = wg.tensor(points(5000))
    y = (x * 2.0 - 1.0) ** 2
    other = wg.exp(x)
    assert (y * 3.0).sum().item() == pytest.approx(np.sum((points(5000) * 2 - 1) ** 2 * 3))
    assert not _core.is_deferred(y)  # with exp in the program nothing waits on
    assert not _core.is_deferred(other)
    y = (x * 2.0 - 1.0) ** 2
    total = y.sum()
    assert _core.is_deferred(y)
    assert y.sum().item() == total.item()
    assert not _core.is_deferred(y)  # or a loop of sums would compute it again and again
    np.testing.assert_array_equal(y.numpy(), (points(5000) * 2 - 1) ** 2)
    for _ in range(9):
        y = y + x
    total = y.sum()
    assert not _core.is_deferred(y)  # too many


def test_what_was_saved_is_written():
    x = leaf(5000)
    y = x - 0.5
    loss = (y * y).sum()
    assert not _core.is_deferred(y)
    loss.backward()
    np.testing.assert_array_equal(x.grad.numpy(), 2 * (points(5000) - 0.5))


WRITES = {
    "in place": lambda x, y: x.mul_(3.0),
    "a part": lambda x, y: x.__setitem__(slice(2, 9), 7.0),
    "NumPy's array": lambda x, y: x.numpy().__setitem__(slice(None), 3.0),
    "the result": lambda x, y: y.add_(1.0),
    "a part of the result": lambda x, y: y[5:].fill_(0.0),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_is_written_after_the_sum(write):
    def program():
        x = wg.tensor(points(5000))
        y = x * 2.0 + 1.0
        kept = x * 3.0
        first = y.sum()
        WRITES[write](x, y)
        return [first, y, kept, x, y.sum(), (x * 2.0 + 1.0).sum()]

    check_same(program)


def test_results_kept_beside_the_sum_can_be_freed_and_written():
    x = wg.tensor(points(5000))
    y = x * 2.0
    kept = y + 1.0
    freed = y - 1.0
    total = y.sum()
    assert _core.is_deferred(y)
    assert not _core.is_deferred(kept)
    del freed
    reused = wg.zeros(5000)
    kept.zero_()
    np.testing.assert_array_equal(y.numpy(), points(5000) * 2)
    assert not kept.numpy().any()
    assert not reused.numpy().any()
    assert total.item() == pytest.approx(points(5000).sum() * 2)


def test_operations_join_what_waits_on():
    x = wg.tensor(points(5000))
    y = x * 2.0
    total = y.sum()
    z = y * y + total
    np.testing.assert_array_equal(z.numpy(), (points(5000) * 2) ** 2 + total.item())
    np.testing.assert_array_equal(y.numpy(), points(5000) * 2)


def test_nothing_is_left(no_leak):
    with no_leak():
        x = leaf(5000)
        for _ in range(3):
            ((x - 1.0) ** 2).sum().backward()
            with wg.no_grad():
                y = x * 2.0
                y.sum()
        del x, y


def test_a_sum_alone_needs_no_memory_for_its_terms():
    code = """
import resource, wengert as wg
x = wg.ones(16_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
assert ((x - 3.0) ** 2).mean().item() == 4
assert (x * 2.0).sum().item() == 32_000_000
assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000  # kB
"""
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)


def test_errstate_and_anomaly_see_each_operation():
    x = wg.tensor(points(50)) * 2.0
    with wg.errstate(over="raise"):
        assert x.sum().item() == pytest.approx(points(50).sum() * 2)
    y = wg.tensor([1e308, 1e308]) * 1.5
    assert y.sum().item() == np.inf


def test_the_number_of_threads_does_not_matter():
    def program():
        x = wg.tensor(points(300_001))
        y = wg.sin(x)
        return [(x * 2.0 + x).sum(), y.sum(), y]

    threads = wg.num_threads()
    try:
        wg.set_num_threads(1)
        alone = program()
        wg.set_num_threads(3)
        for mine, theirs in zip(program(), alone, strict=True):
            np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    finally:
        wg.set_num_threads(threads)


def test_threads_that_sum_the_same_results():
    x = wg.tensor(points(200_000))
    expected = at_once(lambda: [(x * 2.0).sum().item(), wg.exp(x).sum().item()])
    agreed = []

    def work(y, z):
        agreed.append([y.sum().item(), z.sum().item()] == expected)

    for _ in range(10):
        y, z = x * 2.0, wg.exp(x)
        threads = [threading.Thread(target=work, args=(y, z)) for _ in range(4)]
        del y, z
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert agreed == [True] * 40


OUT_OF_MEMORY = """
import resource
import wengert as wg
x = wg.ones(4_000_000)
have = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (have + 100_000_000, resource.RLIM_INFINITY))
results = [x * float(i) for i in range(20)]
try:
    results[3].sum()
except MemoryError:
    print("no memory")
assert x.sum().item() == 4_000_000
del results
assert (x * 2.0).sum().item() == 8_000_000
print("works on")
"""


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs Linux's /proc")
@pytest.mark.skipif("ASAN_OPTIONS" in os.environ, reason="needs address space")
def test_memory_runs_out():
    command = [sys.executable, "-c", OUT_OF_MEMORY]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["no memory", "works on"], done
