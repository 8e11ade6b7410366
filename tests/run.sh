#!/usr/bin/env bash
# Runs steps of checking and testing one after another, all of them also when one fails, and says at the end how each went and how
# long it took. `make check`, `make test`, `make test-long` and `make bench` are lists of these steps.
#
#   tests/run.sh STEP|GROUP…     groups: checks, tests, faults, long; the steps are the functions `step_…` below
set -euo pipefail
cd "$(dirname "$0")/.."
export BANNOU_CACHE="${BANNOU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bannou}"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$BANNOU_CACHE/target}"
export CARGO_TERM_COLOR="${CARGO_TERM_COLOR:-auto}"
setup=tests/setup

checks=(format lint alone generated charts dependencies promises types)
tests=(rust javascript browser autobahn fuzz)
# Minutes of waiting for real deadlines, and a cluster of three: they need what `tests` has installed.
faults=(broker-long fleet-long undisturbed-long operator-long)
long=(properties fuzz-long system-again images "${faults[@]}")
packages=(bannou-crds bannou-operator bannou-gateway bannou-cli bannou-tests bannou-bench)

step_format() { cargo fmt --all --check; }

step_lint() { cargo clippy --quiet --locked --workspace --all-targets -- -D warnings; }

# Cargo unifies features over what it builds in one call, so a package that leans on a feature which only its neighbour asks for
# builds in the workspace and nowhere else.
step_alone() {
  local package
  for package in "${packages[@]}"; do
    cargo check --quiet --locked -p "$package"
    echo "$package builds alone"
  done
  cargo check --quiet --locked -p bannou-crds --features k8s
  echo "bannou-crds builds with k8s"
  cargo check --quiet --locked -p bannou-operator --no-default-features
  echo "bannou-operator's pure rooms build without a client"
  # The catalog stays the contract, and the gateway's pod needs no rights in the cluster.
  local linked
  linked=$(cargo tree --locked -p bannou-gateway -e normal --prefix none | grep -E '^(kube|k8s-openapi|bannou-operator)' | sort -u || true)
  [ -z "$linked" ] || { echo "the gateway links what only operator and command may: $linked"; return 1; }
  echo "bannou-gateway links no Kubernetes"
  linked=$(cargo tree --locked -p bannou-operator --no-default-features -e normal --prefix none | grep -E '^(kube-client|kube-runtime|tokio)' | sort -u || true)
  [ -z "$linked" ] || { echo "the operator's pure rooms link $linked"; return 1; }
}

# What is generated is committed, so that people and charts find it; here it must be what the sources say today.
step_generated() {
  local fresh
  fresh=$(mktemp -d)
  # shellcheck disable=SC2064 # the folder of now
  trap "rm -rf '$fresh'" EXIT
  build
  mkdir "$fresh"/{crds,templates}
  "$CARGO_TARGET_DIR/debug/examples/crdgen" "$fresh/crds" "$fresh/templates"
  for file in "$fresh"/crds/*; do
    diff -u "crds/$(basename "$file")" "$file" || { echo "run 'make crds', and look at the difference"; return 1; }
  done
  # The other way round as well: a chart would go on installing a kind that is no more.
  diff -ru charts/bannou-crds/templates "$fresh/templates" || { echo "run 'make crds', and look at the difference"; return 1; }
  echo "crds/*.yaml and charts/bannou-crds are what crds/src/kinds says"
}

step_charts() { tests/charts.sh; }

step_dependencies() {
  local tools
  tools=$($setup/rust.sh)
  # Not `advisories`: its database is a git repository, and a check must not depend on what it says today or on being reached.
  PATH="$tools:$PATH" cargo deny --locked --log-level warn check bans licenses sources
  python3 tests/checks/dependencies.py
}

step_promises() { python3 tests/checks/promises.py; }

step_types() {
  $setup/node.sh >/dev/null
  npm --prefix clients/javascript run --silent check && echo "clients/javascript: types hold"
}

# What is tested is always built as one workspace: another selection of packages is another set of features, and half of the
# dependencies would be compiled once more. `--all-targets`, since the features of what tests alone depend on count as well.
build() { cargo build --quiet --locked --workspace --all-targets; }

system_parts() {
  BANNOU_DAPRD=$($setup/daprd.sh)
  BANNOU_PYTHON=$($setup/python.sh)
  BANNOU_RABBITMQ=$($setup/rabbitmq.sh)
  export BANNOU_DAPRD BANNOU_PYTHON BANNOU_RABBITMQ
  build
}

# Unit, property, golden and system tests.
step_rust() {
  system_parts
  cargo test --quiet --locked --workspace --no-fail-fast
}

step_system() {
  system_parts
  cargo test --quiet --locked --workspace --test system --test heap
}

command_and_node() {
  $setup/node.sh >/dev/null
  build
}

# The client alone, then against the real `bannou dev`.
step_javascript() {
  command_and_node
  npm --prefix clients/javascript test --silent
  npm --prefix tests/javascript test --silent
}

step_browser() {
  command_and_node
  CHROMIUM=$($setup/chromium.sh)
  export CHROMIUM
  npm --prefix tests/browser test --silent
}

step_autobahn() {
  build
  AUTOBAHN_ECHO="$CARGO_TARGET_DIR/debug/examples/autobahn_echo 0" tests/autobahn/run.sh
}

# fuzz SECONDS: each target in turn. Stable Rust will do: `-s none` leaves the sanitizers out, which look for what only `unsafe`
# code does. What a target finds stays in tests/fuzz/artifacts/, with the command that runs it again.
fuzz() {
  local target tools
  tools=$($setup/rust.sh fuzz)
  for file in tests/fuzz/targets/*.rs; do
    target=$(basename "$file" .rs)
    mkdir -p "build/fuzz/$target"
    # The first folder takes what is found to be new, the second is what is committed.
    PATH="$tools:$PATH" CARGO_TARGET_DIR="$CARGO_TARGET_DIR/fuzz" cargo fuzz run -s none --fuzz-dir tests/fuzz "$target" \
      "build/fuzz/$target" "tests/fuzz/seeds/$target" -- -max_total_time="$1" -timeout=10 -rss_limit_mb=2048 -max_len=4096 \
      -print_funcs=0 -print_final_stats=1 -verbosity=0
    echo "fuzz: $target held for $1 s"
  done
}
step_fuzz() { fuzz "${FUZZ_SECONDS:-60}"; }
step_fuzz-long() { fuzz "${FUZZ_SECONDS_LONG:-600}"; }

step_bench() { tests/bench/run.sh; }

# What the Dockerfile builds, as it builds it, and run as an image would be; release builds of their own, statically linked.
step_images() {
  local program
  for program in bannou-gateway bannou-operator bannou; do
    CARGO_TARGET_DIR="$CARGO_TARGET_DIR/images" docker/stage.sh "$program" "build/images/$program"
    docker/check.sh "$program" "build/images/$program"
  done
}

step_properties() { PROPTEST_CASES=10000 cargo test --quiet --locked --workspace --lib --test ws; }

# Clusters of brokers, which take long to start: what the system tests leave out.
step_broker-long() {
  system_parts
  cargo test --quiet --locked --workspace --test system -- --ignored broker::
}

step_system-again() {
  system_parts
  for _ in $(seq "${SYSTEM_AGAIN:-5}"); do cargo test --quiet --locked --workspace --test system --test heap --test cluster; done
}

# What waits for the real times of a fleet: a gateway that is stopped for a minute.
step_fleet-long() {
  system_parts
  cargo test --quiet --locked --workspace --test system -- --ignored fleet::
}

# A thousand clients and a thousand edits of resources, against a real control plane.
step_undisturbed-long() {
  build
  cargo test --quiet --locked --workspace --test cluster -- --ignored undisturbed::
}

# On a real cluster. Its parts are large, so that `make test` does not install them.
step_cluster() { tests/node/test.sh; }

# The real times of a lease, and an API server that is stopped for longer than anybody waits for it.
step_operator-long() {
  build
  cargo test --quiet --locked --workspace --test cluster -- --ignored replicas::
}

# ---- running them

if [ "${1:-}" = --step ]; then
  "step_$2"
  exit
fi

names=()
for arg in "$@"; do
  case "$arg" in
    checks) names+=("${checks[@]}") ;;
    tests) names+=("${tests[@]}") ;;
    faults) names+=("${faults[@]}") ;;
    long) names+=("${long[@]}") ;;
    *) names+=("$arg") ;;
  esac
done
[ ${#names[@]} -gt 0 ] || { sed -n '2,5s/^# \{0,1\}//p' "$0"; exit 2; }
for name in "${names[@]}"; do
  declare -F "step_$name" >/dev/null || { echo "tests/run.sh: there is no step '$name'" >&2; exit 2; }
done

passed=0 failed=0 table=""
for name in "${names[@]}"; do
  printf '\n==> %s\n' "$name"
  began=$SECONDS
  # A process group of its own, that `timeout` can end whole, and that ends when this script is told to. Without input, so that
  # nothing waits for a person.
  timeout --kill-after=20 "${STEP_TIMEOUT:-2700}" "$0" --step "$name" </dev/null &
  # shellcheck disable=SC2064 # the id of now
  trap "kill -TERM $! 2>/dev/null; exit 130" INT TERM HUP
  if wait $!; then
    passed=$((passed + 1)) word=passed
  else
    status=$?
    failed=$((failed + 1)) word="FAILED ($status)"
    [ "$status" -ne 124 ] || word="FAILED (not done after ${STEP_TIMEOUT:-2700} s)"
  fi
  took=$((SECONDS - began))
  printf '<== %s: %s in %d s\n' "$name" "$word" "$took"
  table+=$(printf '  %-14s %5d s  %s' "$name" "$took" "$word")$'\n'
done
printf '\n%s\nsteps: %d passed, %d failed\n' "$table" "$passed" "$failed"
[ "$failed" -eq 0 ]
