#!/usr/bin/env python3
"""A school of four services that trace themselves, of which the last can do 40 requests a second:

    POST /exam/{id}/submit   portal -> exam  -> store
    GET  /course/{id}/page   portal          -> store
    GET  /video/{id}         portal -> media -> store

    school.py --portal-port P --exam-port P --media-port P --store-port P --endpoint 127.0.0.1:4318

Each service is a process of its own with its own OpenTelemetry resource. It works on a bounded number of requests at once; more
wait in its queue, before their span starts, as they would in an accept queue; and past a second of queue it refuses with 503.
Work is sleeping, so that the machine is not what saturates. One thread and one event loop a process: a request costs it a
fraction of a millisecond. GET /healthz answers 200, untraced. SIGTERM exports what is held and ends all four.
"""

import argparse
import asyncio
import collections
import os
import random
import re
import signal
import sys
import threading

from http1 import Pool, read_request, response
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

# How long a queue may become before a service refuses.
QUEUE_S = 1.0

# name: (requests at once, its own work in s, {route: the service it calls and the path there}).
SERVICES = {
    "store": (4, 0.100, {"GET /rows/{id}": None}),
    "exam": (64, 0.003, {"POST /submissions/{id}": ("store", "GET", "/rows/{id}")}),
    "media": (64, 0.003, {"GET /segments/{id}": ("store", "GET", "/rows/{id}")}),
    "portal": (128, 0.002, {
        "POST /exam/{id}/submit": ("exam", "POST", "/submissions/{id}"),
        "GET /course/{id}/page": ("store", "GET", "/rows/{id}"),
        "GET /video/{id}": ("media", "GET", "/segments/{id}"),
    }),
}


def capacity_per_s(name):
    workers, work_s, _ = SERVICES[name]
    return workers / work_s


class Workers:
    """So many at once; more wait in order, up to QUEUE_S of queue."""

    def __init__(self, count, work_s):
        self.free, self.waiting = count, collections.deque()
        self.waiting_max = int(QUEUE_S * count / work_s)

    async def take(self):
        """Whether there is a worker for it, perhaps after a wait."""
        if self.free > 0:
            self.free -= 1
            return True
        if len(self.waiting) >= self.waiting_max:
            return False
        turn = asyncio.get_running_loop().create_future()
        self.waiting.append(turn)
        await turn
        return True

    def give_back(self):
        """To the one that waits longest and is still there."""
        while self.waiting:
            turn = self.waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self.free += 1


class Service:
    def __init__(self, name, ports, endpoint):
        self.name, self.port = name, ports[name]
        workers, self.work_s, routes = SERVICES[name]
        self.workers = Workers(workers, self.work_s)
        self.routes = [(route, re.compile(pattern(route)), callee) for route, callee in routes.items()]
        self.pools = {callee[0]: Pool("127.0.0.1", ports[callee[0]]) for callee in routes.values() if callee}
        resource = Resource.create({"service.name": name, "service.version": "1.0.0", "service.instance.id": f"{name}-0"})
        self.traces = TracerProvider(resource=resource)
        exporter = OTLPSpanExporter(endpoint=f"http://{endpoint}/v1/traces")
        self.traces.add_span_processor(
            BatchSpanProcessor(exporter, schedule_delay_millis=500, max_queue_size=8192, max_export_batch_size=512)
        )
        self.tracer = self.traces.get_tracer("school")
        self.propagator = TraceContextTextMapPropagator()

    async def connection(self, reader, writer):
        try:
            while request := await read_request(reader):
                writer.write(await self.answer(*request))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, ValueError):
            pass  # a client that went away is no news
        finally:
            writer.close()

    async def answer(self, method, path, headers):
        if path == "/healthz":
            return response(200, b"serves\n")
        asked = f"{method} {path}"
        for route, fits, callee in self.routes:
            if found := fits.fullmatch(asked):
                break
        else:
            return response(404, b"no such route\n")
        has_worker = await self.workers.take()
        try:
            # The span starts when work does: what was before it is the wait.
            span = self.tracer.start_span(
                route,
                context=self.propagator.extract(headers),
                kind=SpanKind.SERVER,
                attributes={"http.request.method": method, "http.route": route.split(" ")[1], "url.path": path},
            )
            status = await self.work(span, callee, found[1]) if has_worker else 503
            span.set_attribute("http.response.status_code", status)
            if status >= 500:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
        finally:
            if has_worker:
                self.workers.give_back()
        return response(status, f"{self.name}: {status}\n".encode())

    async def work(self, span, callee, item):
        await asyncio.sleep(self.work_s * random.uniform(0.9, 1.1))
        if callee is None:
            return 200
        to, method, path = callee
        path = path.replace("{id}", item)
        context = trace.set_span_in_context(span)
        attributes = {"http.request.method": method, "server.address": to}
        call = self.tracer.start_span(method, context=context, kind=SpanKind.CLIENT, attributes=attributes)
        headers = {}
        self.propagator.inject(headers, context=trace.set_span_in_context(call))
        try:
            status, _ = await asyncio.wait_for(self.pools[to].ask(method, path, headers), 10)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            status = 504
        call.set_attribute("http.response.status_code", status)
        if status >= 400:
            call.set_status(Status(StatusCode.ERROR))
        call.end()
        return status

    async def serve(self, tether):
        """Until SIGTERM, or until the launcher is gone."""
        ending = asyncio.Event()
        loop = asyncio.get_running_loop()
        loop.add_signal_handler(signal.SIGTERM, ending.set)
        loop.add_reader(tether, ending.set)
        server = await asyncio.start_server(self.connection, "127.0.0.1", self.port, backlog=512)
        await ending.wait()
        server.close()
        # Exports what is held, but does not outlive a receiver that is gone.
        threading.Timer(3, os._exit, [0]).start()
        self.traces.shutdown()
        os._exit(0)


def pattern(route):
    return re.escape(route).replace(r"\{id\}", "([^/?]+)") + r"(?:\?.*)?"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in SERVICES:
        parser.add_argument(f"--{name}-port", type=int, required=True)
    parser.add_argument("--endpoint", required=True, help="HOST:PORT of the OTLP/HTTP receiver")
    args = parser.parse_args()
    ports = {name: getattr(args, f"{name}_port") for name in SERVICES}
    tether, held = os.pipe()
    children = []
    for name in SERVICES:
        child = os.fork()
        if child == 0:
            os.close(held)
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            try:
                asyncio.run(Service(name, ports, args.endpoint).serve(tether))
            except OSError as error:
                print(f"{name}: {error}", file=sys.stderr, flush=True)
            os._exit(1)
        children.append(child)

    def stop(*_):
        for child in children:
            try:
                os.kill(child, signal.SIGTERM)
            except ProcessLookupError:
                pass

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    # When one of them ends by itself, all do.
    failed = 0
    for _ in range(len(children)):
        ended, status = os.wait()
        children.remove(ended)
        failed = failed or os.waitstatus_to_exitcode(status)
        stop()
    raise SystemExit(failed)


if __name__ == "__main__":
    main()
