"""The record of a descent: where it was at each step, and how good that was."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ._errors import DescentError


@dataclass
class Descent:
    """Parameters and loss at every step of a gradient descent.

    Examples
    --------
    >>> descent = Descent()
    >>> descent.record(9.0, 3.0, 0.0)
    >>> descent.record(1.0, 1.0, 0.0)
    >>> descent.best
    array([1., 0.])
    >>> descent.last
    array([1., 0.])
    >>> descent.went_up()
    False
    """

    steps: list[tuple[float, ...]] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)

    def record(self, loss: float, *parameters: float) -> None:
        """Add a step; raise `DescentError` if it is no longer finite."""
        if not all(map(math.isfinite, (loss, *parameters))):
            raise DescentError(
                f"the descent diverged at step {len(self.losses)}: the loss is {loss}, expected "
                "a finite number; choose a smaller --rate"
            )
        self.losses.append(loss)
        self.steps.append(parameters)

    def went_up(self) -> bool:
        """Tell whether the last step made the loss larger."""
        return len(self.losses) > 1 and self.losses[-1] > self.losses[-2]

    @property
    def path(self) -> NDArray[np.float64]:
        """All parameters, one row for each step."""
        return np.array(self.steps)

    @property
    def last(self) -> NDArray[np.float64]:
        """The parameters of the last step."""
        return np.array(self.steps[-1])

    @property
    def best(self) -> NDArray[np.float64]:
        """The parameters with the smallest loss."""
        return np.array(self.steps[int(np.argmin(self.losses))])

    def milestones(self) -> list[int]:
        """Choose a few steps to print: 0, 1, 2, 5, 10, 20, 50, ... and the last.

        Examples
        --------
        >>> Descent([(0.0,)] * 30, [0.0] * 30).milestones()
        [0, 1, 2, 5, 10, 20, 29]
        """
        last = len(self.losses) - 1
        steps = [digit * 10**power for power in range(len(str(last))) for digit in (1, 2, 5)]
        return [0, *(step for step in steps if step < last), *([last] if last else [])]


def print_path(
    descent: Descent, names: tuple[str, ...], rows: NDArray[np.float64] | None = None
) -> None:
    """Print a few steps as a table: the step, its parameters, its loss.

    Parameters
    ----------
    descent : Descent
        What to print.
    names : tuple of str
        Headings of the parameters, then of the loss.
    rows : ndarray, optional
        What to show in place of the parameters, if they need translation.
    """
    rows = descent.path if rows is None else rows
    print("  step" + "".join(f"{name:>18}" for name in names))
    for step in descent.milestones():
        numbers = (*rows[step], descent.losses[step])
        print(f"{step:6d}" + "".join(f"{number:18.9g}" for number in numbers))


def line_text(slope: float, name: str, intercept: float) -> str:
    """Write a straight line as a formula.

    Examples
    --------
    >>> line_text(2.0, "x", -0.5)
    '2 * x - 0.5'
    """
    return f"{slope:.9g} * {name} {'-' if intercept < 0 else '+'} {abs(intercept):.9g}"
