"""A stream of made-up traces for the acceptance scripts: OTLP/HTTP from the standard library alone.

A request is encoded once; ids and times are then written into its bytes, so that one core sends some hundred thousand
spans a second. Like an SDK, a sender keeps what is refused, and what does not fit in its queue it drops and counts.
"""

import http.client
import os
import struct
import threading
import time


def varint(value):
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def field(number, content):
    """A length-delimited field of protobuf."""
    return varint(number << 3 | 2) + varint(len(content)) + content


def text(key, value):
    """A KeyValue of a string."""
    return field(1, key.encode()) + field(2, field(1, value.encode()))


SERVER, CLIENT = 2, 3


class Template:
    """One request of `traces` traces, each of a server's span and `calls` calls answered by another service."""

    def __init__(self, traces, front, back, calls=4):
        self.traces, self.spans = traces, traces * (1 + 2 * calls)
        # (place in the bytes, trace) of trace ids; (place, depth) of start and end.
        ids, times, trace = [], [], 0
        fronts, backs = [], []
        for trace in range(traces):
            fronts.append((trace, 1, 0, SERVER, 0, f"GET /{front}"))
            for call in range(calls):
                client, server = 2 + 2 * call, 3 + 2 * call
                fronts.append((trace, client, 1, CLIENT, 1 + call, f"call /{back}"))
                backs.append((trace, server, client, SERVER, 1 + call, f"GET /{back}"))
        body = bytearray()
        for service, rows in ((front, fronts), (back, backs)):
            scope = bytearray()
            marks = []
            for trace, span, parent, kind, place, name in rows:
                head = field(1, b"\0" * 16) + field(2, struct.pack(">Q", span))
                if parent:
                    head += field(4, struct.pack(">Q", parent))
                head += field(5, name.encode()) + varint(6 << 3) + varint(kind)
                times_at = len(head)
                head += varint(7 << 3 | 1) + b"\0" * 8 + varint(8 << 3 | 1) + b"\0" * 8
                before = varint(2 << 3 | 2) + varint(len(head))
                at = len(scope) + len(before)
                marks.append((at + 2, at + times_at + 1, at + times_at + 10, trace, place, kind, span))
                scope += before + head
            resource = field(1, field(1, text("service.name", service)) + field(1, text("k8s.pod.name", service + "-0")))
            scopes = varint(2 << 3 | 2) + varint(len(scope))
            content = resource + scopes
            start = varint(1 << 3 | 2) + varint(len(content) + len(scope))
            base = len(body) + len(start) + len(content)
            for id_at, start_at, end_at, trace, place, kind, span in marks:
                ids.append((base + id_at, trace))
                times.append((base + start_at, base + end_at, place, kind, span))
            body += start + content + scope
        self.body, self.ids, self.times, self.calls = body, ids, times, calls

    def request(self, milliseconds, slow_milliseconds=None):
        """The bytes with new trace ids, all traces ending now. `slow_milliseconds` is what the callee takes for each
        call, when it is slow."""
        body, now = bytearray(self.body), time.time_ns()
        random = os.urandom(16 * self.traces)
        for at, trace in self.ids:
            body[at : at + 16] = random[16 * trace : 16 * trace + 16]
        call = int((slow_milliseconds or milliseconds / (self.calls + 1)) * 1e6)
        whole = call * self.calls + int(milliseconds * 2e5)
        for start_at, end_at, place, kind, span in self.times:
            if place == 0:
                start, end = now - whole, now
            else:
                end = now - (self.calls - place) * call - 100_000
                start = end - call
                if kind == SERVER:
                    start, end = start + 100_000, end - 100_000
            struct.pack_into("<Q", body, start_at, start)
            struct.pack_into("<Q", body, end_at, end)
        return bytes(body)


class Sender(threading.Thread):
    """Sends a template's requests on the clock until told to stop. Counts are of spans."""

    def __init__(self, port, template, spans_per_second, milliseconds=20, queue_requests=64, path="/v1/traces"):
        super().__init__(daemon=True)
        self.port, self.template, self.path = port, template, path
        self.spans_per_second, self.milliseconds, self.queue_requests = spans_per_second, milliseconds, queue_requests
        self.slow_milliseconds = None
        self.sent = self.acknowledged = self.dropped = self.refused = 0
        self.refusals = {}
        self.stopping = threading.Event()

    def stop(self):
        self.stopping.set()
        self.join(30)

    def run(self):
        connection = None
        due, queue, not_before = time.monotonic(), [], 0.0
        while not self.stopping.is_set() or (queue and time.monotonic() < due + 20):
            now = time.monotonic()
            if now >= due and not self.stopping.is_set():
                due += self.template.spans / self.spans_per_second
                self.sent += self.template.spans
                if len(queue) >= self.queue_requests:
                    self.dropped += self.template.spans
                else:
                    queue.append(self.template.request(self.milliseconds, self.slow_milliseconds))
            if not queue or now < not_before:
                self.stopping.wait(max(0.0005, min(due - time.monotonic(), 0.05)))
                continue
            try:
                if connection is None:
                    connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
                connection.request("POST", self.path, queue[0], {"content-type": "application/x-protobuf"})
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                connection = None
                not_before = time.monotonic() + 0.2
                continue
            if answer.status == 200:
                self.acknowledged += self.template.spans
                queue.pop(0)
            else:
                self.refused += 1
                after = answer.headers.get("retry-after")
                self.refusals[answer.status, after] = self.refusals.get((answer.status, after), 0) + 1
                not_before = time.monotonic() + float(after or 1)
        self.dropped += len(queue) * self.template.spans
