"""Reading two columns of numbers from a CSV file, with errors that name the line."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import numpy as np
from numpy.typing import NDArray

from ._errors import InputError

DATA = Path(__file__).parent / "data"

# Beyond this, squares of differences leave float64 and every sum of them is infinite.
LARGEST = 1e100


@dataclass(frozen=True)
class Table:
    """Chosen columns of a CSV file, one array row for each line that holds data.

    Attributes
    ----------
    path : Path
        The file, for messages.
    columns : tuple of str
        Names of the chosen columns.
    values : ndarray, shape (rows, len(columns))
        Their numbers, all finite.
    lines : tuple of int
        Line number in the file of each row.
    """

    path: Path
    columns: tuple[str, ...]
    values: NDArray[np.float64]
    lines: tuple[int, ...]

    def reject(self, row: int, column: int, expected: str) -> NoReturn:
        """Raise the `InputError` for one number that is of no use to the caller."""
        found = f"{self.values[row, column]:g}"
        raise bad_cell(self.path, self.lines[row], self.columns[column], found, expected)


def bad_cell(path: Path, line: int, column: str, found: str, expected: str) -> InputError:
    """Describe a cell: where it is, what it holds and what it should hold."""
    return InputError(
        f"{path}, line {line}, column '{column}': found {found}, expected {expected}; "
        "correct the cell, or choose other columns with --columns"
    )


def read_table(path: str | Path, columns: Sequence[str] | None = None) -> Table:
    """Read columns of finite numbers from a CSV file with a header line.

    Parameters
    ----------
    path : str or Path
        A comma-separated file, encoded in UTF-8. Blank lines are skipped.
    columns : sequence of str, optional
        Names of the columns to read; the first two of the file by default.

    Raises
    ------
    InputError
        If the file can't be read, lacks a column or holds anything but finite numbers
        in the chosen columns.

    Examples
    --------
    >>> table = read_table(DATA / "hubble_1929.csv", ["distance", "velocity"])
    >>> table.values.shape
    (24, 2)
    """
    path = Path(path)
    rows = _rows(path)
    if not rows:
        raise InputError(
            f"{path}: the file is empty, expected a header line with column names and "
            "lines of numbers below it; check that this is the right file"
        )
    header_line, header = rows[0]
    names, places = _find_columns(path, header_line, header, columns)
    if len(rows) == 1:
        raise InputError(
            f"{path}, line {header_line}: found a header and no rows, expected lines of "
            "numbers below it; check that the file is complete"
        )
    values = [_numbers(path, line, header, places, cells) for line, cells in rows[1:]]
    return Table(path, names, np.array(values), tuple(line for line, _ in rows[1:]))


def read_labels(path: Path, column: str) -> list[str]:
    """Read one column of text from a file that `read_table` accepts."""
    rows = _rows(path)
    place = rows[0][1].index(column)
    return [cells[place] for _, cells in rows[1:]]


def _rows(path: Path) -> list[tuple[int, list[str]]]:
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        return [
            (reader.line_num, [cell.strip() for cell in cells])
            for cells in reader
            if any(cell.strip() for cell in cells)
        ]
    except csv.Error as error:
        raise InputError(
            f"{path}, line {reader.line_num}: not readable as CSV ({error}), expected "
            "cells separated by commas; check the quotation marks of this line"
        ) from None


def _text(path: Path) -> str:
    try:
        content = path.read_bytes()
    except OSError as error:
        raise InputError(
            f"{path}: can't be read ({error.strerror}), expected a CSV file; check the path"
        ) from None
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # Positions count from behind the byte order mark where the decoder dropped one.
        start = error.start + len(content) - len(error.object)
        line = content.count(b"\n", 0, start) + 1
        raise InputError(
            f"{path}, line {line}: found the byte 0x{content[start]:02X} that is not UTF-8, "
            "expected UTF-8 text; save the file as 'CSV UTF-8'"
        ) from None


def _find_columns(
    path: Path, line: int, header: list[str], columns: Sequence[str] | None
) -> tuple[tuple[str, ...], list[int]]:
    found = ", ".join(f"'{name}'" for name in header)
    names = tuple(columns) if columns is not None else tuple(header[:2])
    if columns is None and len(header) < 2:
        raise InputError(
            f"{path}, line {line}: found one column, {found}, expected at least two "
            "separated by commas; add a column, or use commas between the columns"
        )
    if columns is None and all(_parse(name) is not None for name in header):
        raise InputError(
            f"{path}, line {line}: found numbers, {found}, expected column names; "
            "add a header line such as x,y"
        )
    for name in names:
        if header.count(name) != 1:
            problem = "no column" if name not in header else "more than one column"
            raise InputError(
                f"{path}, line {line}: {problem} '{name}', the file has {found}; "
                "choose from them with --columns"
            )
    return names, [header.index(name) for name in names]


def _numbers(
    path: Path, line: int, header: list[str], places: list[int], cells: list[str]
) -> list[float]:
    if len(cells) != len(header):
        raise InputError(
            f"{path}, line {line}: found {len(cells)} in the row, expected {len(header)} cells "
            "as in the header; add the missing cells or remove the surplus ones"
        )
    return [_number(path, line, header[place], cells[place]) for place in places]


def _number(path: Path, line: int, column: str, cell: str) -> float:
    value = _parse(cell)
    if value is None:
        found = repr(cell) if cell else "an empty cell"
        raise bad_cell(path, line, column, found, "a number such as 1.5")
    if not math.isfinite(value):
        raise bad_cell(path, line, column, repr(cell), "a finite number")
    if abs(value) > LARGEST:
        raise bad_cell(path, line, column, repr(cell), f"a magnitude of at most {LARGEST:g}")
    return value


def _parse(cell: str) -> float | None:
    # float() also reads Python's 1_000, which is no number in any other program.
    if "_" in cell:
        return None
    try:
        return float(cell)
    except ValueError:
        return None
