#!/usr/bin/env bash
# What is made from other files: the chart's copies of the shipped rules, of the dashboards and of Prometheus' rules, and
# the kustomize base, which is the chart as it comes, in the namespace `headroom`. A test finds out when this was forgotten. `make deploy` runs it.
#
#   deploy/render.sh [FOLDER]    writes FOLDER/base, FOLDER/rules, FOLDER/dashboards and FOLDER/prometheus instead, for that test
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
mkdir -p "$base" "$rules" "$dashboards" "$prometheus"

rm -f "$dashboards"/*.json
cp "$here"/../dashboards/headroom-*.json "$dashboards/"
cp "$here/prometheus/rules.yaml" "$prometheus/"

rm -f "$rules"/*.rhai
for rule in "$here"/../rules/*.rhai; do
    [[ $rule == *_test.rhai ]] || cp "$rule" "$rules/"
done
"$KUBEBUILDER_ASSETS/helm" template headroom "$chart" --namespace headroom >"$base/headroom.yaml"
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
    echo "# Made by deploy/render.sh from the Helm chart. The Secret headroom-tokens is yours to make: docs/kubernetes.md."
    echo "apiVersion: kustomize.config.k8s.io/v1beta1"
    echo "kind: Kustomization"
    echo "resources:"
    printf -- '- %s\n' "${resources[@]}"
} >"$base/kustomization.yaml"
