"""The project's own files agree with each other."""

import importlib.util
import re
from importlib.metadata import version
from pathlib import Path

import pytest

import wengert

ROOT = Path(__file__).parent.parent


def pins(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    return dict(re.findall(r'"([a-z-]+)==([0-9.]+)"', text))


@pytest.fixture(scope="module")
def check_sources():
    spec = importlib.util.spec_from_file_location(
        "check_sources", ROOT / "tools" / "check_sources.py"
    )
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_version_is_the_one_of_the_distribution():
    assert wengert.__version__ == version("wengert")


def test_hooks_use_the_versions_of_the_dev_extra():
    hooks = pins(".pre-commit-config.yaml")
    assert hooks
    assert hooks.items() <= pins("pyproject.toml").items()


def test_readme_opens_with_the_main_job_and_the_tests():
    blocks = re.findall(r"^```sh\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.M | re.S)
    assert "wengert.examples.geometric_median" in blocks[0]
    assert "pytest" in blocks[1]


def test_sources_keep_to_their_layers(check_sources):
    assert check_sources.check(ROOT / "csrc") == []


@pytest.mark.parametrize(
    ("file", "text", "problem"),
    [
        ("array/a.h", "#include <Python.h>\n", "only csrc/bindings knows Python"),
        ("tests/a.cpp", "#include <pybind11/pybind11.h>\n", "only csrc/bindings knows Python"),
        ("engine/a.cpp", '#  include "ops/table.h"\n', "ops is a layer above engine"),
        ("ops/a.cpp", "\n" * 451, "has 451 lines"),
    ],
)
def test_sources_that_break_a_rule_are_found(check_sources, tmp_path, file, text, problem):
    path = tmp_path / file
    path.parent.mkdir()
    path.write_text(text, encoding="utf-8")
    (found,) = check_sources.check(tmp_path)
    assert problem in found
