#!/usr/bin/env bash
# Builds a Kubernetes control plane once: etcd, kube-apiserver, kube-controller-manager,
# kube-scheduler, kwok (plays the kubelet), kubectl and helm, from Go modules (go.mod).
#
# They go to ${HEADROOM_CACHE:-~/.cache/headroom}/control-plane/HASH/bin, the CRDs that crds.txt names to
# HASH/crds, each HASH that of what it is made from, so a second run does nothing. Where
# KUBEBUILDER_ASSETS is set, the convention of envtest, the programs there are used as they are.
# Two files beside the HASHes tell the outcome, as those of tests/real/setup.sh do:
#
#   env      KEY=VALUE lines, KUBEBUILDER_ASSETS and HEADROOM_CRDS; empty where it could not be built
#   skipped  why not, in a line; empty when all is there
#
# Exit 0 also when it could not be built, unless HEADROOM_NO_SKIP=1: then 1.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HEADROOM_CACHE:-$HOME/.cache/headroom}/control-plane
mkdir -p "$cache"
cache=$(cd "$cache" && pwd) # what env names must hold from anywhere
source "$here/../go.sh"

programs=(etcd kube-apiserver kube-controller-manager kube-scheduler kwok kubectl helm)

# Tests may ask for this at the same time: the first builds, the others wait and find it there.
exec 9>"$cache/lock"
flock 9

say() { echo "control-plane: $*" >&2; }

make_programs() { # FOLDER
    find_go "$cache/../go"
    cd "$here"
    mkdir -p "$1"
    # What they say they are: clients compare versions.
    local version set=k8s.io/component-base/version program
    version=$(go list -m -f '{{.Version}}' k8s.io/kubernetes)
    local minor=${version#v1.}
    # Compiling takes minutes on two cores; whatever else runs goes first.
    nice -n 15 go build -trimpath -o "$1/control-plane" \
        -ldflags="-s -w -X $set.gitVersion=$version -X $set.gitMajor=1 -X $set.gitMinor=${minor%%.*} -X $set.gitTreeState=clean" .
    for program in "${programs[@]}"; do
        ln -s control-plane "$1/$program"
    done
    "$1/kubectl" version --client
}

make_crds() { # FOLDER
    find_go "$cache/../go"
    cd "$here"
    local module folder from
    grep -v '^#' crds.txt | while read -r module folder; do
        from=$(go mod download -json "$module" | sed -n 's/^\t"Dir": "\(.*\)",$/\1/p')
        mkdir -p "$1/${module%%@*}"
        install -m 644 "$from/$folder"/*.yaml "$1/${module%%@*}/"
        rm -f "$1/${module%%@*}/kustomization.yaml"
    done
}

# Static, and no toolchain of its own choice: the one found is the one used.
export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS='-buildvcs=false -p=2'

reason=
# make_part FOLDER COMMAND: runs COMMAND unless FOLDER, named after what it is made from, is there.
make_part() {
    local folder=$1 command=$2 began=$SECONDS status
    [[ -d $folder || -n $reason ]] && return 0
    say "$command … (to follow it: tail -f $cache/build.log)"
    rm -rf "$cache/new"
    # In a shell of its own, so that set -e still ends it at its first failure.
    set +e
    (set -e; "$command" "$cache/new") </dev/null >"$cache/build.log" 2>&1
    status=$?
    set -e
    if ((status == 0)); then
        # Moved when it is whole, so that what is there can be used.
        mkdir -p "${folder%/*}"
        mv "$cache/new" "$folder"
        say "$command: $((SECONDS - began)) s"
    else
        reason="$command: $(grep -v '^go: downloading' "$cache/build.log" | grep . | tail -n 1 | cut -c1-300 || true)"
        say "skipped $reason (all of it: $cache/build.log)"
    fi
}

hash() { (cd "$here" && cat "$@" | sha256sum | cut -c1-16); }
crds=$cache/$(hash crds.txt)/crds
make_part "$crds" make_crds
bin=${KUBEBUILDER_ASSETS:-}
if [[ -z $bin ]]; then
    bin=$cache/$(hash go.mod go.sum main.go)/bin
    make_part "$bin" make_programs
fi
for program in "${programs[@]}"; do
    [[ -n $reason || -x $bin/$program ]] || reason="$program is not in $bin"
done

{
    if [[ -z $reason ]]; then
        echo "KUBEBUILDER_ASSETS=$bin"
        echo "HEADROOM_CRDS=$crds"
    fi
} >"$cache/env.new"
mv -f "$cache/env.new" "$cache/env"
printf '%s\n' "$reason" | grep . >"$cache/skipped.new" || true
mv -f "$cache/skipped.new" "$cache/skipped"

if [[ -n $reason && ${HEADROOM_NO_SKIP:-} == 1 ]]; then
    say "HEADROOM_NO_SKIP=1, so that is a failure"
    exit 1
fi
