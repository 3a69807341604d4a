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

# An abort lets Python's fault handler say which test it was. The interpreter is not built with the
# sanitizer: what it never frees is no leak of ours, and the runtime has to be loaded before it.
export ASAN_OPTIONS=abort_on_error=1:detect_leaks=0
export UBSAN_OPTIONS=abort_on_error=1:print_stacktrace=1
export TSAN_OPTIONS=abort_on_error=1:halt_on_error=1
export WENGERT_SANITIZERS=$sanitizers # lets a test choose a smaller size

install_sanitized
status=0
fixed_addresses "$build_directory/wengert_tests" || status=1
((status == 0)) || echo 'the C++ tests failed' >&2

# PYTHONMALLOC=malloc hands Python's own objects to the sanitizer's allocator, too; capturing what
# Python writes, but not the process's stderr, lets the reports through.
preload="$(runtime_library) $(gcc -print-file-name=libstdc++.so)"
fixed_addresses env LD_PRELOAD="$preload" PYTHONMALLOC=malloc \
  python -m pytest -p no:cacheprovider --capture=sys "$@" || status=1
exit "$status"
