#!/usr/bin/env bash
# Shows that down.sh takes everything of a node away: of one that runs, of one whose up.sh was killed at different points, and of one that was killed itself.
# Brings up a node of its own, some five times, a minute and a half in all.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
! runs || die "a node runs here; this would take it away"
log=$(mktemp)
trap 'rm -f "$log"; "$HERE/down.sh"' EXIT

left() { python3 "$HERE/left.py" "$STATE" "$LOCK" "$@"; }
namespaces() { readlink /proc/"$(cat "$STATE/init.pid")"/ns/{pid,net,mnt}; }

# until_true WHAT COMMAND…
until_true() {
  local what=$1
  shift
  for _ in $(seq 1200); do
    if "$@" >/dev/null 2>&1; then return; fi
    sleep 0.1
  done
  die "not within two minutes: $what; $(tail -n 3 "$log")"
}

# away WHAT [NAMESPACE…]: down.sh ends, and nothing is left
away() {
  local what=$1 found
  shift
  timeout 60 "$HERE/down.sh" || die "$what: down.sh fails"
  found=$(left "$@") || die "$what: left behind:"$'\n'"$found"
  say "$what: nothing is left"
}

"$HERE/down.sh"
found=$(left) || die "something of a node was here before:"$'\n'"$found"

# killed WHEN COMMAND…: up.sh, by the kernel, once the command is true
killed() {
  local when=$1 up
  shift
  setsid "$HERE/up.sh" >"$log" 2>&1 </dev/null &
  up=$!
  until_true "$when" "$@"
  kill -9 "$up"
  wait "$up" 2>/dev/null || true
  away "up.sh killed $when"
}
killed "as the node begins" test -s "$STATE/outer.pid"
killed "while images are unpacked" grep -q containerd "$STATE/events"
# helm is at work then, and is left behind by the kill.
installing() { pgrep -f "helm install dapr .*$NODE_PARTS" && "$BANNOU_KUBECTL" --kubeconfig "$STATE/pki/admin.kubeconfig" get pods -n dapr-system -o name | grep -q .; }
NODE_PARTS=$("$ROOT/tests/setup/kubelet.sh")
BANNOU_KUBECTL=$("$ROOT/tests/setup/kubernetes.sh")/kubectl
killed "while helm installs Dapr" installing

"$HERE/up.sh" >"$log" 2>&1 || die "no node: $(tail -n 3 "$log")"
mapfile -t lived < <(namespaces)
# What is looked for is found while it is there, or its absence would mean nothing.
found=$(left "${lived[@]}" || true)
for kind in process link route cgroup files; do grep -q "^$kind" <<<"$found" || die "left.py sees no $kind of a node that runs"; done
outer=$(cat "$STATE/outer.pid")
kill -9 "$outer"
until_true "the node has ended" bash -c "! kill -0 $outer"
! runs || die "the node runs on without its outer process"
away "a node that was killed" "${lived[@]}"

"$HERE/up.sh" >"$log" 2>&1 || die "no node after one that was killed: $(tail -n 3 "$log")"
mapfile -t lived < <(namespaces)
away "a node that runs" "${lived[@]}"
