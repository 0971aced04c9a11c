#!/usr/bin/env python3
"""A shop of three services that trace themselves: frontend -> orders -> stock.

Each service is a process of its own with its own OpenTelemetry resource, as it would be in a
cluster. They talk HTTP over loopback and take the trace context from the request, so a proxy in
front of the frontend starts the trace. One request makes five spans here:

    frontend SERVER  GET /checkout/{item}
      frontend CLIENT  POST
        orders SERVER    POST /orders/{item}
          orders CLIENT    GET
            stock SERVER     GET /stock/{item}

Start all three:   shop.py --exporter grpc --endpoint 127.0.0.1:14317
Start one of them: shop.py --service stock --port 9003 …

On every service's port there is also, untraced:

    GET  /healthz          200 once it serves
    POST /slow?ms=200      from now on each request takes that much longer; ms=0 ends it
"""

import argparse
import http.client
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# name: (default port, the service it calls, its own work in ms). The order is that of the calls.
SERVICES = {
    "frontend": (9001, "orders", 2.0),
    "orders": (9002, "stock", 3.0),
    "stock": (9003, None, 5.0),
}
ROUTES = {  # name: (method it serves, path before the item)
    "frontend": ("GET", "/checkout/"),
    "orders": ("POST", "/orders/"),
    "stock": ("GET", "/stock/"),
}


def options():
    parser = argparse.ArgumentParser(
        description="A shop of three traced services.",
        epilog="Stop it with SIGTERM: it exports what it still holds and ends.",
    )
    parser.add_argument("--service", choices=SERVICES,
                        help="run this one alone (default: all, one process each)")
    parser.add_argument("--port", type=int, help="with --service: its port")
    parser.add_argument("--pod", help="with --service: its pod and instance name (default: NAME-0)")
    for name, (port, _, _) in SERVICES.items():
        parser.add_argument(f"--{name}-port", type=int, default=port, help=f"default {port}")
    parser.add_argument("--version", default="1.0.0", help="service.version (default 1.0.0)")
    parser.add_argument(
        "--workers", action="append", default=[], metavar="[NAME=]N",
        help="requests a service handles at once (default 256); the rest wait before their span starts, "
             "as behind a server with that many workers. May be repeated.",
    )
    parser.add_argument("--exporter", choices=["grpc", "http"], default="grpc", help="OTLP protocol (default grpc)")
    parser.add_argument("--endpoint",
                        help="HOST:PORT of the OTLP receiver (default 127.0.0.1:14317, http: 14318: the Collector)")
    parser.add_argument("--compression", choices=["none", "gzip", "deflate"], default="none",
                        help="deflate is for http alone")
    chosen = parser.parse_args()
    if chosen.exporter == "grpc" and chosen.compression == "deflate":
        parser.error("the gRPC exporter knows only none and gzip")
    if chosen.endpoint is None:
        chosen.endpoint = "127.0.0.1:14317" if chosen.exporter == "grpc" else "127.0.0.1:14318"
    return chosen


def workers_of(name, given):
    """The number of workers of one service: its own setting, else one for all, else 256."""
    count = 256
    for setting in given:
        service, equals, number = setting.rpartition("=")
        if service == name or not equals:
            count = int(number)
    return count


# --- one service -----------------------------------------------------------------------------


def provider(chosen, name, pod):
    """A tracer provider that exports every 500 ms, and at most 500 ms later than a span ended."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    if chosen.exporter == "grpc":
        import grpc
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter

        compression = {"none": grpc.Compression.NoCompression, "gzip": grpc.Compression.Gzip}
        exporter = OTLPSpanExporter(
            endpoint=chosen.endpoint, insecure=True, compression=compression[chosen.compression]
        )
    else:
        from opentelemetry.exporter.otlp.proto.http import Compression
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(
            endpoint=f"http://{chosen.endpoint}/v1/traces", compression=Compression(chosen.compression)
        )
    resource = Resource.create({
        "service.namespace": "shop",
        "service.name": name,
        "service.version": chosen.version,
        "service.instance.id": pod,
        "k8s.namespace.name": "shop",
        "k8s.deployment.name": name,
        "k8s.pod.name": pod,
        "k8s.cluster.name": "loopback",
    })
    traces = TracerProvider(resource=resource)
    # The queue holds some 40 s at 100 requests/s: a receiver that restarts costs no span.
    traces.add_span_processor(
        BatchSpanProcessor(exporter, schedule_delay_millis=500, max_queue_size=8192, max_export_batch_size=512)
    )
    return traces


def serve(chosen, name, port, pod, callee_port):
    from opentelemetry.trace import SpanKind, Status, StatusCode, format_trace_id
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    traces = provider(chosen, name, pod)
    tracer = traces.get_tracer("shop", chosen.version)
    propagator = TraceContextTextMapPropagator()
    method, prefix = ROUTES[name]
    route = prefix + "{item}"
    callee, work_ms = SERVICES[name][1:]
    workers = threading.Semaphore(workers_of(name, chosen.workers))
    slow = {"ms": 0.0}
    connections = threading.local()  # one kept-alive connection to the callee for each thread

    def call(item):
        """The callee's status and body, within a CLIENT span."""
        callee_method, callee_prefix = ROUTES[callee]
        path = callee_prefix + item
        attributes = {
            "http.request.method": callee_method,
            "url.full": f"http://127.0.0.1:{callee_port}{path}",
            "server.address": "127.0.0.1",
            "server.port": callee_port,
        }
        with tracer.start_as_current_span(callee_method, kind=SpanKind.CLIENT, attributes=attributes) as span:
            headers = {}
            propagator.inject(headers)
            while True:
                kept = getattr(connections, "callee", None)
                connection = kept or http.client.HTTPConnection("127.0.0.1", callee_port, timeout=10)
                connections.callee = None
                try:
                    connection.request(callee_method, path, headers=headers)
                    answer = connection.getresponse()
                    body = answer.read()
                    connections.callee = connection
                    break
                except (OSError, http.client.HTTPException) as error:
                    connection.close()
                    # A callee that restarted has closed the kept connection: try anew, once.
                    if kept is None or not isinstance(error, ConnectionError):
                        raise
            span.set_attribute("http.response.status_code", answer.status)
            if answer.status >= 400:
                span.set_status(Status(StatusCode.ERROR))
            return answer.status, json.loads(body)

    def handle(item):
        """Status and document of one request: own work, then the callee's."""
        time.sleep((work_ms * random.uniform(0.8, 1.2) + slow["ms"]) / 1000)
        document = {"service": name, "item": item}
        if callee is None:
            return 200, document
        try:
            status, document[callee] = call(item)
            return (200 if status == 200 else 502), document
        except (OSError, http.client.HTTPException) as error:
            return 502, document | {"error": f"{callee}: {error}"}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # keep connections
        wbufsize = -1                  # status, headers and body leave in one packet, at the flush
        disable_nagle_algorithm = True

        def log_message(self, *_):
            pass

        def answer(self, status, document, headers=()):
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            for key, value in headers:
                self.send_header(key, value)
            self.end_headers()
            self.wfile.write(body)

        def dispatch(self):
            url = urllib.parse.urlsplit(self.path)
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if url.path == "/healthz":
                return self.answer(200, {"service": name, "slow_ms": slow["ms"]})
            if url.path == "/slow" and self.command == "POST":
                try:
                    slow["ms"] = max(0.0, float(urllib.parse.parse_qs(url.query)["ms"][0]))
                except (KeyError, ValueError):
                    return self.answer(400, {"error": "say how much: POST /slow?ms=200"})
                return self.answer(200, {"service": name, "slow_ms": slow["ms"]})
            if self.command != method or not url.path.startswith(prefix):
                return self.answer(404, {"error": f"{name} serves {method} {route}"})
            with workers:
                self.traced(url)

        def traced(self, url):
            attributes = {
                "http.request.method": method,
                "http.route": route,
                "url.path": url.path,
                "url.scheme": "http",
                "server.address": "127.0.0.1",
                "server.port": port,
            }
            with tracer.start_as_current_span(
                f"{method} {route}",
                context=propagator.extract(self.headers),
                kind=SpanKind.SERVER,
                attributes=attributes,
            ) as span:
                status, document = handle(url.path[len(prefix):])
                span.set_attribute("http.response.status_code", status)
                if status >= 500:
                    span.set_status(Status(StatusCode.ERROR))
                # The caller may look the request up by this.
                trace = format_trace_id(span.get_span_context().trace_id)
                self.answer(status, document, [("X-Trace-Id", trace)])
                self.wfile.flush()

        do_GET = do_POST = dispatch

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512  # the default of 5 resets connections in a burst

        def handle_error(self, *_):
            pass  # a client that went away is no news

    try:
        server = Server(("127.0.0.1", port), Handler)
    except OSError as error:
        sys.exit(f"{name}: cannot listen on 127.0.0.1:{port}: {error.strerror}; choose another port")

    def stop(*_):
        # shutdown() waits for the loop this very handler interrupts: it needs another thread.
        threading.Thread(target=server.shutdown, daemon=True).start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    end_with_parent(stop)
    print(f"{name} serves {method} {route} on 127.0.0.1:{port}", flush=True)
    server.serve_forever(poll_interval=0.1)
    # Export what is held, but do not outlive a receiver that is gone.
    threading.Timer(3, os._exit, [0]).start()
    traces.shutdown()
    os._exit(0)


def end_with_parent(stop):
    """Ends this service when its launcher is gone, however that died: the pipe closes with it."""
    if os.environ.get("SHOP_TETHERED") == "1":
        def watch():
            sys.stdin.buffer.read()
            stop()
        threading.Thread(target=watch, daemon=True).start()


# --- all of them -----------------------------------------------------------------------------


def launch(chosen):
    """One process for each service; ends with all of them on SIGTERM, or when one of them ends."""
    children = {}
    stopping = threading.Event()
    for name in reversed(SERVICES):  # the callee first
        command = [sys.executable, os.path.abspath(__file__), "--service", name, *sys.argv[1:]]
        children[name] = subprocess.Popen(
            command, stdin=subprocess.PIPE, env=os.environ | {"SHOP_TETHERED": "1"}
        )
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())

    ports = {name: getattr(chosen, f"{name}_port") for name in SERVICES}
    ready, failed = set(), None
    while not stopping.is_set():
        failed = next((name for name, child in children.items() if child.poll() is not None), None)
        if failed:
            break
        if len(ready) < len(ports):
            ready |= {name for name, port in ports.items() if name not in ready and healthy(port)}
            if len(ready) == len(ports):
                print("shop is ready", flush=True)
        stopping.wait(0.05 if len(ready) < len(ports) else 0.5)

    for child in children.values():
        child.terminate()
    for child in children.values():
        child.wait()
    if failed:
        sys.exit(f"shop: {failed} ended by itself (exit {children[failed].returncode}); its message is above")


def healthy(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/healthz", timeout=1) as answer:
            return answer.status == 200
    except OSError:
        return False


def main():
    chosen = options()
    name = chosen.service
    if name is None:
        return launch(chosen)
    callee = SERVICES[name][1]
    serve(
        chosen,
        name,
        chosen.port or getattr(chosen, f"{name}_port"),
        chosen.pod or f"{name}-0",
        getattr(chosen, f"{callee}_port") if callee else None,
    )


if __name__ == "__main__":
    main()
