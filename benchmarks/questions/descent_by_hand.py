"""The descent loops without an autograd engine: NumPy and plain floats, gradients by hand.

They are peers in the tables and the reference for everybody else's losses. Each function takes the
same parameters, data and rate as an adapter's ``descent`` and returns a step that gives the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

Step = Callable[[], Any]
Arrays = Sequence[np.ndarray]


def descending(
    value_and_gradients: Callable[..., tuple[Any, Sequence[np.ndarray]]],
) -> Callable[[Arrays, Arrays, float], Step]:
    """Turn a loss with gradients by hand into a descent that updates its arrays in place."""

    def descent(parameters: Arrays, data: Arrays, rate: float) -> Step:
        state = [p.copy() for p in parameters]

        def step() -> Any:
            value, gradients = value_and_gradients(*state, *data)
            for parameter, gradient in zip(state, gradients, strict=True):
                parameter -= rate * gradient  # noqa: PLW2901  # in place
            return value

        return step

    return descent


def scalar_median(parameters: Sequence[float], data: Sequence[Any], rate: float) -> Step:
    """Mean distance to points in floats."""
    state = list(parameters)
    (points,) = data

    def step() -> float:
        x, y = state
        total = by_x = by_y = 0.0
        for px, py in points:
            dx, dy = x - px, y - py
            distance = math.sqrt(dx * dx + dy * dy)
            total += distance
            by_x += dx / distance
            by_y += dy / distance
        count = len(points)
        state[:] = [x - rate * by_x / count, y - rate * by_y / count]
        return total / count

    return step


def scalar_regression(parameters: Sequence[float], data: Sequence[Any], rate: float) -> Step:
    """Mean squared error of w*x in floats."""
    state = list(parameters)
    (pairs,) = data

    def step() -> float:
        (w,) = state
        total = by_w = 0.0
        for x, y in pairs:
            error = y - w * x
            total += error * error
            by_w -= 2.0 * error * x
        state[0] = w - rate * by_w / len(pairs)
        return total / len(pairs)

    return step


@descending
def array_median(centre: np.ndarray, points: np.ndarray) -> tuple[Any, list[np.ndarray]]:
    difference = centre - points
    distance = np.sqrt(np.sum(difference * difference, axis=1))
    gradient = np.mean(difference / distance[:, None], axis=0)
    return np.mean(distance), [gradient]


@descending
def small_mlp(
    w1: np.ndarray,
    b1: np.ndarray,
    w2: np.ndarray,
    b2: np.ndarray,
    w3: np.ndarray,
    b3: np.ndarray,
    x: np.ndarray,
    target: np.ndarray,
) -> tuple[Any, list[np.ndarray]]:
    h1 = np.tanh(x @ w1 + b1)
    h2 = np.tanh(h1 @ w2 + b2)
    error = h2 @ w3 + b3 - target
    by_output = error * (2.0 / error.size)
    by_h2 = (by_output @ w3.T) * (1.0 - h2 * h2)
    by_h1 = (by_h2 @ w2.T) * (1.0 - h1 * h1)
    gradients = [x.T @ by_h1, by_h1.sum(0), h1.T @ by_h2, by_h2.sum(0)]
    return np.mean(error * error), [*gradients, h2.T @ by_output, by_output.sum(0)]


@descending
def digits_mlp(
    w1: np.ndarray,
    b1: np.ndarray,
    w2: np.ndarray,
    b2: np.ndarray,
    x: np.ndarray,
    one_hot: np.ndarray,
) -> tuple[Any, list[np.ndarray]]:
    hidden = np.maximum(x @ w1 + b1, 0.0)
    logits = hidden @ w2 + b2
    logits -= logits.max(axis=1, keepdims=True)
    exponentials = np.exp(logits)
    totals = exponentials.sum(axis=1, keepdims=True)
    loss = np.mean(np.sum((np.log(totals) - logits) * one_hot, axis=1))
    by_logits = (exponentials / totals - one_hot) / len(x)
    by_hidden = (by_logits @ w2.T) * (hidden > 0)
    return loss, [x.T @ by_hidden, by_hidden.sum(0), hidden.T @ by_logits, by_logits.sum(0)]


@descending
def recurrent(
    w: np.ndarray, u: np.ndarray, start: np.ndarray, drive: Sequence[float]
) -> tuple[Any, list[np.ndarray]]:
    states = [start]
    for value in drive:
        states.append(np.tanh(w @ states[-1] + value * u))
    by_state = 2.0 * states[-1]
    by_w, by_u = np.zeros_like(w), np.zeros_like(u)
    for value, state, before in zip(drive[::-1], states[:0:-1], states[-2::-1], strict=True):
        by_sum = by_state * (1.0 - state * state)
        by_w += by_sum[:, None] * before
        by_u += value * by_sum
        by_state = w.T @ by_sum
    return np.sum(states[-1] * states[-1]), [by_w, by_u]


@descending
def logistic(
    weights: np.ndarray, bias: np.ndarray, x: np.ndarray, signs: np.ndarray
) -> tuple[Any, list[np.ndarray]]:
    exponentials = np.exp(-signs * (x @ weights + bias))
    by_score = -signs * exponentials / (1.0 + exponentials) / len(x)
    return np.mean(np.log1p(exponentials)), [x.T @ by_score, np.sum(by_score)]
