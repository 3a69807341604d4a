"""What does an iteration of gradient descent cost in whole programs?"""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from benchmarks.adapters.base import Adapter, Step, needs
from benchmarks.case import BEST_PEER, Aim, Case, UnsupportedError, Workload, power_of_ten
from benchmarks.reference import agree

from . import descent_by_hand as by_hand

TITLE = "Loops of gradient descent, per iteration"
ABOUT = (
    "Loss, gradient and an update written by hand (in place under no_grad, or functionally "
    "where that is the peer's way). python and numpy have their gradients written by hand. "
    "jax.jit compiles the whole iteration, casadi replays a program built once; neither's "
    "building is timed. Losses of the first iterations are compared with NumPy's. The linear "
    "regression's row is all of its 100 epochs."
)

CHECKED_STEPS = 3
RECURRENT_STEPS, STATE = 1000, 16


@dataclass(frozen=True)
class Loop:
    """A loss, where it starts, and who writes it by hand.

    ``start(size, dtype)`` gives parameters and data; ``loss(adapter, *parameters, *data)`` is
    written in the peer's functions. ``steps`` is how many iterations one row counts.
    """

    loss: Callable[..., Any]
    start: Callable[[int, str], tuple[list[Any], list[Any]]]
    by_hand: Callable[..., Step]
    rate: float
    steps: int = 1
    scalar: bool = False


def _median_points(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    generator = random.Random(5)
    xs = [generator.random() for _ in range(size)]
    ys = [generator.random() for _ in range(size)]
    return [0.3, 0.3], [list(zip(xs, ys, strict=True))]


def _median_array(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    points = np.random.default_rng(5).uniform(size=(size, 2))
    return [np.array([0.3, 0.3])], [points]


def _regression_pairs(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    generator = random.Random(42)
    start = generator.uniform(-1, 1)
    xs = [i * 0.1 for i in range(-50, 50)]
    return [start], [[(x, 7 * x + generator.gauss(0, 1)) for x in xs]]


def _layers(widths: list[int], dtype: str) -> list[np.ndarray]:
    generator = np.random.default_rng(0)
    parameters: list[np.ndarray] = []
    for before, after in itertools.pairwise(widths):
        weights = generator.normal(size=(before, after)) / np.sqrt(before)
        parameters += [weights.astype(dtype), np.zeros(after, dtype)]
    return parameters


def _small_mlp_start(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    x = np.random.default_rng(1).uniform(-1, 1, (32, 2)).astype(dtype)
    target = np.sign(x[:, :1] * x[:, 1:])
    return _layers([2, 16, 16, 1], dtype), [x, target]


def _digits_mlp_start(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    generator = np.random.default_rng(2)
    x = generator.uniform(size=(64, 784)).astype(dtype)
    one_hot = np.eye(10, dtype=dtype)[generator.integers(10, size=64)]
    return _layers([784, 256, 10], dtype), [x, one_hot]


def _recurrent_start(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    generator = np.random.default_rng(3)
    orthogonal, _ = np.linalg.qr(generator.normal(size=(STATE, STATE)))
    drive = generator.normal(size=RECURRENT_STEPS).tolist()
    return [orthogonal, generator.normal(size=STATE) / 100], [np.zeros(STATE), drive]


def _logistic_start(size: int, dtype: str) -> tuple[list[Any], list[Any]]:
    generator = np.random.default_rng(4)
    x = generator.normal(size=(size, 50))
    signs = np.sign(x @ generator.normal(size=50) + generator.normal(size=size))
    return [np.zeros(50), np.array(0.0)], [x, signs]


def _scalar_median(adapter: Adapter, x: Any, y: Any, points: Any) -> Any:
    (sqrt,) = needs(adapter.scalars, "sqrt")
    total = 0.0
    for px, py in points:
        total = total + sqrt((x - px) ** 2 + (y - py) ** 2)
    return total / len(points)


def _scalar_regression(adapter: Adapter, w: Any, pairs: Any) -> Any:
    total = 0.0
    for x, y in pairs:
        error = y - w * x
        total = total + error * error
    return total / len(pairs)


def _array_median(adapter: Adapter, centre: Any, points: Any) -> Any:
    xp = adapter.xp
    return xp.mean(xp.sqrt(xp.sum((centre - points) ** 2, axis=1)))


def _small_mlp(adapter: Adapter, *arrays: Any) -> Any:
    w1, b1, w2, b2, w3, b3, x, target = arrays
    tanh = adapter.xp.tanh
    output = tanh(tanh(x @ w1 + b1) @ w2 + b2) @ w3 + b3
    return adapter.xp.mean((output - target) ** 2)


def _digits_mlp(adapter: Adapter, *arrays: Any) -> Any:
    w1, b1, w2, b2, x, one_hot = arrays
    return adapter.log_softmax_loss(adapter.relu(x @ w1 + b1) @ w2 + b2, one_hot)


def _recurrent(adapter: Adapter, w: Any, u: Any, state: Any, drive: Any) -> Any:
    tanh = adapter.xp.tanh

    def advance(state: Any, value: Any) -> Any:
        return tanh(w @ state + value * u)

    state = adapter.repeat(advance, state, drive)
    return adapter.xp.sum(state * state)


def _logistic(adapter: Adapter, weights: Any, bias: Any, x: Any, signs: Any) -> Any:
    xp = adapter.xp
    return xp.mean(xp.log1p(xp.exp(-signs * (x @ weights + bias))))


SCALAR_MEDIAN = "geometric median, 1000 points as scalars"
REGRESSION = "linear regression, 40,000 scalar nodes"
MEDIAN = "geometric median"
SMALL_MLP, DIGITS_MLP = "MLP 2-16-16-1, batch 32", "MLP 784-256-10, batch 64"
RECURRENT, LOGISTIC = "recurrent, 1000 steps, state 16", "logistic regression, 10^5 x 50"
LOOPS = {
    SCALAR_MEDIAN: Loop(_scalar_median, _median_points, by_hand.scalar_median, 0.1, scalar=True),
    REGRESSION: Loop(
        _scalar_regression, _regression_pairs, by_hand.scalar_regression, 0.01, 100, scalar=True
    ),
    MEDIAN: Loop(_array_median, _median_array, by_hand.array_median, 0.1),
    SMALL_MLP: Loop(_small_mlp, _small_mlp_start, by_hand.small_mlp, 0.05),
    DIGITS_MLP: Loop(_digits_mlp, _digits_mlp_start, by_hand.digits_mlp, 0.05),
    RECURRENT: Loop(_recurrent, _recurrent_start, by_hand.recurrent, 1e-4),
    LOGISTIC: Loop(_logistic, _logistic_start, by_hand.logistic, 0.5),
}


def _median_name(size: int) -> str:
    return f"{MEDIAN}, {power_of_ten(size)} points as an array"


def _dtype_name(family: str, dtype: str) -> str:
    return f"{family}, {dtype}"


def cases(quick: bool) -> list[Case]:
    scalars = [Case(SCALAR_MEDIAN, SCALAR_MEDIAN, 1000), Case(REGRESSION, REGRESSION, 40_000)]
    medians = [Case(_median_name(n), MEDIAN, n) for n in (10**3, 10**5, 10**6)]
    mlps = [
        Case(_dtype_name(family, dtype), family, dtype=dtype)
        for family in (SMALL_MLP, DIGITS_MLP)
        for dtype in ("float64", "float32")
    ]
    if quick:
        return [scalars[0], medians[0], mlps[0]]
    long = [Case(RECURRENT, RECURRENT), Case(LOGISTIC, LOGISTIC, 10**5)]
    return [*scalars, *medians, *mlps, *long]


AIMS = [
    Aim(SCALAR_MEDIAN, 0.5e-3, ceiling=True),
    Aim(SCALAR_MEDIAN, 0.3e-3),
    Aim(REGRESSION, 1.5, of_peer="python"),
    Aim(_median_name(10**3), 20e-6),
    Aim(_median_name(10**5), 0.5, of_peer="torch"),
    Aim(_median_name(10**6), 0.5, of_peer="torch"),
    *(
        aim
        for dtype in ("float64", "float32")
        for aim in (
            Aim(_dtype_name(SMALL_MLP, dtype), 30e-6),
            Aim(_dtype_name(SMALL_MLP, dtype), 1.0, of_peer=BEST_PEER),
            Aim(_dtype_name(DIGITS_MLP, dtype), 1.0, of_peer=BEST_PEER),
        )
    ),
]
HIGHLIGHTS = [
    (SCALAR_MEDIAN, "time"),
    (_median_name(10**3), "time"),
    (REGRESSION, "time"),
    (_dtype_name(SMALL_MLP, "float64"), "time"),
    (_dtype_name(DIGITS_MLP, "float32"), "time"),
]


def prepare(adapter: Adapter, case: Case) -> Workload:
    loop = LOOPS[case.family]
    step = _descent(adapter, loop, case)

    def run() -> Any:
        for _ in range(loop.steps):
            value = step()
        return value

    return Workload(run, checked=lambda: [adapter.to_numpy(step()) for _ in range(CHECKED_STEPS)])


def _descent(adapter: Adapter, loop: Loop, case: Case) -> Step:
    parameters, data = loop.start(case.size, case.dtype)
    if adapter.name == ("python" if loop.scalar else "numpy"):
        return loop.by_hand(parameters, data, loop.rate)
    if not adapter.tracks or (adapter.scalars if loop.scalar else adapter.xp) is None:
        raise UnsupportedError("not this peer's kind of program")
    if loop.scalar and adapter.name in ("jax", "jax.jit"):
        raise UnsupportedError("seconds an iteration, or minutes to compile the unrolled program")

    def loss(*arguments: Any) -> Any:
        return loop.loss(adapter, *arguments)

    return adapter.descent(loss, parameters, data, loop.rate)


def check(case: Case, result: Any) -> str:
    loop = LOOPS[case.family]
    parameters, data = loop.start(case.size, case.dtype)
    step = loop.by_hand(parameters, data, loop.rate)
    return agree(result, [step() for _ in range(CHECKED_STEPS)], case.dtype)
