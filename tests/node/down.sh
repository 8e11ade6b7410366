#!/usr/bin/env bash
# Ends the node of this machine, and takes away everything of it: processes, mounts, link, routes, cgroups, files. Also of one that was not brought up to its
# end, and of one that has ended by itself. What is left is what left.py lists.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"

# ended PID WHAT: waits until it is
ended() {
  for _ in $(seq 400); do
    [ -e "/proc/$1/exe" ] || return 0
    sleep 0.05
  done
  die "$2 (process $1) does not end"
}

# An up.sh that was killed leaves what it has started (helm, kubectl), and that would wait for a node that is no more. Its lock is what tells them from
# everything else; who calls this may hold it, too.
callers=" $$ "
pid=$$
while [ "$pid" -gt 1 ]; do
  pid=$(ps -o ppid= -p "$pid" | tr -d ' ')
  callers+="$pid "
done
while read -r open; do
  pid=${open#/proc/} pid=${pid%%/*}
  # One that waits for the lock has it open as well.
  grep -q ^lock: "/proc/$pid/fdinfo/${open##*/}" 2>/dev/null || continue
  if [[ $callers != *" $pid "* ]] && kill -9 "$pid" 2>/dev/null; then ended "$pid" "what an up.sh has left"; fi
done < <(exec 9>&-; find /proc/[0-9]*/fd -maxdepth 1 -lname "$LOCK" 2>/dev/null)

# The first process of a pid namespace takes all others with it, and is taken by unshare, which does not wait for it.
outer=$(cat "$STATE/outer.pid" 2>/dev/null || true)
of_node "$outer" || outer=""
inner=$(cat "$STATE/init.pid" 2>/dev/null || true)
of_node "$inner" || inner=$([ -z "$outer" ] || pgrep -P "$outer" || true)
for pid in $inner $outer; do kill -9 "$pid" 2>/dev/null || true; done
for pid in $inner $outer; do ended "$pid" "the node"; done
ip link del "$LINK" 2>/dev/null || true
# A cgroup can be removed once the last process in it is gone, which the kernel takes a moment for.
for _ in $(seq 100); do
  left=$(find /sys/fs/cgroup -depth -type d -path '*/kubepods*' 2>/dev/null || true)
  [ -n "$left" ] || break
  xargs -r rmdir <<<"$left" 2>/dev/null || true
  sleep 0.05
done
rm -rf "$STATE"
