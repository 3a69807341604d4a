"""The project's own files agree with each other."""

import argparse
import importlib.util
import re
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace

import pytest

import wengert

ROOT = Path(__file__).parent.parent


def pins(file):
    text = (ROOT / file).read_text(encoding="utf-8")
    return dict(re.findall(r'"([a-z-]+)==([0-9.]+)"', text))


def tool(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / "tools" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def check_sources():
    return tool("check_sources")


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


@pytest.mark.skipif(not (ROOT / ".github").exists(), reason="the sdist has no workflows")
def test_pythons_agree_everywhere():
    text = {
        file: (ROOT / file).read_text("utf-8")
        for file in ("pyproject.toml", "noxfile.py", ".github/workflows/ci.yml", "README.md")
    }
    versions = re.findall(r"Python :: (3\.\d+)", text["pyproject.toml"])
    built = re.search(r"^build = \[(.*)\]", text["pyproject.toml"], re.M)[1]
    nox = re.search(r"^PYTHONS = \[(.*)\]", text["noxfile.py"], re.M)[1]
    matrix = re.search(r"^ +python: \[(.*)\]", text[".github/workflows/ci.yml"], re.M)[1]
    assert re.findall(r"cp3(\d+)-", built) == [version[2:] for version in versions]
    assert re.findall(r"3\.\d+", nox) == re.findall(r"3\.\d+", matrix) == versions
    assert f'requires-python = ">={versions[0]}"' in text["pyproject.toml"]
    assert f"Python {versions[0]} to {versions[-1]}" in text["README.md"].replace("\n", " ")


def test_parts_of_the_tests_are_all_of_them_once():
    shard = tool("shard")
    parts, left_out = [], []
    hook = SimpleNamespace(pytest_deselected=lambda *, items: left_out.append(items))
    for which in range(1, 4):
        items = list(range(10))
        config = SimpleNamespace(
            getoption=lambda _, which=which: shard.part(f"{which}/3"), hook=hook
        )
        shard.pytest_collection_modifyitems(config, items)
        parts.append(items)
    assert sorted(item for part in parts for item in part) == list(range(10))
    assert {len(part) for part in parts} == {3, 4}
    assert [sorted([*a, *b]) for a, b in zip(parts, left_out, strict=True)] == [list(range(10))] * 3


@pytest.mark.parametrize("text", ["0/2", "3/2", "2", "a/b", "1/0", "1/2/3"])
def test_a_part_that_is_not_there_is_refused(text):
    with pytest.raises(argparse.ArgumentTypeError, match="expected K/N with 1 <= K <= N"):
        tool("shard").part(text)


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
