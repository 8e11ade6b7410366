#!/usr/bin/env bash
# `make cluster`: a Kubernetes (this machine's own node, or the one that KUBECONFIG names) with Dapr, RabbitMQ, Bannou by its charts, the quickstart's services
# and the playground. Prints the playground's URL. What is there already is brought up to date.
# shellcheck source=lib.sh
. "$(dirname "$0")/lib.sh"
started=$(date +%s.%N)
step() { say "$(since "$started") s: $*"; }
said=$("$HERE/images.sh" ${BANNOU_TESTS:+--tests}) || die "the images could not be built"
mapfile -t tars <<<"$said"
# tag NAME: of the image of that name among them
tag() { printf '%s\n' "${tars[@]}" | sed -nE "s|^.*/$1-([0-9a-f]{12})\.tar$|\1|p"; }
registry=${BANNOU_REGISTRY:-localhost}
step "images: $(basename -a "${tars[@]}" | tr '\n' ' ')"
bin=$("$ROOT/tests/setup/kubernetes.sh")
helm=$("$ROOT/tests/setup/helm.sh")

# Dapr by its own chart, into a cluster that has none and can fetch its images. Without its scheduler, which nothing here needs.
dapr() {
  local module
  command -v go >/dev/null || die "Dapr is not in $context: install its Helm chart with dapr_sidecar_injector.sidecarDropALLCapabilities=true"
  module=$(cd "$ROOT/tests/setup/kubelet/dapr" && go mod download github.com/dapr/dapr >&2 && go list -mod=readonly -m -f '{{.Dir}}' github.com/dapr/dapr)
  step "installing Dapr into $context"
  "$helm" install dapr "$module/charts/dapr" -n dapr-system --create-namespace --wait --timeout 300s \
    --set global.tag="$(basename "$module" | sed 's/.*@v//')",global.scheduler.enabled=false,dapr_sidecar_injector.sidecarDropALLCapabilities=true >/dev/null
}

if [ -z "${KUBECONFIG:-}" ]; then
  KUBECONFIG=$(BANNOU_IMAGES="${tars[*]}" "$HERE/up.sh" | tail -n 1)
  export KUBECONFIG
  address=$NODE_IP
  export HELM_CACHE_HOME="$STATE/helm/cache" HELM_CONFIG_HOME="$STATE/helm/config" HELM_DATA_HOME="$STATE/helm/data"
else
  context=$("$bin/kubectl" config current-context)
  case "$context" in
    kind-*) for tar in "${tars[@]}"; do kind load image-archive "$tar" --name "${context#kind-}"; done ;;
    k3d-*) for tar in "${tars[@]}"; do k3d image import "$tar" --cluster "${context#k3d-}"; done ;;
    *) [ -n "${BANNOU_IMAGES_LOADED:-}" ] || die "how images come into $context is for you: load ${tars[*]} (podman load), push them as $registry/NAME:TAG, and set BANNOU_IMAGES_LOADED=1; BANNOU_REGISTRY names your registry" ;;
  esac
  "$bin/kubectl" get crd configurations.dapr.io >/dev/null 2>&1 || dapr
  "$bin/kubectl" -n dapr-system get deploy dapr-sidecar-injector -o yaml 2>/dev/null | grep -A1 'SIDECAR_DROP_ALL_CAPABILITIES' | grep -q true ||
    say "the namespace bannou-system takes restricted Pods alone, and Dapr's sidecars are that with dapr_sidecar_injector.sidecarDropALLCapabilities=true only: no gateway is made without"
  address=${BANNOU_NODE_ADDRESS:-$("$bin/kubectl" get nodes -o jsonpath='{.items[0].status.addresses[?(@.type=="InternalIP")].address}')}
fi
kubectl() { "$bin/kubectl" "$@"; }

sed "s|localhost/|$registry/|" "$ROOT/examples/cluster/rabbitmq.yaml" | kubectl apply -f - >/dev/null
kubectl create namespace bannou-system --dry-run=client -o yaml | kubectl apply -f - >/dev/null
kubectl label namespace bannou-system pod-security.kubernetes.io/enforce=restricted --overwrite >/dev/null
# The same key where the gateway checks tokens and where the demo signs them; made once.
if ! kubectl -n bannou-system get secret demo-signing-key >/dev/null 2>&1; then
  key=$(mktemp)
  head -c 32 /dev/urandom | base64 -w0 >"$key"
  for namespace in bannou-system default; do
    kubectl -n "$namespace" create secret generic demo-signing-key --from-file=secret="$key" --dry-run=client -o yaml | kubectl apply -f - >/dev/null
  done
  head -c 24 /dev/urandom | base64 -w0 >"$key"
  kubectl -n bannou-system create secret generic gateway-app-token --from-file=token="$key" >/dev/null
  rm "$key"
fi
kubectl -n bannou-system create secret generic broker --from-literal=url=amqp://guest:guest@rabbitmq.rabbitmq.svc:5672 --dry-run=client -o yaml | kubectl apply -f - >/dev/null
"$helm" upgrade --install bannou-crds "$ROOT/charts/bannou-crds" -n bannou-system >/dev/null
"$helm" upgrade --install bannou "$ROOT/charts/bannou" -n bannou-system -f "$ROOT/examples/cluster/values.yaml" \
  --set "images.registry=$registry,operator.image.tag=$(tag bannou-operator),gateway.image.tag=$(tag bannou-gateway),test.image.tag=$(tag bannou)" \
  --set "fleet.spec.origins={http://$address:30081}" >/dev/null
step "Bannou is installed"
image="s|localhost/bannou:dev|$registry/bannou:$(tag bannou)|"
sed "$image" "$ROOT/examples/cluster/services.yaml" | kubectl apply -f - >/dev/null
for service in account auth chat game; do kubectl apply -f "$ROOT/examples/quickstart/$service.yaml" >/dev/null; done
sed -e "$image" -e "s|ws://10.200.0.2:30080|ws://$address:30080|" "$ROOT/examples/cluster/playground.yaml" | kubectl apply -f - >/dev/null
kubectl -n rabbitmq rollout status statefulset/rabbitmq --timeout=120s >/dev/null || die "RabbitMQ does not become ready"
step "RabbitMQ is ready"
for deployment in bannou-operator bannou-gateway; do
  kubectl -n bannou-system rollout status "deploy/$deployment" --timeout=120s >/dev/null || die "$deployment does not become ready: kubectl -n bannou-system describe pods"
done
step "operator and gateway are ready"
for deployment in account auth chat echo game playground; do
  kubectl rollout status "deploy/$deployment" --timeout=120s >/dev/null || die "$deployment does not become ready: kubectl describe pods"
done
kubectl wait sexp --all --for=condition=Programmed --timeout=60s >/dev/null || die "the services are not at the gateways: kubectl get bannou -A"
step "the quickstart's services can be called"
echo "playground http://$address:30081/"
echo "kubeconfig $KUBECONFIG"
