#!/usr/bin/env bash
# in.sh COMMAND…: runs it inside the node: crictl, ctr, ip, a shell.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
runs || die "no node runs here; 'make cluster' starts one"
NODE_PARTS=$("$ROOT/tests/setup/kubelet.sh")
debian_environment "$NODE_PARTS/debian"
exec nsenter --target "$(cat "$STATE/init.pid")" --mount --net --pid -- "$@"
