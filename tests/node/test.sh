#!/usr/bin/env bash
# `make test-cluster`: the tests of tests/browser/cluster on the cluster of `make cluster`, which is brought up for them and, if it was not there before,
# taken away afterwards; it fails when anything is left of it then. Arguments are the files to run; without any, all of them.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
export BANNOU_PROFILE="${BANNOU_PROFILE:-debug}" CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$BANNOU_CACHE/target}"
own=""
if [ -z "${KUBECONFIG:-}" ]; then
  export BANNOU_OWN_NODE=1
  runs || own=1
fi
BANNOU_VALUES=$(mktemp --suffix .yaml)
export BANNOU_VALUES
finish() {
  local status=$? found lived=()
  rm -f "$BANNOU_VALUES"
  if [ -n "$own" ]; then
    ! runs || mapfile -t lived < <(readlink /proc/"$(cat "$STATE/init.pid")"/ns/{pid,net,mnt})
    "$HERE/down.sh" || status=1
    if found=$(python3 "$HERE/left.py" "$STATE" "$LOCK" "${lived[@]}"); then
      say "nothing is left of the node"
    else
      say "left behind:"$'\n'"$found"
      status=1
    fi
  fi
  exit "$status"
}
trap finish EXIT
[ -z "$own" ] || [ "$#" -gt 0 ] || "$HERE/gone.sh"
said=$(BANNOU_TESTS=1 "$HERE/cluster.sh")
KUBECONFIG=$(sed -n 's/^kubeconfig //p' <<<"$said")
page=$(sed -n 's/^playground //p' <<<"$said")
BANNOU_NODE_ADDRESS=$(sed -E 's|^http://([^:/]+).*|\1|' <<<"$page")
BANNOU_CONTROL_PLANE=$("$ROOT/tests/setup/kubernetes.sh")
BANNOU_KUBECTL=$BANNOU_CONTROL_PLANE/kubectl
BANNOU_HELM=$("$ROOT/tests/setup/helm.sh")
CHROMIUM=$("$ROOT/tests/setup/chromium.sh")
BANNOU_BIN=$CARGO_TARGET_DIR/debug/bannou
[ "$BANNOU_PROFILE" = debug ] || BANNOU_BIN=$ROOT/build/images/bannou/bannou
export KUBECONFIG BANNOU_NODE_ADDRESS BANNOU_CONTROL_PLANE BANNOU_KUBECTL BANNOU_HELM CHROMIUM BANNOU_BIN BANNOU_NODE_STATE="$STATE"
[ -z "${BANNOU_OWN_NODE:-}" ] || BANNOU_NODE_PARTS=$("$ROOT/tests/setup/kubelet.sh")
export BANNOU_NODE_PARTS
"$ROOT/tests/setup/node.sh" >/dev/null
cd "$ROOT/tests/browser"
files=("$@")
# What was installed, so that the tests install the same.
"$BANNOU_HELM" get values bannou -n bannou-system -o yaml >"$BANNOU_VALUES"
# These two begin and end with nothing installed, so they come last.
[ "${#files[@]}" -gt 0 ] || files=(cluster/rights.test.js cluster/alerts.test.js cluster/network.test.js cluster/faults/*.test.js cluster/journey.test.js cluster/readme.test.js)
status=0
for file in "${files[@]}"; do node --test --test-timeout=1200000 "$file" || status=1; done
exit "$status"
