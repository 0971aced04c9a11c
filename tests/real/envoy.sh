#!/usr/bin/env bash
# Starts Envoy as the shop's ingress (envoy/ingress.yaml, or envoy/shaped.yaml where it asks headroom) and becomes it (exec): the caller's child
# is Envoy itself, and SIGTERM or SIGKILL to that child is all it takes to stop it.
#
#   envoy.sh --port 18000 --admin-port 19901 --frontend-port 9001 --otlp-port 14317
set -euo pipefail

usage() {
    cat <<'TEXT'
envoy.sh [options]                all ports on 127.0.0.1
  --port PORT            listen here (default 18000); serves /checkout/ITEM
  --admin-port PORT      Envoy's admin interface (default 19901); GET /ready says LIVE with 200
  --frontend-port PORT   the shop's frontend (default 9001)
  --otlp-port PORT       send traces here by OTLP/gRPC (default 14317, the Collector)
  --headroom-port PORT   ask headroom there which requests may come in (envoy/shaped.yaml); serves /submit and /page too
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HEADROOM_CACHE:-$HOME/.cache/headroom}/real
if [[ -z ${HEADROOM_ENVOY:-} ]]; then
    HEADROOM_ENVOY=$(sed -n 's/^HEADROOM_ENVOY=//p' "$cache/env" 2>/dev/null || true)
fi
if [[ ! -x ${HEADROOM_ENVOY:-} ]]; then
    echo "envoy.sh: no Envoy in $cache: run $here/setup.sh first" >&2
    exit 2
fi

port=18000 admin_port=19901 frontend_port=9001 otlp_port=14317 headroom_port=
while (($#)); do
    if [[ $1 == -h || $1 == --help ]]; then
        usage
        exit 0
    fi
    if (($# < 2)); then
        echo "envoy.sh: $1 needs a value" >&2
        exit 2
    fi
    case $1 in
        --port) port=$2 ;;
        --admin-port) admin_port=$2 ;;
        --frontend-port) frontend_port=$2 ;;
        --otlp-port) otlp_port=$2 ;;
        --headroom-port) headroom_port=$2 ;;
        *) echo "envoy.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift 2
done
file=ingress.yaml
if [[ -n $headroom_port ]]; then file=shaped.yaml; fi
# The configuration is passed as text, so that no file is left behind.
config=$(sed -e "s/@PORT@/$port/" -e "s/@ADMIN_PORT@/$admin_port/" \
    -e "s/@FRONTEND_PORT@/$frontend_port/" -e "s/@OTLP_PORT@/$otlp_port/" -e "s/@HEADROOM_PORT@/$headroom_port/" \
    "$here/envoy/$file")
# Without hot restart several Envoys can run at once; one worker is plenty here and leaves the
# other core to the services.
exec "$HEADROOM_ENVOY" --config-yaml "$config" --disable-hot-restart --concurrency 1 --log-level warn
