"""Writing the picture of a descent, where matplotlib is installed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ._errors import InputError
from ._optional import import_optional

HINT = "install it with 'pip install matplotlib', or"


def check_picture(path: Path | None) -> None:
    """Refuse a picture the user asked for that can't be made, before any work is done."""
    if path is None:
        return
    if import_optional("matplotlib.figure") is None:
        raise InputError(
            f"--picture {path}: matplotlib is not installed; {HINT} leave out --picture"
        )
    if not path.parent.is_dir():
        raise InputError(
            f"--picture {path}: there is no directory {path.parent}, expected an existing one; "
            "create it or choose another path"
        )


def write_picture(
    path: Path, draw: Callable[[Any], None], size: tuple[float, float] = (8.0, 6.0)
) -> str:
    """Draw on a new matplotlib figure, save it and return a sentence that says where.

    Parameters
    ----------
    path : Path
        Where to save; the ending says in which format (.png, .svg, .pdf).
    draw : callable
        Takes the `matplotlib.figure.Figure` and draws on it.
    size : pair of float
        Width and height in inches.
    """
    matplotlib = import_optional("matplotlib.figure")
    if matplotlib is None:
        return f"picture: none, as matplotlib is not installed; {HINT} say --no-picture"
    # A Figure without pyplot draws with Agg and touches no display and no global state.
    figure = matplotlib.Figure(figsize=size, layout="constrained")
    draw(figure)
    try:
        figure.savefig(path, dpi=150)
    except (OSError, ValueError) as error:
        raise InputError(
            f"--picture {path}: can't be written ({error}); "
            "choose another path, or say --no-picture"
        ) from None
    return f"picture: {path.resolve()}"


def draw_losses(axes: Any, losses: Sequence[float], name: str) -> None:
    """Draw how a loss fell, step by step."""
    axes.plot(losses, ".-", color="tab:orange", markersize=4)
    # The first steps do nearly all the work; a logarithmic axis shows them.
    axes.set(xscale="symlog", xlabel="step", ylabel=name, title="The way down")
    axes.set_xlim(left=0)
