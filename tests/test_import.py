"""What importing the package brings with it."""

import subprocess
import sys

# Each of these takes milliseconds to import and is needed by few programs.
LAZY = ["numpy.random", "matplotlib", "pandas", "tqdm", "scipy", "asyncio", "unittest"]


def test_import_brings_no_modules_that_few_programs_need():
    program = (
        "import sys, numpy; old = set(sys.modules); import wengert; print(*set(sys.modules) - old)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    loaded = set(done.stdout.split())
    assert "wengert._core" in loaded
    assert not loaded & set(LAZY)
