#!/usr/bin/env bash
# cpp_tests.sh [PRESET]: builds a preset of CMakePresets.json and runs the C++ tests.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
preset=${1:-default}

cmake --preset "$preset" -DPython_EXECUTABLE="$(command -v python)"
cmake --build --preset "$preset"
ctest --preset "$preset"
