"""Hooks on several gradients at once, and edges of the graph."""

import pytest

import wengert as wg
from wengert.autograd import graph

SHAPES = pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])


def variable(data):
    return wg.tensor(data, requires_grad=True)


@SHAPES
def test_all_gradients_of_a_pass(data):
    a, b, c = (variable(data) for _ in range(3))
    seen = []

    def note(grads):
        seen.append(tuple(g is not None for g in grads))

    handle = graph.register_multi_grad_hook((a, b, c), note)
    (a * b).sum().backward()
    (a * b * c).sum().backward()
    (c * 3).sum().backward()
    wg.autograd.grad((a * b).sum(), b)
    assert seen == [
        (True, True, False),
        (True, True, True),
        (False, False, True),
        (False, True, False),
    ]
    handle.remove()
    handle.remove()
    (a * b).sum().backward()
    assert len(seen) == 4


class OfTheFirstOnly(wg.Function):
    @staticmethod
    def forward(ctx, x, y):
        return x * y

    @staticmethod
    def backward(ctx, grad_output):
        return grad_output, None


def test_gathering_does_not_wait_for_gradients_that_are_none():
    a, b = variable([1.0, 2.0]), variable([3.0, 4.0])
    c = b * 2
    seen = []
    graph.register_multi_grad_hook((a, b, c), seen.append)
    OfTheFirstOnly.apply(a, c).sum().backward()
    ((gradient, *others),) = seen
    assert gradient.tolist() == [1, 1]
    assert others == [None, None]


@SHAPES
def test_the_first_gradient_of_a_pass(data):
    a = variable(data)
    b = a * 2
    seen = []
    with graph.register_multi_grad_hook((a, b), lambda g: seen.append(g.tolist()), mode="any"):
        (b * 3).sum().backward(retain_graph=True)
        (a * 5).sum().backward()
    (b * 3).sum().backward()
    v = a.detach()
    assert seen == [(v * 0 + 3).tolist(), (v * 0 + 5).tolist()]


@SHAPES
def test_gathering_starts_anew_after_an_error(data):
    a, b = variable(data), variable(data)
    seen = []
    graph.register_multi_grad_hook((a, b), lambda grads: seen.append(len(grads)))

    def fail(_):
        raise ValueError("now")

    total = (a * b).sum()
    for leaf in (a, b):
        with leaf.register_post_accumulate_grad_hook(fail), pytest.raises(ValueError, match="now"):
            total.backward(retain_graph=True)
    before = len(seen)
    total.backward()
    assert seen[before:] == [2]


def test_gathering_across_a_pass_within_the_pass():
    a, b = variable(2.0), variable(3.0)
    seen = []
    graph.register_multi_grad_hook((a, b), lambda grads: seen.append([g.item() for g in grads]))
    inner = []

    def within(grad):
        if not inner:
            inner.append(True)
            with wg.enable_grad():
                (5 * a * b).backward()

    y = a * b
    y.register_hook(within)
    (y * 2).backward()
    assert seen == [[15, 10], [6, 4]]


def test_what_cannot_be_hooked_together():
    with pytest.raises(ValueError, match=r"one of \('all', 'any'\) but got both"):
        graph.register_multi_grad_hook((variable(1.0),), print, mode="both")
    with pytest.raises(RuntimeError, match="element 1 of tensors does not require grad"):
        graph.register_multi_grad_hook((variable(1.0), wg.tensor(1.0)), print)


# ---- edges --------------------------------------------------------------------------------------


def test_edges_stand_for_their_tensors(no_leak):
    with no_leak():
        x = variable([1.0, 2.0])
        y = x + 1
        edge = graph.get_gradient_edge(y)
        z = (y * 3).sum()
        del y
        assert edge.node.name() == "AddBackward"
        assert edge.output_nr == 0
        (at_edge,) = wg.autograd.grad(z, edge, retain_graph=True)
        assert at_edge.tolist() == [3, 3]
        (at_leaf,) = wg.autograd.grad(z, [graph.get_gradient_edge(x)])
        assert at_leaf.tolist() == [3, 3]
        (through,) = wg.autograd.grad(edge, x, wg.tensor([5.0, 7.0]))
        assert through.tolist() == [5, 7]
        unused = graph.get_gradient_edge(variable([1.0]))
        (zeros,) = wg.autograd.grad((x * x).sum(), unused, materialize_grads=True)
        assert zeros.tolist() == [0]
        with pytest.raises(RuntimeError, match=r"does not require gradients; this one has shape"):
            graph.get_gradient_edge(wg.ones(2))
        del x, z, edge, at_edge, at_leaf, through, unused, zeros
