#!/usr/bin/env bash
# Lints and renders the charts with the real helm, for every file of values, without a cluster. What they promise of what is rendered is
# tested in tests/cluster/charts, and what a real API server makes of it.
set -euo pipefail
cd "$(dirname "$0")/.."
helm=${BANNOU_HELM:-$(tests/setup/helm.sh)}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export HELM_CACHE_HOME="$folder/cache" HELM_CONFIG_HOME="$folder/config" HELM_DATA_HOME="$folder/data" KUBECONFIG=/dev/null

"$helm" lint --strict --quiet charts/bannou-crds
for values in "" charts/bannou/examples/*.yaml tests/cluster/charts/everything.yaml; do
  with=(--namespace bannou-system ${values:+--values "$values"})
  "$helm" lint --strict --quiet charts/bannou "${with[@]}"
  for time in one two; do "$helm" template bannou charts/bannou "${with[@]}" >"$folder/$time"; done
  cmp "$folder/one" "$folder/two" || { echo "${values:-defaults}: rendered twice, it differs"; exit 1; }
  echo "${values:-defaults}: $(grep -c '^kind:' "$folder/one") objects, the same each time"
done

# refused SETTING WORD: the schema or the chart says no, and names what is wrong
refused() {
  if "$helm" template bannou charts/bannou --set "$1" >/dev/null 2>"$folder/said"; then
    echo "$1 is taken"
    exit 1
  fi
  grep -q -- "$2" "$folder/said" || { echo "$1: nothing about $2 in:"; cat "$folder/said"; exit 1; }
}
refused gateway.replica=2 replica
refused gateway.replicas=two integer
refused operator.enabled=false operator.namespace
refused 'commonLabels.app\.kubernetes\.io/name=x' app.kubernetes.io/name
refused 'gateway.podLabels.app\.kubernetes\.io/component=x' app.kubernetes.io/component
refused gateway.service.nodePort=30080 gateway.service.type
refused 'gateway.ingress.hosts={https://play.example.com}' hosts
echo "mistakes are refused"
