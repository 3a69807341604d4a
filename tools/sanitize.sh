#!/usr/bin/env bash
# sanitize.sh BUILD_DIRECTORY [PYTEST ARGUMENTS]: installs a build with sanitizers into the active
# environment, then runs the C++ tests and the Python tests with it. SANITIZERS=thread chooses the
# thread sanitizer instead of the address and undefined-behaviour ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build_directory=$1
shift
sanitizers=${SANITIZERS:-address,undefined}

install_sanitized() {
  python -m pip install --quiet '.[test]' \
    -Cbuild-dir="$build_directory" \
    -Ccmake.build-type=RelWithDebInfo \
    -Ccmake.define.WENGERT_SANITIZE="$sanitizers" \
    -Ccmake.define.WENGERT_ASSERTIONS=ON \
    -Ccmake.define.WENGERT_CPP_TESTS=ON
}

runtime_library() {
  case $sanitizers in
    address*) gcc -print-file-name=libasan.so ;;
    thread*) gcc -print-file-name=libtsan.so ;;
    *) echo "unknown sanitizers: $sanitizers" >&2; return 1 ;;
  esac
}

# Address randomisation as wide as recent kernels have it leaves no room for the thread sanitizer.
fixed_addresses() {
  if [[ $sanitizers == thread* ]]; then setarch "$(uname -m)" --addr-no-randomize "$@"; else "$@"; fi
}

# The interpreter is not built with the sanitizer, so its runtime has to be there before anything else,
# and what the interpreter itself never frees is no leak of ours.
export ASAN_OPTIONS=detect_leaks=0:abort_on_error=0
export UBSAN_OPTIONS=print_stacktrace=1
export TSAN_OPTIONS=halt_on_error=1
export WENGERT_SANITIZERS=$sanitizers # lets a test choose a smaller size

install_sanitized
fixed_addresses "$build_directory/wengert_tests"
preload="$(runtime_library) $(gcc -print-file-name=libstdc++.so)"
# The allocator of pytest's process is the sanitizer's: PYTHONMALLOC hands it Python's objects too.
fixed_addresses env LD_PRELOAD="$preload" PYTHONMALLOC=malloc python -m pytest -p no:cacheprovider "$@"
