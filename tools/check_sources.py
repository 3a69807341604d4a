"""Check the architecture of the C++ sources: what may include what, and how long a file may be.

An include may only point to the same layer or to one below it, and only the bindings know Python.
"""

import re
import sys
from pathlib import Path

LAYERS = ("array", "kernels", "engine", "ops", "bindings")
LONGEST_FILE = 450
INCLUDE = re.compile(r'^\s*#\s*include\s*[<"]([^>"]+)[>"]', re.MULTILINE)
PYTHON_HEADER = re.compile(r"^(Python\.h|pybind11/.*|numpy/.*|structmember\.h)$")
SOURCE_SUFFIXES = {".cpp", ".hpp", ".h"}


def include_problems(layer: str, header: str) -> list[str]:
    """Return what is wrong with a file of `layer` that includes `header`."""
    if layer != "bindings" and PYTHON_HEADER.match(header):
        return [f"includes {header}: only csrc/bindings knows Python"]
    target = header.partition("/")[0]
    if layer in LAYERS and target in LAYERS and LAYERS.index(target) > LAYERS.index(layer):
        return [f"includes {header}: {target} is a layer above {layer}"]
    return []


def file_problems(path: Path, sources: Path) -> list[str]:
    """Return one line for each rule that the file breaks."""
    text = path.read_text(encoding="utf-8")
    layer = path.relative_to(sources).parts[0]
    problems = [p for header in INCLUDE.findall(text) for p in include_problems(layer, header)]
    length = text.count("\n")
    if length > LONGEST_FILE:
        problems.append(f"has {length} lines, more than {LONGEST_FILE}: split it by topic")
    return [f"{path}: {problem}" for problem in problems]


def check(sources: Path) -> list[str]:
    """Return the problems of all C++ files below `sources`."""
    files = sorted(path for path in sources.rglob("*") if path.suffix in SOURCE_SUFFIXES)
    if not files:
        return [f"{sources}: no C++ files found"]
    return [problem for path in files for problem in file_problems(path, sources)]


if __name__ == "__main__":
    found = check(Path(__file__).parent.parent / "csrc")
    print("\n".join(found) if found else "sources: layers and lengths are in order")
    sys.exit(bool(found))
