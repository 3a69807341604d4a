"""Where is the middle of Europe? The geometric median of its capitals, by gradient descent.

The geometric median of some points is the place with the smallest mean distance to
them. There is no formula for it, but it is found by walking downhill: `loss.backward()`
says which way the mean distance grows, and a step goes the other way. Run it with::

    python -m wengert.examples.geometric_median
    python -m wengert.examples.geometric_median FILE.csv --columns X,Y

The capitals lie on a globe, so they are first laid out on a map in kilometres whose
centre is in the middle of them. The columns of your file are taken as they are, as
coordinates in a plane; say ``--degrees`` if they are longitude and latitude.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

import wengert as wg

from ._chart import Chart, FlatChart, GlobeChart, check_degrees, great_circle_distance
from ._command import CommandLine, picture_path, run, two_numbers, verdict
from ._descent import Descent, print_path
from ._errors import InputError
from ._picture import write_picture
from ._progress import Progress
from ._table import DATA, Table, read_labels, read_table

CAPITALS = DATA / "european_capitals.csv"
CAPITALS_COLUMNS = ("longitude", "latitude")
NAME = "geometric_median"

Array = NDArray[np.float64]


def mean_distance(points: wg.Tensor, place: wg.Tensor) -> wg.Tensor:
    """Return the mean Euclidean distance from a place to points.

    Parameters
    ----------
    points : Tensor, shape (n, 2)
    place : Tensor, shape (2,)

    Examples
    --------
    >>> corners = wg.tensor([[0.0, 0.0], [6.0, 0.0], [6.0, 8.0], [0.0, 8.0]])
    >>> mean_distance(corners, wg.tensor([3.0, 4.0])).item()
    5.0
    """
    # norm has the gradient 0 at a distance of 0; sqrt of a sum of squares would have none.
    return wg.norm(points - place, axis=1).mean()


def descend(
    points: Array,
    start: Array,
    rate: float | None = None,
    steps: int = 500,
    *,
    show_progress: bool = False,
) -> Descent:
    """Walk from `start` towards the geometric median of points.

    Parameters
    ----------
    points : ndarray, shape (n, 2)
        Coordinates in a plane.
    start : ndarray, shape (2,)
        Where to begin.
    rate : float, optional
        A step is this times the gradient, which has a length of at most 1. By default
        the mean distance of the points from their mean, which fits data of any size.
    steps : int
        How many places to visit.
    show_progress : bool
        Show the loop's progress on standard error.

    Examples
    --------
    >>> triangle = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> descend(triangle, np.array([0.5, 1.5])).best.round(6) + 0.0
    array([0.     , 0.57735])
    """
    rate = spread(points) if rate is None else rate
    cloud = wg.tensor(points)
    place = wg.tensor(start, requires_grad=True)
    descent = Descent()
    progress = Progress(steps, shown=show_progress)
    for _ in progress:
        loss = mean_distance(cloud, place)
        loss.backward()
        descent.record(loss.item(), *place.tolist())
        progress.note(f"mean distance {loss.item():.9g}")
        if descent.went_up():
            rate /= 2  # the last step went too far, over the valley and up the other side
        with wg.no_grad():
            place -= rate * place.grad
        place.grad = None
    return descent


def spread(points: Array) -> float:
    """Return the mean distance of points from their mean."""
    return float(np.linalg.norm(points - points.mean(axis=0), axis=1).mean())


def weiszfeld(points: Array, iterations: int = 10_000) -> Array:
    """Find the geometric median by repeated weighted means, without a gradient.

    E. Weiszfeld, "Sur le point pour lequel la somme des distances de n points donnés est
    minimum", Tohoku Mathematical Journal 43 (1937) 355-386; with the step of Y. Vardi and
    C.-H. Zhang, "The multivariate L1-median and associated data depth", PNAS 97 (2000)
    1423-1426, for a place that is itself one of the points.

    Examples
    --------
    >>> triangle = np.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    >>> weiszfeld(triangle).round(6) + 0.0
    array([0.     , 0.57735])
    """
    place: Array = points.mean(axis=0)
    for _ in range(iterations):
        offsets = points - place
        distances = np.linalg.norm(offsets, axis=1)
        away = distances > 0
        weights = 1 / distances[away]
        pull = weights @ offsets[away]
        strength, held = float(np.linalg.norm(pull)), int(np.sum(~away))
        if strength <= held:
            break  # each point that lies here pulls back with strength 1
        step = (1 - held / strength) * pull / weights.sum()
        place = place + step
        if np.linalg.norm(step) <= 1e-15 * distances.max():
            break
    return place


@dataclass(frozen=True)
class Task:
    """The points to find the median of, and how to speak about them."""

    points: Array
    chart: Chart
    table: Table
    labels: list[str]

    @property
    def on_globe(self) -> bool:
        """Whether the coordinates are longitude and latitude."""
        return isinstance(self.chart, GlobeChart)

    def start(self, asked: tuple[float, float] | None) -> Array:
        """Return the place to begin at; the lower left corner of the points by default."""
        corner: Array = self.points.min(axis=0)
        if asked is None:
            return corner
        if self.on_globe and (abs(asked[0]) > 180 or abs(asked[1]) > 90):
            raise InputError(
                f"--start: found {asked[0]:g},{asked[1]:g}, expected a longitude from -180 to 180 "
                "and a latitude from -90 to 90 degrees"
            )
        start: Array = self.chart.to_plane(np.array([asked]))[0]
        return start


def load(options: argparse.Namespace) -> Task:
    """Read the file that the command line asks for, or the capitals."""
    if options.file is None:
        return globe_task(read_table(CAPITALS, CAPITALS_COLUMNS), read_labels(CAPITALS, "capital"))
    table = read_table(options.file, options.columns)
    return globe_task(table, []) if options.degrees else Task(table.values, FlatChart(), table, [])


def globe_task(table: Table, labels: list[str]) -> Task:
    """Lay longitudes and latitudes out on a map."""
    check_degrees(table)
    chart = GlobeChart(table.values)
    return Task(chart.to_plane(table.values), chart, table, labels)


def report(task: Task, descent: Descent, check: Array) -> bool:
    """Print the path and the result, compare it with the check, and say if they agree."""
    print(f"{len(task.points)} points of {task.table.path.name}: {', '.join(task.table.columns)}")
    names = (*task.table.columns, "distance in km" if task.on_globe else "mean distance")
    print_path(descent, names, task.chart.from_plane(descent.path))
    places = task.chart.from_plane(np.stack([descent.best, check]))
    losses = [float(np.linalg.norm(task.points - p, axis=1).mean()) for p in (descent.best, check)]
    for method, place, loss in zip(("gradient descent", "Weiszfeld"), places, losses, strict=True):
        at = ", ".join(f"{number:.9g}" for number in place)
        print(f"{method:>16}: ({at}), mean distance {loss:.9g}{task.chart.unit}")
    if task.on_globe:
        report_globe(task, places[0], losses[0])
    gap = float(np.linalg.norm(descent.best - check))
    # Points on one line can have many medians, so the mean distance decides, not the place.
    return verdict(losses[0] - losses[1] <= 1e-8 * losses[1], f"{gap:.3g}{task.chart.unit} apart")


def report_globe(task: Task, place: Array, loss: float) -> None:
    """Print what the map's distances are on the ground, and which place is nearest."""
    ground = great_circle_distance(place, task.table.values)
    print(f"{'on the globe':>16}: mean distance {ground.mean():.3f} km,", end=" ")
    print(f"the map is off by {100 * abs(loss / ground.mean() - 1):.3f} %")
    if task.labels:
        nearest = int(np.argmin(ground))
        print(f"{'nearest capital':>16}: {task.labels[nearest]}, {ground[nearest]:.0f} km away")


def draw(figure: Any, task: Task, descent: Descent) -> None:
    """Draw the points, the path over them and lines of equal mean distance."""
    axes = figure.add_subplot(aspect="equal")
    everything = np.concatenate([task.points, descent.path])
    margin = 0.05 * np.ptp(everything, axis=0).max() or 1.0
    x, y = np.linspace(everything.min(axis=0) - margin, everything.max(axis=0) + margin, 80).T
    # The lines of a thousand points look like those of a million and don't take minutes.
    some = task.points[:: len(task.points) // 1000 + 1]
    heights = [[np.hypot(*(some - (a, b)).T).mean() for a in x] for b in y]
    lines = axes.contour(x, y, heights, levels=12, cmap="Greys", linewidths=0.7)
    axes.clabel(lines, fontsize=6)
    axes.plot(*task.points.T, "o", color="tab:blue", markersize=3)
    for point, label in zip(task.points, task.labels, strict=False):
        axes.annotate(label, point, fontsize=5, xytext=(2, 2), textcoords="offset points")
    axes.plot(*descent.path.T, ".-", color="tab:orange", label="gradient descent")
    axes.plot(*descent.best, "*", color="tab:red", markersize=12, label="geometric median")
    names = ("km east", "km north") if task.on_globe else task.table.columns
    axes.set(xlabel=names[0], ylabel=names[1], title="Mean distance, and the way down")
    figure.legend(loc="outside lower center", ncols=2)


def solve(options: argparse.Namespace) -> bool:
    """Do what the command line asks for; return whether the check agrees."""
    if options.file is None and (options.degrees or options.columns):
        raise InputError(
            "--degrees and --columns describe a FILE.csv, found none; give one or leave them out"
        )
    task = load(options)
    start = task.start(options.start)
    descent = descend(task.points, start, options.rate, options.steps, show_progress=True)
    agrees = report(task, descent, weiszfeld(task.points))
    path = picture_path(options, f"{NAME}.png")
    if path is not None:
        print(write_picture(path, lambda figure: draw(figure, task, descent)))
    return agrees


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line: 0 if the check agrees, 1 if not, 2 if the input can't be used."""
    parser = CommandLine(
        NAME,
        "Find the point with the smallest mean distance to others by gradient descent.",
        rate="the mean distance of the points from their mean",
        steps=500,
    )
    parser.add_argument(
        "--start", type=two_numbers, metavar="X,Y", help="where to begin (the lower left corner)"
    )
    parser.add_argument(
        "--degrees", action="store_true", help="X,Y are longitude and latitude in degrees"
    )
    return run(parser, solve, arguments)


if __name__ == "__main__":
    sys.exit(main())
