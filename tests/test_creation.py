"""Tensors made of a shape or a range."""

import numpy as np
import pytest

import wengert as wg


@pytest.mark.parametrize("name", ["zeros", "ones", "empty"])
@pytest.mark.parametrize(
    ("size", "shape"), [((), ()), ((3,), (3,)), ((2, 3), (2, 3)), (((2, 3),), (2, 3)), ((0,), (0,))]
)
def test_filled_tensors(name, size, shape):
    t = getattr(wg, name)(*size) if size != () else getattr(wg, name)(())
    assert t.shape == shape
    assert t.dtype == "float64"
    assert not t.requires_grad
    if name != "empty":
        assert t.tolist() == getattr(np, name)(shape).tolist()
    t = getattr(wg, name)(*size or ((),), dtype="float32", requires_grad=True)
    assert (t.dtype, t.requires_grad, t.is_leaf) == ("float32", True, True)


@pytest.mark.parametrize("dtype", [wg.int32, "int32", np.int32, np.dtype("int32")])
def test_ways_to_name_a_dtype(dtype):
    assert wg.zeros(2, dtype=dtype).dtype == "int32"
    assert wg.arange(2, dtype=dtype).dtype == "int32"
    assert wg.eye(2, dtype=dtype).dtype == "int32"
    assert wg.full(2, 1, dtype=dtype).dtype == "int32"
    assert wg.ones_like([1.0], dtype=dtype).dtype == "int32"


@pytest.mark.parametrize(
    ("bounds", "dtype"),
    [((5,), "int64"), ((1, 5), "int64"), ((1, 5, 2), "int64"), ((1.0,), "float64"),
     ((0, 1, 0.25), "float64"), ((5, 0, -1), "int64"), ((0,), "int64")],
)  # fmt: skip
def test_arange(bounds, dtype):
    t = wg.arange(*bounds)
    assert t.dtype == dtype
    assert t.tolist() == np.arange(*bounds).tolist()


def test_linspace_eye_and_full():
    assert wg.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert wg.linspace(0, 1).shape == (50,)
    assert wg.eye(2).tolist() == [[1, 0], [0, 1]]
    assert wg.eye(2, 3).tolist() == np.eye(2, 3).tolist()
    assert wg.full((2, 2), 7).tolist() == [[7, 7], [7, 7]]
    assert wg.full((2,), 7).dtype == "int64"
    assert wg.full((2,), 7.0, requires_grad=True).requires_grad


@pytest.mark.parametrize("name", ["zeros_like", "ones_like", "empty_like"])
def test_like_another(name):
    x = wg.tensor([[1, 2, 3]], dtype="int32")
    make = getattr(wg, name)
    assert (make(x).shape, make(x).dtype) == ((1, 3), "int32")
    assert make([1.5, 2]).dtype == "float64"
    assert make(wg.tensor(1.0, requires_grad=True)).requires_grad is False
    assert make(x, dtype="float32", requires_grad=True).requires_grad
    assert wg.full_like(x, 9).tolist() == [[9, 9, 9]]


def test_integer_tensors_cannot_require_grad():
    with pytest.raises(RuntimeError, match=r"only Tensors of floating point dtype.*int64"):
        wg.arange(3, requires_grad=True)
    with pytest.raises(RuntimeError, match=r"floating point dtype.*bool"):
        wg.zeros(3, dtype=bool, requires_grad=True)


def test_asarray_copies_only_what_it_must():
    t = wg.tensor([1.0, 2.0])
    assert wg.asarray(t) is t
    assert wg.asarray(t, dtype="float32").dtype == "float32"
    array = np.ones(2)
    wg.asarray(array).zero_()
    assert array.tolist() == [0, 0]
    assert wg.asarray(np.ones(2, dtype="int8")).dtype == "int32"
    assert wg.asarray([1, 2]).tolist() == [1, 2]
    assert wg.asarray(3.5).item() == 3.5


def test_wrong_shapes_are_refused():
    with pytest.raises(ValueError, match="negative"):
        wg.zeros(-1)
    with pytest.raises(TypeError):
        wg.zeros("three")
    with pytest.raises(TypeError):
        wg.zeros(2.5)
