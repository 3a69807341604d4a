"""What the examples' command lines have in common."""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from ._errors import DescentError, InputError
from ._picture import check_picture

AGREES, DISAGREES, BAD_INPUT = 0, 1, 2


class CommandLine(argparse.ArgumentParser):
    """The options that every example has; an example adds its own.

    Parameters
    ----------
    name : str
        Name of the example's module.
    description : str
        First paragraph of ``--help``.
    rate, steps : str, int
        Default rate, in words, and default number of steps.
    """

    def __init__(self, name: str, description: str, *, rate: str, steps: int) -> None:
        super().__init__(
            prog=name,
            description=description,
            epilog="Exit code: 0 if the check agrees, 1 if not, 2 if the input can't be used.",
        )
        self.add_argument(
            "file", nargs="?", type=Path, metavar="FILE.csv", help="your data in place of ours"
        )
        self.add_argument(
            "--columns", type=two_names, metavar="X,Y", help="columns of FILE.csv (its first two)"
        )
        self.add_argument("--rate", type=positive_number, help=f"length of a step ({rate})")
        self.add_argument("--steps", type=positive_count, default=steps, help=f"({steps})")
        picture = self.add_mutually_exclusive_group()
        picture.add_argument(
            "--picture", type=Path, metavar="PATH", help=f"where to draw the descent ({name}.png)"
        )
        picture.add_argument("--no-picture", action="store_true", help="draw nothing")

    def error(self, message: str) -> NoReturn:
        """Report an unusable command line in the same way as an unusable file."""
        raise InputError(f"{message}; see --help")


def run(
    parser: CommandLine,
    solve: Callable[[argparse.Namespace], bool],
    arguments: Sequence[str] | None,
) -> int:
    """Parse the arguments, solve, and turn every way to end into an exit code.

    Parameters
    ----------
    parser : CommandLine
        Knows the options.
    solve : callable
        Takes the parsed options, prints the results, and returns whether the check agrees.
    arguments : sequence of str, optional
        The command line; that of the process by default.
    """
    try:
        options = parser.parse_args(arguments)
        check_picture(options.picture)
        return AGREES if solve(options) else DISAGREES
    except InputError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return BAD_INPUT
    except DescentError as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return DISAGREES


def picture_path(options: argparse.Namespace, default: str) -> Path | None:
    """Return where to draw, or None after ``--no-picture``."""
    return None if options.no_picture else options.picture or Path(default)


def verdict(agrees: bool, difference: str) -> bool:
    """Print how the check came out, and what to do if it failed; return `agrees`."""
    if agrees:
        print(f"check: the two agree ({difference})")
    else:
        print(f"check: the two DISAGREE ({difference}); try more --steps or another --rate")
    return agrees


def two_names(text: str) -> tuple[str, str]:
    """Read ``X,Y``.

    Examples
    --------
    >>> two_names("distance, velocity")
    ('distance', 'velocity')
    """
    names = tuple(name.strip() for name in text.split(","))
    if len(names) != 2 or "" in names or names[0] == names[1]:
        raise argparse.ArgumentTypeError(f"found '{text}', expected two different names as X,Y")
    return names[0], names[1]


def number(text: str) -> float:
    """Read a finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"found '{text}', expected a finite number")
    return value


def two_numbers(text: str) -> tuple[float, float]:
    """Read ``X,Y`` as numbers.

    Examples
    --------
    >>> two_numbers("16.4,48.2")
    (16.4, 48.2)
    """
    parts = text.split(",")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"found '{text}', expected two numbers as X,Y")
    return number(parts[0]), number(parts[1])


def positive_number(text: str) -> float:
    """Read a finite number above zero."""
    value = number(text)
    if value <= 0:
        raise argparse.ArgumentTypeError(f"found '{text}', expected a number above 0")
    return value


def positive_count(text: str) -> int:
    """Read a whole number above zero."""
    if not (text.isascii() and text.isdigit() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"found '{text}', expected a whole number above 0")
    return int(text)
