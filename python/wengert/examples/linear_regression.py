"""How fast does the universe expand? A straight line through Hubble's nebulae of 1929.

The line y = slope * x + intercept with the smallest mean squared error is found by
gradient descent and compared with the textbook formula. Run it with::

    python -m wengert.examples.linear_regression
    python -m wengert.examples.linear_regression FILE.csv --columns X,Y

Hubble's slope is in kilometres per second per megaparsec. It is about seven times
today's value, as his distances were too small; that velocity grows with distance was right.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

import wengert as wg

from ._command import CommandLine, picture_path, run, verdict
from ._descent import Descent, line_text, print_path
from ._picture import draw_losses, write_picture
from ._progress import Progress
from ._scaling import Scaling, check_spread
from ._table import DATA, Table, read_table

NEBULAE = DATA / "hubble_1929.csv"
NAME = "linear_regression"
RATE = 0.1

Array = NDArray[np.float64]


def mean_squared_error(
    x: wg.Tensor, y: wg.Tensor, slope: wg.Tensor, intercept: wg.Tensor
) -> wg.Tensor:
    """Return how far a line misses some points, squared, on average.

    Examples
    --------
    >>> x, y = wg.tensor([0.0, 1.0, 2.0]), wg.tensor([1.0, 3.0, 8.0])
    >>> mean_squared_error(x, y, wg.tensor(2.0), wg.tensor(1.0)).item()
    3.0
    """
    error = y - (slope * x + intercept)
    return (error**2).mean()


def descend(
    x: Array, y: Array, rate: float = RATE, steps: int = 200, *, show_progress: bool = False
) -> Descent:
    """Fit a line to points by gradient descent; the record holds (slope, intercept).

    Parameters
    ----------
    x, y : ndarray, shape (n,)
        The points; x has at least two different numbers.
    rate : float
        A step is this times the gradient. Any rate below 1 ends at the line, whatever the
        data: over the standardised x the error is a bowl of curvature 2 in each direction.
    steps : int
        How many lines to try.
    show_progress : bool
        Show the loop's progress on standard error.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> descend(x, 3 * x + 1).best.round(6)
    array([3., 1.])
    """
    scaling = Scaling.of(x)
    inputs, targets = wg.tensor(scaling.apply(x)), wg.tensor(y)
    slope = wg.tensor(0.0, requires_grad=True)
    intercept = wg.tensor(0.0, requires_grad=True)
    descent = Descent()
    progress = Progress(steps, shown=show_progress)
    for _ in progress:
        loss = mean_squared_error(inputs, targets, slope, intercept)
        loss.backward()
        descent.record(loss.item(), *scaling.undo(slope.item(), intercept.item()))
        progress.note(f"mean squared error {loss.item():.6g}")
        with wg.no_grad():
            slope -= rate * slope.grad
            intercept -= rate * intercept.grad
        slope.grad = intercept.grad = None
    return descent


def least_squares(x: Array, y: Array) -> Array:
    """Return (slope, intercept) of the best line by the formula of Legendre and Gauss.

    Examples
    --------
    >>> x = np.array([0.0, 1.0, 2.0])
    >>> least_squares(x, 3 * x + 1)
    array([3., 1.])
    """
    centred = x - x.mean()
    slope = float(centred @ (y - y.mean()) / (centred @ centred))
    return np.array([slope, y.mean() - slope * x.mean()])


def report(table: Table, descent: Descent, check: Array) -> bool:
    """Print the path and the line, compare it with the check, and say if they agree."""
    x, y = table.values.T
    print(f"{len(x)} points of {table.path.name}: {table.columns[1]} over {table.columns[0]}")
    print_path(descent, ("slope", "intercept", "squared error"))
    for method, (slope, intercept) in (("gradient descent", descent.last), ("formula", check)):
        line = line_text(slope, table.columns[0], intercept)
        print(f"{method:>16}: {table.columns[1]} = {line}")
    gap = np.abs(np.polyval(descent.last, x) - np.polyval(check, x)).max()
    return verdict(bool(gap <= 1e-8 * np.abs(y).max()), f"at most {gap:.3g} apart at the points")


def draw(figure: Any, table: Table, descent: Descent) -> None:
    """Draw the points with some of the lines tried, and beside them how the error fell."""
    axes, losses = figure.subplots(1, 2)
    x, y = table.values.T
    axes.plot(x, y, "o", color="tab:blue", markersize=4)
    ends = np.array([x.min(), x.max()])
    for step in descent.milestones()[:-1]:
        axes.plot(ends, np.polyval(descent.path[step], ends), color="tab:orange", linewidth=0.7)
    axes.plot(ends, np.polyval(descent.last, ends), color="tab:red", label="best line")
    axes.set(xlabel=table.columns[0], ylabel=table.columns[1], title="The lines on the way")
    axes.legend()
    draw_losses(losses, descent.losses, "mean squared error")


def solve(options: argparse.Namespace) -> bool:
    """Do what the command line asks for; return whether the check agrees."""
    columns = options.columns or (None if options.file else ("distance", "velocity"))
    table = read_table(options.file or NEBULAE, columns)
    check_spread(table)
    x, y = table.values.T
    descent = descend(x, y, options.rate or RATE, options.steps, show_progress=True)
    agrees = report(table, descent, least_squares(x, y))
    path = picture_path(options, f"{NAME}.png")
    if path is not None:
        print(write_picture(path, lambda figure: draw(figure, table, descent), (10.0, 4.5)))
    return agrees


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if the check agrees, 1 if not, 2 if the input can't be used."""
    parser = CommandLine(
        NAME, "Fit a straight line by gradient descent.", rate=f"{RATE}", steps=200
    )
    return run(parser, solve, arguments)


if __name__ == "__main__":
    sys.exit(main())
