"""Values of every elementwise operation against NumPy, or a formula where NumPy has none."""

import warnings

import numpy as np
import pytest
from operation_samples import ELEMENTWISE, array_of, identity_of, reference
from tests.numpy_rules import needs_todays_rules

import wengert as wg

UNARY = [record for record in ELEMENTWISE if record["arity"] == 1]
BINARY = [record for record in ELEMENTWISE if record["arity"] == 2]
DTYPES = ["float64", "float32", "int64", "int32", "bool"]

every_operation = pytest.mark.parametrize("record", ELEMENTWISE, ids=identity_of)
every_unary = pytest.mark.parametrize("record", UNARY, ids=identity_of)
every_binary = pytest.mark.parametrize("record", BINARY, ids=identity_of)

SPECIAL = {
    "float64": np.array(
        [
            *[0.0, -0.0, 1, -1, 2, -2.5, 0.5, -0.5, 1.5, 3, -3, 0.3, np.nan, np.inf, -np.inf],
            *[1e308, -1e308, 5e-324, 1e-20, 710, -745.2, 1e5, 1 + 1e-15],
        ]
    ),
    "int64": np.array([0, 1, -1, 2, -3, 7, 63, 2**63 - 1, -(2**63)]),
    "int32": np.array([0, 1, -1, 2, -3, 7, 2**31 - 1, -(2**31)], np.int32),
    "bool": np.array([True, False]),
}
with np.errstate(over="ignore"):
    SPECIAL["float32"] = SPECIAL["float64"].astype(np.float32)

# Where NumPy has a small dtype for what comes of bools and integers (float16, int8), the next one
# of ours stands; and 1/n of integers is a number with a fraction, as PyTorch has it.
OURS = {"float16": "float64", "int8": "int64"}
FRACTIONS = {"reciprocal"}
# NumPy refuses, we have a use for it.
ALSO_FOR_BOOL = {"positive"}
# Which zero comes of two that compare equal is the C library's choice in NumPy.
ANY_ZERO = {"fmax", "fmin", "maximum", "minimum"}


def expected_of(record, *arrays):
    """NumPy's value as we have it, or None where NumPy refuses the dtypes."""
    function = reference(record)
    if record["name"] in FRACTIONS and np.result_type(*arrays).kind in "biu":
        arrays = [np.asarray(a, float) for a in arrays]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            value = np.asarray(function(*arrays))
        except TypeError:
            if record["name"] in ALSO_FOR_BOOL:
                return np.asarray(arrays[0])
            return None
        target = OURS.get(value.dtype.name)
        if target is None:
            return value
        return np.asarray(function(*(np.asarray(a, target) for a in arrays)), target)


def assert_same(record, got, expected):
    got = array_of(got)
    assert got.dtype == expected.dtype
    assert got.shape == expected.shape
    if expected.dtype.kind != "f":
        np.testing.assert_array_equal(got, expected)
        return
    tolerance = 3e-6 if expected.dtype == np.float32 else 2e-14
    tiny = np.finfo(expected.dtype).smallest_subnormal * 4
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tiny)
    if record["name"] not in ANY_ZERO:
        finite = ~np.isnan(expected)
        np.testing.assert_array_equal(np.signbit(got[finite]), np.signbit(expected[finite]))


def check(record, operands, arrays):
    expected = expected_of(record, *arrays)
    function = getattr(wg, record["name"])
    if expected is None:
        with pytest.raises(TypeError, match=f"^{record['name']}: not defined for dtype"):
            function(*operands)
    else:
        assert_same(record, function(*operands), expected)


@needs_todays_rules
@every_unary
@pytest.mark.parametrize("dtype", DTYPES)
def test_special_values(record, dtype):
    array = SPECIAL[dtype]
    check(record, [wg.tensor(array)], [array])
    for element in array:
        check(record, [wg.tensor(element)], [np.asarray(element)])


def without_negative_exponents(record, exponents):
    if record["name"] == "power" and exponents.dtype.kind == "i":
        return exponents[exponents >= 0]
    return exponents


@needs_todays_rules
@every_binary
@pytest.mark.parametrize("first", DTYPES)
@pytest.mark.parametrize("second", DTYPES)
def test_special_values_of_all_pairs_of_dtypes(record, first, second):
    x = SPECIAL[first][:, None]
    y = SPECIAL[second]
    if "f" not in x.dtype.kind:
        y = without_negative_exponents(record, y)
    check(record, [wg.tensor(x), wg.tensor(y)], [x, y])
    check(record, [wg.tensor(x), wg.tensor(y[-1])], [x, np.asarray(y[-1])])
    check(record, [wg.tensor(x[-1, 0]), wg.tensor(y)], [np.asarray(x[-1, 0]), y])


@every_binary
def test_special_values_of_two_scalars(record):
    numbers = SPECIAL["float64"]
    for x in numbers:
        for y in numbers:
            # Arrays of one element: NumPy's scalars have shortcuts of their own.
            expected = expected_of(record, np.array([x]), np.array([y]))
            if expected is None:
                with pytest.raises(TypeError, match="not defined for dtype float64"):
                    getattr(wg, record["name"])(wg.tensor(x), wg.tensor(y))
                continue
            for operands in ((wg.tensor(x), wg.tensor(y)), (wg.tensor(x), y), (x, wg.tensor(y))):
                result = getattr(wg, record["name"])(*operands)
                assert_same(record, result, expected.reshape(()))


PYTHON_NUMBERS = [0, 1, 3, True, False, 2.5, 0.0, float("nan"), float("inf")]


@every_binary
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("number", PYTHON_NUMBERS, ids=repr)
def test_python_numbers_do_not_decide_the_dtype(record, dtype, number):
    array = SPECIAL[dtype]
    numpy_2 = int(np.__version__.split(".")[0]) >= 2
    weak = number if numpy_2 else np.asarray(number, np.result_type(array, type(number)))
    check(record, [wg.tensor(array), number], [array, weak])
    check(record, [wg.tensor(array[:, None]), number], [array[:, None], weak])
    array = without_negative_exponents(record, array)
    check(record, [number, wg.tensor(array)], [weak, array])


LAYOUTS = {
    "C order": lambda a: a,
    "transposed": lambda a: a.T,
    "reversed": lambda a: a[::-1, ::-1],
    "strided": lambda a: a[::2, ::3],
    "column": lambda a: a[:, 1:2],
    "stretched": lambda a: np.broadcast_to(a[:, :1], a.shape),
    "0-d": lambda a: a[0, 0],
    "no elements": lambda a: a[:, :0],
    "3-d": lambda a: a[None, :, :].transpose(2, 0, 1),
}


def grid_of(record, which, dtype):
    low, high = record["domain"][which]
    values = np.linspace(low, high, 6 * 6) + 0.01
    if np.dtype(dtype).kind != "f":
        values = np.arange(36) % 5 + 1
    return values.reshape(6, 6).astype(dtype)


@needs_todays_rules
@every_operation
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float64", "float32", "int32"])
def test_layouts(record, layout, dtype):
    arrays = [LAYOUTS[layout](grid_of(record, i, dtype)) for i in range(record["arity"])]
    tensors = [wg.from_numpy(np.asarray(a)) for a in arrays]
    check(record, tensors, arrays)


@every_binary
@pytest.mark.parametrize(
    "shapes",
    [
        *[((6, 6), (6,)), ((6,), (6, 6)), ((6, 1), (6,)), ((1, 6), (6, 1)), ((6, 6), (1, 1))],
        *[((6, 6), ()), ((), (6, 6)), ((0, 6), (6,)), ((6, 1), (0,)), ((1, 0), (6, 1))],
    ],
    ids=str,
)
def test_broadcasting(record, shapes):
    arrays = [np.resize(grid_of(record, i, "float64"), shape) for i, shape in enumerate(shapes)]
    check(record, [wg.tensor(a) for a in arrays], arrays)


@every_operation
def test_large_arrays_have_the_values_of_small_ones(record):
    arrays = [
        np.random.default_rng(i).uniform(low, high, 70_001)
        for i, (low, high) in enumerate(record["domain"])
    ]
    if expected_of(record, *arrays) is None:
        arrays = [(a * 10).astype(int) for a in arrays]
    check(record, [wg.tensor(a) for a in arrays], arrays)


@every_operation
def test_every_name_is_the_same_function_and_method(record):
    for name in [record["name"], *record["aliases"]]:
        assert getattr(wg, name) is getattr(wg, record["name"])
        assert getattr(wg.Tensor, name) is getattr(wg, record["name"])
    points = [wg.tensor(grid_of(record, i, "int64")) for i in range(record["arity"])]
    got = getattr(points[0], record["name"])(*points[1:])
    np.testing.assert_array_equal(got.numpy(), getattr(wg, record["name"])(*points).numpy())


OPERATORS = {
    "+": (lambda x: +x, lambda x, y: x + y),
    "-": (lambda x: -x, lambda x, y: x - y),
    "*": (None, lambda x, y: x * y),
    "/": (None, lambda x, y: x / y),
    "//": (None, lambda x, y: x // y),
    "%": (None, lambda x, y: x % y),
    "**": (None, lambda x, y: x**y),
    "**2": (lambda x: x**2, None),
    "&": (None, lambda x, y: x & y),
    "|": (None, lambda x, y: x | y),
    "^": (None, lambda x, y: x ^ y),
    "~": (lambda x: ~x, None),
    "==": (None, lambda x, y: x == y),
    "!=": (None, lambda x, y: x != y),
    "<": (None, lambda x, y: x < y),
    "<=": (None, lambda x, y: x <= y),
    ">": (None, lambda x, y: x > y),
    ">=": (None, lambda x, y: x >= y),
}
WITH_OPERATOR = [record for record in ELEMENTWISE if record["symbol"]]


@pytest.mark.parametrize("record", WITH_OPERATOR, ids=lambda r: r["symbol"] + str(r["arity"]))
@pytest.mark.parametrize("dtype", ["float64", "int64"])
def test_operators_are_the_functions(record, dtype):
    operator = OPERATORS[record["symbol"]][record["arity"] - 1]
    arrays = [grid_of(record, i, dtype) for i in range(record["arity"])]
    expected = expected_of(record, *arrays)
    tensors = [wg.tensor(a) for a in arrays]
    if expected is None:
        with pytest.raises(TypeError, match="not defined for dtype float64"):
            operator(*tensors)
        return
    assert_same(record, operator(*tensors), expected)
    assert_same(record, operator(*(t[2, 3] for t in tensors)), expected[2, 3])
    if record["arity"] == 2:
        x, y = arrays
        assert_same(record, operator(tensors[0], y), expected)
        assert_same(record, operator(x, tensors[1]), expected)
        number = y.item(9)
        assert_same(record, operator(tensors[0], number), expected_of(record, x, number))
        assert_same(record, operator(number, tensors[0]), expected_of(record, number, x))


def test_every_operator_has_a_test():
    assert {record["symbol"] for record in WITH_OPERATOR} <= set(OPERATORS)


def test_integer_powers_are_exact():
    base = np.array([3, -3, 2**31, 7], np.int64)
    exponents = np.array([39, 39, 2, 22], np.int64)
    powers = wg.tensor(base) ** wg.tensor(exponents)
    np.testing.assert_array_equal(powers.numpy(), base**exponents)


@pytest.mark.parametrize("base", [2, wg.tensor(2), wg.tensor([2, 3]), wg.tensor(True)], ids=str)
@pytest.mark.parametrize("exponent", [-1, wg.tensor(-1), wg.tensor([1, -1])], ids=str)
def test_integers_to_negative_powers_are_refused(base, exponent):
    if not isinstance(base, int) or not isinstance(exponent, int):
        with pytest.raises(ValueError, match=r"^power: integers to negative integer .*is -1; make"):
            base**exponent
    assert wg.power(2.0, wg.tensor(-1)).item() == 0.5


def test_bits_of_scalars_need_integers():
    for function in (wg.bitwise_and, wg.bitwise_or, wg.bitwise_xor):
        with pytest.raises(TypeError, match="not defined for dtype float64"):
            function(wg.tensor(1.0), wg.tensor(2.0))
    with pytest.raises(TypeError, match="invert: not defined for dtype float64"):
        ~wg.tensor(1.0)


@pytest.mark.parametrize("dtype", ["int32", "int64", "bool"])
@pytest.mark.parametrize("number", [2**31, -(2**40), 2**70, -(2**100)])
def test_integers_of_any_size_can_be_compared_with(dtype, number):
    x = wg.tensor([0, 1, 1], dtype=dtype)
    assert (x < number).tolist() == [number > 1] * 3
    assert (number <= x).tolist() == [number < 0] * 3
    assert (x == number).tolist() == [False] * 3
