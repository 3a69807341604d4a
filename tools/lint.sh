#!/usr/bin/env bash
# Every linter, also after one has complained. Needs the `dev` and `examples` extras.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
status=0

check() {
  printf -- '--> %s\n' "${*:1:3}"
  "$@" || status=1
}

mapfile -t cpp_files < <(find csrc -name '*.cpp' -o -name '*.hpp' -o -name '*.h' | sort)

check ruff check .
check ruff format --check .
check mypy
check clang-format --dry-run -Werror "${cpp_files[@]}"
check python tools/check_sources.py
exit "$status"
