#!/usr/bin/env bash
# Real sources for a `headroom serve` that you run: load -> Envoy -> a shop of three Python
# services, all of them tracing to an OpenTelemetry Collector, and that one to headroom.
# Everything listens on 127.0.0.1 and ends with this script (Ctrl-C). README.md tells the rest.
set -euo pipefail
# A process group for each child, so that Ctrl-C reaches this script alone and it can stop them in
# order: the load, then what serves it, then the Collector with the last spans.
set -m

usage() {
    cat <<'TEXT'
run.sh [options]
  --headroom HOST:PORT   headroom's OTLP receiver (default 127.0.0.1:4317, with http 127.0.0.1:4318)
  --protocol NAME        grpc (default) or http, from the Collector to headroom
  --compression NAME     gzip (default), zstd, snappy or none, from the Collector to headroom
  --sdk NAME             grpc (default) or http, from the services to the Collector
  --spans FILE           also keep all spans there as OTLP JSON lines, for headroom diagnose and replay
  --rate N               requests a second (default 40)
  --seconds N            end after so long (default: at Ctrl-C)
  --workers NAME=N       requests one service handles at once (default 256); may be repeated
  --port P               Envoy's port (default 18000); the others follow from it: P+1 frontend,
                         P+2 orders, P+3 stock, P+4 Envoy's admin, P+5 OTLP/gRPC, P+6 OTLP/HTTP
                         and P+7 metrics of the Collector
TEXT
}

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
real=$here/../../tests/real # the same programs as the integration tests use
headroom='' protocol=grpc compression=gzip sdk=grpc rate=40 seconds=1000000 port=18000
collector_options=() workers=()
while (($#)); do
    if [[ $1 == -h || $1 == --help ]]; then
        usage
        exit 0
    fi
    if (($# < 2)); then
        echo "run.sh: $1 needs a value" >&2
        exit 2
    fi
    case $1 in
        --headroom) headroom=$2 ;;
        --protocol) protocol=$2 ;;
        --compression) compression=$2 ;;
        --sdk) sdk=$2 ;;
        --spans) collector_options+=(--to-file "$2") ;;
        --rate) rate=$2 ;;
        --seconds) seconds=$2 ;;
        --workers) workers+=(--workers "$2") ;;
        --port) port=$2 ;;
        *) echo "run.sh: unknown option $1" >&2; usage >&2; exit 2 ;;
    esac
    shift 2
done
case $protocol in
    grpc) : "${headroom:=127.0.0.1:4317}" ;;
    http) : "${headroom:=127.0.0.1:4318}" ;;
    *) echo "run.sh: --protocol is grpc or http, not $protocol" >&2; exit 2 ;;
esac
case $sdk in
    grpc) otlp_port=$((port + 5)) ;;
    http) otlp_port=$((port + 6)) ;;
    *) echo "run.sh: --sdk is grpc or http, not $sdk" >&2; exit 2 ;;
esac

# At once when everything is there already; the first time it builds the Collector (minutes).
HEADROOM_NO_SKIP=1 "$real/setup.sh"
cache=${HEADROOM_CACHE:-$HOME/.cache/headroom}/real
python=$(sed -n 's/^HEADROOM_PYTHON=//p' "$cache/env")
logs=$cache/example-logs
mkdir -p "$logs"

children=()
stop() {
    trap - EXIT INT TERM
    local index
    for ((index = ${#children[@]} - 1; index >= 0; index--)); do
        kill "${children[index]}" 2>/dev/null || true
        wait "${children[index]}" 2>/dev/null || true
    done
}
trap stop EXIT
trap 'exit 0' INT TERM
# launch NAME COMMAND…: starts it with its messages in $logs/NAME.log.
launch() {
    local name=$1
    shift
    "$@" >"$logs/$name.log" 2>&1 &
    children+=($!)
}
# ready NAME URL: waits for an answer there, while what was launched last lives.
ready() {
    for _ in {1..300}; do
        curl -s -o /dev/null --max-time 2 "$2" && return 0
        kill -0 "${children[-1]}" 2>/dev/null || break
        sleep 0.05
    done
    tail -n 5 "$logs/$1.log" >&2
    echo "run.sh: $1 did not start, see above (a port in use? choose others with --port)" >&2
    exit 1
}

if ! (exec 3<>"/dev/tcp/${headroom%:*}/${headroom##*:}") 2>/dev/null; then
    echo "note: nothing listens at $headroom yet; the Collector keeps the spans until headroom does:"
    echo "      headroom serve --config examples/real-sources/headroom.yaml"
fi

# Envoy and the SDKs drop what they cannot export, so the Collector comes first and goes last.
launch collector "$real/otelcol.sh" "--to-$protocol" "$headroom" --compression "$compression" "${collector_options[@]}" \
    --grpc-port $((port + 5)) --http-port $((port + 6)) --metrics-port $((port + 7))
ready collector "http://127.0.0.1:$((port + 7))/metrics"
launch shop "$python" "$real/shop.py" --exporter "$sdk" --endpoint "127.0.0.1:$otlp_port" "${workers[@]}" \
    --frontend-port $((port + 1)) --orders-port $((port + 2)) --stock-port $((port + 3))
for number in 3 2 1; do
    ready shop "http://127.0.0.1:$((port + number))/healthz"
done
launch envoy "$real/envoy.sh" --port "$port" --admin-port $((port + 4)) --frontend-port $((port + 1)) \
    --otlp-port $((port + 5))
ready envoy "http://127.0.0.1:$((port + 4))/ready"

cat <<TEXT

  $rate requests/s -> Envoy :$port -> frontend :$((port + 1)) -> orders :$((port + 2)) -> stock :$((port + 3))
  spans -> Collector -> headroom at $headroom ($protocol, $compression)

  one request              curl -i http://127.0.0.1:$port/checkout/book
  make stock slow          curl -X POST 'http://127.0.0.1:$((port + 3))/slow?ms=200'
  and well again           curl -X POST 'http://127.0.0.1:$((port + 3))/slow?ms=0'
  what headroom finds      curl http://127.0.0.1:8080/api/v1/bottleneck
  spans on their way       curl -s http://127.0.0.1:$((port + 7))/metrics | grep -E '^otelcol_exporter_(queue_size|sent_spans)'

Their messages are in $logs. Ctrl-C ends it.
TEXT
"$python" "$real/load.py" --url "http://127.0.0.1:$port/checkout/book" --rate "$rate" --seconds "$seconds" &
children+=($!)
wait $! || true
