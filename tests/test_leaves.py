"""What is a leaf, what requires grad, and what shares memory outside the graph."""

import numpy as np
import pytest

import wengert as wg


def variable(data):
    return wg.tensor(data, requires_grad=True)


SHAPES = pytest.mark.parametrize("data", [2.0, [2.0, 3.0]])


# ---- leaves and requires_grad -------------------------------------------------------------------


@SHAPES
def test_leaves_are_what_no_recorded_operation_made(data):
    x = variable(data)
    assert x.is_leaf
    assert x.grad_fn is None
    assert not (x * 2).is_leaf
    assert (wg.tensor(data) * 2).is_leaf
    assert (x > 0).is_leaf
    with wg.no_grad():
        assert (x * 2).is_leaf
    assert (x * 2).detach().is_leaf
    assert (x * 2).requires_grad
    assert not (x > 0).requires_grad
    assert not wg.tensor(data).requires_grad


@SHAPES
def test_requires_grad_can_be_switched_on_leaves(data):
    x = wg.tensor(data)
    assert x.requires_grad_() is x
    assert x.requires_grad
    x.requires_grad_(False)
    assert not x.requires_grad
    x.requires_grad = True
    y = x * 2
    y.requires_grad_()
    assert y.requires_grad
    for change in (lambda: y.requires_grad_(False), lambda: setattr(y, "requires_grad", False)):
        with pytest.raises(RuntimeError, match=r"can only change.*leaf variables.*'multiply'"):
            change()
    assert y.requires_grad
    with pytest.raises(TypeError, match="must be True or False"):
        x.requires_grad = 1


@pytest.mark.parametrize("dtype", ["int64", "int32", "bool"])
@pytest.mark.parametrize("data", [1, [1, 0]])
def test_only_floating_point_tensors_can_require_grad(dtype, data):
    x = wg.tensor(data, dtype=dtype)
    message = f"only Tensors of floating point dtype.*has dtype {dtype}; use dtype=float64"
    with pytest.raises(RuntimeError, match=message):
        x.requires_grad_()
    with pytest.raises(RuntimeError, match=message):
        x.requires_grad = True
    with pytest.raises(RuntimeError, match=message):
        wg.tensor(data, dtype=dtype, requires_grad=True)
    assert not x.requires_grad


@SHAPES
def test_intermediate_values_keep_their_gradient_only_when_asked(data):
    x = variable(data)
    y, z = x * 2, x * 3
    assert not y.retains_grad
    y.retain_grad()
    y.retain_grad()
    assert y.retains_grad
    x.retain_grad()
    assert not x.retains_grad
    loss = (y * z).sum()
    loss.backward(retain_graph=True)
    assert y.grad.tolist() == z.tolist()
    with pytest.warns(UserWarning, match="is not a leaf Tensor is being accessed.*'multiply'"):
        assert z.grad is None
    loss.backward()
    assert y.grad.tolist() == (2 * z).tolist()
    with pytest.raises(RuntimeError, match="can't retain_grad on Tensor that has requires_grad=F"):
        wg.tensor(data).retain_grad()


# ---- detach, data, numpy ------------------------------------------------------------------------


@SHAPES
@pytest.mark.parametrize("outside", [lambda x: x.detach(), lambda x: x.data])
def test_outside_the_graph_the_memory_is_the_same(data, outside):
    x = variable(data)
    other = outside(x)
    assert not other.requires_grad
    assert other.grad_fn is None
    other.fill_(7.0)
    assert x.tolist() == wg.full_like(x, 7.0).tolist()
    with wg.no_grad():
        x += 1
    assert other.tolist() == wg.full_like(x, 8.0).tolist()
    assert outside(x * 1).requires_grad is False


@SHAPES
def test_data_can_be_assigned(data):
    x = variable(data)
    x.data = wg.full_like(x.detach(), 5.0)
    assert x.requires_grad
    assert x.is_leaf
    assert x.tolist() == wg.full_like(x.detach(), 5.0).tolist()
    x.data -= 1
    assert x.tolist() == wg.full_like(x.detach(), 4.0).tolist()
    with pytest.raises(ValueError, match=r"data: expected shape .* got shape \(3,\)"):
        x.data = wg.ones(3)


def test_data_is_shared_with_what_was_assigned():
    a, b = wg.tensor([1.0, 2.0]), wg.tensor([5.0, 6.0])
    before = a.detach()
    a.data = b
    b[0] = 7.0
    a[1] = 8.0
    assert (a.tolist(), b.tolist(), before.tolist()) == ([7, 8], [7, 8], [1, 2])


@SHAPES
def test_what_was_saved_before_other_data_came_is_refused(data):
    w = variable(data)
    linear, square = (w * 2).sum(), (w * w).sum()
    w.data = wg.zeros(w.shape)
    linear.backward()
    assert w.grad.tolist() == wg.full_like(w.detach(), 2.0).tolist()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        square.backward()


def test_a_view_of_memory_that_was_replaced():
    x = variable([1.0, 2.0, 3.0]) * 1
    view = x[1:]
    x.data = wg.zeros(3)
    assert view.tolist() == [2, 3]
    with pytest.raises(RuntimeError, match=r"a view of shape \(2,\) lies in memory that its owner"):
        view.mul_(2)
    fresh = x[1:]
    fresh.add_(1)
    assert x.tolist() == [0, 1, 1]


@SHAPES
def test_numpy_shares_the_memory_of_what_needs_no_gradient(data):
    t = wg.tensor(data)
    array = t.numpy()
    array[...] = 9
    assert t.tolist() == wg.full_like(t, 9.0).tolist()
    t += 1
    assert array.tolist() == t.tolist()
    with pytest.raises(RuntimeError, match=r"Can't call numpy\(\) on Tensor that requires grad"):
        variable(data).numpy()
    with pytest.raises(RuntimeError, match=r"detach\(\).numpy\(\)"):
        np.asarray(variable(data))


def test_memory_outlives_the_tensor():
    array = wg.tensor([1.0, 2.0]).numpy()
    scalar = wg.tensor(3.0).numpy()
    assert array.tolist() == [1, 2]
    assert scalar.item() == 3
    source = np.ones(3)
    shared = wg.from_numpy(source)
    del source
    shared += 1
    assert shared.tolist() == [2, 2, 2]


def test_clone_copies_and_stays_in_the_graph():
    x = variable([1.0, 2.0])
    y = x.clone()
    y += 1
    assert x.tolist() == [1, 2]
    (y * y).sum().backward()
    assert x.grad.tolist() == [4, 6]


# ---- changes in place ---------------------------------------------------------------------------


@SHAPES
def test_leaves_that_require_grad_are_written_to_only_without_recording(data):
    x = variable(data)
    operations = [
        lambda: x.__iadd__(1),
        lambda: x.mul_(2),
        x.zero_,
        lambda: x.fill_(1.0),
        lambda: x.copy_(wg.zeros_like(x)),
        lambda: x.__setitem__(..., 0.0),
    ]
    for operation in operations:
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad is being used"):
            operation()
    assert x.tolist() == data
    with wg.no_grad():
        for operation in operations:
            operation()
    assert x.is_leaf
    assert x.requires_grad
    assert x.tolist() == wg.zeros_like(x).tolist()


CHANGES = pytest.mark.parametrize(
    "change",
    [
        lambda t: t.__iadd__(1),
        lambda t: t.detach().add_(1),
        lambda t: t.data.mul_(2),
        lambda t: t.__setitem__(..., 5.0),
        lambda t: t.fill_(3.0),
    ],
)


@SHAPES
@CHANGES
def test_a_saved_input_that_was_changed_is_noticed(data, change):
    x = variable(data)
    loss = (x * x).sum()
    with wg.no_grad():
        change(x)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*'multiply'"):
        loss.backward()
    assert x.grad is None
    (x * x).sum().backward()
    assert x.grad.tolist() == (2 * x.detach()).tolist()


@SHAPES
@CHANGES
def test_a_saved_result_that_was_changed_is_noticed(data, change):
    x = variable(data)
    y = wg.exp(x)
    loss = (y + 1).sum()
    with wg.no_grad():
        change(y)
    with pytest.raises(RuntimeError, match=r"modified by an inplace operation.*'exp'"):
        loss.backward()


@SHAPES
@CHANGES
def test_what_is_not_saved_may_be_changed(data, change):
    x = variable(data)
    y = x + 1
    loss = (y * 3).sum()
    with wg.no_grad():
        change(y)
        change(x)
    loss.backward()
    assert x.grad.tolist() == wg.full_like(x.detach(), 3.0).tolist()


@SHAPES
def test_versions_count_changes(data):
    x = wg.tensor(data)
    y = x.detach()
    assert x._version == 0
    x += 1
    y *= 2
    assert (x._version, y._version) == (2, 2)


@SHAPES
def test_recorded_changes_of_an_intermediate_value(data):
    x = variable(data)
    y = x * 2
    before = y.grad_fn
    y += 1
    y *= x
    assert y.grad_fn != before
    y.sum().backward()
    # d/dx (2 x + 1) x = 4 x + 1
    assert x.grad.tolist() == (4 * x.detach() + 1).tolist()


# ---- stretched memory ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "write",
    [
        lambda t: t.__iadd__(1),
        lambda t: t.zero_(),
        lambda t: t.__setitem__(0, 5.0),
        lambda t: t.copy_(wg.arange(3.0)),
    ],
)
def test_stretched_memory_cannot_be_written_to(write):
    x = wg.ones(1)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        write(x.broadcast_to(3))
    assert x.tolist() == [1]


def test_read_only_memory_cannot_be_written_to():
    array = np.ones(3)
    array.flags.writeable = False
    t = wg.from_numpy(array)
    for write in (lambda: t.__iadd__(1), lambda: t.__setitem__(0, 5.0), t.zero_):
        with pytest.raises(ValueError, match="read-only memory; clone"):
            write()
    assert not t.numpy().flags.writeable
    assert array.tolist() == [1, 1, 1]


def test_returned_gradients_share_no_memory():
    x, y = variable([1.0, 2.0]), variable([1.0, 2.0])
    first, second, again = wg.autograd.grad((x + y).sum(), [x, y, x])
    first += 1
    assert second.tolist() == [1, 1]
    assert again.tolist() == [1, 1]
    s = variable(1.0)
    one, other = wg.autograd.grad(s * 2, [s, s])
    one += 1
    assert other.item() == 2
