"""Sample arguments for the functions that read and write along one axis, and for updates.

Their references are loops over single elements.
"""

import numpy as np


def gathered(x, axis, index):
    x, index = np.asarray(x), np.asarray(index)
    source = np.atleast_1d(x)
    picked = [
        source[tuple(int(index[at]) if k == axis % source.ndim else i for k, i in enumerate(at))]
        for at in np.ndindex(index.shape)
        if at
    ]
    return np.array(picked or source[index], x.dtype).reshape(index.shape)


def scattered(x, axis, index, src, add=False):
    out = np.atleast_1d(np.array(x))
    index = np.atleast_1d(index)
    for at in np.ndindex(index.shape):
        to = tuple(int(index[at]) if k == axis % out.ndim else i for k, i in enumerate(at))
        value = src[at] if np.ndim(src) else src
        out[to] = out[to] + value if add else value
    return out.reshape(np.shape(x))


def scatter_added(x, axis, index, src):
    return scattered(x, axis, index, src, add=True)


def selected(x, axis, index):
    return np.take(np.atleast_1d(x), index, axis)


def index_added(x, axis, index, src, alpha=1):
    x, src = np.asarray(x), np.asarray(src)
    scaled = src if alpha == 1 else alpha * src
    out = np.atleast_1d(x.astype(np.result_type(x, scaled)))
    for i, k in enumerate(np.atleast_1d(index)):
        at = (slice(None),) * (axis % out.ndim)
        out[(*at, k)] = out[(*at, k)] + (scaled[(*at, i)] if src.ndim else scaled)
    return out.reshape(x.shape)


def index_copied(x, axis, index, src):
    out = np.atleast_1d(np.array(x))
    for i, k in enumerate(np.atleast_1d(index)):
        at = (slice(None),) * (axis % out.ndim)
        out[(*at, k)] = src[(*at, i)] if np.ndim(src) else src
    return out.reshape(np.shape(x))


def index_filled(x, axis, index, value):
    out = np.atleast_1d(np.array(x))
    for k in np.atleast_1d(index):
        out[(slice(None),) * (axis % out.ndim) + (k,)] = value
    return out.reshape(np.shape(x))


def masked_fill(x, mask, value):
    return np.where(mask, value, x)


def addcmul(x, tensor1, tensor2, value=1):
    return x + (tensor1 if value == 1 else value * tensor1) * tensor2


def addcdiv(x, tensor1, tensor2, value=1):
    return x + (tensor1 if value == 1 else value * tensor1) / tensor2


def lerp(x, end, weight):
    return x + weight * (end - x)


def _scaled(factor, x):
    return x if factor == 1 else factor * np.asarray(x)


def addmm(x, mat1, mat2, beta=1, alpha=1):
    return _scaled(beta, x) + _scaled(alpha, mat1 @ mat2)


def addr(x, vec1, vec2, beta=1, alpha=1):
    return _scaled(beta, x) + _scaled(alpha, np.outer(vec1, vec2))


def clamp_min(x, low):
    return np.maximum(x, low)


def masked_select(x, mask):
    return np.ravel(x)[np.ravel(mask)]


FULL = [[0, 2, 2], [1, 0, 2]]  # repeats a place in each row
_AXES = [
    ([(2, 3)], 1, FULL),
    ([(2, 3)], -1, [[2], [0]]),
    ([(2, 3)], 0, [[1, 1]]),
    ([(3,)], 0, [2, 0, 2, 1]),
    ([()], 0, [0, 0]),
    ([(2, 3)], 1, np.zeros((2, 0), int)),
    ([(2, 2, 2)], 1, [[[1, 0]], [[0, 0]]]),
]
_LISTS = [((2, 3), 1, [2, 0, 2]), ((2, 3), 0, [1]), ((3,), -1, [0, 0, 1, 2]), ((2, 3), 1, [])]


def _with_source(shape, axis, index):
    shape = list(shape)
    shape[axis] = len(index)
    return tuple(shape)


def samples(make):
    """A list of samples by function; `make` takes shapes, arguments, keywords and a reference."""
    full = {
        name: [
            make([*x, np.shape(index)], (), {"axis": axis, "index": np.array(index)}, reference)
            for x, axis, index in _AXES
        ]
        for name, reference in (("scatter", scattered), ("scatter_add", scatter_added))
    }
    wide = make([(2, 3), (3, 4)], (), {"axis": 1, "index": np.array(FULL)}, scattered)
    full["scatter"] += [
        wide,
        make([(3,), ()], (), {"axis": 0, "index": np.array([1, 2])}, scattered),
    ]
    lists = {
        name: [
            make(
                [shape, _with_source(shape, axis, index)],
                (),
                {"axis": axis, "index": np.array(index, int)},
                reference,
            )
            for shape, axis, index in _LISTS
        ]
        + [make([(), ()], (), {"axis": 0, "index": np.array(0)}, reference)]
        for name, reference in (("index_add", index_added), ("index_copy", index_copied))
    }
    lists["index_add"].append(
        make([(3,), (2,)], (), {"axis": 0, "index": np.array([1, 1]), "alpha": 2}, index_added)
    )
    return {
        **full,
        **lists,
        "gather": [
            make(x, (), {"axis": axis, "index": np.array(index)}, gathered)
            for x, axis, index in _AXES
        ],
        "index_select": [
            make([shape], (), {"axis": axis, "index": np.array(index, int)}, selected)
            for shape, axis, index in _LISTS
        ],
        "index_fill": [
            make([shape, ()], (), {"axis": axis, "index": np.array(index, int)}, index_filled)
            for shape, axis, index in [*_LISTS, ((2, 3), 1, [-1])]
        ],
        "masked_fill": [
            make([(2, 3), ()], (), {"mask": np.array([True, False, True])}, masked_fill),
            make([(3,), ()], (), {"mask": np.array([[True], [False]])}, masked_fill),
            make([(), ()], (), {"mask": np.array(True)}, masked_fill),
            make([(0, 3), ()], (), {"mask": np.array(True)}, masked_fill),
        ],
        **{
            name: [
                make([(2, 3), (2, 3), (2, 3)], (), {}, reference),
                make([(3,), (2, 1), ()], (), {"value": 2}, reference),
                make([(), (), ()], (), {"value": 0.5}, reference),
                make([(0, 2), (2,), (1,)], (), {}, reference),
            ]
            for name, reference in (("addcmul", addcmul), ("addcdiv", addcdiv))
        },
        "clamp_min": [make([(2, 3)], (), {"low": 1}, clamp_min)],
        "clamp_max": [make([(3,), (2, 1)], (), {}, np.minimum)],
        "masked_select": [
            make(
                [(2, 3)],
                (),
                {"mask": np.array([[True, False, True], [False, True, True]])},
                masked_select,
            ),
            make([()], (), {"mask": np.array(True)}, masked_select),
        ],
        "addmm": [
            make([(2, 2), (2, 3), (3, 2)], (), {}, addmm),
            make([(2,), (2, 1), (1, 2)], (), {"beta": 2, "alpha": 3}, addmm),
        ],
        "addmv": [
            make([(2,), (2, 3), (3,)], (), {}, addmm),
            make([(), (2, 1), (1,)], (), {"alpha": 2}, addmm),
        ],
        "addr": [
            make([(2, 3), (2,), (3,)], (), {}, addr),
            make([(3,), (2,), (3,)], (), {"beta": 2}, addr),
        ],
        "lerp": [
            make([(2, 3), (2, 3)], (), {"weight": 0.25}, lerp),
            make([(3,), (2, 1)], (), {"weight": 0.75}, lerp),
            make([(2, 3), (3,), (2, 1)], (), {}, lerp),
            make([(), ()], (), {"weight": 2}, lerp),
            make([(0, 3), (3,)], (), {"weight": 0.5}, lerp),
        ],
    }


def call(function, name, kwargs, inputs):
    """One of the functions, whose arguments that are no floats come between or after the inputs."""
    kwargs = dict(kwargs)
    if name in ("masked_fill", "masked_select"):
        return function(inputs[0], kwargs["mask"], *inputs[1:])
    if name == "lerp":
        return function(*inputs, *kwargs.values())
    if "index" not in kwargs:
        return function(*inputs, **kwargs)
    return function(inputs[0], kwargs.pop("axis"), kwargs.pop("index"), *inputs[1:], **kwargs)
