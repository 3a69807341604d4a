"""NumPy: values without derivatives; gradients are written by hand beside each question."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from .base import Adapter


class NumpyAdapter(Adapter):
    name = "numpy"
    tracks = False
    xp = scalars = np

    def leaves(self, values: Sequence[float]) -> list[Any]:
        return [np.float64(value) for value in values]

    def array(self, values: np.ndarray) -> Any:
        return values


ADAPTER = NumpyAdapter()
