"""Cycles of references through the graph: found and freed, unless somebody uses them."""

import gc
import os
import weakref

import pytest

import wengert as wg

# A sanitized build runs several times slower.
ROUNDS = 2_000 if os.environ.get("WENGERT_SANITIZERS") else 10_000

SHAPES = pytest.mark.parametrize("data", [2.0, [2.0, 2.0]])


def variable(data):
    return wg.tensor(data, requires_grad=True)


def recorded_gradient(x):
    (x * x * x).sum().backward(create_graph=True)


def recorded_gradients_of_each_other(x):
    w = variable(x.tolist())
    (x * x * w + wg.exp(x)).sum().backward(create_graph=True)
    (x.grad * w.grad).sum().backward(create_graph=True)


def recorded_and_retained(x):
    y = x * x
    y.retain_grad()
    (y * y).sum().backward(create_graph=True)


def recorded_through_where(x):
    wg.where(x > 0, x * x, x).sum().backward(create_graph=True)


def hook_on_tensor(x):
    y = x * 2
    z = y * 3
    y.register_hook(lambda g: None)
    z.sum().backward()


def hook_of_a_descendant_alone(x):
    y = x * 2
    z = y * 3
    y.register_hook(lambda g: z)


def method_of_an_object(x):
    class Holder:
        def __init__(self, value):
            self.value = [value]

        def hook(self, grad):
            return None

    y = x * 2
    y.register_hook(Holder(y * 3).hook)


def hook_on_node(x):
    y = x * 2
    z = (y * 3).sum()
    node = y.grad_fn
    node.register_hook(lambda gi, go: None)
    node.register_prehook(lambda go: None)
    z.backward()


def hook_on_leaf_node(x):
    y = (x * 2).sum()
    leaf = y.grad_fn.next_functions[0][0].next_functions[0][0]
    leaf.register_hook(lambda gi, go: None)
    y.backward()


def metadata(x):
    y = x * 2
    y.grad_fn.metadata["later"] = y * 3


CYCLES = [
    recorded_gradient,
    recorded_gradients_of_each_other,
    recorded_and_retained,
    recorded_through_where,
    hook_on_tensor,
    hook_of_a_descendant_alone,
    method_of_an_object,
    hook_on_node,
    hook_on_leaf_node,
    metadata,
]


@SHAPES
@pytest.mark.parametrize("close_cycle", CYCLES)
def test_cycles_through_the_graph_are_collected(data, close_cycle, no_leak):
    with no_leak():
        close_cycle(variable(data))


@pytest.mark.parametrize("close_cycle", [recorded_gradient, hook_on_tensor, hook_on_node])
def test_memory_stays_flat_over_many_cycles(close_cycle, no_leak):
    # Python's collector may never run: it does not see how much hangs on a cycle.
    with no_leak():
        gc.disable()
        try:
            most = 0
            for _ in range(ROUNDS):
                close_cycle(variable(2.0))
                most = max(most, wg.live_objects()["scalar_nodes"])
        finally:
            gc.enable()
        assert most < 4_000


@SHAPES
def test_what_is_in_use_is_not_collected(data):
    x = variable(data)
    (x * x * x).sum().backward(create_graph=True)
    y = x * 2
    z = (y * 3).sum()
    calls = []
    y.register_hook(lambda g: calls.append(z))
    y.grad_fn.metadata["z"] = z
    for _ in range(3):
        gc.collect()
    assert x.grad.requires_grad
    (second,) = wg.autograd.grad(x.grad.sum(), x)
    assert set(second.reshape(-1).tolist()) == {12}
    del y
    gc.collect()
    z.backward()
    assert calls == [z]


def test_a_cycle_is_kept_by_a_single_outside_reference():
    def make():
        y = variable(2.0) * 2
        z = y * 3
        y.register_hook(lambda g: z)
        return y.grad_fn, weakref.ref(z)

    kept, gone = make()
    gc.collect()
    assert gone() is not None
    del kept
    gc.collect()
    assert gone() is None
