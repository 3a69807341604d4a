"""Gradients of random graphs, some of whose nodes are held, hooked, asked for or refused."""

import math
import random

import numpy as np
import pytest

import wengert as wg

ON_FLOATS = {
    "add": lambda x, y: (x + y) / 2,
    "multiply": lambda x, y: x * y / 2,
    "subtract": lambda x, y: (x - y) / 2,
    "sin": lambda x, y: math.sin(x),
    "square": lambda x, y: x * x,
}


class Program:
    """A random program over some leaves, and its gradients by the chain rule on plain floats."""

    def __init__(self, seed: int, leaves: int = 3, steps: int = 40) -> None:
        self.random = random.Random(seed)
        self.leaves = [self.random.uniform(0.5, 1.5) for _ in range(leaves)]
        self.steps: list[tuple[str, int, int]] = []
        for i in range(steps):
            count = leaves + i
            recent = self.random.randrange(max(0, count - 4), count)
            self.steps.append(
                (self.random.choice([*ON_FLOATS]), recent, self.random.randrange(count))
            )

    def record(self, leaves):
        values = list(leaves)
        for name, i, j in self.steps:
            if name in ("sin", "square"):
                values.append(getattr(wg, name)(values[i]))
            else:
                values.append(getattr(wg, name)(values[i], values[j]) * 0.5)
        return values

    def gradients(self, outputs):
        """Of the sum of the outputs, with respect to every value."""
        values = list(self.leaves)
        for name, i, j in self.steps:
            values.append(ON_FLOATS[name](values[i], values[j]))
        grads = [0.0] * len(values)
        for output in outputs:
            grads[output] += 1.0
        for k in reversed(range(len(self.steps))):
            name, i, j = self.steps[k]
            g = grads[len(self.leaves) + k]
            if name == "sin":
                grads[i] += g * math.cos(values[i])
            elif name == "square":
                grads[i] += g * 2 * values[i]
            else:
                by_first = values[j] / 2 if name == "multiply" else 0.5
                by_second = values[i] / 2 if name == "multiply" else 0.5
                grads[i] += g * by_first
                grads[j] += g * (-by_second if name == "subtract" else by_second)
        return grads


def made(program, as_arrays):
    """The leaves, as scalars or as arrays of two equal elements."""
    if as_arrays:
        return [wg.tensor([x, x], requires_grad=True) for x in program.leaves]
    return [wg.tensor(x, requires_grad=True) for x in program.leaves]


def number(grad):
    """A gradient as a number; of arrays the two elements must agree."""
    if grad is None:
        return 0.0
    elements = np.atleast_1d(grad.numpy())
    assert (elements == elements[0]).all()
    return elements[0]


def check_grads(leaves, expected, times=1):
    for leaf, slope in zip(leaves, expected, strict=False):
        assert number(leaf.grad) == pytest.approx(times * slope, rel=1e-12, abs=1e-14)


def run_backward(outputs, **options):
    wg.autograd.backward(outputs, [wg.ones_like(o) for o in outputs], **options)


def kept(program, values):
    """The last value and some others, as the only references outside the graph."""
    chosen = program.random.sample(range(len(values)), program.random.choice([0, 0, 1, 3, 8]))
    return {i: values[i] for i in [*chosen, len(values) - 1]}


CASES = [(seed, arrays) for seed in range(120) for arrays in (False, True)]


@pytest.mark.parametrize(("seed", "as_arrays"), CASES)
def test_accumulates_whoever_holds_parts_of_the_graph(seed, as_arrays):
    program = Program(seed)
    leaves = made(program, as_arrays)
    handles = kept(program, program.record(leaves))
    last = max(handles)
    expected = program.gradients([last])
    for turn in (1, 2):
        handles[last].backward(wg.ones_like(handles[last]), retain_graph=turn == 1)
        check_grads(leaves, expected, turn)


@pytest.mark.parametrize(("seed", "as_arrays"), CASES)
def test_several_outputs_some_used_by_others(seed, as_arrays):
    program = Program(1000 + seed)
    leaves = made(program, as_arrays)
    values = program.record(leaves)
    places = program.random.choices(range(len(leaves), len(values)), k=3)
    outputs = [values[i] for i in places]
    del values
    expected = program.gradients(places)
    run_backward(outputs)
    check_grads(leaves, expected)


@pytest.mark.parametrize(("seed", "as_arrays"), CASES)
def test_chosen_inputs_and_what_the_next_pass_finds(seed, as_arrays):
    program = Program(2000 + seed)
    leaves = made(program, as_arrays)
    values = program.record(leaves)
    output, last = values[-1], len(values) - 1
    places = sorted(program.random.sample(range(last), 2))
    inputs = [values[i] for i in places]
    del values
    expected = program.gradients([last])
    grads = wg.autograd.grad(
        output, inputs, wg.ones_like(output), retain_graph=True, allow_unused=True
    )
    for grad, place in zip(grads, places, strict=True):
        assert number(grad) == pytest.approx(expected[place], rel=1e-12, abs=1e-14)
    output.backward(wg.ones_like(output))
    check_grads(leaves, expected)


@pytest.mark.parametrize(("seed", "as_arrays"), CASES)
def test_a_pass_that_failed_leaves_nothing_behind(seed, as_arrays):
    program = Program(3000 + seed)
    leaves = made(program, as_arrays)
    values = program.record(leaves)
    output, last = values[-1], len(values) - 1
    places = program.random.sample(range(len(leaves), last), 2)
    expected = program.gradients([last])
    failing = [True]

    def fail(grad):
        if failing:
            raise KeyError("from a hook")

    for place in places:
        values[place].register_hook(fail)
    del values
    reached = any(expected[place] != 0 for place in places)
    if reached:
        with pytest.raises(KeyError, match="from a hook"):
            output.backward(wg.ones_like(output), retain_graph=True)
        for leaf in leaves:
            leaf.grad = None
    failing.clear()
    output.backward(wg.ones_like(output))
    check_grads(leaves, expected)


def test_a_leaf_that_was_frozen_meanwhile_keeps_nothing():
    x, y = (wg.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    product = x * y
    y.requires_grad_(False)
    product.backward()
    assert x.grad.item() == 3.0
    assert y.grad is None
    y.requires_grad_()
    (x * y).backward()
    assert (x.grad.item(), y.grad.item()) == (6.0, 2.0)


def test_what_was_not_asked_for_keeps_nothing():
    x, y = (wg.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    middle = y.sin()
    product = x * middle
    (grad,) = wg.autograd.grad(product, x, retain_graph=True)
    assert grad.item() == math.sin(3.0)
    product.backward()
    assert x.grad.item() == math.sin(3.0)
    assert y.grad.item() == pytest.approx(2 * math.cos(3.0), rel=1e-15)


def test_a_hook_of_a_leaf_is_called_before_deeper_functions():
    order = []

    class Noted(wg.autograd.Function):
        @staticmethod
        def forward(ctx, x, name):
            ctx.name = name
            return x * 1.0

        @staticmethod
        def backward(ctx, grad):
            order.append(ctx.name)
            return grad, None

    x, weight = (wg.tensor([v], requires_grad=True) for v in (2.0, 3.0))
    weight.register_post_accumulate_grad_hook(lambda leaf: order.append("weight"))
    deep = Noted.apply(Noted.apply(x, "deepest"), "deep")
    (deep * weight).sum().backward()
    assert order == ["weight", "deep", "deepest"]


def test_a_hook_sees_which_nodes_a_pass_still_comes_to():
    # The hook on the result is called before anything below was counted.
    x = wg.tensor(2.0, requires_grad=True)
    first, second = x.sin(), x.cos()
    total = first * second
    seen = []
    wg.autograd.graph.register_multi_grad_hook((first, second, total), seen.append)
    total.backward()
    assert len(seen) == 1
    expected = [math.cos(2.0), math.sin(2.0), 1.0]
    assert [g.item() for g in seen[0]] == pytest.approx(expected, rel=1e-15)


def leaves_below(node):
    """The leaves that a graph leads to, asked for only now."""
    found, stack = {}, [node]
    while stack:
        node = stack.pop()
        if node.name() == "AccumulateGrad":
            found[id(node.variable)] = node.variable
        stack += [following for following, _ in node.next_functions if following is not None]
    return list(found.values())


@pytest.mark.parametrize("shape", [(), (2,)])
def test_leaves_that_only_the_graph_holds(shape):
    held = wg.full(shape, 2.0, requires_grad=True)
    lost = wg.full(shape, 3.0, requires_grad=True)
    total = (lost * held + lost) + (held * held + lost * lost)
    del lost
    total.backward(wg.ones_like(total), retain_graph=True)  # which keeps the value of the lost one
    grads = sorted(number(leaf.grad) for leaf in leaves_below(total.grad_fn))
    assert grads == [7.0, 9.0]  # 3 + 2 * 2 of the one held, 2 + 1 + 2 * 3
    assert number(held.grad) == 7.0


@pytest.mark.parametrize("data", [3.0, [3.0, 3.0]])
@pytest.mark.parametrize("fails", [False, True])
def test_a_leaf_frozen_by_a_hook_keeps_nothing(data, fails):
    x, y = wg.tensor(2.0, requires_grad=True), wg.tensor(data, requires_grad=True)
    middle = (x * y).sin()
    total = (middle * y + y).sum()

    def freeze(grad):
        y.requires_grad_(False)
        if fails:
            raise KeyError("from a hook")

    middle.register_hook(freeze)
    if fails:
        with pytest.raises(KeyError):
            total.backward()
    else:
        total.backward()
    assert y.grad is None
    y.requires_grad_()
    x.grad = None
    (x * y).sum().backward()
    assert number(y.grad) == 2.0
    assert x.grad.item() == np.sum(data)
