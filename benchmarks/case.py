"""The vocabulary shared by questions, workers and reports."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

OURS = "wengert"
BEST_PEER = "the best peer"


class UnsupportedError(Exception):
    """The peer has no way to say this workload; the table shows a dash."""


class WrongResultError(Exception):
    """The peer's result differs from the reference, so its time does not count."""


@dataclass(frozen=True)
class Case:
    """One row (or a few, one for each metric) of a question's table.

    ``metrics`` maps the name of a measured quantity to its unit: ``s`` for times, which are printed
    with a fitting prefix, or the text that follows a plain number.
    """

    name: str
    family: str
    size: int = 1
    dtype: str = "float64"
    threads: int = 1
    busy: bool = False
    fresh: bool = False
    metrics: Mapping[str, str] = field(default_factory=lambda: {"time": "s"})

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> Case:
        return cls(**fields)


@dataclass
class Workload:
    """What a peer does for a case.

    ``run`` does the work once; its time is divided by ``per`` (elements, operations). Its result is
    compared with the reference, or that of ``checked`` where one run shows too little. ``measure``
    replaces the timing where one number is not enough: it gets the seconds it may take and returns
    the case's metrics.
    """

    run: Callable[[], Any]
    per: float = 1.0
    checked: Callable[[], Any] | None = None
    measure: Callable[[float], dict[str, float]] | None = None


@dataclass(frozen=True)
class Aim:
    """A figure to reach: our value of a row is at most ``at_most`` times the baseline's.

    The baseline is a peer on the same row, our own value on another row (``of_case``), or 1 when
    neither is named; then ``at_most`` is absolute. ``ceiling`` marks what must hold already.
    """

    case: str
    at_most: float
    of_peer: str | None = None
    of_case: str | None = None
    metric: str = "time"
    ceiling: bool = False


def power_of_ten(number: int) -> str:
    """Return ``10^6`` for 1000000 and plain digits for what is no power of ten."""
    digits = str(number)
    exact = digits == "1" + "0" * (len(digits) - 1) and number >= 1000
    return f"10^{len(digits) - 1}" if exact else digits
