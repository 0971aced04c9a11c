#!/usr/bin/env bash
# What is made from other files: the chart's copies of the shipped rules, of the dashboards and of Prometheus' rules, the
# other chart's copy of the CRD, and the kustomize base and the Collector's configuration, which are the chart as it comes,
# in the namespace `headroom`. A test finds out when this was forgotten. `make deploy` runs it.
#
#   deploy/render.sh [FOLDER]    writes into FOLDER's base, rules, dashboards, prometheus, crds, collector instead, for that test
set -euo pipefail
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HEADROOM_CACHE:-$HOME/.cache/headroom}/control-plane
# shellcheck source=/dev/null
[[ -n ${KUBEBUILDER_ASSETS:-} ]] || source "$cache/env"

chart=$here/helm/headroom
base=${1:+$1/base}
base=${base:-$here/kustomize/base}
rules=${1:+$1/rules}
rules=${rules:-$chart/rules}
dashboards=${1:+$1/dashboards}
dashboards=${dashboards:-$chart/dashboards}
prometheus=${1:+$1/prometheus}
prometheus=${prometheus:-$chart/prometheus}
crds=${1:+$1/crds}
crds=${crds:-$here/helm/headroom-crds/crds-as-made}
collector=${1:+$1/collector}
collector=${collector:-$here/collector}
mkdir -p "$base" "$rules" "$dashboards" "$prometheus" "$crds" "$collector"

rm -f "$dashboards"/*.json
cp "$here"/../dashboards/headroom-*.json "$dashboards/"
cp "$here/prometheus/rules.yaml" "$prometheus/"

rm -f "$rules"/*.rhai
for rule in "$here"/../rules/*.rhai; do
    [[ $rule == *_test.rhai ]] || cp "$rule" "$rules/"
done
"$KUBEBUILDER_ASSETS/helm" template headroom "$chart" --namespace headroom --skip-tests >"$base/headroom.yaml"
cp "$chart"/crds/*.yaml "$crds/"
"$KUBEBUILDER_ASSETS/helm" template headroom "$chart" --namespace headroom --show-only templates/collector.yaml |
    sed '1,/gateway.yaml: |/d; s/^    //' | sed -e :a -e '/^\n*$/{$d;N;ba' -e '}' >"$collector/gateway.yaml"
resources=(namespace.yaml headroom.yaml)
for crd in "$chart"/crds/*.yaml; do
    [[ -e $crd ]] || continue
    cp "$crd" "$base/"
    resources+=("$(basename "$crd")")
done
cat >"$base/namespace.yaml" <<'EOF'
apiVersion: v1
kind: Namespace
metadata:
  name: headroom
  labels: {pod-security.kubernetes.io/enforce: restricted}
EOF
{
    echo "# Made by deploy/render.sh from the Helm chart. The Secret headroom-tokens is yours to make: docs/install-kubernetes.md."
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "resources:"
    printf -- '- %s\n' "${resources[@]}"
} >"$base/kustomization.yaml"
