# Functions for .ci/run: steps that are timed and reported, virtual environments, README commands.

step_times=()
failed_steps=()

# step NAME FUNCTION: runs the function in a subshell; a failure is noted, not fatal.
step() {
  local name=$1 function=$2 start=$SECONDS outcome=passed status
  printf '\n==> %s\n' "$name"
  # Not `if (...)`: a condition would switch errexit off inside the step.
  set +e
  (set -euo pipefail; "$function")
  status=$?
  set -e
  if ((status != 0)); then
    outcome="FAILED (exit status $status)"
    failed_steps+=("$name")
  fi
  step_times+=("$(printf '%5d s  %-58s %s' $((SECONDS - start)) "$name" "$outcome")")
}

print_summary() {
  printf '\n==> summary\n'
  printf '%s\n' "${step_times[@]}"
  printf '%5d s  in all\n' "$SECONDS"
  if ((${#failed_steps[@]} > 0)); then
    printf 'FAILED: %s\n' "${failed_steps[@]}"
  fi
}

# The first interpreter on PATH that is new enough.
find_python() {
  local candidate
  for candidate in python3 python3.13 python3.12 python3.11 python3.10; do
    if "$candidate" -c 'import sys, venv; sys.exit(sys.version_info < (3, 10))' 2>/dev/null; then
      command -v "$candidate"
      return
    fi
  done
  echo 'no Python 3.10 or newer with the venv module was found on PATH' >&2
  return 1
}

# enter_venv PYTHON DIRECTORY: makes the environment when it is not there yet, and activates it.
enter_venv() {
  [[ -d $2 ]] || "$1" -m venv "$2"
  source "$2/bin/activate"
}

# run_readme_command N: runs the Nth ```sh block of README.md as it stands there.
run_readme_command() {
  local command
  command=$(awk -v wanted="$1" '
    /^```sh$/ { count++; inside = 1; next }
    /^```/    { inside = 0 }
    inside && count == wanted' README.md)
  [[ -n $command ]] || { echo "README.md has no command $1" >&2; return 1; }
  printf '%s\n' "+ $command"
  MPLBACKEND=Agg bash -euo pipefail -c "$command"
}

# pytest_closing_line LOG: the line with which pytest summed up, such as "=== 3 passed in 0.1s ===".
pytest_closing_line() {
  grep -aE '(passed|failed|error|skipped|no tests ran).* in [0-9.]+s' "$1" | tail -n 1 ||
    echo 'the main pytest run did not finish'
}
