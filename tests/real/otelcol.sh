#!/usr/bin/env bash
# Starts the Collector built by setup.sh and becomes it (exec): the caller's child is the Collector
# itself, and SIGTERM or SIGKILL to that child is all it takes to stop it.
#
#   otelcol.sh --to-grpc 127.0.0.1:4317 --grpc-port 14317 --http-port 14318 --metrics-port 18888
set -euo pipefail

usage() {
    cat <<'TEXT'
otelcol.sh (--to-grpc HOST:PORT | --to-http HOST:PORT | --to-file PATH)… [options]
  --to-grpc HOST:PORT    send traces there by OTLP/gRPC
  --to-http HOST:PORT    send traces there by OTLP/HTTP
  --to-file PATH         write traces there as OTLP JSON lines (the file starts anew)
  --compression NAME     none, gzip (default), zstd or snappy, of both --to-grpc and --to-http
  --encoding NAME        proto (default) or json, of --to-http
  --queue-dir DIR        keep the sending queues there, so that they outlive the Collector
  --grpc-port PORT       receive OTLP/gRPC here (default 14317)
  --http-port PORT       receive OTLP/HTTP here (default 14318)
  --metrics-port PORT    the Collector's own metrics, at /metrics (default 18888)
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
cache=${HEADROOM_CACHE:-$HOME/.cache/headroom}/real
if [[ -z ${HEADROOM_OTELCOL:-} ]]; then
    HEADROOM_OTELCOL=$(sed -n 's/^HEADROOM_OTELCOL=//p' "$cache/env" 2>/dev/null || true)
fi
if [[ ! -x ${HEADROOM_OTELCOL:-} ]]; then
    echo "otelcol.sh: no Collector in $cache: run $here/setup.sh first" >&2
    exit 2
fi

export OTELCOL_GRPC_PORT=14317 OTELCOL_HTTP_PORT=14318 OTELCOL_METRICS_PORT=18888
export OTELCOL_COMPRESSION=gzip OTELCOL_ENCODING=proto
configs=(--config "file:$here/collector/base.yaml")
exporters=()
while (($#)); do
    if [[ $1 == -h || $1 == --help ]]; then
        usage
        exit 0
    fi
    if (($# < 2)); then
        echo "otelcol.sh: $1 needs a value" >&2
        exit 2
    fi
    case $1 in
        --to-grpc) export OTELCOL_TO_GRPC=$2; exporters+=(otlp); configs+=(--config "file:$here/collector/to-grpc.yaml") ;;
        --to-http) export OTELCOL_TO_HTTP=$2; exporters+=(otlphttp); configs+=(--config "file:$here/collector/to-http.yaml") ;;
        --to-file) export OTELCOL_TO_FILE=$2; configs+=(--config "file:$here/collector/to-file.yaml") ;;
        --compression) export OTELCOL_COMPRESSION=$2 ;;
        --encoding) export OTELCOL_ENCODING=$2 ;;
        --queue-dir) export OTELCOL_QUEUE_DIR=$2 ;;
        --grpc-port) export OTELCOL_GRPC_PORT=$2 ;;
        --http-port) export OTELCOL_HTTP_PORT=$2 ;;
        --metrics-port) export OTELCOL_METRICS_PORT=$2 ;;
        *) echo "otelcol.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift 2
done
if ((${#configs[@]} == 2)); then
    echo "otelcol.sh: say where traces go: --to-grpc, --to-http or --to-file" >&2
    exit 2
fi
if [[ -n ${OTELCOL_QUEUE_DIR:-} ]]; then
    configs+=(--config "file:$here/collector/queue-on-disk.yaml")
    for exporter in "${exporters[@]}"; do
        configs+=(--config "yaml:exporters::$exporter::sending_queue::storage: file_storage")
    done
fi
exec "$HEADROOM_OTELCOL" "${configs[@]}"
