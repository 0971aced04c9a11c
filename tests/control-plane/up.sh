#!/usr/bin/env bash
# up.sh DIR [NODES]: a private Kubernetes on loopback, in DIR, with NODES (3) pretend nodes of 16 cores.
#
# Prints "KUBECONFIG=DIR/admin.kubeconfig" when it is ready, and runs until it is told to stop, its
# standard input ends (so that whoever holds the other end cannot leave it behind, however it dies) or
# one of its programs does. By hand:
#
#   tests/control-plane/up.sh /tmp/cluster          # in one terminal; Ctrl-D or Ctrl-C stops it
#   export KUBECONFIG=/tmp/cluster/admin.kubeconfig # in another
#
# In DIR are then:
#   *.kubeconfig   admin's, and one for each component
#   bin            link to the programs (kubectl, helm)
#   crds           link to the CRDs of Gateway API and KEDA, not installed
#   audit.jsonl    every write that was not the control plane's own, an audit.k8s.io/v1 Event a line
#   *.log, *.pid   of each program
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
mkdir -p "$1"
# From here all paths are relative: a socket's is at most 108 bytes long.
cd "$1"
directory=$PWD
nodes=${2:-3}
# A machine that compiles meanwhile may need it; an idle one takes 5 s.
ready_within=120
cores_of_a_node=16

say() { echo "control-plane: $*" >&2; }
fail() { say "$*"; exit 1; }

# Another in the same DIR comes after this one's end.
exec 8>lock
flock 8

"$here/build.sh"
cache=${HEADROOM_CACHE:-$HOME/.cache/headroom}/control-plane
[[ -s $cache/env ]] || fail "$(cat "$cache/skipped")"
# shellcheck source=/dev/null
source "$cache/env"
ln -sfn "$KUBEBUILDER_ASSETS" bin
ln -sfn "$HEADROOM_CRDS" crds
rm -rf etcd ./*.pid ./*.log audit.jsonl

# --- stopping ----------------------------------------------------------------------------------

declare -A running=()
stop() {
    trap - EXIT TERM INT HUP
    local name
    exec 2>/dev/null # the shell would report each that was killed
    # A paused program heeds nothing but KILL. There is nothing to save: the data goes with DIR.
    for name in "${!running[@]}"; do
        kill -KILL "${running[$name]}" 2>/dev/null || true
    done
    wait
}
trap stop EXIT
trap 'exit 0' TERM INT HUP

start() { # PROGRAM ARGS
    local program=$1
    "bin/$@" >"$program.log" 2>&1 </dev/null 8>&- &
    running[$program]=$!
    echo $! >"$program.pid"
}

last_words() { tail -n 3 "$1.log" | cut -c1-400; }

# --- who is who --------------------------------------------------------------------------------

# certificate NAME SUBJECT EXTENSIONS: NAME.crt and NAME.key, signed by the cluster's authority.
certificate() {
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -subj "$2" -keyout "$1.key" -out "$1.csr" 2>/dev/null
    openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -days 2 -out "$1.crt" -extfile <(echo "$3") 2>/dev/null
    rm "$1.csr"
}

# kubeconfig NAME SUBJECT
kubeconfig() {
    certificate "$1" "$2" extendedKeyUsage=clientAuth
    cat >"$1.kubeconfig" <<EOF
apiVersion: v1
kind: Config
current-context: test
contexts: [{ name: test, context: { cluster: test, user: $1, namespace: default } }]
clusters: [{ name: test, cluster: { server: "https://127.0.0.1:PORT", certificate-authority-data: $(base64 -w0 ca.crt) } }]
users: [{ name: $1, user: { client-certificate-data: $(base64 -w0 "$1.crt"), client-key-data: $(base64 -w0 "$1.key") } }]
EOF
}

umask 077
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -noenc -days 2 -subj /CN=test-authority \
    -keyout ca.key -out ca.crt 2>/dev/null
certificate apiserver /CN=kube-apiserver 'subjectAltName=IP:127.0.0.1,IP:10.96.0.1,DNS:localhost,DNS:kubernetes.default.svc'
kubeconfig admin /O=system:masters/CN=admin
kubeconfig controller-manager /CN=system:kube-controller-manager
kubeconfig scheduler /CN=system:kube-scheduler
kubeconfig kubelet /O=system:masters/CN=kubelet
# Signs the tokens of service accounts.
openssl ecparam -name prime256v1 -genkey -noout -out service-accounts.key 2>/dev/null

# --- the control plane -------------------------------------------------------------------------

# Reached by socket files that only this user can open; nothing synced to disk, since nothing outlives DIR.
start etcd --data-dir etcd --unsafe-no-fsync \
    --listen-client-urls unix://localhost:0 --advertise-client-urls unix://localhost:0 \
    --listen-peer-urls unix://localhost:1 --initial-advertise-peer-urls unix://localhost:1 \
    --initial-cluster default=unix://localhost:1 --log-level warn

api() { bin/kubectl --kubeconfig admin.kubeconfig "$@"; }
deadline=$((SECONDS + ready_within))

# The port may be taken by the time the server wants it: then it says so and ends, and the next is tried.
start_apiserver() {
    local port
    port=$((20000 + RANDOM % 10000)) # below those that Linux gives to outgoing connections
    sed -i "s/127.0.0.1:[A-Z0-9]*/127.0.0.1:$port/" ./*.kubeconfig
    start kube-apiserver --etcd-servers unix://localhost:0 --bind-address 127.0.0.1 --secure-port $port \
        --advertise-address 127.0.0.1 --endpoint-reconciler-type none --service-cluster-ip-range 10.96.0.0/16 \
        --tls-cert-file apiserver.crt --tls-private-key-file apiserver.key --client-ca-file ca.crt \
        --authorization-mode RBAC --allow-privileged=true \
        --service-account-issuer https://kubernetes.default.svc --api-audiences https://kubernetes.default.svc \
        --service-account-key-file service-accounts.key --service-account-signing-key-file service-accounts.key \
        --audit-policy-file "$here/audit.yaml" --audit-log-path audit.jsonl --audit-log-mode blocking-strict \
        --shutdown-delay-duration 0s
    until [[ $(curl -s --cacert ca.crt --cert admin.crt --key admin.key "https://127.0.0.1:$port/readyz") == ok ]]; do
        kill -0 "${running[kube-apiserver]}" 2>/dev/null || return 1
        ((SECONDS < deadline)) || fail "the API server is not ready after $ready_within s: $(last_words kube-apiserver)"
        sleep 0.1
    done
}
tries=5
until start_apiserver; do
    ((--tries)) && grep -q 'address already in use' kube-apiserver.log ||
        fail "the API server ended: $(last_words kube-apiserver)"
done

start kube-controller-manager --kubeconfig controller-manager.kubeconfig --leader-elect=false --secure-port 0 \
    --use-service-account-credentials --service-account-private-key-file service-accounts.key --root-ca-file ca.crt \
    --horizontal-pod-autoscaler-sync-period 1s --horizontal-pod-autoscaler-downscale-stabilization 5s \
    --kube-api-qps 200 --kube-api-burst 400
start kube-scheduler --kubeconfig scheduler.kubeconfig --leader-elect=false --secure-port 0 \
    --kube-api-qps 200 --kube-api-burst 400
start kwok --kubeconfig kubelet.kubeconfig --config "$here/kubelet.yaml" --server-address ''

for ((node = 1; node <= nodes; node++)); do
    cat <<EOF
---
apiVersion: v1
kind: Node
metadata: { name: node-$node, labels: { kubernetes.io/hostname: node-$node, kubernetes.io/os: linux } }
status:
  allocatable: { cpu: "$cores_of_a_node", memory: 64Gi, pods: "250" }
  capacity: { cpu: "$cores_of_a_node", memory: 64Gi, pods: "250" }
EOF
done | api create -f - >/dev/null
# The role `edit` is put together by a controller; until then whoever has it may do nothing.
until [[ $(api get nodes --no-headers 2>/dev/null | grep -c ' Ready ') == "$nodes" ]] &&
    api get serviceaccount default >/dev/null 2>&1 &&
    [[ $(api get clusterrole edit --output jsonpath='{.rules}') == *pods* ]]; do
    ((SECONDS < deadline)) || fail "the nodes are not ready after $ready_within s: $(last_words kwok)"
    sleep 0.1
done
echo "KUBECONFIG=$directory/admin.kubeconfig"
say "ready in $SECONDS s"

# --- until the end -----------------------------------------------------------------------------

# What ends first ends all: standard input, or a program.
cat <&0 >/dev/null 8>&- &
running[stdin]=$!
wait -n || true
for name in "${!running[@]}"; do
    kill -0 "${running[$name]}" 2>/dev/null || [[ $name == stdin ]] || say "$name ended: $(last_words "$name")"
done
