"""Writing parts of tensors: values, gradients of target and value, tangents."""

import numpy as np
import pytest
from hypothesis import given, settings
from operation_samples import array_of, check_jacobians
from test_indexing import KEYS, arrays_with_keys, tensor_key

import wengert as wg

every_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())


def filled(shape, start=1.0):
    return np.arange(start, start + np.prod(shape)).reshape(shape)


@every_key
@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "bool"])
def test_values(key, dtype):
    expected = np.zeros((3, 4), dtype)
    value = filled(expected[key].shape).astype(dtype)
    expected[key] = value
    # An empty list says nothing of the shape.
    for written in (value, wg.tensor(value), value.tolist() if value.size else value):
        x = wg.zeros(3, 4, dtype=dtype)
        x[tensor_key(key)] = written
        np.testing.assert_array_equal(x.numpy(), expected)
    x = wg.zeros(4, 3, dtype=dtype).T
    x[key] = value
    np.testing.assert_array_equal(x.numpy(), expected)
    expected[key] = 3
    x[key] = 3
    np.testing.assert_array_equal(x.numpy(), expected)


def last_writes(shape, key):
    """For each element which element of the value was written there last, -1 for none."""
    numbers = np.full(shape, -1)
    part = numbers[key]
    numbers[key] = np.arange(part.size).reshape(part.shape)
    return numbers


def expected_gradients(weights, key, value_shape):
    written = last_writes(weights.shape, key)
    of_value = np.zeros(weights[key].size)
    np.add.at(of_value, written[written >= 0], weights[written >= 0])
    of_value = of_value.reshape(weights[key].shape)
    added = of_value.ndim - len(value_shape)
    axes = [i for i, n in enumerate((1,) * added + value_shape) if n == 1 or i < added]
    return np.where(written < 0, weights, 0), of_value.sum(tuple(axes)).reshape(value_shape)


def check_gradients(shape, key, value_shape):
    target = wg.tensor(filled(shape), requires_grad=True)
    value = wg.tensor(filled(value_shape, 50.0), requires_grad=True)
    weights = filled(shape) ** 2
    x = target * 1.0
    x[key] = value
    expected = filled(shape)
    expected[key] = filled(value_shape, 50.0)
    np.testing.assert_array_equal(array_of(x), expected)
    (x * wg.tensor(weights)).sum().backward()
    of_target, of_value = expected_gradients(weights, key, value_shape)
    np.testing.assert_array_equal(target.grad.numpy(), of_target)
    np.testing.assert_array_equal(value.grad.numpy(), of_value)


@every_key
def test_gradients(key):
    shape = np.zeros((3, 4))[key].shape
    check_gradients((3, 4), key, shape)
    check_gradients((3, 4), key, ())
    check_gradients((3, 4), key, tuple(1 for _ in shape))
    check_gradients((3, 4), key, shape[1:])


@given(arrays_with_keys())
@settings(max_examples=100, deadline=None)
def test_gradients_of_any_key(case):
    array, key = case
    try:
        shape = array[key].shape
    except IndexError:
        return
    check_gradients(array.shape, key, shape)


@every_key
def test_all_derivatives(key):
    shape = np.zeros((3, 4))[key].shape
    size = int(np.prod(shape))

    def function(vector):
        x = wg.reshape(vector[:12], (3, 4)) ** 2
        x[key] = wg.reshape(vector[12:], shape) ** 2
        return x * 1.5

    check_jacobians(function, np.linspace(1, 2, 12 + size), order=2)


def test_a_value_with_a_gradient_written_to_a_plain_tensor():
    value = wg.tensor(2.0, requires_grad=True)
    x = wg.zeros(3)
    x[1] = value * value
    assert x.requires_grad
    x.sum().backward()
    assert value.grad.item() == 4


def test_leading_axes_of_the_value_may_be_more():
    value = wg.tensor([[[1.0, 2.0]]], requires_grad=True)
    x = wg.zeros(3)
    x[1:] = value
    (x * wg.tensor([1.0, 2.0, 4.0])).sum().backward()
    np.testing.assert_array_equal(value.grad.numpy(), [[[2, 4]]])


def test_a_view_of_the_target_as_value():
    x = wg.tensor([1.0, 2.0, 3.0, 4.0])
    x[1:] = x[:-1]
    np.testing.assert_array_equal(x.numpy(), [1, 1, 2, 3])
    x[::-1] = x
    np.testing.assert_array_equal(x.numpy(), [3, 2, 1, 1])
    leaf = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = leaf * 1
    y[1:] = leaf[:-1]
    (y * wg.tensor([1.0, 2.0, 4.0])).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), [3, 4, 0])


def test_indices_may_change_after_they_were_used():
    leaf = wg.tensor([1.0, 2.0], requires_grad=True)
    indices = wg.tensor([0, 1])
    x = wg.zeros(3)
    x[indices] = leaf
    indices[0] = 2
    (x * wg.tensor([1.0, 2.0, 4.0])).sum().backward()
    np.testing.assert_array_equal(leaf.grad.numpy(), [1, 2])


def test_several_writes():
    a, b = (wg.tensor(v, requires_grad=True) for v in (2.0, 3.0))
    x = wg.zeros(3)
    x[0] = a
    x[1] = x[0] * b
    x[0] = x[1] * b
    x[2] = 1.0
    np.testing.assert_array_equal(array_of(x), [18, 6, 1])
    (x * wg.tensor([1.0, 10.0, 0.0])).sum().backward()
    assert a.grad.item() == 9 + 10 * 3
    assert b.grad.item() == 2 * 2 * 3 + 10 * 2


def test_a_value_that_was_saved_may_not_be_overwritten():
    leaf = wg.tensor([1.0, 2.0], requires_grad=True)
    x = leaf * 1
    squared = x * x
    x[0] = 5.0
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        squared.sum().backward()
    assert leaf.grad is None


def test_forward_mode_follows_the_write():
    def function(a, b):
        x = a * 2
        x[0] = b * 3
        return x

    value, slope = wg.jvp(function, ([1.0, 2.0], 5.0), ([10.0, 20.0], 100.0))
    np.testing.assert_array_equal(value.numpy(), [15, 4])
    np.testing.assert_array_equal(slope.numpy(), [300, 40])
    _, slope = wg.jvp(lambda b: function(wg.tensor([1.0, 2.0]), b), (5.0,), (1.0,))
    np.testing.assert_array_equal(slope.numpy(), [3, 0])
    _, slope = wg.jvp(lambda a: function(a, 5.0), ([1.0, 2.0],), ([1.0, 1.0],))
    np.testing.assert_array_equal(slope.numpy(), [0, 2])


def test_forward_mode_follows_a_write_through_a_view():
    def function(a):
        x = a * 2
        row = x[0]
        row[0] = a[1, 1] * 3
        return x

    value, slope = wg.jvp(function, (np.ones((2, 2)),), ([[1.0, 2.0], [3.0, 4.0]],))
    np.testing.assert_array_equal(value.numpy(), [[3, 2], [2, 2]])
    np.testing.assert_array_equal(slope.numpy(), [[12, 4], [6, 8]])


SHAPES = [((3, 4), 0, (3,)), ((3, 4), slice(2), (2, 3)), ((3,), [0, 1], (3,)), ((3,), 0, (2,))]


@pytest.mark.parametrize(("shape", "key", "value_shape"), SHAPES)
@pytest.mark.parametrize("requires_grad", [False, True])
def test_values_that_do_not_fit(shape, key, value_shape, requires_grad, no_leak):
    x = wg.zeros(*shape)
    value = wg.ones(*value_shape, requires_grad=requires_grad)
    selected = str(np.zeros(shape)[key].shape).replace("(", r"\(").replace(")", r"\)")
    text = f"^setitem: a value of shape .* of shape {selected}$"
    with no_leak(), pytest.raises(ValueError, match=text):
        x[key] = value
    assert not x.requires_grad
    assert x._version == 0
    np.testing.assert_array_equal(x.numpy(), np.zeros(shape))


def test_bad_targets_and_values():
    leaf = wg.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"leaf Variable that requires grad .* no_grad\(\)"):
        leaf[0] = 2.0
    x = wg.zeros(3)
    for value in ("a", {}, None, object(), 1j):
        with pytest.raises(TypeError, match="tensor: cannot make a tensor of"):
            x[0] = value
    with pytest.raises(TypeError, match="cannot be deleted"):
        del x[0]
    frozen = np.zeros(3)
    frozen.setflags(write=False)
    with pytest.raises(ValueError, match=r"setitem: .*read-only memory; clone\(\)"):
        wg.from_numpy(frozen)[0] = 1.0
    with pytest.raises(
        TypeError, match="requires grad cannot be written to a tensor of dtype int64"
    ):
        wg.zeros(3, dtype="int64")[0] = leaf[0]
    np.testing.assert_array_equal(x.numpy(), np.zeros(3))
    np.testing.assert_array_equal(array_of(leaf), np.ones(3))


def test_writing_through_a_view():
    value = wg.tensor(3.0, requires_grad=True)
    base = wg.zeros(2, 2)
    base[0][0] = value
    row = base[1]
    row[1] = value * value
    np.testing.assert_array_equal(array_of(base), [[3, 0], [0, 9]])
    (base * wg.tensor([[1.0, 2.0], [4.0, 8.0]])).sum().backward()
    assert value.grad.item() == 1 + 8 * 2 * 3
