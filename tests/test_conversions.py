"""Comparisons, truth, conversions to Python numbers, length, iteration and hashing."""

import math
import operator

import numpy as np
import pytest

import wengert as wg

COMPARISONS = [operator.lt, operator.le, operator.eq, operator.ne, operator.gt, operator.ge]
every_comparison = pytest.mark.parametrize("compare", COMPARISONS, ids=lambda f: f.__name__)


@every_comparison
def test_comparisons(compare):
    x = np.array([1.0, 2.0, np.nan, np.inf, 0.0])
    y = np.array([2.0, 2.0, 1.0, np.inf, -0.0])
    result = compare(wg.tensor(x), wg.tensor(y))
    assert result.dtype == "bool"
    np.testing.assert_array_equal(result.numpy(), compare(x, y))
    for other in (2, 2.0, np.float64(2.0), np.array(2.0), wg.tensor(2), True):
        number = float(other)
        np.testing.assert_array_equal(compare(wg.tensor(x), other).numpy(), compare(x, number))
        np.testing.assert_array_equal(compare(other, wg.tensor(x)).numpy(), compare(number, x))


@every_comparison
@pytest.mark.parametrize("y", [1.0, 2.0, 3.0, math.nan])
def test_comparisons_of_scalars(compare, y):
    for a, b in ((wg.tensor(2.0), y), (2.0, wg.tensor(y)), (wg.tensor(2.0), wg.tensor(y))):
        result = compare(a, b)
        assert result.shape == ()
        assert result.dtype == "bool"
        assert bool(result) is compare(2.0, y)


@every_comparison
def test_comparisons_are_not_recorded(compare):
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    assert not compare(x, x).requires_grad
    assert not compare(x[0], 1.0).requires_grad


def test_comparison_with_what_is_no_number():
    x = wg.tensor([1.0, 2.0])
    assert (x == "a") is False
    assert (x != None) is True  # noqa: E711
    for compare in (operator.lt, operator.ge):
        with pytest.raises(TypeError, match="not supported between instances"):
            compare(x, "a")
    with pytest.raises(ValueError, match=r"^less: shapes \(2,\) and \(3,\) do not broadcast"):
        x < wg.ones(3)  # noqa: B015


@pytest.mark.parametrize(
    ("value", "truth"),
    [
        (0.0, False),
        (-0.0, False),
        (0.5, True),
        (math.nan, True),
        (0, False),
        (3, True),
        (True, True),
    ],
)
def test_truth(value, truth):
    for tensor in (wg.tensor(value), wg.tensor([value]), wg.tensor([[value]])):
        assert bool(tensor) is truth
        assert (not tensor) is not truth


@pytest.mark.parametrize(("shape", "what"), [((2,), "more than one value"), ((0,), "no values")])
def test_truth_of_several_elements(shape, what):
    text = rf"Boolean value of Tensor with {what} is ambiguous: .*\({shape[0]},\); use any\(\)"
    with pytest.raises(RuntimeError, match=text):
        bool(wg.zeros(*shape))


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
@pytest.mark.parametrize("shape", [(), (1,), (1, 1)], ids=str)
def test_numbers(dtype, shape):
    tensor = wg.ones(*shape, dtype=dtype) if shape else wg.tensor(1, dtype=dtype)
    kind = {"f": float, "i": int, "b": bool}[dtype[0]]
    assert type(tensor.item()) is kind
    assert tensor.item() == 1
    assert type(float(tensor)) is float
    assert float(tensor) == 1
    assert type(int(tensor)) is int
    assert int(tensor) == 1


def test_numbers_keep_their_value():
    assert int(wg.tensor(2.9)) == 2
    assert int(wg.tensor(-2.9)) == -2
    assert wg.tensor(2**62 + 1).item() == 2**62 + 1
    assert int(wg.tensor(2**62 + 1)) == 2**62 + 1
    assert math.isnan(float(wg.tensor(math.nan)))
    assert float(wg.tensor(0.1, dtype="float32")) == float(np.float32(0.1))
    with pytest.raises(ValueError, match="cannot convert float NaN to integer"):
        int(wg.tensor(math.nan))
    with pytest.raises(OverflowError, match="cannot convert float infinity"):
        int(wg.tensor(math.inf))


def test_numbers_of_tensors_that_require_grad():
    x = wg.tensor(2.5, requires_grad=True)
    assert float(x) == 2.5
    assert int(x * 2) == 5
    assert bool(x - 2.5) is False
    assert math.sin(x) == math.sin(2.5)


@pytest.mark.parametrize("convert", [float, int], ids=["float", "int"])
@pytest.mark.parametrize("shape", [(2,), (0,), (2, 3)], ids=str)
def test_numbers_of_several_elements(convert, shape):
    text = f"^{convert.__name__}: only one-element tensors can be converted to Python scalars"
    with pytest.raises(ValueError, match=text):
        convert(wg.zeros(*shape))
    count = math.prod(shape)
    with pytest.raises(RuntimeError, match=f"^item: a Tensor with {count} elements"):
        wg.zeros(*shape).item()


def test_an_index():
    assert "abc"[wg.tensor(1)] == "b"
    assert list(range(5))[wg.tensor(1) : wg.tensor(3)] == [1, 2]
    assert range(wg.tensor(3)) == range(3)
    with pytest.raises(TypeError, match="float64 and shape"):
        "abc"[wg.tensor(1.0)]
    with pytest.raises(TypeError, match=r"int64 and shape \(1,\)"):
        "abc"[wg.tensor([1])]


def test_length_and_iteration():
    x = wg.tensor([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], requires_grad=True)
    assert len(x) == 3
    assert len(wg.zeros(0, 2)) == 0
    assert [row.tolist() for row in x] == [[1, 2], [3, 4], [5, 6]]
    assert list(wg.zeros(0, 2)) == []
    a, b, c = x
    (a * b * c).sum().backward()
    np.testing.assert_array_equal(x.grad.numpy(), [[15, 24], [5, 12], [3, 8]])
    for function, text in ((len, "len"), (iter, "iteration over")):
        with pytest.raises(TypeError, match=rf"^{text}.* a 0-d tensor$"):
            function(wg.tensor(1.0))


def test_membership():
    x = wg.tensor([1.0, 2.0])
    assert 2.0 in x
    assert 3 not in x


def test_hash_is_by_identity():
    x, y = wg.tensor([1.0, 2.0]), wg.tensor([1.0, 2.0])
    z = wg.tensor(3.0)
    names = {x: "x", y: "y", z: "z"}
    assert len(names) == 3
    assert names[x] == "x"
    assert names[y] == "y"
    assert names[z] == "z"
    assert len({z, z * 1.0, wg.tensor(3.0)}) == 3


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "int32", "bool"])
def test_lists(dtype):
    array = (np.arange(6) % 3).reshape(2, 3).astype(dtype)
    assert wg.tensor(array).tolist() == array.tolist()
    assert wg.tensor(array).T.tolist() == array.T.tolist()
    assert wg.tensor(array)[0, 1].tolist() == array[0, 1].item()
    assert wg.zeros(2, 0).tolist() == [[], []]
    assert type(wg.tensor(array).tolist()[0][1]) is type(array.tolist()[0][1])


def test_divmod():
    x, y = np.array([7.0, -7.0, 7.0]), np.array([2.0, 2.0, -2.0])
    quotient, rest = divmod(wg.tensor(x), wg.tensor(y))
    np.testing.assert_array_equal(quotient.numpy(), x // y)
    np.testing.assert_array_equal(rest.numpy(), x % y)
    quotient, rest = divmod(7, wg.tensor(2))
    assert (quotient.item(), rest.item()) == (3, 1)
    leaf = wg.tensor(7.0, requires_grad=True)
    divmod(leaf, 2.0)[1].backward()
    assert leaf.grad.item() == 1
    with pytest.raises(TypeError, match="unsupported operand"):
        divmod(leaf, "a")


def test_a_modulus_of_a_power_is_refused():
    with pytest.raises(TypeError, match="modulo"):
        pow(wg.tensor(2), 2, 3)


def test_numpy_scalars_and_arrays_on_the_left():
    """NumPy hands the operation over instead of taking the tensor apart."""
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    for left in (np.float64(3.0), np.float32(3.0), np.int64(3), np.array([3.0, 3.0])):
        for result in (left + x, left * x, left - x, left / x, left**x):
            assert isinstance(result, wg.Tensor)
            assert result.requires_grad
        assert isinstance(left < x, wg.Tensor)
    assert isinstance(np.ones((2, 2)) @ x, wg.Tensor)
