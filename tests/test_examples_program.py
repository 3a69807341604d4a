"""The examples as programs: pictures, progress, and life without matplotlib and tqdm."""

from __future__ import annotations

import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wengert.examples import geometric_median, linear_regression, logistic_regression

EXAMPLES = [geometric_median, linear_regression, logistic_regression]

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.NAME)


def run(example: ModuleType, *arguments: str) -> int:
    status: int = example.main([*arguments, "--no-picture"])
    return status


@each_example
def test_picture_is_written_where_asked(
    example: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    path = tmp_path / "descent.png"
    assert example.main(["--picture", str(path)]) == 0
    assert path.read_bytes().startswith(b"\x89PNG")
    assert f"picture: {path}" in capsys.readouterr().out


def test_picture_of_a_single_point_is_written(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    (tmp_path / "one.csv").write_text("x,y\n3,4\n")
    arguments = [str(tmp_path / "one.csv"), "--picture", str(tmp_path / "one.svg")]
    assert geometric_median.main(arguments) == 0
    assert "<svg" in (tmp_path / "one.svg").read_text(encoding="utf-8")


def test_picture_that_cant_be_written_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    nowhere = str(tmp_path / "nowhere" / "descent.png")
    assert linear_regression.main(["--picture", nowhere]) == 2
    assert "there is no directory" in capsys.readouterr().err
    assert linear_regression.main(["--picture", str(tmp_path / "descent.xyz")]) == 2
    assert "descent.xyz: can't be written" in capsys.readouterr().err


@each_example
def test_without_matplotlib_the_answer_is_the_same(
    example: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.chdir(tmp_path)
    assert example.main([]) == 0
    output = capsys.readouterr().out
    assert "picture: none, as matplotlib is not installed" in output
    assert list(tmp_path.iterdir()) == []
    assert run(example) == 0
    assert output.startswith(capsys.readouterr().out)
    assert example.main(["--picture", "descent.png"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "--picture descent.png: matplotlib is not installed; install it" in captured.err


class Terminal(io.StringIO):
    """Standard error that a bar can be drawn on."""

    def isatty(self) -> bool:
        return True


def test_progress_is_a_bar_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("tqdm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert run(linear_regression) == 0
    assert "200/200" in terminal.getvalue()
    assert "mean squared error 49726.8" in terminal.getvalue()


@pytest.mark.parametrize("tqdm", ["absent", "present"])
def test_progress_is_a_few_lines_elsewhere(
    tqdm: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if tqdm == "absent":
        monkeypatch.setitem(sys.modules, "tqdm", None)
        monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert run(linear_regression) == 0
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        f"  step {step} of 200" for step in (40, 80, 120, 160, 200)
    ]
    assert lines[-1].endswith("mean squared error 49726.8")


def test_library_use_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    linear_regression.descend(np.array([0.0, 1.0]), np.array([1.0, 3.0]))
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


@each_example
def test_example_runs_as_a_program(example: ModuleType, tmp_path: Path) -> None:
    command = [sys.executable, "-m", f"wengert.examples.{example.NAME}"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "check: the two agree" in done.stdout
    drawn = [path.name for path in tmp_path.iterdir()]
    assert drawn == ([f"{example.NAME}.png"] if importlib.util.find_spec("matplotlib") else [])
    refused = subprocess.run(
        [*command, "none.csv"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    assert refused.stderr.count("\n") == 1
