"""Reductions on arrays of any shape, with NaN, without elements, in other dtypes."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from operation_samples import array_of, numeric_jacobian

import wengert as wg

SUMS = ["sum", "mean", "prod", "var", "std", "any", "all"]
EXTREMA = ["max", "min", "argmax", "argmin"]


@st.composite
def arrays_with_axes(draw, several=True):
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=4)))
    array = np.random.default_rng(len(shape)).permutation(int(np.prod(shape))) - 3.0
    array = array.reshape(shape)
    if draw(st.booleans()):
        array = array.T
    if draw(st.booleans()):
        array = array[tuple(slice(None, None, -1) for _ in array.shape)]
    axes = st.integers(-array.ndim, array.ndim - 1) if array.ndim else st.nothing()
    forms = st.none()
    if array.ndim:
        forms |= axes
        if several:
            forms |= st.lists(axes, unique_by=lambda a: a % array.ndim).map(tuple)
    return array, draw(forms), draw(st.booleans())


@pytest.mark.parametrize("name", SUMS)
@given(arrays_with_axes())
@settings(max_examples=40, deadline=None)
def test_any_axes_as_numpy(name, case):
    array, axis, keepdims = case
    if name == "prod":  # finite in any order of the factors, with a zero
        array = np.where(array == 0, 0, 1 + array / 256)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        expected = np.asarray(getattr(np, name)(array, axis=axis, keepdims=keepdims))
    got = getattr(wg, name)(wg.tensor(array), axis=axis, keepdims=keepdims)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("name", EXTREMA)
@given(st.data())
@settings(max_examples=40, deadline=None)
def test_any_axes_of_extrema_as_numpy(name, data):
    array, axis, keepdims = data.draw(arrays_with_axes(several=not name.startswith("arg")))
    call = {"axis": axis, "keepdims": keepdims}
    try:
        expected = np.asarray(getattr(np, name)(array, **call))
    except ValueError:
        with pytest.raises(ValueError, match=f"^{name}: .* has no element to choose from"):
            getattr(wg, name)(wg.tensor(array), **call)
        return
    got = getattr(wg, name)(wg.tensor(array), **call)
    assert got.dtype == expected.dtype
    np.testing.assert_array_equal(got.numpy(), expected)
    assert got.shape == expected.shape


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min"])
@given(arrays_with_axes())
@settings(max_examples=25, deadline=None)
def test_gradients_of_any_axes(name, case):
    array, axis, keepdims = case
    array = array / 4  # products stay small
    if array.size == 0 or array.size > 24:
        array = np.linspace(-1, 1, 6).reshape(2, 3)
        axis = 0

    def function(x):
        result = getattr(wg, name)(x, axis=axis, keepdims=keepdims)
        return (result * result).sum()

    numeric = numeric_jacobian(lambda a: array_of(function(wg.tensor(a))).copy(), array)
    np.testing.assert_allclose(wg.grad(function)(array).numpy(), numeric, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["sum", "mean"])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("given_dtype", ["float64", "float32", "int64", "int32", "bool"])
def test_dtype_of_the_result(name, dtype, given_dtype):
    array = np.array([[1, 2, 3], [0, 1, 7]]).astype(given_dtype)
    got = getattr(wg, name)(wg.tensor(array), axis=1, dtype=dtype)
    expected = getattr(np, name)(array, axis=1, dtype=dtype)
    assert got.dtype == expected.dtype
    np.testing.assert_allclose(got.numpy(), expected, rtol=1e-6)
    if given_dtype[0] == "f":
        x = wg.tensor(array, requires_grad=True)
        getattr(wg, name)(x, dtype=dtype).backward()
        assert x.grad.dtype == given_dtype
        share = 1 if name == "sum" else 1 / 6
        np.testing.assert_allclose(x.grad.numpy(), np.full((2, 3), share), rtol=1e-6)


def test_integers_are_summed_in_int64():
    for dtype in ("int32", "bool"):
        for function in (wg.sum, wg.prod):
            assert function(wg.ones(3, dtype=dtype)).dtype == "int64"
    assert wg.full((3,), 2**31 - 1, dtype="int32").sum().item() == 3 * (2**31 - 1)
    assert wg.sum(wg.tensor([2**63 - 1, 1])).item() == -(2**63)  # wraps around, as in NumPy


@pytest.mark.parametrize("name", ["sum", "mean", "prod", "max", "min", "var", "std", "norm"])
def test_nan_spreads(name):
    x = wg.tensor([[1.0, math.nan], [2.0, 3.0]])
    assert math.isnan(getattr(wg, name)(x).item())
    rows = getattr(wg, name)(x, axis=1).numpy()
    np.testing.assert_array_equal(np.isnan(rows), [True, False])


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_the_first_of_ties_and_of_nan_is_chosen(name):
    sign = 1 if name == "argmax" else -1
    function = getattr(wg, name)
    assert function(sign * wg.tensor([1.0, 3.0, 3.0, 2.0])).item() == 1
    assert function(wg.tensor([1.0, math.nan, math.inf, math.nan])).item() == 1
    assert function(wg.tensor([[1, 1], [1, 1]]), axis=0).tolist() == [0, 0]


def test_infinities():
    x = wg.tensor([math.inf, 1.0, -math.inf])
    assert wg.max(x).item() == math.inf
    assert wg.min(x).item() == -math.inf
    assert math.isnan(wg.sum(x).item())
    assert wg.norm(x).item() == math.inf
    leaf = wg.tensor([math.inf, 1.0], requires_grad=True)
    wg.max(leaf).backward()
    assert leaf.grad.tolist() == [1, 0]


@pytest.mark.parametrize("axis", [None, 0, 1, (0, 2), (1, 2)])
def test_large_arrays(axis):
    array = np.random.default_rng(0).standard_normal((40, 50, 60))
    for view in (lambda a: a, lambda a: a.transpose(2, 0, 1), lambda a: a[::-1, ::2]):
        x = view(array)
        t = wg.from_numpy(array)
        t = t.permute(2, 0, 1) if x.shape[0] == 60 else t[::-1, ::2] if x.shape[1] == 25 else t
        for name in ("sum", "mean", "var", "max", "min"):
            expected = getattr(np, name)(x, axis=axis)
            got = getattr(wg, name)(t, axis=axis)
            np.testing.assert_allclose(got.numpy(), expected, rtol=1e-11, atol=1e-11)


def test_sums_are_as_accurate_as_pairwise_ones():
    tenths = np.full(1_000_000, 0.1)
    exact = math.fsum(tenths)
    assert abs(wg.from_numpy(tenths).sum().item() - exact) <= 1e-9
    assert abs(wg.from_numpy(tenths.reshape(1000, 1000)).sum(axis=0).sum().item() - exact) <= 1e-8
    halves = wg.full((2**24 + 8,), 1.0, dtype="float32")
    assert halves.sum().item() == 2**24 + 8


def test_variance_does_not_cancel():
    x = np.array([1.0, 2.0, 3.0]) + 1e9
    assert wg.var(wg.tensor(x)).item() == pytest.approx(2 / 3, rel=1e-9)
    assert wg.std(wg.tensor(x), ddof=1).item() == pytest.approx(1, rel=1e-9)


def test_methods_take_axes_as_functions_do():
    x = wg.tensor([[1.0, 2.0], [3.0, 5.0]])
    assert x.sum(0).tolist() == [4, 7]
    assert x.sum((0, 1)).item() == 11
    assert x.mean(dim=1, keepdim=True).tolist() == [[1.5], [4]]
    assert x.max(axis=[0]).tolist() == [3, 5]
    assert x.argmax(1).tolist() == [1, 1]
