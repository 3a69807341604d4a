"""tensor() from everything that holds numbers, and back."""

import array
import enum
import fractions
import math

import numpy as np
import pytest

import wengert as wg

# ---- from NumPy ---------------------------------------------------------------------------------

# What an array of each dtype becomes: the nearest of ours that holds all of its values.
NEAREST = {
    "bool": "bool",
    "int8": "int32",
    "uint8": "int32",
    "int16": "int32",
    "uint16": "int32",
    "int32": "int32",
    "uint32": "int64",
    "int64": "int64",
    "float16": "float32",
    "float32": "float32",
    "float64": "float64",
    ">f8": "float64",
    ">i4": "int32",
}


@pytest.mark.parametrize(("given", "expected"), NEAREST.items())
def test_arrays_of_every_dtype(given, expected):
    source = np.array([[1, 0, 3], [0, 1, 2]]).astype(given)
    t = wg.tensor(source)
    assert t.dtype == expected
    assert t.shape == (2, 3)
    assert t.tolist() == source.tolist()
    largest = np.finfo(given).max if source.dtype.kind == "f" else 1
    if source.dtype.kind in "iu":
        largest = np.iinfo(source.dtype).max
    assert wg.tensor(np.array([largest], dtype=given)).item() == largest
    assert wg.tensor(np.array(1, dtype=given)).dtype == expected


@pytest.mark.parametrize("given", ["bool", "int8", "uint8", "int64", "float16", "float32"])
def test_numpy_scalars(given):
    number = np.dtype(given).type(1)
    assert wg.tensor(number).dtype == NEAREST[given]
    assert wg.tensor(number).shape == ()
    assert wg.tensor([number, number]).dtype == NEAREST[given]
    assert wg.tensor([[number], [number]]).tolist() == [[1], [1]]


@pytest.mark.parametrize(
    "given", ["uint64", "complex128", "object", "U3", "S3", "datetime64[s]", "i4,f8"]
)
def test_dtypes_without_counterpart_are_named(given):
    source = np.zeros(2, dtype=given)
    message = f"cannot make a tensor of an array of dtype .*{source.dtype.name[:4]}.*expected bool"
    if given == "i4,f8":
        message = "cannot make a tensor of an array of dtype .*f0"
    if given[0] in "US":
        message = "cannot make a tensor of an array of dtype"
    with pytest.raises(TypeError, match=message):
        wg.tensor(source)


def read_only(a):
    a = a.copy()
    a.flags.writeable = False
    return a


def unaligned(a):
    memory = np.zeros(a.nbytes + 1, dtype=np.uint8)
    result = memory[1:].view(a.dtype).reshape(a.shape)
    result[...] = a
    assert not result.flags.aligned
    return result


def field(a):
    records = np.zeros(a.shape, dtype=np.dtype([("x", "i4"), ("y", a.dtype)]))
    records["y"] = a
    return records["y"]


LAYOUTS = {
    "reversed": lambda a: a[::-1],
    "every second": lambda a: a[:, ::2],
    "transposed": lambda a: a.T,
    "Fortran": np.asfortranarray,
    "broadcast": lambda a: np.broadcast_to(a[0], (3, 4)),
    "no element": lambda a: a[:0],
    "read only": read_only,
    "unaligned": unaligned,
    "field of a record": field,
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_arrays_of_every_layout_are_copied(layout):
    source = LAYOUTS[layout](np.arange(12.0).reshape(3, 4))
    t = wg.tensor(source)
    assert t.shape == source.shape
    assert t.tolist() == source.tolist()
    assert (t + 1).tolist() == (source + 1).tolist()
    assert t.is_contiguous()
    t.zero_()
    assert source.sum() != 0 or source.size == 0


@pytest.mark.parametrize("layout", ["reversed", "every second", "transposed", "Fortran"])
def test_from_numpy_shares_memory_of_any_layout(layout):
    source = LAYOUTS[layout](np.arange(12.0).reshape(3, 4))
    t = wg.from_numpy(source)
    assert t.tolist() == source.tolist()
    source[0, 0] = 100
    assert t[0, 0].item() == 100
    t += 1
    assert source[0, 0] == 101
    assert wg.asarray(source).tolist() == source.tolist()


@pytest.mark.parametrize(
    "source",
    [unaligned(np.arange(3.0)), np.zeros(3, dtype="int8"), field(np.arange(3.0)), [1.0, 2.0]],
    ids=["unaligned", "int8", "field", "list"],
)
def test_from_numpy_refuses_what_it_cannot_share(source):
    with pytest.raises(TypeError, match="from_numpy: cannot share the memory of a '"):
        wg.from_numpy(source)
    assert wg.asarray(source).tolist() == list(source)


# ---- from Python --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("data", "dtype"),
    [
        (1, "int64"),
        (True, "bool"),
        (1.5, "float64"),
        ([1, 2], "int64"),
        ([1, 2.0], "float64"),
        ([True, False], "bool"),
        ([True, 2], "int64"),
        ([], "float64"),
        ([[], []], "float64"),
        ([[1, 2], (3, 4)], "int64"),
        (range(5), "int64"),
        ([range(2), range(2)], "int64"),
        ([[[1.0]]], "float64"),
        (2**62, "int64"),
    ],
)
def test_numbers_and_nested_sequences(data, dtype):
    t = wg.tensor(data)
    expected = np.array(data, dtype=dtype)
    assert t.dtype == dtype
    assert t.shape == expected.shape
    assert t.tolist() == expected.tolist()
    assert type(t.tolist()) is type(expected.tolist())


def test_other_kinds_of_numbers():
    class Celsius(float):
        pass

    class Level(enum.IntEnum):
        LOW = 3

    assert wg.tensor(Celsius(2.5)).item() == 2.5
    assert wg.tensor(Level.LOW).item() == 3
    assert wg.tensor([Celsius(2.5), 1]).tolist() == [2.5, 1]


def test_tensors_and_arrays_inside_lists():
    assert wg.tensor([wg.tensor(1.0), 2, np.float64(3)]).tolist() == [1, 2, 3]
    assert wg.tensor([np.arange(3), wg.arange(3)]).tolist() == [[0, 1, 2], [0, 1, 2]]
    assert wg.tensor([[wg.ones(2)], [wg.zeros(2)]]).shape == (2, 1, 2)
    assert wg.tensor([wg.ones(2, dtype="float32")]).dtype == "float32"
    with pytest.raises(ValueError, match=r"expected elements of shape \(3,\), found one.*\(2,\)"):
        wg.tensor([np.arange(3), np.arange(2)])
    with pytest.raises(ValueError, match=r"an element of the data requires grad.*use stack"):
        wg.tensor([wg.tensor(1.0, requires_grad=True), 2.0])


def test_a_tensor_is_copied():
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    y = wg.tensor(x)
    assert not y.requires_grad
    y += 1
    assert x.tolist() == [1, 2]


@pytest.mark.parametrize(
    "source",
    [
        array.array("d", [1, 2, 3]),
        array.array("b", [1, 2, 3]),
        memoryview(np.arange(12.0).reshape(3, 4)[:, ::2]),
        memoryview(array.array("f", [1, 2, 3])),
    ],
    ids=["doubles", "bytes", "strided", "floats"],
)
def test_buffers(source):
    assert wg.tensor(source).tolist() == np.asarray(source).tolist()


@pytest.mark.parametrize("dtype", ["float64", wg.float64, np.float64, np.dtype("f8"), float])
def test_ways_to_name_a_dtype(dtype):
    t = wg.tensor([1, 2], dtype=dtype)
    assert t.dtype is wg.float64
    assert t.dtype == dtype
    assert t.dtype != "float32"


@pytest.mark.parametrize("dtype", ["float16", "complex128", "nonsense", 3, object()])
def test_unknown_dtypes_are_named(dtype):
    with pytest.raises(TypeError, match="is not supported; expected bool, int32, int64, float32"):
        wg.tensor(1.0, dtype=dtype)


# ---- what is no data ----------------------------------------------------------------------------


class Failing:
    def __array__(self, dtype=None, copy=None):
        raise LookupError("from __array__")


class Lying(list):
    def __len__(self):
        return 5


def nested(depth):
    data = 1.0
    for _ in range(depth):
        data = [data]
    return data


def endless():
    data = []
    data.append(data)
    return data


@pytest.mark.parametrize(
    ("data", "error", "message"),
    [
        ([[1, 2], [3]], ValueError, "expected 2 elements at depth 1, found 1"),
        ([[1, 2], 3], ValueError, "expected a sequence of 2 elements at depth 1, found a 'int'"),
        ([1, [2, 3]], ValueError, "expected a number at depth 1, found a sequence of 2"),
        (nested(65), ValueError, "nested more than 64 levels deep"),
        (endless(), ValueError, "nested more than 64 levels deep"),
        ("abc", TypeError, "cannot make a tensor of a 'str'; expected a number"),
        (["abc"], TypeError, "cannot make a tensor of a 'str'"),
        (None, TypeError, "cannot make a tensor of a 'NoneType'"),
        ([None], TypeError, "'NoneType'"),
        (1j, TypeError, "'complex'"),
        ({}, TypeError, "'dict'"),
        ({1.0}, TypeError, "'set'"),
        ((i for i in range(3)), TypeError, "'generator'"),
        (fractions.Fraction(1, 2), TypeError, "'Fraction'"),
        (b"abc", TypeError, "dtype"),
        (2**63, OverflowError, "9223372036854775808 does not fit into int64; write it as a float"),
        ([-(2**70)], OverflowError, "does not fit into int64"),
        (Failing(), LookupError, "from __array__"),
        (Lying([1.0, 2.0]), ValueError, "expected 5 elements at depth 0, found 2"),
    ],
)
def test_what_is_no_data(data, error, message, no_leak):
    with no_leak(), pytest.raises(error, match=message):
        wg.tensor(data)


def test_wrong_arguments():
    with pytest.raises(TypeError, match="data"):
        wg.tensor()
    with pytest.raises(TypeError, match="'pin_memory'"):
        wg.tensor(1.0, pin_memory=True)


# ---- back to Python -----------------------------------------------------------------------------


def test_item_and_tolist_give_python_numbers():
    for data in (2.5, 3, True):
        assert wg.tensor(data).item() == data
        assert type(wg.tensor(data).item()) is type(data)
        assert wg.tensor([[data]]).item() == data
        assert type(wg.tensor([data]).tolist()[0]) is type(data)
    assert type(wg.tensor(2.5, dtype="float32").item()) is float
    with pytest.raises(RuntimeError, match=r"a Tensor with 2 elements cannot be converted.*\(2,\)"):
        wg.tensor([1, 2]).item()
    with pytest.raises(RuntimeError, match="a Tensor with 0 elements"):
        wg.tensor([]).item()


def test_conversion_to_python_numbers():
    assert float(wg.tensor([[2]])) == 2.0
    assert int(wg.tensor(2.7)) == 2
    assert complex(wg.tensor(1.5)) == 1.5
    assert float(wg.tensor(1.5, requires_grad=True)) == 1.5
    assert math.sqrt(wg.tensor(4.0)) == 2
    assert [10, 20, 30][wg.tensor(1)] == 20
    assert list(range(wg.tensor(3))) == [0, 1, 2]
    with pytest.raises(TypeError, match=r"only integer tensors.*float64"):
        [10, 20, 30][wg.tensor(1.0)]
    with pytest.raises(ValueError, match=r"only one-element tensors.*\(2,\)"):
        float(wg.tensor([1.0, 2.0]))


def test_truth():
    assert wg.tensor(0.5)
    assert not wg.tensor([0])
    assert wg.tensor(float("nan"))
    for data in ([0, 1], []):
        with pytest.raises(RuntimeError, match=r"Boolean value of Tensor with .* is ambiguous"):
            bool(wg.tensor(data))


def test_shape_and_size():
    t = wg.zeros(2, 3, 4)
    assert (t.shape, t.ndim, t.size, t.numel(), t.dim(), len(t)) == ((2, 3, 4), 3, 24, 24, 3, 2)
    assert type(t.shape) is tuple
    assert t.strides == (12, 4, 1)
    s = wg.tensor(1.0)
    assert (s.shape, s.ndim, s.size) == ((), 0, 1)
    with pytest.raises(TypeError, match="0-d"):
        len(s)
