"""The graph: sharing, order, depth, width, and memory that is given back exactly."""

import gc
import os

import numpy as np
import pytest

import wengert as wg

# A sanitized build runs several times slower, and its allocator needs several times the memory.
SANITIZED = bool(os.environ.get("WENGERT_SANITIZERS"))
DEPTH = 100_000 if SANITIZED else 1_000_000


def variable(data):
    return wg.tensor(data, requires_grad=True)


def scalar_nodes():
    return wg.live_objects()["scalar_nodes"]


# ---- sharing ------------------------------------------------------------------------------------


def test_200_levels_of_sharing_are_200_nodes():
    x = variable(1.0)
    gc.collect()
    before = scalar_nodes()
    y = x
    for _ in range(200):
        y = y + y
    assert scalar_nodes() - before == 200
    y.backward()
    assert x.grad.item() == 2.0**200


@pytest.mark.parametrize("every", [1, 2, 7, 100_000])
@pytest.mark.parametrize("retain_graph", [False, True])
def test_values_used_twice_of_which_some_are_held(every, retain_graph):
    """Far more than wait at a time; those that a handle holds wait for all others."""
    older, newer = variable(1.0), variable(4.0)
    leaves, kept, levels = (older, newer), [], 30_000
    for i in range(levels):
        older, newer = newer, (older + newer) * 0.5
        if i % every == 0:
            kept.append(newer)
    weight = (1 - (-0.5) ** levels) / 3
    assert newer.item() == pytest.approx(weight + 4 * (1 - weight), rel=1e-12)
    for times in (1, 2) if retain_graph else (1,):
        newer.backward(retain_graph=retain_graph)
        found = [leaf.grad.item() for leaf in leaves]
        assert found == pytest.approx([times * weight, times * (1 - weight)], rel=1e-12)


def test_200_levels_of_sharing_in_arrays():
    x = variable([1.0, -1.0])
    gc.collect()
    before = wg.live_objects()["array_nodes"]
    y = x
    for _ in range(200):
        y = y + y
    assert wg.live_objects()["array_nodes"] - before == 200
    y.backward(wg.tensor([1.0, 3.0]))
    assert x.grad.tolist() == [2.0**200, 3 * 2.0**200]


def test_shared_levels_are_differentiated_twice():
    x = variable(3.0)
    y = x
    for _ in range(30):
        y = y + y
    (first,) = wg.autograd.grad(y * y, x, create_graph=True)
    (second,) = wg.autograd.grad(first, x)
    assert first.item() == 2 * 3 * 4.0**30
    assert second.item() == 2 * 4.0**30


@pytest.mark.parametrize("make", [lambda: 2.0, lambda: [2.0, 2.0]])
def test_a_value_waits_for_all_of_its_uses(make):
    # The long way from y to the end must not be overtaken by the short one.
    x = variable(make())
    y = x * 3
    around = y
    for _ in range(50):
        around = around + 1
    passes = []
    y.register_hook(lambda g: passes.append(g.sum().item() / g.size))
    (y * around + y).sum().backward()
    # d/dy (y (y + 50) + y) = 2 y + 51
    assert passes == [63]
    assert x.grad.sum().item() / x.size == 3 * 63


# ---- order --------------------------------------------------------------------------------------


def test_topological_order_has_every_node_before_its_inputs():
    x = variable(0.5)
    values = [x]
    for i in range(1, 60):
        values.append(wg.sin(values[i // 2] * values[i // 3]) + values[i - 1])
    order = list(wg.gradients(values[-1]))
    position = {}
    nodes = []
    for i, tensor in enumerate(order):
        node = tensor.grad_fn
        if node is not None:
            position[node] = i
            nodes.append(node)
    assert len(nodes) == len(order) - 1
    for node in nodes:
        for following, _ in node.next_functions:
            if following is not None and not following.is_leaf:
                assert position[following] > position[node]
    assert order[0] is values[-1] or order[0].grad_fn == values[-1].grad_fn


def test_what_needs_no_gradient_is_left_out():
    x = variable(2.0)
    constant = wg.exp(wg.tensor(1.0) * 3)
    y = x * constant
    before = scalar_nodes()
    del constant
    assert scalar_nodes() == before - 1  # the product keeps its value as a number
    assert len(wg.gradients(y)) == 2
    y.backward()
    assert x.grad.item() == pytest.approx(np.exp(3.0), rel=1e-15)


# ---- depth and width ----------------------------------------------------------------------------


def deep_chain(depth, x):
    y = x
    for _ in range(depth // 2):
        y = y * 1.0 + 1.0
    return y


def test_deep_chain_is_differentiated_and_freed():
    before = scalar_nodes()
    x = variable(1.0)
    y = deep_chain(DEPTH, x)
    assert scalar_nodes() - before == DEPTH + 1
    y.backward()
    assert y.item() == 1 + DEPTH // 2
    assert x.grad.item() == 1
    del y
    assert scalar_nodes() - before == 2  # the leaf and its gradient
    del x
    assert scalar_nodes() == before


@pytest.mark.skipif(
    SANITIZED or not os.environ.get("WENGERT_LARGE_TESTS"),
    reason="takes 2 GB and several seconds; set WENGERT_LARGE_TESTS=1",
)
def test_chain_of_ten_million_nodes():
    before = scalar_nodes()
    x = variable(1.0)
    y = deep_chain(10_000_000, x)
    y.backward()
    assert x.grad.item() == 1
    del x, y
    assert scalar_nodes() == before


def test_deep_chain_of_arrays(no_leak):
    with no_leak():
        x = variable([1.0, 2.0])
        y = x
        for _ in range(DEPTH // 10):
            y = y + 1.0
        y.sum().backward()
        assert x.grad.tolist() == [1, 1]
        del x, y


def test_deep_chain_is_freed_without_a_backward_pass(no_leak):
    with no_leak():
        y = deep_chain(DEPTH, variable(1.0))
        del y


def test_deep_chain_through_retained_passes_and_hooks(no_leak):
    with no_leak():
        x = variable(1.0)
        y = deep_chain(DEPTH // 10, x)
        middle = y
        seen = []
        middle.register_hook(lambda g: seen.append(g.item()))
        z = deep_chain(DEPTH // 10, middle) * 2
        z.backward(retain_graph=True)
        z.backward()
        assert seen == [2, 2]
        assert x.grad.item() == 4
        del x, y, z, middle


def test_deep_chain_is_differentiated_twice(no_leak):
    with no_leak():
        x = variable(1.0)
        y = x
        for _ in range(DEPTH // 20):
            y = wg.sin(y)
        (first,) = wg.autograd.grad(y, x, create_graph=True)
        (second,) = wg.autograd.grad(first, x)
        value, slope, curvature = iterated_sine(1.0, DEPTH // 20)
        assert y.item() == pytest.approx(value, rel=1e-12)
        assert first.item() == pytest.approx(slope, rel=1e-9)
        assert second.item() == pytest.approx(curvature, rel=1e-9)
        del x, y, first, second


def iterated_sine(value, count):
    """Value, first and second derivative of sin(sin(...)), by the chain rule step by step."""
    slope, curvature = 1.0, 0.0
    for _ in range(count):
        sine, cosine = np.sin(value), np.cos(value)
        curvature = -sine * slope * slope + cosine * curvature
        value, slope = sine, cosine * slope
    return value, slope, curvature


def test_deep_chain_ends_in_a_failing_pass(no_leak):
    def fail(grad):
        raise ZeroDivisionError

    with no_leak():
        x = variable(1.0)
        hook = x.register_hook(fail)
        y = deep_chain(DEPTH // 10, x)
        with pytest.raises(ZeroDivisionError):
            y.backward(retain_graph=True)
        hook.remove()
        y.backward()
        assert x.grad.item() == 1
        del x, y, hook


def test_wide_fan_in():
    leaves = [variable(float(i)) for i in range(20_000)]
    total = wg.stack(leaves)
    (total * wg.arange(20_000)).sum().backward()
    assert [leaf.grad.item() for leaf in leaves] == list(range(20_000))
    assert sum(node.is_leaf for node in wg.graph.children(total.sum())) == 20_000


def test_wide_fan_out(no_leak):
    with no_leak():
        x = variable(2.0)
        parts = [x * float(i) for i in range(20_000)]
        total = parts[0]
        for part in parts[1:]:
            total = total + part
        total.backward()
        assert x.grad.item() == sum(range(20_000))
        del x, parts, total, part


# ---- memory -------------------------------------------------------------------------------------


def loss_of(w, data):
    return ((wg.tanh(data @ w) - 1.0) ** 2).mean() + wg.exp(w).sum() * 1e-3


def test_memory_is_exact_after_every_kind_of_loop(no_leak):
    data = wg.tensor(np.linspace(-1, 1, 12).reshape(4, 3))
    with no_leak():
        w = variable([0.1, 0.2, 0.3])
        flat = None
        for i in range(200):
            loss_of(w, data).backward()
            with wg.no_grad():
                w -= 0.1 * w.grad
            w.grad = None
            wg.autograd.grad(loss_of(w, data), w)
            (first,) = wg.autograd.grad(loss_of(w, data), w, create_graph=True)
            first.sum().backward()
            w.grad = None
            loss_of(w, data)  # never differentiated
            del first
            if i == 10:
                flat = wg.live_objects()
        assert wg.live_objects() == flat
        del w


def test_third_order_leaves_nothing_behind(no_leak):
    with no_leak():
        x = variable([0.5, 1.5])
        y = wg.exp(x * x).sum()
        (first,) = wg.autograd.grad(y, x, create_graph=True)
        (second,) = wg.autograd.grad(first.sum(), x, create_graph=True)
        (third,) = wg.autograd.grad(second.sum(), x)
        values = np.array([0.5, 1.5])
        expected = (8 * values**3 + 12 * values) * np.exp(values**2)
        assert third.tolist() == pytest.approx(expected.tolist(), rel=1e-12)
        del x, y, first, second, third


def test_create_graph_into_grad_is_collected_once_grad_is_dropped(no_leak):
    with no_leak():
        x = variable(2.0)
        (x**3).backward(create_graph=True)
        assert x.grad.requires_grad
        gradient = x.grad
        x.grad = None
        gradient.backward()
        assert x.grad.item() == 12
        del x, gradient


def test_a_buffer_lives_only_if_a_derivative_reads_it():
    x = variable(np.ones(1000))
    gc.collect()
    before = wg.live_objects()["bytes"]
    y = x + 1.0
    z = y * 2.0  # neither a sum nor a product with a number reads its input
    del y
    assert wg.live_objects()["bytes"] - before == pytest.approx(8000, abs=500)
    z.sum().backward()
    assert x.grad.tolist() == [2.0] * 1000


def test_a_pass_frees_what_was_saved():
    x = variable(np.ones(1000))
    y = wg.exp(wg.exp(x) * 1e-3)
    z = y.sum()
    del y
    gc.collect()
    before = wg.live_objects()["bytes"]
    z.backward()
    x.grad = None
    assert wg.live_objects()["bytes"] <= before - 16_000  # both results of exp
