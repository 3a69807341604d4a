"""Print what the extras of an installed distribution require, one requirement a line.

Lets a script install an extra's tools without building the package again.
"""

import re
import sys
from importlib.metadata import requires


def extra_requirements(distribution: str, extra: str) -> list[str]:
    """Return the requirements that `extra` of `distribution` adds, other markers included."""
    marker = re.compile(rf"""\s*(;|and)\s*extra\s*==\s*['"]{re.escape(extra)}['"]\s*$""")
    lines = requires(distribution) or []
    found = [marker.sub("", line) for line in lines if marker.search(line)]
    if not found:
        raise SystemExit(f"{distribution} has no extra {extra!r}")
    return found


if __name__ == "__main__":
    for name in sys.argv[2:]:
        print("\n".join(extra_requirements(sys.argv[1], name)))
