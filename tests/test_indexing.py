"""Reading parts of tensors: values as NumPy has them, gradients by finite differences."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_samples import array_of, check_jacobians, numeric_jacobian

import wengert as wg

MASK = np.array([[True, False, True, True], [False, False, True, False], [True, True, True, False]])

# Keys into an array of shape (3, 4).
KEYS = {
    "integer": 1,
    "negative integer": -1,
    "two integers": (1, -2),
    "slice": slice(1, None),
    "slice beyond the end": slice(-10, 10),
    "empty slice": slice(2, 1),
    "negative step": slice(None, None, -1),
    "negative step and bounds": (slice(None), slice(3, 0, -2)),
    "ellipsis": ...,
    "ellipsis and integer": (..., 0),
    "new axis": None,
    "new axes around": (None, slice(None), None, 1, None),
    "all of it": (),
    "list": [2, 0],
    "list with repeats": [1, 1, -1],
    "empty list": [],
    "nested list": [[0, 1], [2, 0]],
    "array": np.array([2, 0, 1]),
    "int32 array": np.array([2, 0, 1], np.int32),
    "0-d array": np.array(1),
    "NumPy integer": np.int64(2),
    "two arrays": (np.array([2, 0]), np.array([1, 3])),
    "arrays that broadcast": (np.array([[2], [0]]), np.array([1, 3])),
    "array and integer": ([0, 2], 1),
    "integer and array": (1, [0, 2]),
    "array and slice": ([0, 2], slice(None, None, 2)),
    "slice and array": (slice(None, None, -1), [0, 3, 3]),
    "array, new axis": ([0, 2], None),
    "arrays apart": ([0, 2], None, [1, 3]),
    "mask": MASK,
    "mask of the first axis": np.array([True, False, True]),
    "mask of the second axis": (slice(None), np.array([True, False, False, True])),
    "mask that chooses nothing": np.zeros((3, 4), bool),
    "list of bool": [True, False, True],
    "mask and integer": (np.array([True, False, True]), 2),
    "mask and array": (np.array([True, False, True]), [0, 3]),
    "mask and ellipsis": (np.array([True, False, True]), ...),
}


def tensor_key(key):
    """The same key with tensors for arrays."""
    if isinstance(key, tuple):
        return tuple(tensor_key(k) for k in key)
    return wg.tensor(key) if isinstance(key, np.ndarray) else key


every_key = pytest.mark.parametrize("key", KEYS.values(), ids=KEYS.keys())


@every_key
def test_values(key):
    array = np.arange(12.0).reshape(3, 4)
    for a, t in (
        (array, wg.tensor(array)),
        (array[::-1, ::-1], wg.tensor(array)[::-1, ::-1]),
        (array.T.reshape(3, 4), wg.tensor(array).T.reshape(3, 4)),
    ):
        for given_key in (key, tensor_key(key)):
            got = t[given_key]
            np.testing.assert_array_equal(got.numpy(), a[key])
            assert got.shape == a[key].shape


@every_key
@pytest.mark.parametrize("dtype", ["float32", "int64", "int32", "bool"])
def test_dtypes(key, dtype):
    array = (np.arange(12).reshape(3, 4) % 5).astype(dtype)
    got = wg.tensor(array)[key]
    assert got.dtype == dtype
    np.testing.assert_array_equal(got.numpy(), array[key])


@every_key
def test_derivatives(key):
    check_jacobians(lambda x: x[key] ** 2, np.linspace(1, 2, 12).reshape(3, 4), order=2)


@every_key
def test_repeated_elements_gather_all_gradients(key):
    x = wg.tensor(np.linspace(1, 2, 12).reshape(3, 4), requires_grad=True)
    part = x[key]
    weights = np.arange(1.0, part.size + 1).reshape(part.shape)
    part.backward(wg.tensor(weights))
    expected = np.zeros((3, 4))
    np.add.at(expected, key, weights)
    np.testing.assert_array_equal(x.grad.numpy(), expected)


def indices_of(extent):
    integers = st.integers(-extent, extent - 1) if extent else st.nothing()
    bounds = st.none() | st.integers(-extent - 2, extent + 2)
    steps = st.none() | st.integers(-3, 3).filter(bool)
    slices = st.builds(slice, bounds, bounds, steps)
    arrays = st.lists(integers, max_size=4) if extent else st.just([])
    masks = st.lists(st.booleans(), min_size=extent, max_size=extent).map(
        lambda mask: np.array(mask, bool)
    )
    return integers | slices | arrays.map(lambda a: np.array(a, np.int64)) | masks


@st.composite
def arrays_with_keys(draw):
    shape = tuple(draw(st.lists(st.integers(0, 4), min_size=1, max_size=4)))
    array = np.arange(float(np.prod(shape))).reshape(shape)
    if draw(st.booleans()):
        array = array.T
    axes = draw(st.integers(0, array.ndim))
    key = [draw(indices_of(extent)) for extent in array.shape[:axes]]
    for _ in range(draw(st.integers(0, 2))):
        key.insert(draw(st.integers(0, len(key))), None)
    if axes == array.ndim and draw(st.booleans()):
        key.append(...)
    elif draw(st.booleans()) and not any(isinstance(k, np.ndarray) for k in key):
        key.insert(0, ...)
        key = key[: 1 + key.index(...)] if array.ndim != axes else key
    return array, tuple(key)


@given(arrays_with_keys())
@settings(max_examples=150, deadline=None)
def test_any_key_as_numpy(case):
    array, key = case
    x = wg.tensor(array)
    try:
        expected = array[key]
    except IndexError:  # arrays of indices that do not broadcast
        with pytest.raises(IndexError):
            x[key]
        return
    got = x[key]
    assert got.shape == expected.shape
    np.testing.assert_array_equal(got.numpy(), expected)
    leaf = wg.tensor(array, requires_grad=True)
    weights = np.arange(1.0, expected.size + 1).reshape(expected.shape)
    leaf[key].backward(wg.tensor(weights))
    gradient = np.zeros(array.shape)
    np.add.at(gradient, key, weights)
    np.testing.assert_array_equal(leaf.grad.numpy(), gradient)


def test_slices_are_views():
    base = wg.zeros(4, 3)
    for view in (base[1], base[:, ::-1], base[..., 0], base[None], base[2:, 1:][0]):
        before = base._version
        view[...] = 1.0
        assert base._version > before
        assert base.numpy().sum() == view.size
        base[...] = 0.0
    copy = base[[0, 1]]
    copy[...] = 1.0
    assert base.numpy().sum() == 0


def test_an_array_of_indices_may_change_after_it_was_used():
    x = wg.tensor([1.0, 2.0, 3.0], requires_grad=True)
    indices = wg.tensor([0, 1])
    y = x[indices]
    indices[0] = 2
    y.sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [1, 1, 0])


def test_a_loop_over_rows_is_differentiable():
    x = np.array([[1.0, 2.0], [3.0, 4.0]])

    def function(t):
        total = 0.0
        for row in t:
            total = total + (row * row[0]).sum()
        return total

    numeric = numeric_jacobian(lambda a: array_of(function(wg.tensor(a))).copy(), x)
    np.testing.assert_allclose(wg.grad(function)(x).numpy(), numeric, rtol=1e-8)


ERRORS = {
    "too large": (3, IndexError, r"index 3 is out of bounds for axis 0 with size 3"),
    "too small": (-4, IndexError, r"index -4 is out of bounds for axis 0 with size 3"),
    "second axis": ((0, 4), IndexError, r"index 4 is out of bounds for axis 1 with size 4"),
    "too many": ((0, 0, 0), IndexError, r"too many indices: .*\(3, 4\) has 2 .* but 3 were"),
    "too many with ellipsis": ((0, ..., 0, 0), IndexError, "too many indices"),
    "two ellipses": ((..., ...), IndexError, "only have a single ellipsis"),
    "array too large": ([0, 3], IndexError, r"index 3 is out of bounds for axis 0 with size 3"),
    "array too small": ([0, -4], IndexError, r"index -4 is out of bounds for axis 0 with size 3"),
    "integer beside an array": (([0, 1], 4), IndexError, "index 4 is out of bounds for axis 1"),
    "float": (1.0, IndexError, "only integers, slices.* got a 'float'"),
    "float array": ([0.5], IndexError, "integer or boolean type, got float64"),
    "float tensor": (wg.tensor([1.0]), IndexError, "integer or boolean type, got float64"),
    "string": ("a", IndexError, "only integers, slices.* got a 'str'"),
    "dict": ({}, IndexError, "only integers, slices.* got a 'dict'"),
    "True": (True, IndexError, "a single True or False is not supported"),
    "step of zero": (slice(None, None, 0), ValueError, "slice step cannot be zero"),
    "float in a slice": (slice(0.5), TypeError, "slice indices must be integers.* 'float'"),
    "ragged list": ([[0, 1], [0]], ValueError, "ragged nested sequence"),
    "mask of wrong shape": ([True, False], IndexError, r"boolean index of shape \(2,\) does not"),
    "mask with more axes": (np.ones((3, 4, 1), bool), IndexError, "too many indices"),
    "arrays that do not broadcast": (([0, 1], [0, 1, 2]), IndexError, r"\(2,\) and \(3,\) do not"),
}


@pytest.mark.parametrize(("key", "error", "text"), ERRORS.values(), ids=ERRORS.keys())
def test_bad_keys(key, error, text, no_leak):
    array = np.arange(12.0).reshape(3, 4)
    x = wg.tensor(array, requires_grad=True)
    with no_leak():
        with pytest.raises(error, match=text):
            x[key]
        with pytest.raises(error, match=text), wg.no_grad():
            x[key] = 0.0
    np.testing.assert_array_equal(array_of(x), array)
    assert x.is_leaf


def test_a_scalar_has_no_elements():
    with pytest.raises(IndexError, match=r"too many indices: a tensor of shape \(\) has 0"):
        wg.tensor(1.0)[0]
    assert wg.tensor(1.0)[()].item() == 1
    assert wg.tensor(1.0)[None].shape == (1,)
    assert wg.tensor(1.0)[...].shape == ()


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("step", [2, 3])
@pytest.mark.parametrize(
    "shape", [(2,), (3,), (1025,), (4098,), (200_001,), (3, 7), (2, 0), (5, 2050)]
)
def test_arithmetic_on_every_second_or_third_element(shape, step, dtype):
    random = np.random.default_rng(step)
    values = random.uniform(1, 2, shape).astype(dtype)
    whole = shape[-1] // step * step
    first, last = slice(0, whole, step), slice(step - 1, whole, step)
    x = wg.tensor(values, requires_grad=True)
    product = x[..., first] * x[..., last]
    np.testing.assert_array_equal(product.detach().numpy(), values[..., first] * values[..., last])
    weights = random.uniform(1, 2, product.shape).astype(dtype)
    product.backward(wg.tensor(weights))
    expected = np.zeros_like(values)
    expected[..., first] += weights * values[..., last]
    expected[..., last] += weights * values[..., first]
    np.testing.assert_array_equal(x.grad.numpy(), expected)
