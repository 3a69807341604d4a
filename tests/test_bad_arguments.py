"""Functions and attributes that get what they cannot use: which exception, and no change."""

import re

import pytest
from operation_samples import FUNCTIONS, identity_of
from refusals import expect

import wengert as wg


@pytest.mark.parametrize("record", FUNCTIONS, ids=identity_of)
def test_unknown_and_missing_arguments(record):
    function = getattr(wg, record["name"])
    name = record["name"]
    text = rf"^{name}\(\) got an unexpected keyword argument 'colour'; it takes "
    expect(TypeError, text, lambda: function(wg.ones(2), colour="red"))
    expect(TypeError, rf"^{name}\(\) missing required argument '", function)
    if "shape" not in record["signature"]:
        count = record["signature"].count(":")
        text = rf"^{name}\(\) takes at most {count} arguments, got {count + 1}$"
        expect(TypeError, text, lambda: function(*[1.0] * (count + 1)))


ONE = [
    r["name"]
    for r in FUNCTIONS
    if re.match(r"x: tensor, (ord: float = 2, )?axis: axes", r["signature"])
]


@pytest.mark.parametrize("name", ONE)
def test_axes(name):
    function = getattr(wg, name)
    x = wg.ones(2, 1, requires_grad=True)
    bounds = "^" + name + r": axis {} is out of bounds for a tensor of dimension 2$"
    for axis in (2, -3):
        expect(IndexError, bounds.format(axis), lambda a=axis: function(x, axis=a), x)
        expect(IndexError, bounds.format(axis), lambda a=axis: function(x, axis=(0, a)), x)
    for axis in ((1, 1), (1, -1)):
        expect(
            ValueError,
            rf"^{name}: axis .* names the same axis twice$",
            lambda a=axis: function(x, axis=a),
            x,
        )
    for axis in (1.0, "a", (0, 1.0), [None]):
        expect(
            TypeError,
            rf"^{name}: axis: expected an integer, got a '",
            lambda a=axis: function(x, axis=a),
            x,
        )


CALLS = {
    "reshape": (
        lambda x: x.reshape(4),
        ValueError,
        r"^reshape: cannot make shape \(4,\) of .*\(2, 3\)",
    ),
    "reshape, -1": (
        lambda x: x.reshape(-1, 4),
        ValueError,
        r"^reshape: cannot make shape \(-1, 4\)",
    ),
    "reshape, two -1": (lambda x: x.reshape(-1, -1), ValueError, r"cannot make shape \(-1, -1\)"),
    "reshape, -2": (lambda x: x.reshape(-2, 3), ValueError, r"cannot make shape \(-2, 3\)"),
    "reshape, float": (
        lambda x: x.reshape(2.0, 3),
        TypeError,
        "expected an integer, got a 'float'",
    ),
    "reshape, nothing": (lambda x: x.reshape(), TypeError, "missing required argument 'shape'"),
    "permute": (
        lambda x: x.permute(0),
        ValueError,
        r"^permute: axes \(0,\) must name each of the 2",
    ),
    "permute, twice": (lambda x: x.permute(0, 0), ValueError, "names the same axis twice"),
    "permute, large": (lambda x: x.permute(0, 2), IndexError, "axis 2 is out of bounds"),
    "transpose": (lambda x: x.transpose(0, 2), IndexError, "axis 2 is out of bounds"),
    "swapaxes": (lambda x: wg.swapaxes(x, 0, 5), IndexError, "^swapaxes: axis 5 is out of bounds"),
    "t": (lambda x: wg.t(x[None]), ValueError, r"^t: expected at most 2 dimensions, .*\(1, 2, 3\)"),
    "mT": (lambda x: x[0].mT, ValueError, r"^mT: expected at least 2 dimensions, .*\(3,\)"),
    "squeeze": (lambda x: x.squeeze(0), ValueError, r"^squeeze: axis 0 of shape \(2, 3\) does not"),
    "unsqueeze": (lambda x: x.unsqueeze(4), IndexError, "^unsqueeze: axis 4 is out of bounds"),
    "broadcast_to": (
        lambda x: wg.broadcast_to(x, (2, 4)),
        ValueError,
        r"^broadcast_to: .*\(2, 4\)",
    ),
    "expand, fewer axes": (
        lambda x: x.expand(3),
        ValueError,
        "^broadcast_to: .* cannot be stretched",
    ),
    "expand, -1 in front": (lambda x: x.expand(-1, 2, 3), ValueError, "^broadcast_to: .*stretched"),
    "matmul": (lambda x: x @ x, ValueError, r"^matmul: last dimension of the first input \(2, 3\)"),
    "matmul, vector": (lambda x: x @ wg.ones(2), ValueError, r"^matmul: .* only one of .* \(2,\)"),
    "matmul, scalar": (lambda x: wg.matmul(x, 2.0), ValueError, r"^matmul: inputs need .* use \*"),
    "matmul, batch": (
        lambda x: wg.ones(2, 1, 2) @ wg.ones(3, 2, 1),
        ValueError,
        "^matmul: the batch dimensions of",
    ),
    "dot": (
        lambda x: wg.dot(x[None], x),
        ValueError,
        "^dot: expected at most 2 dimensions.* matmul",
    ),
    "concat": (
        lambda x: wg.concat([]),
        ValueError,
        "^concat: expected at least one tensor, got none",
    ),
    "concat, scalar": (lambda x: wg.concat([1.0]), ValueError, "^concat: 0-d tensors .* use stack"),
    "concat, shapes": (
        lambda x: wg.concat([x, x[:, 1:]]),
        ValueError,
        r"^concat: shapes \(2, 3\) and \(2, 2\) differ other than in axis 0",
    ),
    "concat, axis": (
        lambda x: wg.concat([x], axis=2),
        IndexError,
        "^concat: axis 2 is out of bounds",
    ),
    "concat, tensor": (
        wg.concat,
        TypeError,
        "^concat: arrays must be a list or tuple",
    ),
    "stack": (lambda x: wg.stack([x, x[0]]), ValueError, "^stack: all tensors must have one shape"),
    "stack, nothing": (lambda x: wg.stack(()), ValueError, "^stack: expected at least one tensor"),
    "stack, axis": (lambda x: wg.stack([x], axis=3), IndexError, "^stack: axis 3 is out of bounds"),
    "where": (
        lambda x: wg.where(wg.ones(4), x, x),
        ValueError,
        r"^where: shapes \(4,\), \(2, 3\) and \(2, 3\) do not broadcast",
    ),
    "clip": (wg.clip, ValueError, "^clip: at least one of low and high must be given"),
    "sum, keepdims": (
        lambda x: x.sum(keepdims="a"),
        TypeError,
        "^sum: keepdims must be True or False",
    ),
    "sum, dtype": (lambda x: x.sum(dtype="a"), TypeError, "^dtype: 'a' is not supported"),
    "var, ddof": (lambda x: x.var(ddof="a"), TypeError, "^var: ddof must be a number, got a 'str'"),
    "norm, ord": (lambda x: x.norm("fro"), TypeError, "^norm: ord must be a number, got a 'str'"),
    "twice": (
        lambda x: x.sum(0, axis=1),
        TypeError,
        r"^sum\(\) got multiple values for argument 'axis'",
    ),
    "two spellings": (
        lambda x: x.sum(axis=1, dim=1),
        TypeError,
        r"^sum\(\) got multiple values for argument 'dim'",
    ),
}


@pytest.mark.parametrize(("call", "error", "text"), CALLS.values(), ids=CALLS.keys())
def test_functions(call, error, text):
    x = wg.ones(2, 3, requires_grad=True)
    expect(error, text, lambda: call(x), x)


# ---- attributes and the graph ---------------------------------------------------------------

X = wg.ones(2, requires_grad=True)
GRAPH = {
    "grad, type": (
        lambda: setattr(X, "grad", 1.0),
        TypeError,
        "Tensor or None but got grad of type 'float'",
    ),
    "grad, shape": (
        lambda: setattr(X, "grad", wg.ones(3)),
        RuntimeError,
        r"a gradient of size '\(3,\)'",
    ),
    "grad, dtype": (
        lambda: setattr(X, "grad", wg.ones(2, dtype="float32")),
        RuntimeError,
        "with dtype 'float32' to a tensor with dtype 'float64'",
    ),
    "grad, itself": (lambda: setattr(X, "grad", X), RuntimeError, "as its own grad"),
    "requires_grad": (lambda: setattr(X, "requires_grad", 1), TypeError, "must be True or False"),
    "requires_grad of a result": (
        lambda: (X * 2).requires_grad_(False),
        RuntimeError,
        "only change requires_grad flags of leaf .*'multiply'",
    ),
    "numpy": (
        X.numpy,
        RuntimeError,
        r"Can't call numpy\(\) on Tensor that requires grad",
    ),
    "backward of a leaf without": (
        lambda: wg.ones(()).backward(),
        RuntimeError,
        "does not require grad",
    ),
    "backward, shape": (lambda: (X * 2).backward(wg.ones(3)), RuntimeError, r"\(3,\)"),
    "backward, vector": (lambda: (X * 2).backward(None), RuntimeError, r"scalar outputs.*\(2,\)"),
    "retain_grad": (lambda: wg.ones(2).retain_grad(), RuntimeError, "requires_grad=False"),
    "shape is fixed": (lambda: setattr(X, "shape", (1,)), AttributeError, "shape"),
    "unknown attribute": (lambda: X.colour, AttributeError, "colour"),
    "data, shape": (
        lambda: setattr(X, "data", wg.ones(3)),
        ValueError,
        r"^data: expected shape \(2,\)",
    ),
}


@pytest.mark.parametrize(("call", "error", "text"), GRAPH.values(), ids=GRAPH.keys())
def test_attributes_and_the_graph(call, error, text):
    expect(error, text, call, X)
    assert X.requires_grad
    assert X.is_leaf
