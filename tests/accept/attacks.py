"""What somebody sends who wants to bring a daemon down: statements, requests, traces, orders, rules, connections.

Each attack is a function of the daemon, which lasts so many seconds; `siege.attacked` runs it beside honest users.
"""

import concurrent.futures
import gzip
import http.client
import json
import os
import random
import selectors
import socket
import struct
import time

import otlp
from otlp import frame, request, span


def at_once(number, work):
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        for done in [pool.submit(work, one) for one in range(number)]:
            done.result()


# Statements.

STATEMENTS = [
    "select 1" + "+1" * 900,
    "select 1" + " or true" * 1500,
    "select 1" + " union all select 1" * 400,
    "select 1" + " is null" * 3000,
    "select 1" + " between 0 and 1" * 1500,
    "select 1" + "::int" * 3000,
    "select " + "(" * 5000 + "1" + ")" * 5000,
    "select " + "not " * 5000 + "true",
    "select length(repeat('x', 1000000000))",
    "select levenshtein(repeat('a', 1000000), repeat('b', 1000000))",
    "select count(*) from spans a, spans b, spans c where a.duration_ns + b.duration_ns + c.duration_ns = -7",
    "select array_length(range(0, 3000000000))",
    "select count(distinct value) from generate_series(1, 200000000)",
    "select string_agg(a.operation, ',') from spans a, spans b",
    "select count(*) from spans t0" + " join spans using (trace_id)" * 600,
    "with recursive t(n) as (select 1 union all select n + 1 from t) select count(*) from t",
    "select count(*) from spans group by cube(" + ",".join(f"duration_ns + {n}" for n in range(24)) + ")",
    "select repeat(cast(operation as varchar), 500000) from spans",
    "with c0 as (select 1 a)" + "".join(f", c{n} as (select x.a from c{n - 1} x join c{n - 1} y on x.a = y.a)" for n in range(1, 30)) + " select * from c29",
]
PIECES = ["select", "from spans", "where", "group by 1", "order by 1", "count(*)", "service", "(", ")", ",", "'", "1", "join spans s using (trace_id)",
          "union all", "with t as (", "having", "case when", "end", "over ()", "cast(x as int)", "limit 5", "*", "--", "/*", "\x00", "é", "intersect", "lateral"]



def statements(seconds):
    def attack(daemon):
        end = time.monotonic() + seconds

        def caller(number):
            chance = random.Random(number)
            while time.monotonic() < end and daemon.lives():
                daemon.sql(chance.choice(STATEMENTS) + f" -- {chance.random()}", timeout=20)

        at_once(6, caller)

    return attack


def mutated_statements(daemon):
    """500 of them."""

    def caller(number):
        chance = random.Random(7 + number)
        for _ in range(125):
            if chance.random() < 0.5:
                text = " ".join(chance.choice(PIECES) for _ in range(chance.randrange(1, 200)))
            else:
                text = list(chance.choice(STATEMENTS[:8] + ["select service, count(*) from spans group by 1"]))
                for _ in range(chance.randrange(1, 6)):
                    text[chance.randrange(len(text))] = chance.choice(PIECES)
                text = "".join(text)
            daemon.sql(text, timeout=20)

    at_once(4, caller)


# Requests.


def bombs(seconds):
    head, tail = b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b"{}]}]}]}"
    nested = b'{"arrayValue":{"values":[' * 2_000
    shapes = [
        (gzip.compress(head + b"{}," * 21_000_000 + tail), "application/json"),
        (gzip.compress(head + b"{}," * 6_000_000 + tail), "application/json"),
        (gzip.compress(b'{"resourceSpans":[' + b"{}," * 6_000_000 + b"{}]}"), "application/json"),
        (gzip.compress(head + b'{"attributes":[' + b"{}," * 6_000_000 + b"{}]}]}]}]}"), "application/json"),
        (gzip.compress(head + b'{"attributes":[{"key":"a","value":' + nested), "application/json"),
        (gzip.compress(request(b"shop", [b""] * 6_000_000)), "application/x-protobuf"),
        (gzip.compress(request(b"shop", [span() for _ in range(60_000)])), "application/x-protobuf"),
        (gzip.compress(b"\0" * (1 << 30)), "application/x-protobuf"),
    ]

    def attack(daemon):
        end = time.monotonic() + seconds

        def sender(number):
            while time.monotonic() < end and daemon.lives():
                body, content_type = shapes[number % len(shapes)]
                number += 1
                daemon.send(body, content_type, "gzip")

        at_once(6, sender)

    return attack


def long_texts(seconds):
    def attack(daemon):
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end and daemon.lives():
            number += 1
            names = [f"{number}-{n}-".encode() + b"n" * 500_000 for n in range(20)]
            daemon.send(gzip.compress(request(b"s" * 100_000, [span(name) for name in names]), 1), encoding="gzip")

    return attack


def new_names(seconds, rate=5_000, per_request=500):
    """Every second so many spans, with names of everything that never came before: service, namespace, pod, version,
    operation, route and peer."""

    def attack(daemon):
        begun, number = time.monotonic(), 0
        connection = http.client.HTTPConnection("127.0.0.1", daemon.http, timeout=30)
        while time.monotonic() - begun < seconds and daemon.lives():
            number += 1
            unique = f"{number}".encode()
            spans = []
            for n in range(per_request // 2):
                trace, parent, name = os.urandom(16), os.urandom(8), b"GET /%s/%d" % (unique, n)
                spans.append(span(name, trace, parent, attributes=[(b"http.route", name)]))
                spans.append(span(b"call " + name, trace, parent=parent, kind=3, attributes=[(b"peer.service", b"peer-" + name)]))
            resource = [(b"service.namespace", b"ns-" + unique), (b"k8s.pod.name", b"pod-" + unique), (b"service.version", b"v" + unique)]
            try:
                connection.request("POST", "/v1/traces", request(b"service-" + unique, spans, resource), {"Content-Type": "application/x-protobuf"})
                connection.getresponse().read()
            except (OSError, http.client.HTTPException):
                connection.close()
            time.sleep(max(0.0, begun + number * per_request / rate - time.monotonic()))

    return attack


def traces(seconds):
    """Traces that nobody's program makes: far times, ids used twice, circles, 200 000 spans, 10 000 levels, and as many
    traces of one span as a request holds."""
    now = time.time_ns

    def far():
        pairs = [(1, 2), (1, (1 << 63) - 1), (0, 5), ((1 << 64) - 1, (1 << 64) - 1), (now() + 599 * 10**9, (1 << 63) - 1), (now(), now() - 1), (1, now())]
        return [request(b"shop", [span(start_ns=start, end_ns=end) for start, end in pairs for _ in range(100)])]

    def ids():
        trace = os.urandom(16)
        odd = [span(trace=b"\0" * 16), span(own=b"\0" * 8), span(trace=b"x"), span(parent=b"1234567"), span(own=b"123456789")]
        return [request(b"shop", odd + [span(trace=trace, own=b"\1" * 8)] * 500)]

    def circles():
        spans = []
        for _ in range(200):
            trace, a, b, c = os.urandom(16), os.urandom(8), os.urandom(8), os.urandom(8)
            spans += [span(trace=trace, own=a, parent=a), span(trace=trace, own=b, parent=c), span(trace=trace, own=c, parent=b)]
        return [request(b"shop", spans)]

    def large():
        trace, root = os.urandom(16), os.urandom(8)
        many = [request(b"shop", [span(b"c%d" % (n % 7), trace, parent=root, kind=3) for n in range(10_000)]) for _ in range(20)]
        return [request(b"shop", [span(trace=trace, own=root)]), *many]

    def deep():
        trace, ids, start = os.urandom(16), [os.urandom(8) for _ in range(10_000)], now() - 90_000_000
        chain = [
            span(b"d", trace, ids[n], ids[n - 1] if n else b"", 2 + n % 2, start_ns=start + n * 100, end_ns=start + 50_000_000 - n * 100)
            for n in range(10_000)
        ]
        return [request(b"deep", chain)]

    def minimal():
        return [request(b"shop", [field_of_ids() for _ in range(60_000)])]

    def field_of_ids():
        return otlp.field(1, os.urandom(16)) + otlp.field(2, os.urandom(8))

    shapes = [far, ids, circles, large, deep, minimal]

    def attack(daemon):
        end = time.monotonic() + seconds
        while time.monotonic() < end and daemon.lives():
            for shape in shapes:
                for body in shape():
                    daemon.send(body)

    return attack


def mutated_requests(daemon):
    """10 000 of them."""
    good = request(b"shop", [span() for _ in range(5)])
    one = {"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174", "name": "x",
           "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns()),
           "attributes": [{"key": "a", "value": {"intValue": 1}}]}
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [one]}]}]}).encode()

    def sender(number):
        chance = random.Random(number)
        for _ in range(2_500):
            body, content_type = (good, "application/x-protobuf") if chance.random() < 0.5 else (text, "application/json")
            body = bytearray(body)
            for _ in range(chance.randrange(1, 8)):
                at, kind = chance.randrange(len(body)), chance.randrange(3)
                if kind == 0:
                    body[at] = chance.randrange(256)
                elif kind == 1:
                    del body[at : at + chance.randrange(1, 9)]
                else:
                    body[at:at] = bytes(body[at : at + 20])
                if not body:
                    break
            daemon.send(bytes(body), content_type)

    at_once(4, sender)


# The API.


def api_calls(seconds):
    """Orders of the largest size, explanations, and large answers, by many callers at once."""

    def attack(daemon):
        end = time.monotonic() + seconds
        largest = {"by": "a" * 128, "reason": "x" * 1_000}

        def caller(number):
            count = 0
            while time.monotonic() < end and daemon.lives():
                count += 1
                kind = (number + count) % 5
                if kind == 0:
                    daemon.post("/api/v1/pause", {**largest, "service": f"s{number}-{count}", "for": "1s"})
                elif kind == 1:
                    daemon.post("/api/v1/pause", {"by": "a", "reason": "x" * 65_000})
                elif kind == 2:
                    daemon.ask(daemon.api, "GET", time.strftime("/api/v1/explain/%H:%M", time.gmtime()))
                elif kind == 3:
                    daemon.ask(daemon.api, "GET", "/api/v1/findings")
                else:
                    daemon.sql(f"select repeat(cast(operation as varchar), 25000) x from spans limit {6_000 - count % 1_000}")

        at_once(32, caller)

    return attack


# Rules.

RULES = [
    "loop { a = [a]; }", "loop { let b = a; }", "loop { 1 in a; }", "loop { a.index_of(7); }", "loop { a == a; }", "loop { let b = a + a; }",
    "loop { a.sort(|x, y| y - x); }", "loop { a.dedup(); }", "loop { a.reverse(); }", "loop { s.replace(\"x\", \"x\"); }", "loop { s.sub_string(1); }",
    "loop { s += s; }", "loop { n += 1; }", "loop { a.filter(|x| x > n); }", "loop { a.map(|x| [x]); }", "loop { m[n.to_string()] = a; n += 1; }",
    "fn_that_is_not()", "loop { print(s); }", "loop { f = || f; }", "while true { a.push(a); }",
]




def write_rules(directory):
    """40 of them."""
    for number in range(40):
        body = RULES[number % len(RULES)]
        text = f"fn evaluate(now) {{ let n = 0; let f = 0; let m = #{{}}; let s = \"\"; s.pad(4000, \"x\"); let a = []; a.pad(1900, 0); {body} }}\n"
        with open(os.path.join(directory, f"r{number:02}.rhai"), "w") as file:
            file.write(text)


# Connections.

BEGINNINGS = {
    "http": b"POST /v1/traces HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000000\r\n\r\n",
    "api": b"POST /api/v1/sql HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 60000\r\n\r\n",
    "grpc": otlp.PREFACE + frame(otlp.SETTINGS) + frame(otlp.HEADERS, otlp.END_HEADERS, 1, otlp.headers()),
}


def floods():
    """HTTP/2 frames, each kind again and again, behind a preface."""
    block = otlp.headers()
    reset = struct.pack(">I", 8)
    rapid = b"".join(
        frame(otlp.HEADERS, otlp.END_HEADERS, stream, block) + frame(otlp.RST_STREAM, 0, stream, reset) for stream in range(1, 201, 2)
    )
    more = b"".join(b"\0" + bytes([len(name)]) + name + b"\x64" + b"v" * 100 for name in (b"x-%d" % n for n in range(140)))
    return [
        frame(otlp.PING, 0, 0, b"12345678") * 100,
        frame(otlp.SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)) * 100,
        rapid,
        frame(otlp.HEADERS, 0, 1, block) + frame(otlp.CONTINUATION, 0, 1, more) * 4,
        frame(otlp.HEADERS, 0, 1, block) + frame(otlp.CONTINUATION, 0, 1) * 500,
        b"".join(frame(otlp.HEADERS, otlp.END_HEADERS, stream, block) for stream in range(1, 401, 2)),
        frame(otlp.HEADERS, otlp.END_HEADERS, 1, block) + frame(otlp.DATA, 0, 1) * 500,
        frame(otlp.WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 200,
    ]


class Crowd:
    """Connections of one kind to one port, kept at their number: one that is closed is opened again."""

    def __init__(self, port, number, first, more, every, selector):
        self.port, self.number, self.first, self.more, self.every = port, number, first, more, every
        self.selector, self.open, self.next_send = selector, set(), 0.0

    def fill(self, most):
        """Opens at most so many."""
        for _ in range(min(most, self.number - len(self.open))):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", self.port))
            self.open.add(one)
            self.selector.register(one, selectors.EVENT_WRITE, self)

    def lose(self, one):
        self.selector.unregister(one)
        one.close()
        self.open.discard(one)

    def turn(self, one, events, now):
        try:
            if events & selectors.EVENT_READ and not one.recv(65_536):
                return self.lose(one)
            if events & selectors.EVENT_WRITE:
                # It is connected.
                if self.first:
                    one.send(self.first)
                self.selector.modify(one, selectors.EVENT_READ, self)
        except BlockingIOError:
            pass
        except OSError:
            self.lose(one)

    def send_more(self, now):
        if not self.more or now < self.next_send:
            return
        self.next_send = now + self.every
        for one in list(self.open):
            try:
                one.send(self.more)
            except BlockingIOError:
                pass
            except OSError as error:
                # Not connected yet is no reason.
                if error.errno not in (107, 115):
                    self.lose(one)


OPENED_A_TURN = 40


def connections(seconds, idle=2_000, slow=2_000, flooding=200):
    """So many idle, slow and flooding connections on each port at once."""

    def attack(daemon):
        selector = selectors.DefaultSelector()
        crowds = []
        for name in ("http", "grpc", "api"):
            port = getattr(daemon, name)
            crowds.append(Crowd(port, idle, b"", b"", 0, selector))
            trickle = frame(otlp.DATA, 0, 1, b"a") if name == "grpc" else b"a"
            crowds.append(Crowd(port, slow, BEGINNINGS[name], trickle, 1.0, selector))
            kinds = floods()
            for number, flood in enumerate(kinds):
                share = flooding // len(kinds) + (number < flooding % len(kinds))
                crowds.append(Crowd(port, share, otlp.PREFACE + frame(otlp.SETTINGS), flood, 0.2, selector))
        end = time.monotonic() + seconds
        while time.monotonic() < end and daemon.lives():
            now = time.monotonic()
            for crowd in crowds:
                crowd.fill(OPENED_A_TURN)
                crowd.send_more(now)
            for key, events in selector.select(0.02):
                key.data.turn(key.fileobj, events, now)

    return attack


def floods_alone(seconds):
    """A few connections that flood as fast as they can."""
    return connections(seconds, idle=0, slow=0, flooding=16)
