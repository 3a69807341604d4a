"""The examples in the documents run and give what they say."""

import doctest
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCUMENTS = ["README.md", *(f"docs/{path.name}" for path in sorted((ROOT / "docs").glob("*.md")))]


@pytest.mark.parametrize("name", DOCUMENTS)
def test_examples_of_document_run(name):
    results = doctest.testfile(str(ROOT / name), module_relative=False, encoding="utf-8")
    assert results.failed == 0
    if name in {"README.md", "docs/graph.md"}:
        assert results.attempted > 5
