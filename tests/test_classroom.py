"""Programs from lessons on backpropagation, with the figures a student computes by hand."""

import gc
import math
import random

import numpy as np
import pytest

import wengert as wg


def variable(number):
    return wg.tensor(number, requires_grad=True)


def exact(number):
    return pytest.approx(number, rel=1e-12, abs=1e-12)


def numbers(tensors):
    return [t.item() for t in tensors]


def local(tensor):
    """The derivatives with respect to the inputs that need one."""
    return [d.item() for d in tensor.grad_fn.local_derivatives if d is not None]


def points(count):
    source = random.Random(5)
    xs = [source.uniform(0, 1) for _ in range(count)]
    return xs, [source.uniform(0, 1) for _ in range(count)]


# ---- chains of a few operations -----------------------------------------------------------------


def square_then_exp():
    a = variable(2.0)
    b = a**2
    return a, b, wg.exp(b)


def test_one_call_gives_the_gradient_of_every_value():
    values = square_then_exp()
    grads = wg.gradients(values[-1])
    found = [grads[v].item() for v in values]
    assert found == exact([4 * math.exp(4), math.exp(4), 1])
    assert found == pytest.approx([218.3926, 54.5981, 1], abs=5.1e-5)
    assert values[0].grad is None


def test_retained_gradients_are_those_of_the_mapping():
    a, b, c = square_then_exp()
    b.retain_grad()
    c.retain_grad()
    c.backward()
    assert numbers([a.grad, b.grad, c.grad]) == exact([4 * math.exp(4), math.exp(4), 1])


def test_mapping_lists_the_values_the_output_first():
    _, _, c = square_then_exp()
    grads = wg.gradients(c)
    assert len(grads) == 3
    assert [t.item() for t in grads] == exact([math.exp(4), 4, 2])
    with pytest.raises(KeyError, match="not part of the graph"):
        grads[variable(2.0)]
    with pytest.raises(RuntimeError, match="does not require grad and has no graph"):
        wg.gradients(wg.tensor(1.0))


def test_linear_chain_values_local_derivatives_and_gradients():
    a = variable(2.0)
    b = 3 * a
    c = 7 * b
    d = c + 10
    e = 6 * d
    assert numbers([b, c, d, e]) == [6, 42, 52, 312]
    assert [local(t) for t in (b, c, d, e)] == [[3], [7], [1], [6]]
    grads = wg.gradients(e)
    assert [grads[t].item() for t in (a, b, c, d, e)] == [126, 42, 6, 6, 1]


def test_five_functions_deep():
    a = variable(2.0)
    b = a**2
    c = wg.exp(b)
    d = wg.sin(c)
    e = wg.cos(d)
    y = wg.log(e)
    grads = wg.gradients(y)
    found = [grads[t].item() for t in (a, b, c, d)]
    # Printed from single precision, which loses the last digits of exp(4) radians.
    assert found == pytest.approx([-108.2652, -27.0663, -0.4957, 1.3374], rel=1e-5, abs=5e-5)
    by_hand = [4, math.exp(4), math.cos(c.item()), -math.sin(d.item()), 1 / e.item()]
    locals_ = [local(t)[0] for t in (b, c, d, e, y)]
    assert locals_ == exact(by_hand)
    assert [round(x, 2) for x in locals_] == [4, 54.60, -0.37, 0.80, 1.67]
    assert found == exact([math.prod(by_hand[i:]) for i in range(4)])


# ---- looking at the nodes -----------------------------------------------------------------------


def distance():
    x, y = variable(0.3), variable(0.4)
    return x, y, wg.sqrt((x - 0.6) ** 2 + (y - 0.8) ** 2)


def test_a_node_tells_value_operation_inputs_and_local_derivatives():
    x, _, out = distance()
    node = out.grad_fn
    assert node.operation == "sqrt"
    assert node.name() == "SqrtBackward"
    assert not node.is_leaf
    assert node.tensor.item() == exact(0.5)
    assert local(out) == exact([1.0])  # 1 / (2 * 0.5)
    (total,) = node.inputs
    assert total.item() == exact(0.25)
    assert total.grad_fn.operation == "add"
    squares = total.grad_fn.inputs
    assert numbers(squares) == exact([0.09, 0.16])
    assert local(squares[0]) == exact([-0.6])
    difference, constant = squares[0].grad_fn.inputs[0].grad_fn.inputs
    assert difference is x
    assert constant.item() == 0.6
    assert squares[0].grad_fn.inputs[0].grad_fn.next_functions[1] == (None, 0)


def test_nodes_are_equal_when_they_are_the_same_place_in_the_graph():
    x, _, out = distance()
    assert out.grad_fn == out.grad_fn
    assert hash(out.grad_fn) == hash(out.grad_fn)
    assert out.grad_fn != (out + 1).grad_fn
    leaf = out.grad_fn.next_functions[0][0].next_functions[0][0].next_functions[0][0]
    leaf = leaf.next_functions[0][0]
    assert leaf.name() == "AccumulateGrad"
    assert leaf.is_leaf
    assert leaf.variable is x
    assert x.grad_fn is None


def test_table_has_a_line_for_each_node_before_its_inputs():
    _, _, out = distance()
    head, *rows = wg.graph_table(out).splitlines()
    assert head.split("  ")[0] == "node"
    for column in ("operation", "inputs", "value", "local derivatives", "children", "gradient"):
        assert column in head
    cells = [[cell for cell in row.split("  ") if cell] for row in rows]
    assert len(cells) == 8
    operations = [row[1].strip() for row in cells]
    assert sorted(operations) == sorted(
        ["sqrt", "add", "square", "square", "subtract", "subtract", "leaf", "leaf"]
    )
    assert operations[:2] == ["sqrt", "add"]
    position = {row[0].strip(): i for i, row in enumerate(cells)}
    for i, row in enumerate(cells):
        used = [text.strip() for text in row[2].split(",")]
        assert all(position[text] > i for text in used if text.startswith("#"))
    assert [row[-1].strip() for row in cells if row[1].strip() == "leaf"] in (
        ["-0.6", "-0.8"],
        ["-0.8", "-0.6"],
    )


def test_table_counts_the_children_of_a_shared_value():
    x = variable(3.0)
    rows = wg.graph_table(x * x + x).splitlines()[1:]
    leaf = next(row for row in rows if "leaf" in row)
    assert leaf.split() == ["#2", "leaf", "-", "3", "-", "3", "7"]


# ---- the geometric median -----------------------------------------------------------------------


def mean_distance_in_scalars(x, y, xs, ys):
    total = 0.0
    for px, py in zip(xs, ys, strict=True):
        total = total + wg.sqrt((x - px) ** 2 + (y - py) ** 2)
    return total / len(xs)


def by_formula(x, y, xs, ys):
    lengths = [math.hypot(x - px, y - py) for px, py in zip(xs, ys, strict=True)]
    along_x = [(x - px) / length for px, length in zip(xs, lengths, strict=True)]
    along_y = [(y - py) / length for py, length in zip(ys, lengths, strict=True)]
    count = len(xs)
    return math.fsum(lengths) / count, math.fsum(along_x) / count, math.fsum(along_y) / count


def test_geometric_median_of_one_point():
    x, y = variable(0.3), variable(0.3)
    loss = mean_distance_in_scalars(x, y, *points(1))
    loss.backward()
    assert loss.item() == exact(0.5472122517293468)
    assert numbers([x.grad, y.grad]) == exact([-0.5900849147094943, -0.8073411877467226])


def test_geometric_median_of_1000_points_in_scalars():
    xs, ys = points(1000)
    x, y = variable(0.3), variable(0.3)
    gc.collect()
    before = wg.live_objects()["scalar_nodes"]
    loss = mean_distance_in_scalars(x, y, xs, ys)
    assert wg.live_objects()["scalar_nodes"] - before == 7001
    loss.backward()
    value, along_x, along_y = by_formula(0.3, 0.3, xs, ys)
    assert loss.item() == exact(value)
    assert numbers([x.grad, y.grad]) == exact([along_x, along_y])
    assert loss.item() == pytest.approx(0.443052828, abs=5e-9)  # from single precision
    assert numbers([x.grad, y.grad]) == pytest.approx([-0.3278, -0.3363], abs=5e-5)


def test_geometric_median_of_1000_points_as_one_array():
    xs, ys = points(1000)
    cloud = wg.tensor(np.column_stack([xs, ys]))
    assert cloud.shape == (1000, 2)
    w = wg.tensor([0.3, 0.3], requires_grad=True)
    loss = wg.sqrt(((w - cloud) ** 2).sum(axis=1)).mean()
    loss.backward()
    value, along_x, along_y = by_formula(0.3, 0.3, xs, ys)
    assert loss.item() == exact(value)
    assert w.grad.tolist() == exact([along_x, along_y])


# ---- sharing ------------------------------------------------------------------------------------


def test_a_value_used_three_times_gets_three_gradients():
    x = variable(2.0)
    (x + x + x).backward()
    assert x.grad.item() == 3


def test_a_polynomial_of_shared_factors():
    x = variable(4.0)
    y = x * x * x + x + x
    y.backward()
    assert y.item() == 72
    assert x.grad.item() == 50


def regression_weight(rate):
    random.seed(42)
    w = wg.tensor(random.uniform(-1, 1), requires_grad=True)
    assert w.item() == exact(0.2788535969157675)
    xs = [i * 0.1 for i in range(-50, 50)]
    ys = [7 * x + random.gauss(0, 1) for x in xs]
    for _ in range(100):
        loss = 0.0
        for x, y in zip(xs, ys, strict=True):
            error = w * x - y
            loss = loss + error * error
        (loss / len(xs)).backward()
        with wg.no_grad():
            w -= rate * w.grad
        w.grad = None
    return w.item()


# `error * error` uses one value twice. An engine that walks the graph by recursion, without sorting
# it, visits that value twice and doubles its gradient: at a rate of 0.01 it ends where a rate of
# 0.02 should. Both figures together say that every node is visited once.
@pytest.mark.parametrize(("rate", "weight"), [(0.01, 6.984187629858922), (0.02, 6.984187710500422)])
def test_a_shared_factor_does_not_double_the_rate_of_descent(rate, weight):
    assert regression_weight(rate) == exact(weight)


# ---- more functions of one variable -------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "at", "value", "gradient", "tolerance"),
    [
        (lambda x: 3 * x**2 + 2 * x + 1, 4.0, 57, 26, 1e-12),
        (lambda x: 2 * wg.sin(3 * x**2 + 5), 2.0, -1.9227949, -6.60392, 5e-6),
        (lambda x: 5 * (3 * x**2 + 2 * x + 1) ** 3 + 8, 4.0, 925973, 1267110, 1e-9),
    ],
)
def test_value_and_gradient(function, at, value, gradient, tolerance):
    x = variable(at)
    y = function(x)
    y.backward()
    assert y.item() == pytest.approx(value, abs=tolerance)
    assert x.grad.item() == pytest.approx(gradient, abs=tolerance)


def test_sine_of_a_polynomial_to_the_last_digit():
    x = variable(2.0)
    y = 2 * wg.sin(3 * x**2 + 5)
    y.backward()
    assert y.item() == exact(2 * math.sin(17))
    assert x.grad.item() == exact(24 * math.cos(17))


def test_jacobian():
    def f(x):
        return wg.stack([x[0] * x[1], x[1] ** 2, x[2] + x[0]])

    rows = wg.jacobian(f, wg.tensor([1.0, 2.0, 3.0])).tolist()
    assert rows == [[2, 1, 0], [0, 4, 0], [1, 0, 1]]


def test_custom_square():
    class Square(wg.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx, grad_output):
            (x,) = ctx.saved_tensors
            return 2 * x * grad_output

    x = variable(3.0)
    y = Square.apply(x)
    y.backward()
    assert (y.item(), x.grad.item()) == (9, 6)


def test_a_vector_needs_a_gradient_to_start_from():
    y = wg.tensor([1.0, 2.0, 3.0], requires_grad=True) * 2
    with pytest.raises(
        RuntimeError, match=r"grad can be implicitly created only for scalar outputs.*\(3,\)"
    ):
        y.backward()


# ---- divisions by zero --------------------------------------------------------------------------


def test_divisions_by_zero_follow_ieee():
    assert (wg.tensor(5.0) / 0).item() == math.inf
    assert (wg.tensor(-5.0) / 0).item() == -math.inf
    assert math.isnan((wg.tensor(0.0) / 0).item())
    found = wg.tensor([5.0, -5.0, 0.0]) / wg.tensor(0.0)
    assert found.tolist()[:2] == [math.inf, -math.inf]
    assert math.isnan(found.tolist()[2])


@pytest.mark.parametrize(
    ("setting", "compute", "message"),
    [
        ({"divide": "raise"}, lambda t: t(5.0) / 0, "^divide: divide by zero"),
        ({"divide": "raise"}, lambda t: wg.log(t(0.0)), "^log: divide by zero"),
        ({"invalid": "raise"}, lambda t: t(0.0) / 0, "^divide: invalid value"),
        ({"invalid": "raise"}, lambda t: wg.sqrt(t(-1.0)), "^sqrt: invalid value"),
        ({"over": "raise"}, lambda t: wg.exp(t(1000.0)), "^exp: overflow"),
        ({"over": "raise"}, lambda t: t(1e200) * 1e200, "^multiply: overflow"),
    ],
)
@pytest.mark.parametrize("make", [wg.tensor, lambda x: wg.tensor([1.0, x])])
def test_errstate_raises_and_names_the_operation(setting, compute, message, make):
    compute(make)
    with wg.errstate(**setting), pytest.raises(FloatingPointError, match=message):
        compute(make)
    compute(make)


def test_errstate_nests_and_is_undone_by_an_exception():
    zero = wg.tensor(0.0)
    with wg.errstate(divide="raise"):
        with wg.errstate(divide="ignore"):
            assert (1 / zero).item() == math.inf
        with wg.errstate(invalid="raise"), pytest.raises(FloatingPointError):
            1 / zero
        with pytest.raises(FloatingPointError):
            1 / zero
    assert (1 / zero).item() == math.inf


def test_errstate_refuses_unknown_actions():
    with pytest.raises(ValueError, match="divide must be 'raise', 'ignore' or None, got 'print'"):
        wg.errstate(divide="print")
