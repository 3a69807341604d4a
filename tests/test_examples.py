"""The examples: their data are the known facts and their answers the known answers."""

from __future__ import annotations

import csv
import doctest
import math
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from wengert.examples import (
    _chart,
    _command,
    _descent,
    _optional,
    _progress,
    _scaling,
    _table,
    geometric_median,
    linear_regression,
    logistic_regression,
)

EXAMPLES = [geometric_median, linear_regression, logistic_regression]
HELPERS = [_chart, _command, _descent, _optional, _progress, _scaling, _table]
DATA = Path(_table.__file__).parent / "data"

each_example = pytest.mark.parametrize("example", EXAMPLES, ids=lambda example: example.NAME)


def rows(name: str) -> list[dict[str, str]]:
    with (DATA / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def kilometres(one: tuple[float, ...], other: tuple[float, ...]) -> float:
    """Great-circle distance by the haversine formula, independent of the examples' own."""
    longitude1, latitude1, longitude2, latitude2 = map(math.radians, (*one, *other))
    haversine = (
        math.sin((latitude2 - latitude1) / 2) ** 2
        + math.cos(latitude1) * math.cos(latitude2) * math.sin((longitude2 - longitude1) / 2) ** 2
    )
    return 2 * 6371.0088 * math.asin(math.sqrt(haversine))


def lowest(
    function: Callable[[tuple[float, float]], float], x: float, y: float
) -> tuple[float, float]:
    """Find a minimum without any derivative, by trying the neighbours on finer and finer grids."""
    step = 8.0
    while step > 1e-7:
        near = [(x + i * step, y + j * step) for i in (-1, 0, 1) for j in (-1, 0, 1)]
        best = min(near, key=function)
        if best == (x, y) or function(best) >= function((x, y)):
            step /= 2
        else:
            x, y = best
    return x, y


def run(example: ModuleType, *arguments: str) -> int:
    status: int = example.main([*arguments, "--no-picture"])
    return status


def found_place(output: str) -> tuple[float, ...]:
    line = next(line for line in output.splitlines() if "gradient descent" in line)
    return tuple(float(word) for word in line.split("(")[1].split(")")[0].split(","))


# The data


CAPITALS = {
    row["capital"]: (float(row["longitude"]), float(row["latitude"]))
    for row in rows("european_capitals.csv")
}


def test_capitals_are_forty_four_different_places_in_europe() -> None:
    assert len(CAPITALS) == 44
    assert len({row["country"] for row in rows("european_capitals.csv")}) == 44
    assert max(CAPITALS, key=lambda name: CAPITALS[name][1]) == "Reykjavik"
    assert min(CAPITALS, key=lambda name: CAPITALS[name][1]) == "Valletta"
    assert max(CAPITALS, key=lambda name: CAPITALS[name][0]) == "Moscow"
    assert min(CAPITALS, key=lambda name: CAPITALS[name][0]) == "Reykjavik"


@pytest.mark.parametrize(
    ("one", "other", "distance"),
    [
        ("London", "Paris", 344),
        ("Vienna", "Bratislava", 55),
        ("Helsinki", "Tallinn", 82),
        ("Lisbon", "Madrid", 503),
        ("Berlin", "Moscow", 1609),
        ("Rome", "Vatican City", 4),
        ("Athens", "Sofia", 525),
        ("Dublin", "London", 464),
    ],
)
def test_capitals_are_as_far_apart_as_known(one: str, other: str, distance: float) -> None:
    assert kilometres(CAPITALS[one], CAPITALS[other]) == pytest.approx(distance, rel=0.01, abs=1.5)


def test_the_nebulae_are_those_of_the_paper() -> None:
    table = {row["nebula"]: (row["distance"], row["velocity"]) for row in rows("hubble_1929.csv")}
    assert len(table) == 24
    assert table["NGC 224"] == ("0.275", "-220")  # the Andromeda nebula approaches us
    assert table["NGC 4649"] == ("2.0", "1090")
    assert sum(float(velocity) < 0 for _, velocity in table.values()) == 5


def test_the_flights_are_those_of_the_report() -> None:
    table = rows("challenger_o_rings.csv")
    assert len(table) == 23
    damaged = sorted(int(row["temperature"]) for row in table if row["distress"] == "1")
    assert damaged == [53, 57, 58, 63, 70, 70, 75]


# The answers


def test_median_of_the_capitals_is_the_lowest_point_on_the_globe(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(geometric_median) == 0
    output = capsys.readouterr().out

    def mean_distance(place: tuple[float, ...]) -> float:
        return sum(kilometres(place, capital) for capital in CAPITALS.values()) / len(CAPITALS)

    best = lowest(mean_distance, 10.0, 50.0)
    found = found_place(output)
    assert kilometres(found, best) < 1.0
    assert mean_distance(found) == pytest.approx(mean_distance(best), rel=1e-6)
    assert f"mean distance {mean_distance(found):.3f} km" in output
    assert "nearest capital: Vienna" in output


def test_median_of_a_convex_quadrilateral_is_where_its_diagonals_meet(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corners = tmp_path / "corners.csv"
    corners.write_text("x,y\n0,0\n4,0\n6,6\n0,4\n")  # the diagonals y = x and x + y = 4
    assert run(geometric_median, str(corners)) == 0
    assert found_place(capsys.readouterr().out) == pytest.approx((2.0, 2.0), abs=1e-6)


@pytest.mark.parametrize("solve", ["descend", "weiszfeld"])
def test_median_can_be_one_of_the_points(solve: str) -> None:
    # The three others pull at the origin with a strength below 1, so it holds.
    points = np.array([[0.0, 0.0], [1.0, 0.0], [-1.0, 2.0], [-1.0, -2.0]])
    if solve == "descend":
        place = geometric_median.descend(points, np.array([-1.0, -2.0])).best
    else:
        place = geometric_median.weiszfeld(points)
    np.testing.assert_allclose(place, [0.0, 0.0], atol=1e-8)


def test_median_leaves_a_point_that_is_not_the_median() -> None:
    points = np.array([[0.0, 0.0], [4.0, 0.0], [6.0, 6.0], [0.0, 4.0]])
    for start in points:
        place = geometric_median.descend(points, start).best
        np.testing.assert_allclose(place, [2.0, 2.0], atol=1e-6)
    np.testing.assert_allclose(geometric_median.weiszfeld(points), [2.0, 2.0], atol=1e-9)


def test_gradients_cancel_at_the_median_of_random_points() -> None:
    points = np.random.default_rng(7).normal(size=(200, 2))
    place = geometric_median.descend(points, np.array([3.0, 3.0])).best
    offsets = points - place
    pull = (offsets / np.linalg.norm(offsets, axis=1, keepdims=True)).sum(axis=0)
    np.testing.assert_allclose(pull, 0.0, atol=1e-4)


@pytest.mark.parametrize("content", ["x,y\n3,4\n", "x,y\n3,4\n3,4\n3,4\n", "x,y\n1,5\n2,5\n4,5\n"])
def test_median_of_one_point_of_equal_points_and_of_points_on_a_line(
    tmp_path: Path, content: str
) -> None:
    path = tmp_path / "points.csv"
    path.write_text(content)
    assert run(geometric_median, str(path)) == 0


def test_degrees_of_a_users_file_are_laid_out_on_the_globe(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "across_the_date_line.csv"
    path.write_text("name,lon,lat\na,179,0\nb,-179,0\nc,180,1\nd,180,-1\n")
    arguments = [str(path), "--columns", "lon,lat", "--degrees", "--start=178,1"]
    assert run(geometric_median, *arguments) == 0
    assert f"mean distance {kilometres((180, 0), (180, 1)):.3f} km" in capsys.readouterr().out


def test_map_keeps_distances_and_directions_from_its_centre() -> None:
    around = np.array([[20.0, 40.0], [10.0, 70.0], [15.0, 47.0], [-20.0, 64.0]])
    chart = _chart.GlobeChart(np.array([[15.0, 50.0]]))
    places = chart.to_plane(around)
    expected = [kilometres((15.0, 50.0), tuple(place)) for place in around]
    np.testing.assert_allclose(np.linalg.norm(places, axis=1), expected, rtol=1e-12)
    assert places[2] == pytest.approx([0.0, -expected[2]], abs=1e-9)  # due south
    np.testing.assert_allclose(chart.from_plane(places), around, rtol=1e-12)


def test_line_through_the_nebulae_is_the_known_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(linear_regression) == 0
    assert "velocity = 454.158" in capsys.readouterr().out
    table = rows("hubble_1929.csv")
    x = np.array([float(row["distance"]) for row in table])
    y = np.array([float(row["velocity"]) for row in table])
    expected = np.polyfit(x, y, 1)
    np.testing.assert_allclose(expected, [454.16, -40.78], atol=0.005)
    np.testing.assert_allclose(linear_regression.descend(x, y).last, expected, rtol=1e-10)
    np.testing.assert_allclose(linear_regression.least_squares(x, y), expected, rtol=1e-10)


def test_line_is_found_whatever_the_scale_of_the_data() -> None:
    x = np.linspace(1900.0, 1900.001, 11)
    y = 1e6 * np.cos(np.arange(11.0))
    ends = np.array([x[0], x[-1]])
    found = np.polyval(linear_regression.descend(x, y).last, ends)
    centred = np.polynomial.Polynomial.fit(x, y, 1)
    np.testing.assert_allclose(found, centred(ends), rtol=1e-6)


def test_curve_of_the_o_rings_is_the_known_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(logistic_regression) == 0
    output = capsys.readouterr().out
    assert "at temperature 31: 0.9996 (the data lie between 53 and 81)" in output
    table = rows("challenger_o_rings.csv")
    x = np.array([float(row["temperature"]) for row in table])
    y = np.array([float(row["distress"]) for row in table])
    found = logistic_regression.descend(x, y).last
    np.testing.assert_allclose(found, [-0.2322, 15.0429], atol=5e-5)
    # At the most likely curve the residuals are balanced, and so are their moments.
    residual = y - 1 / (1 + np.exp(-(found[0] * x + found[1])))
    np.testing.assert_allclose([residual.sum(), residual @ (x - x.mean())], 0.0, atol=1e-7)
    # Newton's method doubles the digits with each step, so a few steps are enough.
    np.testing.assert_allclose(logistic_regression.newton(x, y, 7), found, rtol=1e-7)


def test_probability_is_asked_for_elsewhere(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(logistic_regression, "--at", "70") == 0
    expected = 1 / (1 + math.exp(-(15.0429 - 0.232163 * 70)))
    assert f"at temperature 70: {expected:.4f}\n" in capsys.readouterr().out


def test_users_columns_are_chosen_by_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.csv"
    path.write_bytes('\ufeffa,name,"b, second"\r\n\r\n1,one,3\r\n2,two,5\r\n'.encode())
    table = _table.read_table(path, ["a", "b, second"])
    assert table.values.tolist() == [[1.0, 3.0], [2.0, 5.0]]
    assert table.lines == (3, 4)
    plain = tmp_path / "plain.csv"
    plain.write_text("name,b,a\none,3,1\ntwo,5,2\n")
    assert run(linear_regression, str(plain), "--columns", "a,b") == 0
    output = capsys.readouterr().out
    slope, intercept = np.polyfit([1.0, 2.0], [3.0, 5.0], 1)
    assert f"formula: b = {slope:.6g} * a + {intercept:.6g}" in output


@each_example
def test_too_few_steps_are_reported_as_a_failed_check(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(example, "--steps", "2") == 1
    assert "DISAGREE" in capsys.readouterr().out


@each_example
def test_divergence_is_reported_with_the_step(
    example: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(example, "--rate", "1e300") == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"{example.NAME}: the descent diverged at step 1")
    assert error.endswith("choose a smaller --rate")


@pytest.mark.parametrize("module", [*EXAMPLES, *HELPERS], ids=lambda module: module.__name__)
def test_docstrings_hold(module: ModuleType) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
