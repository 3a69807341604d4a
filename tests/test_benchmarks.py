"""The benchmarks' own arithmetic: a wrong ratio or an unchecked result would mislead everybody."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

CHECKOUT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def checkout_on_path(monkeypatch):
    if not (CHECKOUT / "benchmarks").is_dir():
        pytest.skip("the benchmarks are part of the checkout only")
    monkeypatch.syspath_prepend(str(CHECKOUT))


def module(name):
    return importlib.import_module(f"benchmarks.{name}")


def row(name, metric="time", **medians):
    cells = {peer: {"median": value, "rounds": [value]} for peer, value in medians.items()}
    case = {"name": name, "family": name, "size": 1, "threads": 1, "busy": False}
    return {"case": case, "metric": metric, "unit": "s", "cells": cells}


def run_of(*rows):
    machine = {"processor": "a processor", "cores": 2}
    peers = {"wengert": "1.0", "torch": "2.0"}
    result = {"title": "title", "rows": list(rows)}
    questions = {"scalar_operation": result}
    return {"date": "today", "machine": machine, "peers": peers, "questions": questions}


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (2.31e-8, "s", "23.1 ns"),
        (0.99996e-3, "s", "1.00 ms"),
        (4.0, "s", "4.00 s"),
        (1.5e6, "B", "1.50 MB"),
        (65, "B", "65.0 B"),
        (0.0, "s", "0.00 ns"),
    ],
)
def test_a_number_is_printed_with_three_digits_and_a_prefix(value, unit, text):
    assert module("report").with_unit(value, unit) == text


def test_a_peer_that_takes_three_times_as_long_has_the_ratio_three():
    text = module("report").table([row("a * b", wengert=2e-8, torch=6e-8)])
    assert "60.0 ns (3x)" in text


def test_aims_compare_with_peers_other_rows_and_the_best():
    case, report = module("case"), module("report")
    rows = [row("small", wengert=2.0, torch=8.0, numpy=4.0), row("large", wengert=5.0)]
    verdicts = [
        report.judged(case.Aim("small", 0.25, of_peer="torch"), rows)[2],
        report.judged(case.Aim("small", 0.25, of_peer=case.BEST_PEER), rows)[2],
        report.judged(case.Aim("large", 2.0, of_case="small"), rows)[2],
        report.judged(case.Aim("large", 5.0), rows)[2],
    ]
    assert verdicts == ["met", "NOT MET by 2x", "NOT MET by 1.2x", "met"]
    assert report.judged(case.Aim("large", 1.0, of_peer="torch"), rows) is None


def test_a_wrong_result_is_refused():
    reference, wrong = module("reference"), module("case").WrongResultError
    assert reference.agree([1.0, np.arange(3.0)], [1.0, np.arange(3.0)])
    with pytest.raises(wrong, match=r"differs by 0\.001"):
        reference.agree(np.array([1.0, 2.001]), np.array([1.0, 2.0]))
    with pytest.raises(wrong, match="differs by nan"):
        reference.agree(np.array([np.nan]), np.array([1.0]))
    with pytest.raises(wrong, match="shape"):
        reference.agree(np.zeros(2), np.zeros(3))


def test_a_comparison_marks_what_became_slower():
    before, after = run_of(row("a * b", wengert=1e-8)), run_of(row("a * b", wengert=2e-8))
    assert module("compare").comparison(before, after).endswith("2x  SLOWER")
    assert module("compare").comparison(after, before).endswith("0.5x  faster")
    assert "SLOWER" not in module("compare").comparison(before, before)


def test_the_readme_is_filled_between_its_markers_only(tmp_path):
    readme, path = module("readme"), tmp_path / "README.md"
    path.write_text(f"before\n{readme.START}\nold\n{readme.END}\nafter\n")
    readme.fill(path, run_of(row("a * b", wengert=2e-8, torch=6e-8)))
    text = path.read_text()
    assert text.startswith("before\n")
    assert text.endswith("after\n")
    assert "old" not in text
    assert "60.0 ns (3x)" in text
    path.write_text("no markers")
    with pytest.raises(ValueError, match="benchmarks:start"):
        readme.fill(path, run_of())


@pytest.mark.parametrize("quick", [True, False])
def test_every_aim_and_highlight_names_a_case(quick):
    for name in module("questions").ALL:
        question = module(f"questions.{name}")
        known = {(c.name, metric) for c in question.cases(quick=False) for metric in c.metrics}
        assert {(aim.case, aim.metric) for aim in question.AIMS} <= known
        assert {(aim.of_case, aim.metric) for aim in question.AIMS if aim.of_case} <= known
        assert set(question.HIGHLIGHTS) <= known
        names = [case.name for case in question.cases(quick)]
        assert len(names) == len(set(names))
        restored = [
            module("case").Case.from_json(json.loads(json.dumps(c.to_json())))
            for c in question.cases(quick)
        ]
        assert restored == question.cases(quick)


def test_an_unknown_question_is_refused(capsys, monkeypatch):
    monkeypatch.setattr("sys.argv", ["benchmarks", "--only", "nonsense"])
    assert module("__main__").main() == 2
    assert "unknown nonsense; choose from scalar_operation" in capsys.readouterr().err
