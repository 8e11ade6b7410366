#!/usr/bin/env bash
# Starts the kubelet of the node; run inside of it, again after it was stopped. Its process is in $STATE/run/kubelet.pid.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
debian_environment "$NODE_PARTS/debian"
setsid "$NODE_PARTS/kubelet" --config="$STATE/etc/kubelet.yaml" --kubeconfig="$STATE/pki/kubelet.kubeconfig" \
  --hostname-override=node --node-ip="$NODE_IP" --root-dir="$STATE/var/kubelet" >>"$STATE/logs/kubelet.log" 2>&1 </dev/null &
echo $! >"$STATE/run/kubelet.pid"
