"""The examples on unusable input: one line that says what was found, where, and what to do."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest

from wengert.examples import (
    _table,
    geometric_median,
    linear_regression,
    logistic_regression,
)
from wengert.examples._errors import InputError

EXAMPLES = [geometric_median, linear_regression, logistic_regression]

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.NAME)


BAD_FILES = {
    "empty": (b"", ["the file is empty", "expected a header line"]),
    "only blank lines": (b"\n \n", ["the file is empty"]),
    "no rows": (b"x,y\n", ["line 1: found a header and no rows"]),
    "one column": (b"x\n1\n", ["line 1: found one column, 'x'", "at least two"]),
    "semicolons": (b"x;y\n1;2\n", ["found one column, 'x;y'", "use commas"]),
    "no header": (b"1,2\n3,4\n", ["line 1: found numbers", "add a header line such as x,y"]),
    "text": (b"x,y\n1,2\n3,four\n", ["line 3, column 'y': found 'four', expected a number"]),
    "blank line before text": (b"x,y\n\n1,a\n", ["line 3, column 'y': found 'a'"]),
    "empty cell": (b"x,y\n1,\n", ["line 2, column 'y': found an empty cell", "--columns"]),
    "nan": (b"x,y\n1,2\nnan,2\n", ["line 3, column 'x': found 'nan', expected a finite number"]),
    "infinity": (b"x,y\n1,-inf\n", ["line 2, column 'y': found '-inf', expected a finite"]),
    "overflow": (b"x,y\n1,1e999\n", ["line 2, column 'y': found '1e999', expected a finite"]),
    "too large": (b"x,y\n1e150,2\n", ["line 2, column 'x': found '1e150'", "at most 1e+100"]),
    "underscore": (b"x,y\n1_000,2\n", ["line 2, column 'x': found '1_000', expected a number"]),
    "short row": (b"x,y\n1,2\n3\n", ["line 3: found 1 in the row, expected 2 cells"]),
    "long row": (b"x,y\n1,2,3\n", ["line 2: found 3 in the row, expected 2 cells"]),
    "latin-1": (b"x,y\n1,2\n\xe9,4\n", ["line 3: found the byte 0xE9", "save the file as"]),
    "latin-1 behind a mark": (b"\xef\xbb\xbfx,y\n\xe9,4\n", ["line 2: found the byte 0xE9"]),
    "utf-16": ("x,y\n1,2\n".encode("utf-16"), ["line 1: found the byte 0xF", "UTF-8"]),
    "open quotation mark": (b'x,y\n1,"2\n', ["line 2: not readable as CSV", "quotation marks"]),
}


def refusal(example: ModuleType, arguments: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    """Run an example on unusable input and return its one line of complaint."""
    assert example.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    lines: list[str] = captured.err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{example.NAME}: ")
    return lines[0]


@each_example
@pytest.mark.parametrize("name", BAD_FILES)
def test_unusable_file_is_refused_in_one_line(
    example: ModuleType, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    content, expected = BAD_FILES[name]
    path = tmp_path / "mine.csv"
    path.write_bytes(content)
    message = refusal(example, [str(path)], capsys)
    assert str(path) in message
    for words in expected:
        assert words in message
    assert list(tmp_path.iterdir()) == [path]


@each_example
def test_missing_file_and_directory_are_refused(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    missing = refusal(example, [str(tmp_path / "none.csv")], capsys)
    assert "none.csv: can't be read (No such file or directory)" in missing
    assert "(Is a directory)" in refusal(example, [str(tmp_path)], capsys)


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ("x,z", "line 1: no column 'z', the file has 'x', 'y', 'y'; choose from them"),
        ("x,y", "line 1: more than one column 'y', the file has 'x', 'y', 'y'"),
        ("x", "--columns: found 'x', expected two different names as X,Y; see --help"),
        ("x,x", "--columns: found 'x,x', expected two different names"),
    ],
)
def test_wrong_columns_are_refused(
    columns: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("x,y,y\n1,2,3\n")
    assert expected in refusal(geometric_median, [str(path), "--columns", columns], capsys)


@pytest.mark.parametrize(
    ("example", "content", "arguments", "expected"),
    [
        (linear_regression, "x,y\n1,2\n1,3\n", [], "column 'x': found 1 in all 2 rows"),
        (
            logistic_regression,
            "x,y\n1,0\n2,2\n",
            [],
            "line 3, column 'y': found 2, expected 0 or 1",
        ),
        (logistic_regression, "x,y\n1,1\n2,1\n", [], "column 'y': found 1 in all 2 rows"),
        (logistic_regression, "x,y\n1,0\n2,1\n", [], "'x' separates the rows where 'y' is 0"),
        (logistic_regression, "x,y\n1,0\n2,0\n2,1\n3,1\n", [], "expected an overlap"),
        (logistic_regression, "x,y\n3,0\n2,0\n2,1\n1,1\n", [], "expected an overlap"),
        (geometric_median, "x,y\n181,0\n", ["--degrees"], "line 2, column 'x': found 181"),
        (geometric_median, "x,y\n0,0\n0,-91\n", ["--degrees"], "line 3, column 'y': found -91"),
        (geometric_median, "x,y\n0,0\n180,0\n", ["--degrees"], "have no middle"),
        (geometric_median, "x,y\n0,0\n", ["--degrees", "--start=0,91"], "--start: found 0,91"),
    ],
)
def test_numbers_of_no_use_to_an_example_are_refused(
    example: ModuleType,
    content: str,
    arguments: list[str],
    expected: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = tmp_path / "mine.csv"
    path.write_text(content)
    assert expected in refusal(example, [str(path), *arguments], capsys)


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--rate", "0"], "--rate: found '0', expected a number above 0"),
        (["--rate", "fast"], "--rate: found 'fast', expected a finite number"),
        (["--rate", "inf"], "--rate: found 'inf', expected a finite number"),
        (["--steps", "0"], "--steps: found '0', expected a whole number above 0"),
        (["--steps", "1.5"], "--steps: found '1.5', expected a whole number above 0"),
        (["--start", "1"], "--start: found '1', expected two numbers as X,Y"),
        (["--start", "1,a"], "--start: found 'a', expected a finite number"),
        (["--degrees"], "--degrees and --columns describe a FILE.csv, found none"),
        (["--columns", "longitude,latitude"], "--degrees and --columns describe a FILE.csv"),
        (["--speed"], "unrecognized arguments: --speed; see --help"),
    ],
)
def test_unusable_options_are_refused(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in refusal(geometric_median, arguments, capsys)


def test_an_input_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="no column 'z'") as caught:
        _table.read_table(_table.DATA / "hubble_1929.csv", ["distance", "z"])
    assert isinstance(caught.value, InputError)
