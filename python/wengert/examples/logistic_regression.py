"""Would the O-rings have held? The space shuttle's flights before 28 January 1986.

After 7 of 23 flights the rubber rings that seal the boosters showed damage by heat.
Logistic regression describes its probability as sigmoid(slope * temperature + intercept);
the parameters under which the record is most likely are found by gradient descent and
compared with Newton's method. Challenger was launched at 31 °F. Run it with::

    python -m wengert.examples.logistic_regression
    python -m wengert.examples.logistic_regression FILE.csv --columns X,Y --at 31

where the column Y holds 0 and 1.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import wengert as wg

from ._command import CommandLine, number, picture_path, run, verdict
from ._descent import Descent, line_text, print_path
from ._errors import InputError
from ._picture import draw_losses, write_picture
from ._progress import Progress
from ._scaling import Scaling, check_spread
from ._table import DATA, Table, read_table

FLIGHTS = DATA / "challenger_o_rings.csv"
CHALLENGER = 31.0  # °F at the launch
NAME = "logistic_regression"
RATE = 2.0

Array = NDArray[np.float64]


def mean_surprise(
    x: wg.Tensor, sign: wg.Tensor, slope: wg.Tensor, intercept: wg.Tensor
) -> wg.Tensor:
    """Return the mean of -log(probability of what happened): the negative log-likelihood.

    Parameters
    ----------
    x, sign : Tensor, shape (n,)
        Where, and what happened there: 1 or -1.
    slope, intercept : Tensor
        The event has the probability sigmoid(slope * x + intercept), its absence
        sigmoid(-(slope * x + intercept)), and -log(sigmoid(z)) is log(1 + exp(-z)).

    Examples
    --------
    >>> zero = wg.tensor(0.0)
    >>> coin = mean_surprise(wg.tensor([1.0, 2.0]), wg.tensor([1.0, -1.0]), zero, zero)
    >>> round(coin.item(), 6)  # log(2): both outcomes have the probability 1/2
    0.693147
    """
    score = slope * x + intercept
    return wg.log1p(wg.exp(-sign * score)).mean()


def descend(
    x: Array, y: Array, rate: float = RATE, steps: int = 500, *, show_progress: bool = False
) -> Descent:
    """Fit a logistic curve by gradient descent; the record holds (slope, intercept).

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        Where, and what happened there: 0 or 1. The zeros and ones must overlap in x.
    rate : float
        A step is this times the gradient. Any rate below 8 goes downhill, whatever the
        data: over the standardised x the loss curves by at most 1/4 in each direction.
    steps : int
        How many curves to try.
    show_progress : bool
        Show the loop's progress on standard error.

    Examples
    --------
    >>> symmetric = np.array([-1.0, 0.0, 0.0, 1.0, -1.0, 1.0])
    >>> descend(symmetric, np.array([0, 0, 1, 1, 1, 0])).last.round(6) + 0.0
    array([0., 0.])
    """
    scaling = Scaling.of(x)
    inputs, sign = wg.tensor(scaling.apply(x)), wg.tensor(2.0 * y - 1.0)
    slope = wg.tensor(0.0, requires_grad=True)
    intercept = wg.tensor(0.0, requires_grad=True)
    descent = Descent()
    progress = Progress(steps, shown=show_progress)
    for _ in progress:
        loss = mean_surprise(inputs, sign, slope, intercept)
        loss.backward()
        descent.record(loss.item(), *scaling.undo(slope.item(), intercept.item()))
        progress.note(f"mean surprise {loss.item():.6f}")
        with wg.no_grad():
            slope -= rate * slope.grad
            intercept -= rate * intercept.grad
        slope.grad = intercept.grad = None
    return descent


def probability(parameters: Array, x: Array | float) -> Array:
    """Return sigmoid(slope * x + intercept), by NumPy.

    Examples
    --------
    >>> probability(np.array([1.0, 0.0]), np.array([0.0, 1000.0]))
    array([0.5, 1. ])
    """
    # This form of the sigmoid overflows nowhere.
    return np.asarray(0.5 * (1 + np.tanh(np.polyval(parameters, x) / 2)))


def newton(x: Array, y: Array, iterations: int = 100) -> Array:
    """Return (slope, intercept) of the most likely curve by Newton's method.

    Also known as iteratively reweighted least squares; see P. McCullagh and J. A. Nelder,
    "Generalized linear models", 2nd edition (1989), section 2.5.

    Examples
    --------
    >>> newton(np.array([-1.0, 0.0, 0.0, 1.0, -1.0, 1.0]), np.array([0, 0, 1, 1, 1, 0])) + 0.0
    array([0., 0.])
    """
    scaling = Scaling.of(x)
    design, sign = np.stack([scaling.apply(x), np.ones_like(x)], axis=1), 2.0 * y - 1.0

    def surprise(parameters: Array) -> float:
        return float(np.logaddexp(0, -sign * (design @ parameters)).mean())

    best = np.zeros(2)
    for _ in range(iterations):
        chance = probability(best, design[:, 0])
        weighted = design * (chance * (1 - chance))[:, np.newaxis]
        step = np.linalg.lstsq(weighted.T @ design, design.T @ (y - chance), rcond=None)[0]
        while surprise(best + step) > surprise(best):
            step = step / 2  # a whole step can leap over the lowest point
        best = best + step
    return np.array(scaling.undo(*best))


def check_outcomes(table: Table) -> None:
    """Refuse outcomes other than 0 and 1, and such as no curve fits best."""
    x, y = table.values.T
    for row in np.flatnonzero((y != 0) & (y != 1)):
        table.reject(int(row), 1, "0 or 1")
    x_name, y_name = table.columns
    if np.ptp(y) == 0:
        raise InputError(
            f"{table.path}, column '{y_name}': found {y[0]:g} in all {len(y)} rows, "
            "expected both 0 and 1; add rows with the other outcome"
        )
    without, having = x[y == 0], x[y == 1]
    if without.max() <= having.min() or having.max() <= without.min():
        raise InputError(
            f"{table.path}: '{x_name}' separates the rows where '{y_name}' is 0 from those where "
            "it is 1, expected an overlap; the steeper the curve the better, so none is best"
        )


def report(table: Table, descent: Descent, check: Array, at: float | None) -> bool:
    """Print the path and the curve, compare it with the check, and say if they agree."""
    x, y = table.values.T
    print(f"{len(y)} rows of {table.path.name}: {table.columns[1]} over {table.columns[0]}")
    print_path(descent, ("slope", "intercept", "surprise"))
    for method, (slope, intercept) in (("gradient descent", descent.last), ("Newton", check)):
        line = line_text(slope, table.columns[0], intercept)
        print(f"{method:>16}: P({table.columns[1]} = 1) = sigmoid({line})")
    if at is not None:
        chance = float(probability(descent.last, at))
        print(f"P({table.columns[1]} = 1) at {table.columns[0]} {at:g}: {chance:.4f}", end="")
        inside = x.min() <= at <= x.max()
        print("" if inside else f" (the data lie between {x.min():g} and {x.max():g})")
    gap = np.abs(probability(descent.last, x) - probability(check, x)).max()
    return verdict(bool(gap <= 1e-6), f"probabilities at most {gap:.3g} apart")


def draw(figure: Any, table: Table, descent: Descent, at: float | None) -> None:
    """Draw the outcomes with some of the curves tried, and beside them how the loss fell."""
    axes, losses = figure.subplots(1, 2)
    x, y = table.values.T
    axes.plot(x, y, "o", color="tab:blue", markersize=4, alpha=0.5)
    shown = x if at is None else np.append(x, at)
    line = np.linspace(shown.min(), shown.max(), 200)
    for step in descent.milestones()[:-1]:
        axes.plot(line, probability(descent.path[step], line), color="tab:orange", linewidth=0.7)
    axes.plot(line, probability(descent.last, line), color="tab:red", label="most likely curve")
    if at is not None:
        axes.plot(at, probability(descent.last, at), "*", color="tab:red", markersize=12)
    axes.set(xlabel=table.columns[0], ylabel=f"P({table.columns[1]} = 1)", title="The curves tried")
    axes.legend()
    draw_losses(losses, descent.losses, "mean surprise")


def solve(options: argparse.Namespace) -> bool:
    """Do what the command line asks for; return whether the check agrees."""
    columns = options.columns or (None if options.file else ("temperature", "distress"))
    table = read_table(options.file or FLIGHTS, columns)
    check_spread(table)
    check_outcomes(table)
    at = CHALLENGER if options.file is None and options.at is None else options.at
    x, y = table.values.T
    descent = descend(x, y, options.rate or RATE, options.steps, show_progress=True)
    agrees = report(table, descent, newton(x, y), at)
    path = picture_path(options, f"{NAME}.png")
    if path is not None:
        print(write_picture(path, lambda figure: draw(figure, table, descent, at), (10.0, 4.5)))
    return agrees


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if the check agrees, 1 if not, 2 if the input can't be used."""
    parser = CommandLine(
        NAME, "Fit a logistic curve by gradient descent.", rate=f"{RATE}", steps=500
    )
    parser.add_argument("--at", type=number, metavar="X", help="print the probability there")
    return run(parser, solve, arguments)


if __name__ == "__main__":
    sys.exit(main())
