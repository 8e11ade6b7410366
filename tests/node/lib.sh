# Sourced by the scripts beside it: where the node of this machine lives, and how to get into it.
set -euo pipefail

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
ROOT=$(cd "$HERE/../.." && pwd)
export BANNOU_CACHE="${BANNOU_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/bannou}"
# Everything that a running node writes; `down.sh` removes it.
STATE="${BANNOU_NODE_STATE:-$BANNOU_CACHE/node-state}"
# Held by what brings a node up, one at a time.
LOCK="$BANNOU_CACHE/lock/node"
# The link between this machine and the node, and their addresses on it.
LINK=bannou-node HOST_IP=10.200.0.1 NODE_IP=10.200.0.2
SERVICES=10.96.0.0/16 PODS=10.244.0.0/24

say() { echo "cluster: $*" >&2; }
die() {
  say "$*"
  exit 1
}

# Seconds since STARTED.
since() { python3 -c 'import sys, time; print(f"{time.time() - float(sys.argv[1]):.1f}")' "$1"; }

# of_node PID: whether it is one of the two processes that hold the node; a number in a file may be another's by now.
of_node() { grep -qz '/init\.sh$' "/proc/$1/cmdline" 2>/dev/null; }

# Whether the first process of the node lives.
runs() { [ -s "$STATE/init.pid" ] && of_node "$(cat "$STATE/init.pid")"; }

# in_node COMMAND…: runs it in the namespaces of the node.
in_node() { nsenter --target "$(cat "$STATE/init.pid")" --mount --net --pid -- "$@"; }

# The tools of Debian's packages, which are unpacked and not installed.
debian_environment() { # FOLDER
  export PATH="$1/usr/sbin:$1/usr/bin:$1/sbin:$1/bin:$PATH"
  export LD_LIBRARY_PATH="$1/usr/lib/x86_64-linux-gnu:$1/lib/x86_64-linux-gnu" XTABLES_LIBDIR="$1/usr/lib/x86_64-linux-gnu/xtables"
}
