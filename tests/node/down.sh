#!/usr/bin/env bash
# Ends the node of this machine, and takes away everything of it: processes, mounts, link, routes, cgroups, files.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
if [ -s "$STATE/outer.pid" ]; then
  outer=$(cat "$STATE/outer.pid")
  inner=$(cat "$STATE/init.pid" 2>/dev/null || true)
  # The first process of a pid namespace takes all others with it.
  [ -z "$inner" ] || kill -9 "$inner" 2>/dev/null || true
  for _ in $(seq 200); do
    kill -0 "$outer" 2>/dev/null || break
    sleep 0.05
  done
  ! kill -0 "$outer" 2>/dev/null || die "process $outer does not end"
fi
ip link del "$LINK" 2>/dev/null || true
# A cgroup can be removed once the last process in it is gone, which the kernel takes a moment for.
for _ in $(seq 100); do
  left=$(find /sys/fs/cgroup -depth -type d -path '*/kubepods*' 2>/dev/null || true)
  [ -n "$left" ] || break
  xargs -r rmdir <<<"$left" 2>/dev/null || true
  sleep 0.05
done
rm -rf "$STATE"
