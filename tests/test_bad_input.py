"""Tensors and elementwise operations that cannot be: which exception, and nothing has changed."""

import re
from decimal import Decimal

import numpy as np
import pytest
from operation_samples import ELEMENTWISE, identity_of
from refusals import expect

import wengert as wg

BINARY = [record for record in ELEMENTWISE if record["arity"] == 2]
NOT_NUMBERS = {
    "string": ("a", "str"),
    "bytes": (b"a", "bytes"),
    "None": (None, "NoneType"),
    "complex": (1j, "complex"),
    "dict": ({}, "dict"),
    "set": ({1}, "set"),
    "object": (object(), "object"),
    "function": (len, "builtin_function_or_method"),
    "class": (int, "type"),
    "Decimal": (Decimal(1), "decimal.Decimal"),
}


# ---- making tensors -------------------------------------------------------------------------


@pytest.mark.parametrize(("value", "kind"), NOT_NUMBERS.values(), ids=NOT_NUMBERS.keys())
def test_no_tensor_of(value, kind):
    what = f"a '{kind}'" if kind != "bytes" else r"an array of dtype \|S1"
    expect(
        TypeError,
        f"^tensor: cannot make a tensor of {what}; expected",
        lambda: wg.tensor(value),
    )
    expect(TypeError, f"^tensor: cannot make a tensor of {what}", lambda: wg.tensor([1, value]))


RAGGED = {
    "lengths": ([[1, 2], [3]], "expected 2 elements at depth 1, found 1"),
    "number after list": (
        [[1, 2], 3],
        "expected a sequence of 2 elements at depth 1, found a 'int'",
    ),
    "list after number": ([1, [2, 3]], "expected a number at depth 1, found a sequence of 2"),
    "deep": ([[[1], [2]], [[3], [4, 5]]], "expected 1 elements at depth 2, found 2"),
    "empty": ([[], [1]], "expected 0 elements at depth 1, found 1"),
    "arrays": ([np.ones(2), np.ones(3)], r"elements of shape \(2,\), found one of shape \(3,\)"),
    "tensors": ([wg.ones(2), wg.ones(())], r"elements of shape \(2,\), found one of shape \(\)"),
}


@pytest.mark.parametrize(("data", "text"), RAGGED.values(), ids=RAGGED.keys())
def test_ragged_lists(data, text):
    expect(ValueError, f"^tensor: ragged nested sequence, .*{text}", lambda: wg.tensor(data))


@pytest.mark.parametrize(
    "array",
    [
        np.array([1, None], object),
        np.array([1j, 2]),
        np.array(["a", "b"]),
        np.array(["2026-01-01"], "datetime64[D]"),
        np.zeros(2, [("a", float)]),
        np.array([2**64 - 1], np.uint64),
    ],
    ids=lambda a: a.dtype.name,
)
def test_arrays_of_other_dtypes(array):
    name = re.escape(str(array.dtype))
    text = f"cannot make a tensor of an array of dtype {name}; expected bool"
    expect(TypeError, text, lambda: wg.tensor(array))
    expect(TypeError, text, lambda: wg.tensor([1.0]) + array)
    expect(
        TypeError, f"^from_numpy: .*{name}|^from_numpy: cannot share", lambda: wg.from_numpy(array)
    )


def test_data_that_is_too_deep_or_too_large():
    deep = []
    for _ in range(100):
        deep = [deep]
    expect(ValueError, "nested more than 64 levels deep", lambda: wg.tensor(deep))
    own = []
    own.append(own)
    expect(ValueError, "nested more than 64 levels deep", lambda: wg.tensor(own))
    expect(
        OverflowError, "^tensor: the integer .* does not fit into int64", lambda: wg.tensor(2**63)
    )
    expect(
        OverflowError,
        "^tensor: the integer .* does not fit into int64",
        lambda: wg.tensor([1, -(2**63) - 1]),
    )


def test_elements_that_require_grad():
    x = wg.tensor(1.0, requires_grad=True)
    expect(
        ValueError,
        r"requires grad, and its gradient would be lost; use stack\(\)",
        lambda: wg.tensor([x, x]),
        x,
    )


ARGUMENTS = {
    "no data": (wg.tensor, "missing required argument 'data'|takes at least 1|required"),
    "too many": (lambda: wg.tensor(1, None, False, 3), "at most 3"),
    "unknown keyword": (
        lambda: wg.tensor(1.0, pin_memory=True),
        "'pin_memory' is an invalid keyword|unexpected",
    ),
    "dtype": (
        lambda: wg.tensor(1.0, dtype="float16"),
        "^dtype: 'float16' is not supported; expected",
    ),
    "dtype object": (lambda: wg.tensor(1.0, dtype=complex), "^dtype: .*complex.* is not supported"),
    "dtype number": (lambda: wg.tensor(1.0, dtype=3), "^dtype: 3 is not supported; expected"),
    "astype": (lambda: wg.tensor(1.0).astype("str"), "^dtype: 'str' is not supported; expected"),
}


@pytest.mark.parametrize(("call", "text"), ARGUMENTS.values(), ids=ARGUMENTS.keys())
def test_arguments_of_tensor(call, text):
    expect(TypeError, text, call)


# ---- elementwise operations -----------------------------------------------------------------


@pytest.mark.parametrize("record", ELEMENTWISE, ids=identity_of)
@pytest.mark.parametrize(("value", "kind"), NOT_NUMBERS.values(), ids=NOT_NUMBERS.keys())
def test_operands_that_are_no_numbers(record, value, kind):
    function = getattr(wg, record["name"])
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    text = f"^{record['name']}: expected a tensor, an array or a number, got a '{kind}'"
    if record["arity"] == 1:
        expect(TypeError, text, lambda: function(value), x)
    else:
        expect(TypeError, text, lambda: function(x, value), x)
        expect(TypeError, text, lambda: function(value, x), x)


@pytest.mark.parametrize("record", BINARY, ids=identity_of)
def test_shapes_that_do_not_broadcast(record):
    dtype = "int64" if record["name"].startswith("bitwise") else "float64"
    x = wg.ones(2, 3, dtype=dtype)
    for shape in ((2,), (3, 3), (2, 3, 2)):
        y = wg.ones(*shape, dtype=dtype)
        shapes = re.escape(f"{record['name']}: shapes (2, 3) and {shape} do not broadcast together")
        expect(ValueError, f"^{shapes}", lambda y=y: getattr(wg, record["name"])(x, y), x, y)


@pytest.mark.parametrize("record", ELEMENTWISE, ids=identity_of)
def test_numbers_of_arguments(record):
    function = getattr(wg, record["name"])
    name, arity = record["name"], record["arity"]
    plural = "s" if arity > 1 else ""
    for count in {0, 1, 2, 3} - {arity}:
        text = rf"^{name}\(\) takes {arity} argument{plural}, got {count}$"
        expect(TypeError, text, lambda n=count: function(*[1.0] * n))
    text = rf"^{name}\(\) takes no keyword argument 'out'"
    expect(TypeError, text, lambda: function(*[1.0] * arity, out=None))


UNSUPPORTED = ["+", "-", "*", "/", "//", "%", "**", "@", "&", "|", "^"]


@pytest.mark.parametrize("symbol", UNSUPPORTED)
def test_operators_with_what_is_no_number(symbol):
    x = wg.tensor([1.0, 2.0], requires_grad=True)
    for value in ("a", None, {}, 1j):
        for text in (f"x {symbol} value", f"value {symbol} x"):
            if symbol == "%" and value == "a" and text.startswith("value"):
                continue  # formatting
            names = {"x": x, "value": value}
            expect(
                TypeError,
                "unsupported operand|can only concatenate str|converted to an index",
                lambda t=text, n=names: eval(t, n),
                x,
            )


def test_numbers_too_large_for_an_integer_dtype():
    """NumPy 2 refuses them as well: the dtype of the tensor decides."""
    for dtype, number in (("int32", 2**31), ("int64", 2**63), ("int32", -(2**31) - 1)):
        x = wg.ones(2, dtype=dtype)
        expect(
            OverflowError,
            f"^add: Python integer {number} is out of bounds for .* dtype {dtype}",
            lambda x=x, n=number: x + n,
            x,
        )
