"""Samples for the tests that go over the table of operations, made from each record."""

import numpy as np

import wengert as wg
from wengert import _core

ELEMENTWISE = [
    record
    for record in _core.operations()
    if record["public"] and record["kind"] in ("numeric", "real", "comparison")
]
FUNCTIONS = _core.functions()

# The value of operations for which NumPy has no function, in float64 or integers.
FORMULAS = {
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "relu": lambda x: np.where(x <= 0, 0, x),
    "xlogy": lambda x, y: np.where((x == 0) & ~np.isnan(y), 0, x * np.log(y)),
}


def identity_of(record):
    """What pytest shows of a record."""
    return record["name"]


def reference(record):
    """The NumPy function, or the formula, that says what the value is."""
    if record["numpy"] != "-":
        return getattr(np, record["numpy"])
    formula = FORMULAS[record["name"]]

    def function(*inputs):
        dtype = np.multiply(inputs[0], inputs[-1]).dtype
        if record["kind"] == "real" and dtype.kind != "f":
            dtype = np.dtype(float)
        if record["kind"] == "numeric" and dtype.kind == "b":
            raise TypeError(f"{record['name']} is meant for numbers")
        exact = dtype if dtype.kind == "i" else float
        return np.asarray(formula(*(np.asarray(x, exact) for x in inputs))).astype(dtype)

    return function


def is_differentiable(record):
    """Whether the operation has floating-point results that depend on its inputs."""
    return record["kind"] != "comparison" and not record["name"].startswith(("bitwise", "invert"))


def _is_away_from_kinks(arrays):
    """Jumps and kinks of operations lie at integers, and where two inputs or a multiple agree."""
    with np.errstate(all="ignore"):
        if len(arrays) == 2:
            x, y = arrays
            arrays = [x, y, x - y, x / y]
    return all(np.all(np.abs(a - np.round(a)) > 0.03) for a in arrays)


def smooth_points(record, *shapes, seed=0):
    """Random float64 arrays, one for each input, in the record's domain and away from kinks."""
    random = np.random.default_rng(seed)
    for _ in range(20_000):
        arrays = [
            random.uniform(low, high, shape)
            for (low, high), shape in zip(record["domain"], shapes, strict=True)
        ]
        if _is_away_from_kinks(arrays):
            return arrays
    raise AssertionError(f"no points away from kinks in the domain of {record['name']}")


def numeric_jacobian(f, x, step=1e-3):
    """All first derivatives of an array function, by central differences of fourth order."""
    columns = []
    for i in range(x.size):
        shift = np.zeros(x.size)
        shift[i] = step
        shift = shift.reshape(x.shape)
        difference = 8 * (f(x + shift) - f(x - shift)) - (f(x + 2 * shift) - f(x - 2 * shift))
        columns.append(difference / (12 * step))
    if not columns:
        return np.zeros(np.shape(f(x)) + x.shape)
    return np.stack(columns, -1).reshape(np.shape(columns[0]) + x.shape)


def forward_jacobian(f, x):
    """All first derivatives of a tensor function in forward mode, a column at a time."""
    columns = []
    for i in range(x.size):
        tangent = np.zeros(x.size)
        tangent[i] = 1
        _, slope = wg.jvp(f, (x,), (wg.tensor(tangent.reshape(x.shape), dtype=x.dtype),))
        columns.append(slope)
    if not columns:
        return wg.zeros(f(x).shape + x.shape)
    return wg.reshape(wg.stack(columns, -1), columns[0].shape + x.shape)


def array_of(tensor):
    """The values of a tensor as a NumPy array, whatever graph it belongs to."""
    return tensor.detach().numpy()


def check_jacobians(f, x, order, rtol=1e-6, atol=1e-6):
    """Compare all derivatives up to an order with differences of those one order lower.

    Reverse mode is nested with itself; forward mode is taken of it and, in the first two orders,
    of itself.
    """
    current = f
    twice_forward = f
    for level in range(1, order + 1):
        point = wg.tensor(x)
        numeric = numeric_jacobian(lambda a, g=current: array_of(g(wg.tensor(a))).copy(), x)
        for mode, jacobian in (
            ("reverse", lambda a, g=current: wg.jacobian(g, a)),
            ("forward over reverse", lambda a, g=current: forward_jacobian(g, a)),
            ("forward over forward", lambda a, g=twice_forward: forward_jacobian(g, a)),
        ):
            if mode == "forward over forward" and level > 2:
                continue
            np.testing.assert_allclose(
                array_of(jacobian(point)), numeric, rtol, atol, err_msg=f"order {level}, {mode}"
            )
        current = lambda a, g=current: wg.jacobian(g, a, create_graph=True)  # noqa: E731
        twice_forward = lambda a, g=twice_forward: forward_jacobian(g, a)  # noqa: E731


def of_joined(operation, *shapes):
    """The operation as a function of one vector of all its inputs, for mixed derivatives."""
    sizes = [int(np.prod(shape)) for shape in shapes]
    stops = np.cumsum(sizes)

    def function(vector):
        parts = [
            wg.reshape(vector[stop - size : stop], shape)
            for stop, size, shape in zip(stops, sizes, shapes, strict=True)
        ]
        return operation(*parts)

    return function
