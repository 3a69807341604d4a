"""Showing how a loop gets on: a bar in a terminal, a few plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from ._optional import import_optional

PLAIN_LINES = 5


class Progress:
    """Count the steps of a loop and show them on standard error.

    With tqdm installed and a terminal to draw on, a bar; otherwise about five lines.

    Parameters
    ----------
    steps : int
        How often the loop runs.
    shown : bool
        Show nothing if false, so that library use stays silent.

    Examples
    --------
    >>> progress = Progress(3, shown=False)
    >>> for step in progress:
    ...     progress.note(f"step {step}")
    """

    def __init__(self, steps: int, *, shown: bool = True) -> None:
        self.steps = steps
        self.shown = shown
        self._note = ""

    def note(self, text: str) -> None:
        """Say what to show beside the number of steps."""
        self._note = text

    def __iter__(self) -> Iterator[int]:
        if not self.shown:
            return iter(range(self.steps))
        tqdm = import_optional("tqdm") if sys.stderr.isatty() else None
        return self._lines() if tqdm is None else self._bar(tqdm.tqdm)

    def _lines(self) -> Iterator[int]:
        every = max(1, self.steps // PLAIN_LINES)
        for step in range(self.steps):
            yield step
            if (step + 1) % every == 0:
                print(f"  step {step + 1} of {self.steps}: {self._note}", file=sys.stderr)

    def _bar(self, tqdm: type) -> Iterator[int]:
        with tqdm(total=self.steps, unit="step", file=sys.stderr) as bar:
            for step in range(self.steps):
                yield step
                bar.set_postfix_str(self._note, refresh=False)
                bar.update()
