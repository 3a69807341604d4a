"""Passes to chosen inputs in the middle of a graph, and gradients that tensors retain."""

import pytest

import wengert as wg
from wengert import autograd


def variable(data):
    return wg.tensor(data, requires_grad=True)


class Hooked:
    """x -> y = 2 x -> z = y * y, with all kinds of hooks on y."""

    def __init__(self, data):
        self.log = []
        self.x = variable(data)
        self.y = self.x * 2
        self.z = (self.y * self.y).sum()
        self.y.register_hook(lambda grad: 10 * grad)
        self.y.grad_fn.register_prehook(lambda outputs: self.log.append("before"))
        self.y.grad_fn.register_hook(lambda inputs, outputs: self.log.append(inputs))

    def number(self, tensor):
        return tensor if tensor is None else tensor.sum().item()


@pytest.fixture(params=[3.0, [3.0]], ids=["scalar", "array"])
def hooked(request):
    return Hooked(request.param)


def test_backward_to_an_intermediate_value_runs_its_hooks_but_not_its_rule(hooked):
    hooked.z.backward(inputs=[hooked.y])
    assert hooked.number(hooked.y.grad) == 120  # 2 y, times 10
    assert hooked.y.retains_grad
    assert hooked.x.grad is None
    assert hooked.log == ["before", (None, None)]


def test_a_node_hook_cannot_invent_gradients_there(hooked):
    hooked.y.grad_fn.register_hook(lambda inputs, outputs: (outputs[0], None))
    with pytest.raises(RuntimeError, match="can't replace a None gradient"):
        hooked.z.backward(inputs=[hooked.y])


def test_backward_beyond_an_intermediate_value(hooked):
    hooked.z.backward(inputs=[hooked.x, hooked.y])
    assert hooked.number(hooked.y.grad) == 120
    assert hooked.number(hooked.x.grad) == 240
    assert hooked.log[0] == "before"


def test_grad_of_an_intermediate_value_leaves_its_node_alone(hooked):
    (found,) = autograd.grad(hooked.z, hooked.y)
    assert hooked.number(found) == 120
    with pytest.warns(UserWarning, match="is not a leaf Tensor is being accessed"):
        assert hooked.y.grad is None
    assert not hooked.y.retains_grad
    assert hooked.log == []


def test_grad_beyond_an_intermediate_value_is_taken_before_its_hooks(hooked):
    of_x, of_y = autograd.grad(hooked.z, [hooked.x, hooked.y])
    assert hooked.number(of_y) == 12
    assert hooked.number(of_x) == 240


def test_nothing_beyond_an_intermediate_value_is_freed():
    x = variable([2.0])
    y = x * x
    (y * y).sum().backward(inputs=[y])
    y.backward(y.grad)
    assert x.grad.tolist() == [32]  # 4 x**3


def test_gradients_of_no_outputs():
    x = variable([2.0])
    assert autograd.grad([], [x], allow_unused=True) == (None,)
    (zeros,) = autograd.grad([], [x], materialize_grads=True)
    assert zeros.tolist() == [0]
    with pytest.raises(RuntimeError, match="The differentiated Tensor at index 0 appears"):
        autograd.grad([], [x])


def test_inputs_in_a_dict():
    x, w = variable(2.0), variable(3.0)
    found = autograd.grad(x * w, {"x": x, "w": w})
    assert {name: grad.item() for name, grad in found.items()} == {"x": 3, "w": 2}
    autograd.backward(x * w, inputs={"w": w})
    assert x.grad is None
    assert w.grad.item() == 2


def test_old_names_of_arguments_warn():
    x = variable([2.0])
    with pytest.warns(FutureWarning, match="`grad_variables` is deprecated"):
        autograd.backward(3 * x, grad_variables=wg.ones(1))
    assert x.grad.tolist() == [3]
    with (
        pytest.warns(FutureWarning, match="grad_variables"),
        pytest.raises(RuntimeError, match="both passed to `backward"),
    ):
        autograd.backward(3 * x, wg.ones(1), grad_variables=wg.ones(1))
    with pytest.warns(FutureWarning, match="only_inputs argument is deprecated"):
        autograd.grad(3 * x.sum(), x, only_inputs=False)
    autograd.grad(3 * x.sum(), x, only_inputs=True)


# ---- retained gradients -------------------------------------------------------------------------


@pytest.mark.parametrize("data", [2.0, [2.0]])
def test_retained_gradient_is_the_tensors_whatever_is_written_to_it(data):
    x = variable(data)
    y = x * 2
    y.retain_grad()
    y.mul_(3)
    assert y.retains_grad
    (5 * y).sum().backward(retain_graph=True)
    assert y.grad.sum().item() == 5  # of the value it has now
    y.add_(1)
    assert y.grad.sum().item() == 5
    (7 * y).sum().backward()
    assert y.grad.sum().item() == 12
    assert x.grad.sum().item() == 72


def test_retained_gradient_of_the_owner_of_a_view_that_is_written_to():
    x = variable([1.0, 2.0, 3.0])
    y = x * 2
    y.retain_grad()
    y[:2].mul_(3)
    y[2] = 0.0
    (y * wg.tensor([1.0, 10.0, 100.0])).sum().backward()
    assert y.grad.tolist() == [1, 10, 100]
    assert x.grad.tolist() == [6, 60, 0]


def test_a_leaf_hook_gets_a_leaf_that_nobody_else_keeps():
    for data in (2.0, [2.0, 3.0]):
        seen = []
        x = variable(data)
        x.register_post_accumulate_grad_hook(lambda leaf, seen=seen: seen.append(leaf.tolist()))
        y = 3 * x
        del x
        y.sum().backward()
        assert seen == [data]


@pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])
def test_retained_gradient_shares_no_memory(data):
    x = variable(data)
    y = x * 1
    y.retain_grad()
    start = wg.full_like(y, 5.0)
    y.backward(start, retain_graph=True)
    start.zero_()
    assert y.grad.tolist() == x.grad.tolist() == wg.full_like(y, 5.0).tolist()
    y.grad.zero_()
    assert x.grad.tolist() == wg.full_like(y, 5.0).tolist()
    z = x * 1
    z.retain_grad()
    z.sum().backward()
    z.grad.add_(1)  # not a view of one number
    assert z.grad.tolist() == wg.full_like(y, 2.0).tolist()


@pytest.mark.parametrize("batched", [False, True])
def test_what_is_no_tensor_cannot_be_an_input_or_output(batched):
    x = variable([1.0, 2.0])
    y = x * x
    grads = wg.eye(2) if batched else wg.ones(2)
    for inputs, outputs, text in (
        ([x, None], [y], "inputs: expected tensors, got a 'NoneType'"),
        ([x], [y, None], "outputs: expected tensors, got a 'NoneType'"),
        (["x"], [y], "inputs: expected tensors, got a 'str'"),
    ):
        with pytest.raises(TypeError, match=text):
            autograd.grad(
                outputs,
                inputs,
                [grads] * len(outputs),
                allow_unused=True,
                is_grads_batched=batched and None not in outputs,
            )
