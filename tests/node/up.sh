#!/usr/bin/env bash
# Brings up a Kubernetes of one node on this machine, with real Pods, CoreDNS and Dapr, in namespaces of its own; prints the path of its kubeconfig. What
# runs already is used. BANNOU_IMAGES names tar files (image.py) that are put into it. `down.sh` takes everything away again.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
started=$(date +%s.%N)
[ "$(id -u)" -eq 0 ] || die "needs root: a node is namespaces, mounts and cgroups. As another user, name your own cluster in KUBECONFIG"

# One after the other: a second call finds what the first has brought up.
mkdir -p "$BANNOU_CACHE/lock"
exec 9>"$LOCK"
flock -w 600 9 || die "another 'make cluster' is at it"

NODE_PARTS=$("$ROOT/tests/setup/kubelet.sh")
POLICY_PARTS=$("$ROOT/tests/setup/policies.sh")
CONTROL_PLANE=$("$ROOT/tests/setup/kubernetes.sh")
DAPRD=$("$ROOT/tests/setup/daprd.sh")
HELM=$("$ROOT/tests/setup/helm.sh")
export NODE_PARTS POLICY_PARTS CONTROL_PLANE BANNOU_NODE_STATE="$STATE"
export KUBECONFIG="$STATE/pki/admin.kubeconfig"
kubectl() { "$CONTROL_PLANE/kubectl" "$@"; }
step() { say "$(since "$started") s: $*"; }
# detached COMMAND…: without what the caller has open; a lock of its, or a pipe, would be held for as long as the node lives.
detached() {
  local fd
  for fd in /proc/"$BASHPID"/fd/*; do
    fd=${fd##*/}
    [ "$fd" -le 2 ] || [ "$fd" -eq 255 ] || eval "exec $fd>&-"
  done
  exec setsid "$@"
}

# The images of the node itself are the same as long as its parts are.
images="$BANNOU_CACHE/node/images-$(basename "$NODE_PARTS")-$(cat "$DAPRD" "$HERE"/{image.py,pause.c} | sha256sum | cut -c1-12)"
if [ ! -d "$images" ]; then
  step "writing the images of the node"
  rm -rf "$images.part"
  mkdir -p "$images.part"
  gcc -static -Os -o "$images.part/pause" "$HERE/pause.c"
  make_image() { python3 "$HERE/image.py" "$images.part/$1.tar" "${@:2}"; }
  make_image pause localhost/pause:1 --entrypoint '["/pause"]' --user 65532 "$images.part/pause:/pause"
  make_image coredns localhost/coredns:1 --entrypoint '["/coredns"]' "$NODE_PARTS/coredns:/coredns"
  for name in injector sentry operator placement; do
    make_image "dapr-$name" "localhost/$name:1.18.1" --user 65532 "$NODE_PARTS/dapr-$name:/$name"
  done
  make_image daprd localhost/daprd:1.18.1 --entrypoint '["/daprd"]' --user 65532 "$DAPRD:/daprd"
  rm "$images.part/pause"
  mv "$images.part" "$images"
fi

if ! runs; then
  "$HERE/down.sh"
  mkdir -p "$STATE"/{logs,run,images,etc}
  : >"$STATE/events"
  cp -r "$HERE/etc/." "$STATE/etc"
  find "$STATE/etc" -type f -exec sed -i -e "s|@STATE@|$STATE|g" -e "s|@PARTS@|$NODE_PARTS|g" {} +
  "$HERE/certificates.sh" "$STATE/pki" "$NODE_IP"
  ln "$images"/*.tar "$STATE/images/" 2>/dev/null || cp "$images"/*.tar "$STATE/images/"
  # It writes down itself which process it is: this one may be killed at any time, and down.sh must find it.
  # shellcheck disable=SC2016 # for the other shell
  detached bash -ec 'echo $$ >"$1/outer.pid"; exec unshare --net --mount --pid --fork --kill-child --mount-proc bash "$2"' - \
    "$STATE" "$HERE/init.sh" >"$STATE/logs/init.log" 2>&1 </dev/null &
  outer=$!
  inner=""
  for _ in $(seq 200); do
    inner=$(pgrep -P "$outer" | head -1 || true)
    [ -z "$inner" ] || break
    sleep 0.05
  done
  [ -n "$inner" ] || die "the node did not start: $(cat "$STATE/logs/init.log")"
  echo "$inner" >"$STATE/init.pid"
  ip link add "$LINK" type veth peer name bannou-inner
  # The namespace is there as soon as the process is, but for the blink before unshare's own call.
  for _ in $(seq 100); do
    [ "$(readlink "/proc/$inner/ns/net")" = "$(readlink /proc/self/ns/net)" ] || break
    sleep 0.02
  done
  ip link set bannou-inner netns "$inner" name eth0
  ip addr add "$HOST_IP/24" dev "$LINK"
  ip link set "$LINK" up
  ip route add "$SERVICES" via "$NODE_IP"
  ip route add "$PODS" via "$NODE_IP"
  for _ in $(seq 1200); do
    grep -q ': ready$' "$STATE/events" && break
    runs || die "the node has ended: $(tail -n 5 "$STATE/logs/init.log")"
    sleep 0.1
  done
  grep -q ': ready$' "$STATE/events" || die "the node is not ready after two minutes; its logs are in $STATE/logs"
  step "the node is ready ($(tr '\n' ',' <"$STATE/events"))"
fi

images_command() {
  in_node env "LD_LIBRARY_PATH=$NODE_PARTS/debian/usr/lib/x86_64-linux-gnu" "$NODE_PARTS/debian/usr/bin/ctr" -a /run/containerd/containerd.sock -n k8s.io images "$@"
}
import() { images_command import "$1" >/dev/null; }
# Of a node that ran already: its kubelet may have collected them.
if ! images_command ls -q | grep -qx localhost/pause:1; then
  for image in "$images"/*.tar; do import "$image"; done
fi
for image in ${BANNOU_IMAGES:-}; do
  import "$image"
  step "image $(basename "$image")"
done

kubectl apply -f "$HERE/coredns.yaml" >/dev/null
kubectl -n kube-system rollout status deploy/coredns --timeout=60s >/dev/null || die "CoreDNS does not become ready"
step "CoreDNS answers"
export HELM_CACHE_HOME="$STATE/helm/cache" HELM_CONFIG_HOME="$STATE/helm/config" HELM_DATA_HOME="$STATE/helm/data"
# Under restricted Pod security a sidecar may keep no capability.
if ! "$HELM" status dapr -n dapr-system >/dev/null 2>&1; then
  "$HELM" install dapr "$NODE_PARTS/dapr-chart" -n dapr-system --create-namespace --wait --timeout 120s \
    --set global.registry=localhost,global.tag=1.18.1,global.scheduler.enabled=false,global.imagePullPolicy=Never \
    --set dapr_sidecar_injector.sidecarImagePullPolicy=Never,dapr_sidecar_injector.sidecarDropALLCapabilities=true >"$STATE/logs/dapr.log" 2>&1 || die "Dapr is not ready: $(tail -n 5 "$STATE/logs/dapr.log")"
fi
step "Dapr is ready"
echo "$KUBECONFIG"
