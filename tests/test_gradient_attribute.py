"""The attribute `grad` as programs without an optimiser use it."""

import pytest

import wengert as wg

SHAPES = pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])


def variable(data):
    return wg.tensor(data, requires_grad=True)


@SHAPES
def test_gradients_are_reset_by_assigning_none_or_deleting(data):
    x = variable(data)
    for reset in (lambda: setattr(x, "grad", None), lambda: delattr(x, "grad")):
        (x * 3).sum().backward()
        assert x.grad.tolist() == wg.full_like(x.detach(), 3.0).tolist()
        reset()
        assert x.grad is None


@SHAPES
def test_gradients_are_reset_in_place(data):
    x = variable(data)
    (x * 3).sum().backward()
    grad = x.grad
    assert x.grad.zero_() is grad
    (x * 5).sum().backward()
    assert x.grad is grad
    assert grad.tolist() == wg.full_like(x.detach(), 5.0).tolist()
    with wg.no_grad():
        x -= 0.1 * x.grad
        x.grad *= 0
    assert x.grad.tolist() == wg.zeros_like(x.detach()).tolist()


@SHAPES
def test_recorded_gradients_are_reset_in_place(data):
    x = variable(data)
    (x * x).sum().backward(create_graph=True)
    grad = x.grad
    grad.zero_()
    assert x.grad is grad
    assert x.grad.tolist() == wg.zeros_like(x.detach()).tolist()
    (x * 5).sum().backward()
    assert x.grad.tolist() == wg.full_like(x.detach(), 5.0).tolist()


@SHAPES
def test_recorded_gradients_are_taken_out_of_their_graph(data):
    x = variable(data)
    (x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    assert x.grad.detach_() is x.grad
    assert not x.grad.requires_grad
    assert x.grad.grad_fn is None
    assert x.grad.tolist() == (2 * x.detach()).tolist()
    x.grad.zero_()
    (x * 5).sum().backward()
    assert x.grad.tolist() == wg.full_like(x.detach(), 5.0).tolist()


@SHAPES
def test_a_gradient_outlives_its_leaf_and_its_replacement(data, no_leak):
    with no_leak():
        x = variable(data)
        (x * x).sum().backward(create_graph=True)
        first = x.grad
        x.grad = None
        first.zero_()
        assert x.grad is None
        (x * x).sum().backward(create_graph=True)
        second = x.grad
        del x
        second.zero_()
        assert second.tolist() == first.tolist()
        del first, second


def test_what_cannot_be_a_gradient():
    x = variable([1.0, 2.0])
    with pytest.raises(RuntimeError, match=r"size '\(3,\)' to a tensor of size '\(2,\)'"):
        x.grad = wg.ones(3)
    with pytest.raises(RuntimeError, match="with dtype 'float32' to a tensor with dtype 'float64'"):
        x.grad = wg.ones(2, dtype="float32")
    with pytest.raises(
        TypeError,
        match="Tensor or None but got grad of type 'float'",
    ):
        x.grad = 3.0
    with pytest.raises(RuntimeError, match="can't assign Variable as its own grad"):
        x.grad = x
    assert x.grad is None


def test_views_cannot_be_detached_in_place():
    x = variable([1.0, 2.0, 3.0])
    y = x * 1.0
    with pytest.raises(RuntimeError, match=r"Can't detach views in-place: .* shape \(2,\)"):
        y[1:].detach_()
    assert y.detach_().is_leaf
    assert not y.requires_grad
    leaf = variable(2.0)
    assert not leaf.detach_().requires_grad


@SHAPES
def test_zero_grad_forgets_what_was_gathered(data):
    x = variable(data)
    x.zero_grad()  # nothing yet
    assert x.grad is None
    (x * 3).sum().backward()
    x.zero_grad()
    assert x.grad is None
    (x * 5).sum().backward()
    assert x.grad.tolist() == wg.full_like(x.detach(), 5.0).tolist()


@SHAPES
def test_zero_grad_in_place_is_seen_by_who_holds_the_gradient(data):
    x = variable(data)
    x.zero_grad(set_to_none=False)
    assert x.grad is None
    (x * 3).sum().backward()
    grad = x.grad
    x.zero_grad(set_to_none=False)
    assert x.grad is grad
    assert grad.tolist() == wg.zeros_like(x.detach()).tolist()


@SHAPES
def test_zero_grad_lets_go_of_a_recorded_gradient(data):
    x = variable(data)
    (x * x).sum().backward(create_graph=True)
    assert x.grad.requires_grad
    x.zero_grad(set_to_none=False)
    assert not x.grad.requires_grad
    assert x.grad.tolist() == wg.zeros_like(x.detach()).tolist()
