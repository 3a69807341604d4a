"""Arrays of indices are saved tensors: pack hooks get them."""

import pytest

import wengert as wg
from wengert import autograd
from wengert.autograd import graph

ROWS = [1, 0, 1]


def variable(data):
    return wg.tensor(data, requires_grad=True)


def matrix():
    return variable([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])


def assigned(x, items, value):
    y = x * 1
    y[items] = value
    return y


PROGRAMS = {
    "rows": (lambda x: x[wg.tensor(ROWS)], [[1, 0, 1]], [[1, 1, 1], [2, 2, 2]]),
    "list": (lambda x: x[ROWS], [[1, 0, 1]], [[1, 1, 1], [2, 2, 2]]),
    "columns": (lambda x: x[:, ROWS], [[1, 0, 1]], [[1, 2, 0], [1, 2, 0]]),
    "both": (lambda x: x[[0, 1], [2, 2]], [[0, 1], [2, 2]], [[0, 0, 1], [0, 0, 1]]),
    "mask": (lambda x: x[wg.tensor([False, True])], [[1]], [[0, 0, 0], [1, 1, 1]]),
    "written": (lambda x: assigned(x, [1], 7.0), [[1]], [[1, 1, 1], [0, 0, 0]]),
    "masked": (
        lambda x: assigned(x, wg.tensor([False, True]), 7.0),
        [[False, True]],
        [[1, 1, 1], [0, 0, 0]],
    ),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_indices_are_packed_and_used_as_unpacked(name):
    program, indices, slope = PROGRAMS[name]
    packed, unpacked = [], []

    def pack(tensor):
        packed.append(tensor.tolist())
        return tensor.numpy().copy()

    def unpack(array):
        unpacked.append(array.tolist())
        return wg.tensor(array)

    x = matrix()
    with graph.saved_tensors_hooks(pack, unpack):
        y = program(x)
    assert packed == indices
    assert unpacked == []
    y.sum().backward()
    assert unpacked == indices
    assert x.grad.tolist() == slope
    with pytest.raises(RuntimeError, match="backward through the graph a second time"):
        y.sum().backward()


def test_unpacked_indices_count():
    x = variable([1.0, 2.0, 3.0])
    with graph.saved_tensors_hooks(lambda t: None, lambda _: wg.tensor([2, 2])):
        y = x[[0, 1]]
    y.sum().backward()
    assert x.grad.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("returned", "error", "text"),
    [
        ([0, 1, 2], RuntimeError, r"for 'take' the unpack hook returned a tensor of shape \(3,\)"),
        ([0.0, 1.0], RuntimeError, r"and dtype float64, expected shape \(2,\) and dtype int64"),
        ([0, 5], IndexError, "index 5 is out of bounds for axis 0 with size 3"),
    ],
)
def test_wrong_unpacked_indices_raise(returned, error, text):
    x = variable([1.0, 2.0, 3.0])
    with graph.saved_tensors_hooks(lambda t: None, lambda _: wg.tensor(returned)):
        y = x[[0, 1]]
    with pytest.raises(error, match=text):
        y.sum().backward(retain_graph=True)
    assert x.grad is None


def test_second_derivatives_through_packed_indices():
    x = variable([1.0, 2.0, 3.0])
    with graph.saved_tensors_hooks(lambda t: t.clone(), lambda t: t):
        y = (x[[0, 2, 2]] ** 3).sum()
        (slope,) = autograd.grad(y, x, create_graph=True)
    assert slope.tolist() == [3, 0, 54]
    slope.sum().backward()
    assert x.grad.tolist() == [6, 0, 36]


def test_condition_that_a_hook_keeps_as_it_is_is_guarded():
    x = variable([1.0, 2.0])
    condition = wg.tensor([True, False])
    with graph.saved_tensors_hooks(lambda t: t, lambda t: t):
        y = wg.where(condition, x, 2 * x)
    condition[0] = False
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()


@pytest.mark.parametrize(
    "function",
    [lambda x: x[[0, 1]], lambda x: x * x, wg.exp, lambda x: wg.where(x.detach() > 1, x, 0 * x)],
    ids=["take", "multiply", "exp", "where"],
)
def test_what_hooks_keep_is_freed_even_if_it_leads_to_the_result(function, no_leak):
    def work():
        kept = []
        x = variable([1.0, 2.0])
        with graph.saved_tensors_hooks(lambda t: (t, kept), lambda pair: pair[0]):
            kept.append(function(x))

    work()
    with no_leak():
        work()


# ---- keeping copies -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "context", [graph.save_on_cpu, graph.allow_mutation_on_saved_tensors], ids=lambda c: c.__name__
)
@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_saved_copies_outlast_writes(context, data):
    x = variable(data)
    with context():
        y = 2 * x
        z = y * y
        y.mul_(0.0)
    z.sum().backward()
    assert x.grad.tolist() == (8 * x).tolist()


def test_incremented_versions_are_seen_by_passes():
    for data in (2.0, [2.0, 3.0]):
        x = variable(data)
        y = (x * x).sum()
        graph.increment_version(x)
        graph.increment_version([x, x])
        assert x._version == 3
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.backward()
    with pytest.raises(TypeError, match="increment_version: expected a Tensor, got a 'float'"):
        graph.increment_version([1.0])
