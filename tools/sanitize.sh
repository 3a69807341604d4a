#!/usr/bin/env bash
# sanitize.sh BUILD_DIRECTORY [PYTEST ARGUMENTS]: installs a build with sanitizers into the active
# environment, then runs the C++ tests and the Python tests with it, as many at a time as there are
# cores (SHARDS). SANITIZERS=thread chooses the thread sanitizer instead of the address and
# undefined-behaviour ones.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
build_directory=$1
shift
sanitizers=${SANITIZERS:-address,undefined}
shards=${SHARDS:-$(nproc)}

install_sanitized() {
  python -m pip install --quiet '.[test]' \
    --config-settings=build-dir="$build_directory" \
    --config-settings=cmake.build-type=RelWithDebInfo \
    --config-settings=cmake.define.CMAKE_CXX_FLAGS_RELWITHDEBINFO='-O1 -g1' \
    --config-settings=cmake.define.WENGERT_SANITIZE="$sanitizers" \
    --config-settings=cmake.define.WENGERT_ASSERTIONS=ON \
    --config-settings=cmake.define.WENGERT_CPP_TESTS=ON
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
run_shard() {
  fixed_addresses env LD_PRELOAD="$preload" PYTHONMALLOC=malloc PYTHONPATH=tools \
    python -m pytest -p no:cacheprovider --capture=sys -p shard --shard "$@"
}

# The output of the first one is shown as it comes, that of the others once they are through.
logs=$(mktemp -d)
trap 'rm -rf "$logs"' EXIT
started=()
for ((shard = 2; shard <= shards; shard++)); do
  run_shard "$shard/$shards" "$@" >"$logs/$shard" 2>&1 &
  started+=($!)
done
run_shard "1/$shards" "$@" || status=1
for ((shard = 2; shard <= shards; shard++)); do
  wait "${started[shard - 2]}" || (($? == 5)) || status=1 # 5: fewer tests than parts
  printf -- '--> part %d of %d\n' "$shard" "$shards"
  cat "$logs/$shard"
done
exit "$status"
