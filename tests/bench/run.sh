#!/usr/bin/env bash
# `make bench`: builds the release gateway and the bench, and runs the bench in a network namespace of its own with reno as congestion
# control (bbr paces loopback, which spoils every figure) and a process namespace that takes all its servers with it when it ends.
# QUICK=1: a short run. Flags go to the bench: tests/bench/src/options.rs.
set -euo pipefail
cd "$(dirname "$0")/../.."

target=${CARGO_TARGET_DIR:-target}
if [ -z "${BENCH_NO_BUILD:-}" ]; then
    cargo build --release --locked -p bannou-gateway -p bannou-bench
fi
BANNOU_RABBITMQ=$(tests/setup/rabbitmq.sh)
export BANNOU_RABBITMQ
ulimit -n "$(ulimit -H -n)"

# shellcheck disable=SC2016 # expanded inside the namespace
inside='
    ip link set lo up
    echo reno > /proc/sys/net/ipv4/tcp_congestion_control
    echo "10240 65535" > /proc/sys/net/ipv4/ip_local_port_range
    exec "$@"'
bench=("$target/release/bannou-bench" --gateway "$target/release/bannou-gateway" --out build/bench "$@")
user=()
[ "$(id -u)" = 0 ] || user=(--map-root-user)
namespaces=(unshare "${user[@]}" --net --pid --fork --kill-child --mount-proc)
if "${namespaces[@]}" true 2> /dev/null; then
    exec "${namespaces[@]}" bash -euc "$inside" bench "${bench[@]}"
fi
echo "NOTE: no network namespace to be had here (unshare refused): the host's congestion control and traffic are in the figures" >&2
exec "${bench[@]}"
