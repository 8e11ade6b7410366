# Sourced by the scripts beside it. Each of them installs one pinned part of what the tests need, into a cache folder outside
# the clone, does nothing when it is there already, tells what goes on on stderr and prints the path of what it provides on stdout.
set -euo pipefail

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SETUP="$ROOT/tests/setup"
CACHE="${BANNOU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bannou}"
mkdir -p "$CACHE/lock" "$CACHE/log"

say() { echo "setup: $*" >&2; }

die() {
  echo "setup: $*" >&2
  exit 1
}

# need COMMAND WHAT-TO-DO
need() { command -v "$1" >/dev/null || die "'$1' is missing: $2"; }

# Two runs may set up at once (two clones, one machine): the second waits, then finds the work done. The lock goes with the
# process, so a killed run leaves none behind. Child processes must not keep it, or a stray daemon would: hence {9}>&- in step.
lock() {
  need flock "install util-linux"
  exec 9>"$CACHE/lock/$1"
  flock -n 9 || { say "$1: another run is at it, waiting"; flock -w 3600 9 || die "$1: still locked after an hour ($CACHE/lock/$1)"; }
}

# step NAME COMMAND…: its output goes to a log, a line every 30 s says that it is alive, the end of the log is shown when it fails.
# It runs in a process group of its own (set -m), so that an interrupted setup ends all of it.
step() {
  local name=$1 log="$CACHE/log/$1.log" pid beat status=0 began=$SECONDS
  shift
  set -m
  "$@" >"$log" 2>&1 </dev/null 9>&- &
  pid=$!
  (while sleep 30; do echo "setup: $name: $((SECONDS - began)) s" >&2; done) </dev/null 9>&- >&2 &
  beat=$!
  set +m
  # shellcheck disable=SC2064 # the ids of now
  trap "kill -- -$pid -$beat 2>/dev/null || true" EXIT
  wait "$pid" || status=$?
  kill -- "-$beat" 2>/dev/null || true
  wait "$beat" 2>/dev/null || true
  trap - EXIT
  if [ "$status" -ne 0 ]; then
    tail -n 30 "$log" >&2
    die "$name failed with $status after $((SECONDS - began)) s; the whole log: $log"
  fi
  say "$name: done in $((SECONDS - began)) s"
}

# fresh FOLDER: an empty folder beside FOLDER to build in, moved into its place by `land` once whole: nobody sees half of it.
fresh() {
  mkdir -p "$(dirname "$1")"
  rm -rf "$1.part"
  mkdir "$1.part"
  echo "$1.part"
}
land() { rm -rf "$1" && mv "$1.part" "$1"; }

# digest FILE…: a short name for what these files say
digest() { cat "$@" | sha256sum | cut -c1-12; }

# unpack_debian FOLDER PACKAGE…: what apt would install, with what it needs that this machine does not have, unpacked instead.
unpack_debian() {
  local folder=$1 archives="$1.archives" package
  shift
  export DEBIAN_FRONTEND=noninteractive
  rm -rf "$archives"
  mkdir -p "$folder" "$archives/partial"
  apt-get update -q
  apt-get install -q -y --no-install-recommends --download-only -o Dir::Cache::archives="$archives" "$@"
  # What is installed here already is not fetched by that.
  for package in "$@"; do
    compgen -G "$archives/${package}_*.deb" >/dev/null || (cd "$archives" && apt-get download -q "$package")
  done
  for package in "$archives"/*.deb; do dpkg -x "$package" "$folder"; done
  rm -rf "$archives" "$folder/usr/share"/{doc,man,locale}
}
