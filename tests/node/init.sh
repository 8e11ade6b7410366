#!/usr/bin/env bash
# The first process of the node's own pid, mount and network namespaces: starts everything of it, and everything ends with it.
# What this machine has to give is said by environment (up.sh). Progress goes into $STATE/events, a line each.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
logs=$STATE/logs pki=$STATE/pki etc=$STATE/etc
began=$(date +%s.%N)
debian_environment "$NODE_PARTS/debian"
event() { echo "$(since "$began") s: $*" >>"$STATE/events"; }
start() { # NAME COMMAND…
  local name=$1
  shift
  "$@" >>"$logs/$name.log" 2>&1 &
  echo $! >"$STATE/run/$name.pid"
}

mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir -p /run/netns /run/containerd /run/lock /run/sysctl
# The kubelet sets what is the whole machine's: it writes into copies.
for name in vm/overcommit_memory vm/panic_on_oom kernel/panic kernel/panic_on_oops kernel/keys/root_maxkeys kernel/keys/root_maxbytes; do
  [ -e "/proc/sys/$name" ] || continue
  cat "/proc/sys/$name" >"/run/sysctl/${name//\//_}"
  mount --bind "/run/sysctl/${name//\//_}" "/proc/sys/$name"
done
mkdir -p "$STATE"/var/{lib-upper,lib-work,log,kubelet,containerd,etcd}
mount -t overlay overlay -o "lowerdir=/var/lib,upperdir=$STATE/var/lib-upper,workdir=$STATE/var/lib-work" /var/lib
mount --bind "$STATE/var/log" /var/log
ip link set lo up
# The other end is moved in by who started this.
for _ in $(seq 200); do
  ip link show eth0 >/dev/null 2>&1 && break
  sleep 0.05
done
ip addr add "$NODE_IP/24" dev eth0
ip link set eth0 up
ip route add default via "$HOST_IP"
echo 1 >/proc/sys/net/ipv4/ip_forward
event network

start containerd containerd -c "$etc/containerd.toml"
start etcd "$CONTROL_PLANE/etcd" --name node --data-dir "$STATE/var/etcd" --unsafe-no-fsync --log-level warn \
  --listen-client-urls http://127.0.0.1:2379 --advertise-client-urls http://127.0.0.1:2379 \
  --listen-peer-urls http://127.0.0.1:2380 --initial-advertise-peer-urls http://127.0.0.1:2380 --initial-cluster node=http://127.0.0.1:2380
# apiserver.sh is of its own, so that a test can stop and start it.
bash "$HERE/apiserver.sh"
until [ "$(curl -sk --max-time 1 --cert "$pki/admin.crt" --key "$pki/admin.key" https://127.0.0.1:6443/readyz || true)" = ok ]; do sleep 0.1; done
event "API server"
start controller-manager "$CONTROL_PLANE/kube-controller-manager" --kubeconfig="$pki/controller-manager.kubeconfig" \
  --authentication-kubeconfig="$pki/controller-manager.kubeconfig" --authorization-kubeconfig="$pki/controller-manager.kubeconfig" \
  --service-account-private-key-file="$pki/accounts.key" --root-ca-file="$pki/ca.crt" --cluster-signing-cert-file="$pki/ca.crt" \
  --cluster-signing-key-file="$pki/ca.key" --use-service-account-credentials --leader-elect=false --allocate-node-cidrs=false
start scheduler "$CONTROL_PLANE/kube-scheduler" --kubeconfig="$pki/scheduler.kubeconfig" --leader-elect=false \
  --authentication-kubeconfig="$pki/scheduler.kubeconfig" --authorization-kubeconfig="$pki/scheduler.kubeconfig"
until ctr -a /run/containerd/containerd.sock version >/dev/null 2>&1; do sleep 0.1; done
event containerd
for image in "$STATE"/images/*.tar; do ctr -a /run/containerd/containerd.sock -n k8s.io images import "$image" >>"$logs/images.log" 2>&1; done
event images
bash "$HERE/kubelet.sh"
start kube-proxy "$NODE_PARTS/kube-proxy" --config="$etc/kube-proxy.yaml"
until "$CONTROL_PLANE/kubectl" --kubeconfig "$pki/admin.kubeconfig" get node node 2>/dev/null | grep -q " Ready"; do sleep 0.2; done
event node
# It enforces NetworkPolicies, and nothing else: routes are the CNI's, Services kube-proxy's. It gives up when a tool fails it once, and policies would stand still.
"$CONTROL_PLANE/kubectl" --kubeconfig "$pki/admin.kubeconfig" apply -f "$HERE/kube-router.yaml" >/dev/null
# shellcheck disable=SC2016 # for the other shell
start kube-router bash -c 'while :; do "$@"; sleep 1; done' - \
  env "PATH=$POLICY_PARTS/debian/usr/sbin:$PATH" "LD_LIBRARY_PATH=$POLICY_PARTS/debian/usr/lib/x86_64-linux-gnu:$LD_LIBRARY_PATH" \
  "$POLICY_PARTS/kube-router" --kubeconfig="$pki/router.kubeconfig" --hostname-override=node --service-cluster-ip-range="$SERVICES" \
  --run-firewall --run-router=false --run-service-proxy=false --health-port=0
until iptables -w -S FORWARD 2>/dev/null | grep -q KUBE-ROUTER-FORWARD; do sleep 0.1; done
event ready
# As the first process it takes over what its children leave behind; it ends when it is killed, and all of them with it.
while :; do
  wait -n 2>/dev/null || sleep 0.2
done
