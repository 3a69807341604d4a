"""Plain Python floats and ``math``: what the arithmetic itself costs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .base import Adapter, MathScalars


class PythonAdapter(Adapter):
    name = "python"
    tracks = False
    scalars = MathScalars

    def leaves(self, values: Sequence[float]) -> list[Any]:
        return list(values)


ADAPTER = PythonAdapter()
