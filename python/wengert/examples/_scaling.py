"""Bringing a column of numbers to mean 0 and spread 1, so that one rate fits all data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ._errors import InputError
from ._table import Table


@dataclass(frozen=True)
class Scaling:
    """How far a column was shifted and by what it was divided.

    A descent on x = 1900, 1901, ... as it is would need a tiny rate for the slope and
    millions of steps for the intercept; on the standardised column both learn alike.

    Examples
    --------
    >>> scaling = Scaling.of(np.array([10.0, 20.0]))
    >>> scaling.apply(np.array([10.0, 20.0]))
    array([-1.,  1.])
    >>> scaling.undo(5.0, 3.0)  # 5 * (x - 15) / 5 + 3
    (1.0, -12.0)
    """

    middle: float
    width: float

    @staticmethod
    def of(column: NDArray[np.float64]) -> Scaling:
        """Measure a column; its numbers must not all be equal."""
        return Scaling(float(column.mean()), float(column.std()))

    def apply(self, column: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the standardised column."""
        return (column - self.middle) / self.width

    def undo(self, slope: float, intercept: float) -> tuple[float, float]:
        """Translate a line over the standardised column into one over the column itself."""
        slope = slope / self.width
        return slope, intercept - slope * self.middle


def check_spread(table: Table) -> None:
    """Refuse a table whose first column holds the same number everywhere."""
    if np.ptp(table.values[:, 0]) > 0:
        return
    raise InputError(
        f"{table.path}, column '{table.columns[0]}': found {table.values[0, 0]:g} in all "
        f"{len(table.values)} rows, expected at least two different numbers; "
        "a line through a single x has no slope"
    )
