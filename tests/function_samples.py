"""Sample arguments for every function of the table that is not elementwise.

A function without an entry fails `test_every_function_has_samples`.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple

import axis_samples
import numpy as np
from operation_samples import FUNCTIONS


class Sample(NamedTuple):
    """A call: shapes of the inputs, what comes after them, and NumPy's function of the same."""

    shapes: list[tuple[int, ...]]
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = MappingProxyType({})
    reference: Callable[..., Any] | None = None
    order: int = 2  # to which derivatives are compared


RECORDS = {record["name"]: record for record in FUNCTIONS}
JOINING = {"concat", "stack"}  # take a sequence
CONDITION = np.array([[True, False, True], [False, False, True]])


def _over_axes(reference=None, order=2, shape=(2, 3), **extra):
    forms = [{}, {"axis": 0}, {"axis": -1}, {"axis": (0, 1)}, {"axis": (-1,)}, {"axis": None}]
    forms += [{"axis": 1, "keepdims": True}, {"keepdims": True}, {"axis": ()}]
    samples = [Sample([shape], (), form | extra, reference, order) for form in forms]
    more = [((), {}), ((4,), {}), ((4,), {"axis": 0}), ((2, 1, 2), {"axis": (0, 2)})]
    return samples + [Sample([s], (), form | extra, reference, order) for s, form in more]


def _one_axis():
    forms = [{}, {"axis": 0}, {"axis": -1}, {"axis": 1, "keepdims": True}, {"axis": None}]
    return [Sample([(2, 3)], (), form) for form in forms] + [Sample([()]), Sample([(4,)])]


def vector_norm(x, ord=2, axis=None, keepdims=False):
    sizes = np.abs(x)
    if ord == np.inf:
        return np.max(sizes, axis, keepdims=keepdims)
    if ord == -np.inf:
        return np.min(sizes, axis, keepdims=keepdims)
    if ord == 0:
        return np.sum(sizes != 0, axis, keepdims=keepdims).astype(np.result_type(sizes, np.float32))
    return np.sum(sizes**ord, axis, keepdims=keepdims) ** (1 / ord)


def _transposed(x, *axes):
    order = axes[0] if len(axes) == 1 else axes
    if len(order) == 2 and np.ndim(x) != 2:
        return np.swapaxes(x, *order)
    return np.transpose(x, order)


def _clipped(x, low=None, high=None):
    low = -np.inf if low is None else low
    return np.minimum(np.maximum(x, low), np.inf if high is None else high)


SAMPLES = {
    "sum": _over_axes(),
    "mean": _over_axes(),
    "prod": _over_axes(order=3, shape=(2, 2)),
    "max": [s for s in _over_axes() if s.kwargs.get("axis") != ()],
    "min": [s for s in _over_axes() if s.kwargs.get("axis") != ()],
    "argmax": _one_axis(),
    "argmin": _one_axis(),
    "any": _over_axes(),
    "all": _over_axes(),
    "var": [*_over_axes(order=3, shape=(2, 2)), Sample([(2, 3)], (), {"axis": 1, "ddof": 1})],
    "std": [
        Sample([(4,)], order=3),
        Sample([(2, 2)], (), {"axis": 0}, order=3),
        Sample([(2, 3)], (), {"axis": 1, "ddof": 1, "keepdims": True}),
        Sample([(2, 3)], (), {"axis": (0, 1), "ddof": 0.5}),
    ],
    "norm": [
        Sample([(3,)], (), {}, vector_norm, 3),
        Sample([(2, 2)], (), {"axis": 1}, vector_norm, 3),
        Sample([(2, 3)], (), {"axis": (0, 1), "keepdims": True}, vector_norm),
        Sample([()], (), {}, vector_norm),
        *(
            Sample([(2, 2)], (), {"ord": ord, "axis": 0}, vector_norm, 2)
            for ord in (1, 1.5, 3, 0, np.inf, -np.inf)
        ),
    ],
    "matmul": [
        Sample([(2, 2), (2, 2)], order=3),
        *(
            Sample(list(shapes))
            for shapes in (
                [(3,), (3,)],
                [(2, 3), (3,)],
                [(3,), (3, 2)],
                [(2, 2, 3), (3, 2)],
                [(2, 3), (2, 3, 2)],
                [(2, 1, 2, 1), (3, 1, 2)],
                [(3,), (2, 3, 2)],
                [(2, 2, 3), (3,)],
                [(2, 0), (0, 3)],
                [(0, 2), (2, 2)],
            )
        ),
    ],
    "dot": [
        Sample(list(shapes))
        for shapes in ([(3,), (3,)], [(2, 3), (3,)], [(2, 3), (3, 2)], [(), (3,)], [(2,), ()])
    ],
    "outer": [Sample(list(shapes)) for shapes in ([(2,), (3,)], [(2, 2), (2,)], [(), (2,)])],
    "reshape": [
        Sample([(2, 3)], ((3, 2),)),
        Sample([(2, 3)], (3, 2), {}, lambda x, *s: np.reshape(x, s)),
        Sample([(2, 3)], (-1,)),
        Sample([(2, 3)], ((1, -1, 1),)),
        Sample([(1, 1)], ((),)),
        Sample([()], ((1, 1),)),
        Sample([(0, 3)], ((3, 0),)),
    ],
    "permute": [
        Sample([(2, 1, 3)], ((2, 0, 1),), {}, np.transpose),
        Sample([(2, 1, 3)], (-1, 0, 1), {}, lambda x, *a: np.transpose(x, a)),
        Sample([()], ((),), {}, np.transpose),
    ],
    "transpose": [
        Sample([(2, 3)]),
        Sample([(2, 1, 3)]),
        Sample([(3,)]),
        Sample([()]),
        Sample([(2, 3)], (0, 1), {}, _transposed),
        Sample([(2, 3)], ((1, 0),), {}, _transposed),
        Sample([(2, 1, 3)], (0, 2), {}, _transposed),
        Sample([(2, 1, 3)], ((1, 2, 0),), {}, _transposed),
    ],
    "swapaxes": [Sample([(2, 1, 3)], (0, -1)), Sample([(2, 3)], (1, 1))],
    "t": [Sample([s], (), {}, np.transpose) for s in ((2, 3), (3,), ())],
    "flatten": [Sample([s]) for s in ((2, 3), (), (0, 2), (2, 1, 2))],
    "squeeze": [
        Sample([(1, 2, 1, 3)]),
        Sample([(1, 2, 1, 3)], (0,)),
        Sample([(1, 2, 1, 3)], ((0, -2),)),
        Sample([(1, 1)]),
        Sample([(2, 3)]),
    ],
    "unsqueeze": [Sample([(2, 3)], (axis,)) for axis in (0, 1, 2, -1, -3)] + [Sample([()], (0,))],
    "broadcast_to": [
        Sample([(2, 1)], ((2, 3),)),
        Sample([(3,)], ((2, 2, 3),)),
        Sample([()], ((2,),)),
        Sample([(2, 1)], (-1, 3), {}, lambda x, *s: np.broadcast_to(x, (2, 3))),
        Sample([(1, 2)], ((0, 2),)),
    ],
    "diagonal": [
        *(Sample([(2, 3)], (offset,), {}) for offset in (-2, -1, 0, 1, 2, 5)),
        Sample([(3, 2, 2)]),
        Sample([(2, 3, 2)], (), {"offset": 1, "axis1": -1, "axis2": 0}),
        Sample([(0, 3)]),
    ],
    "concat": [
        Sample([(2, 3), (1, 3)]),
        Sample([(2, 1), (2, 2), (2, 0)], (1,)),
        Sample([(2, 1), (2, 2)], (), {"axis": -1}),
        Sample([(3,)]),
        Sample([(1,), (2,), (1,), (2,)]),
    ],
    "stack": [
        Sample([(2,), (2,), (2,)]),
        Sample([(2, 3), (2, 3)], (1,)),
        Sample([(2, 1), (2, 1)], (), {"axis": -1}),
        Sample([(), (), ()]),
    ],
    "where": [
        Sample([(2, 3), (2, 3)], (), {"condition": CONDITION}),
        Sample([(3,), (2, 1)], (), {"condition": CONDITION}),
        Sample([(), (2, 3)], (), {"condition": CONDITION[0]}),
        Sample([(), ()], (), {"condition": True}),
    ],
    "clip": [
        Sample([(2, 3)], (0.75, 1.5), {}, _clipped),
        Sample([(2, 3)], (), {"low": 1.0}, _clipped),
        Sample([(2, 3)], (None, 1.0), {}, _clipped),
        Sample([(2, 3), (3,), (2, 1)], (), {}, _clipped),
        Sample([(), (), ()], (), {}, _clipped),
        Sample([(3,), (), (2, 1)], (), {}, _clipped),
    ],
}

ALONG_AXIS = axis_samples.samples(Sample)
SAMPLES |= ALONG_AXIS

CASES = [
    (name, sample, f"{name}-{sample.shapes}-{sample.args}-{dict(sample.kwargs)}")
    for name, samples in SAMPLES.items()
    for sample in samples
]


def inputs_of(name, sample, seed=0):
    """Arrays of the sample's shapes: no ties, nothing at a kink, both signs where that matters."""
    random = np.random.default_rng(seed)
    arrays = [random.uniform(0.5, 2, shape) for shape in sample.shapes]
    if name == "clip":
        bounds = (0.4, 1.1)[: len(arrays) - 1]
        return [arrays[0], *(a / 4 + b for a, b in zip(arrays[1:], bounds, strict=True))]
    return [a * random.choice([-1, 1], a.shape) for a in arrays]


def call(function, name, sample, inputs):
    """The function on the inputs with the sample's other arguments."""
    kwargs = dict(sample.kwargs)
    if name == "where":
        return function(kwargs["condition"], *inputs)
    if name in ALONG_AXIS:
        return axis_samples.call(function, name, kwargs, inputs)
    if name in JOINING:
        return function(list(inputs), *sample.args, **kwargs)
    return function(*inputs, *sample.args, **kwargs)


def reference_of(name, sample):
    """NumPy's function for a sample."""
    if sample.reference is not None:
        return sample.reference
    return getattr(np, RECORDS[name]["numpy"])
