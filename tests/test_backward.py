"""backward, autograd.grad and `.grad`: what accumulates, what is freed, what raises."""

import math

import numpy as np
import pytest

import wengert as wg
from wengert import autograd


def variable(data):
    return wg.tensor(data, requires_grad=True)


# ---- accumulation -------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_gradients_accumulate(data):
    x = variable(data)
    assert x.grad is None
    (x * 3).sum().backward()
    (x * 4).sum().backward()
    assert x.grad.tolist() == wg.full_like(x, 7).tolist()
    assert not x.grad.requires_grad


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_the_same_object_accumulates_in_place(data):
    x = variable(data)
    x.sum().backward()
    held = x.grad
    assert x.grad is held
    x.sum().backward()
    assert x.grad is held
    assert held.tolist() == wg.full_like(x, 2).tolist()


def test_accumulated_gradients_share_no_memory():
    x, y = variable([2.0, 3.0]), variable([2.0, 3.0])
    start = wg.tensor([1.0, 1.0])
    (x + y).backward(start)
    x.grad += 1
    start += 10
    assert x.grad.tolist() == [2, 2]
    assert y.grad.tolist() == [1, 1]
    x.grad = None
    x.backward(start)
    start += 10
    assert x.grad.tolist() == [11, 11]


def test_the_pass_adds_what_an_output_and_its_descendants_give():
    x = variable(2.0)
    y = x * x
    z = y * 3
    autograd.backward([y, z, x], [wg.tensor(10.0), None, wg.tensor(100.0)])
    assert x.grad.item() == 10 * 4 + 3 * 4 + 100


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_gradients_have_the_dtype_of_their_tensor(dtype):
    x = wg.tensor([1.0, 2.0], dtype=dtype, requires_grad=True)
    y = wg.tensor([3.0, 4.0], dtype="float64", requires_grad=True)
    (x * y).sum().backward()
    assert x.grad.dtype == dtype
    assert y.grad.dtype == "float64"
    assert (x.grad.tolist(), y.grad.tolist()) == ([3, 4], [1, 2])


# ---- .grad --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "error", "message"),
    [
        (
            lambda: wg.tensor(1.0),
            RuntimeError,
            r"size '\(\)' to a tensor of size '\(2,\)'",
        ),
        (
            lambda: wg.ones(2, dtype="float32"),
            RuntimeError,
            "dtype 'float32' to a tensor with dtype 'float64'",
        ),
        (
            lambda: [1.0, 2.0],
            TypeError,
            "Tensor or None but got grad of type 'list'",
        ),
    ],
)
def test_assigned_grad_is_checked(given, error, message):
    x = variable([1.0, 2.0])
    x.sum().backward()
    with pytest.raises(error, match=message):
        x.grad = given()
    assert x.grad.tolist() == [1, 1]


def test_a_tensor_cannot_be_its_own_grad():
    x = variable([1.0])
    with pytest.raises(RuntimeError, match="own grad"):
        x.grad = x


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_assigned_grad_is_accumulated_into(data):
    x = variable(data)
    given = wg.full_like(x, 5.0)
    x.grad = given
    assert x.grad is given
    x.sum().backward()
    assert given.tolist() == wg.full_like(x, 6).tolist()
    del x.grad
    assert x.grad is None


def test_grad_can_be_zeroed_in_place():
    x = variable([2.0, 3.0])
    (x * x).sum().backward()
    x.grad.zero_()
    (x * 3).sum().backward()
    assert x.grad.tolist() == [3, 3]


# ---- starting gradients -------------------------------------------------------------------------


def test_backward_takes_a_gradient_of_the_shape_of_the_output():
    x = variable([1.0, 2.0])
    y = x * x
    y.backward(wg.tensor([1.0, 10.0]), retain_graph=True)
    assert x.grad.tolist() == [2, 40]
    with pytest.raises(
        RuntimeError, match=r"shape of \(3,\) and output\[0\] has a shape of \(2,\)"
    ):
        y.backward(wg.ones(3))
    y.backward(gradient=np.array([0.0, 1.0]))
    assert x.grad.tolist() == [2, 44]


def test_a_vector_needs_a_gradient_also_among_others():
    x = variable([1.0, 2.0])
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        autograd.backward([x.sum(), x * 2])
    assert x.grad is None


def test_one_element_of_any_shape_needs_no_gradient():
    x = variable([[3.0]])
    (x * x).backward()
    assert x.grad.tolist() == [[6]]


def test_a_tensor_without_graph_cannot_go_backward():
    with pytest.raises(RuntimeError, match="element 0 of tensors does not require grad"):
        wg.tensor(1.0).backward()
    x = variable(1.0)
    with wg.no_grad():
        y = x * 2
    with pytest.raises(RuntimeError, match="does not have a grad_fn"):
        y.backward()
    with pytest.raises(RuntimeError, match="element 1 of tensors does not require grad"):
        autograd.grad([x * 1, y], x)


def test_as_many_gradients_as_outputs():
    x = variable(1.0)
    with pytest.raises(RuntimeError, match="got 2 tensors and 1 gradients"):
        autograd.grad([x * 1, x * 2], x, [wg.tensor(1.0)])


def test_outputs_must_be_tensors():
    with pytest.raises(TypeError, match="outputs: expected tensors, got a 'float'"):
        autograd.grad([1.0], variable(1.0))
    with pytest.raises(TypeError, match="inputs: expected tensors, got a 'str'"):
        autograd.grad(variable(1.0) * 2, ["x"])


# ---- inputs -------------------------------------------------------------------------------------


def test_backward_to_chosen_inputs_leaves_the_others_alone():
    x, y = variable(2.0), variable(3.0)
    (x * y).backward(inputs=[x])
    assert x.grad.item() == 3
    assert y.grad is None
    (x * y).backward(inputs=y)
    assert (x.grad.item(), y.grad.item()) == (3, 2)


def test_backward_to_an_intermediate_value_accumulates_there():
    x = variable([2.0])
    y = x * x
    (y * 3).sum().backward(inputs=[y])
    (y * 4).sum().backward(inputs=[y])
    assert y.grad.tolist() == [7]
    assert x.grad is None


def test_no_inputs_is_an_error():
    with pytest.raises(RuntimeError, match=r"`inputs` argument to `backward\(\)` cannot be empty"):
        (variable(1.0) * 2).backward(inputs=[])


def test_grad_of_leaves_intermediates_and_the_output_itself():
    x = variable(2.0)
    y = x * x
    z = wg.exp(y)
    found = autograd.grad(z, [x, y, z, x])
    assert [g.item() for g in found] == pytest.approx(
        [4 * math.exp(4), math.exp(4), 1, 4 * math.exp(4)], rel=1e-14
    )
    assert x.grad is None
    with pytest.warns(UserWarning, match="is not a leaf"):
        assert y.grad is None


def test_grad_with_starting_gradients():
    x = variable([1.0, 2.0])
    (found,) = autograd.grad([x * x, x.sum()], x, [wg.tensor([1.0, 0.5]), None])
    assert found.tolist() == [3, 3]


def test_an_unused_input_is_an_error_none_or_zeros():
    x, other = variable([1.0, 2.0]), variable([[3.0]])

    def loss():
        return (x * x).sum()

    with pytest.raises(RuntimeError, match=r"index 1 appears to not have been used.*\(1, 1\)"):
        autograd.grad(loss(), [x, other])
    used, unused = autograd.grad(loss(), [x, other], allow_unused=True)
    assert used.tolist() == [2, 4]
    assert unused is None
    used, unused = autograd.grad(loss(), [x, other], materialize_grads=True)
    assert used.tolist() == [2, 4]
    assert unused.tolist() == [[0]]
    with pytest.raises(RuntimeError, match="input 1 has shape"):
        autograd.grad(loss(), [x, wg.tensor(1.0)])


def test_grad_visits_only_what_leads_to_the_inputs():
    x, y = variable(2.0), variable(3.0)
    seen = []
    left, right = x * 2, y * 2
    left.register_hook(lambda g: seen.append("left"))
    right.register_hook(lambda g: seen.append("right"))
    autograd.grad(left * right, x)
    assert seen == ["left"]


# ---- freeing ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: (x * x).sum(), "multiply"),
        (lambda x: wg.exp(x).sum(), "exp"),
        (lambda x: x @ x, "matmul"),
        (lambda x: wg.where(x > 0, x, 0.0).sum(), "where"),
    ],
)
def test_a_second_pass_raises_unless_the_graph_was_retained(function, name):
    x = variable([2.0, 3.0])
    y = function(x)
    y.backward(retain_graph=True)
    y.backward()
    twice = x.grad.tolist()
    with pytest.raises(RuntimeError, match=f"backward through the graph a second time.*'{name}'"):
        y.backward()
    x.grad = None
    function(x).backward()
    assert twice == (2 * x.grad).tolist()


def test_a_scalar_graph_is_freed_as_well():
    x = variable(2.0)
    y = wg.sin(x) * x
    y.backward()
    with pytest.raises(RuntimeError, match="second time"):
        y.backward()
    z = wg.exp(x)
    autograd.grad(z, x)
    with pytest.raises(RuntimeError, match=r"'exp'.*pass retain_graph=True"):
        z.backward()


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_what_saves_nothing_can_be_passed_again(data):
    x = variable(data)
    y = (x + x - 1.0).sum()
    y.backward()
    y.backward()
    assert x.grad.tolist() == wg.full_like(x, 4).tolist()


def test_a_pass_frees_only_what_it_visited():
    x, y = variable(2.0), variable(3.0)
    squared = y * y
    z = x * x * squared
    autograd.grad(z, x)
    squared.backward()
    assert y.grad.item() == 6


# ---- derivatives of derivatives -----------------------------------------------------------------


@pytest.mark.parametrize("wrap", [lambda x: x, lambda x: [x, x]])
def test_derivatives_to_third_order(wrap):
    x = variable(wrap(0.7))
    y = wg.sin(x * x).sum()
    (first,) = autograd.grad(y, x, create_graph=True)
    (second,) = autograd.grad(first.sum(), x, create_graph=True)
    (third,) = autograd.grad(second.sum(), x)
    v = 0.7
    sine, cosine = math.sin(v * v), math.cos(v * v)
    expected = [
        2 * v * cosine,
        2 * cosine - 4 * v * v * sine,
        -12 * v * sine - 8 * v**3 * cosine,
    ]
    for found, value in zip([first, second, third], expected, strict=True):
        assert found.detach().numpy().ravel().tolist() == pytest.approx([value] * x.size, rel=1e-12)


def test_create_graph_keeps_the_graph_and_records_grad():
    x = variable([1.0, 2.0])
    y = (x**3).sum()
    y.backward(create_graph=True)
    y.backward(create_graph=True)
    assert x.grad.requires_grad
    assert x.grad.tolist() == [6, 24]
    penalty = x.grad.sum()
    x.grad = None
    penalty.backward()
    assert x.grad.tolist() == [12, 24]


def test_a_mixed_derivative():
    x, y = variable(2.0), variable(3.0)
    (by_x,) = autograd.grad(x**2 * y**3, x, create_graph=True)
    (by_xy,) = autograd.grad(by_x, y)
    assert by_xy.item() == 2 * 2 * 3 * 9


def test_starting_gradients_can_be_differentiated():
    x = variable([1.0, 2.0])
    start = variable([3.0, 4.0])
    (first,) = autograd.grad(x * x, x, start, create_graph=True)
    (by_start,) = autograd.grad(first.sum(), start)
    assert by_start.tolist() == [2, 4]


# ---- after an error -----------------------------------------------------------------------------


def test_a_floating_point_error_in_a_pass_leaves_the_graph_usable():
    x = variable([1e308, 1.0])
    start = wg.tensor([1e308, 1.0])
    with wg.errstate(over="raise"), pytest.raises(FloatingPointError):
        autograd.backward([x, x], [start, start])
    x.grad = None
    x.backward(wg.ones(2))
    assert x.grad.tolist() == [1, 1]
