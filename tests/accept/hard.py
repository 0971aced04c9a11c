#!/usr/bin/env python3
"""`make accept-hard`: nobody brings it down. Hostile inputs of every kind against a daemon with `limits.memory: 256MiB`,
while an honest sender sends and somebody asks `select 1`.

    hard.py [--only ITEM…] [--seconds S] [--soak MINUTES]

HEADROOM_BIN names another program than the release build.
"""

import argparse
import concurrent.futures
import gzip
import http.client
import json
import os
import random
import re
import resource
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time

from scorecard import Scorecard, binary

MEMORY_MIB = 256
CONFIG = {
    "receive": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"},
    "api": {"listen": "127.0.0.1:0", "sql_timeout": "5s"},
    "limits": {"memory": f"{MEMORY_MIB}MiB"},
}


# OTLP, written by hand.


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def field(number, content):
    return varint(number << 3 | 2) + varint(len(content)) + content


def span(name=b"GET /", trace=None, parent=b""):
    end = time.time_ns() - 10_000_000
    ids = field(1, trace or os.urandom(16)) + field(2, os.urandom(8)) + (field(4, parent) if parent else b"")
    return ids + field(5, name) + b"\x30\x02" + b"\x39" + struct.pack("<Q", end - 20_000_000) + b"\x41" + struct.pack("<Q", end)


def request(service, spans):
    key_value = field(1, b"service.name") + field(2, field(1, service))
    return field(1, field(1, field(1, key_value)) + field(2, b"".join(field(2, one) for one in spans)))


# The daemon, and who uses it as it is meant.


class Daemon:
    def __init__(self, more=None, descriptors=None):
        self.directory = tempfile.TemporaryDirectory(prefix="headroom-hard-")
        config = {**CONFIG, **(more or {})}
        path = os.path.join(self.directory.name, "headroom.yaml")
        with open(path, "w") as file:
            json.dump(config, file)
        ports = os.path.join(self.directory.name, "ports.json")
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None
        self.log = open(os.path.join(self.directory.name, "log"), "wb")
        command = [binary(), "serve", "--config", path, "--ports-file", ports, "--log", "warn"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=limit, cwd=self.directory.name)
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            if os.path.exists(ports):
                listening = json.load(open(ports))
                self.api, self.grpc, self.http = (int(listening[name].rsplit(":", 1)[1]) for name in ("api", "grpc", "http"))
                if self.ask(self.api, "GET", "/readyz")[0] == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError("the daemon did not become ready")

    def ask(self, port, method, path, body=None, headers=None, timeout=30):
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=timeout)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            return answer.status, answer.read()
        except (OSError, http.client.HTTPException) as error:
            return repr(error), b""
        finally:
            connection.close()

    def sql(self, query, timeout=30):
        body = json.dumps({"query": query})
        return self.ask(self.api, "POST", "/api/v1/sql", body, {"Content-Type": "application/json"}, timeout)

    def send(self, body, content_type="application/x-protobuf", encoding=None, timeout=30):
        headers = {"Content-Type": content_type, **({"Content-Encoding": encoding} if encoding else {})}
        return self.ask(self.http, "POST", "/v1/traces", body, headers, timeout)

    def lives(self):
        return self.process.poll() is None

    def resident_mib(self, key="VmRSS"):
        try:
            status = open(f"/proc/{self.process.pid}/status").read()
            return int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024
        except (OSError, TypeError):
            return float("nan")

    def ticks(self):
        """Ticks by the upper bound of what they took, cumulative."""
        _, text = self.ask(self.api, "GET", "/metrics")
        found = re.findall(r'headroom_engine_tick_duration_seconds_bucket\{le="([^"]+)"\} (\d+)', text.decode())
        return {float(bound): int(count) for bound, count in found}

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        self.directory.cleanup()


class Honest:
    """Sends ten requests a second and asks `select 1` twice a second; remembers how it fared."""

    def __init__(self, daemon):
        self.daemon, self.stop = daemon, threading.Event()
        self.sent = self.taken = 0
        self.slowest_select, self.resident, self.failed_selects = 0.0, 0.0, 0
        self.threads = [threading.Thread(target=work, daemon=True) for work in (self.send, self.select, self.watch)]
        self.before = daemon.ticks()
        for thread in self.threads:
            thread.start()

    def send(self):
        while not self.stop.wait(0.1):
            self.sent += 1
            body = request(b"shop", [span() for _ in range(20)])
            # A sender tries again, as exporters do.
            self.taken += any(self.daemon.send(body, timeout=10)[0] == 200 for _ in range(3))

    def select(self):
        number = 0
        while not self.stop.wait(0.5):
            number += 1
            begun = time.monotonic()
            while not self.stop.is_set() and self.daemon.sql(f"select {number}", timeout=10)[0] != 200:
                if time.monotonic() - begun > 20:
                    self.failed_selects += 1
                    break
                time.sleep(0.1)
            self.slowest_select = max(self.slowest_select, time.monotonic() - begun)

    def watch(self):
        while not self.stop.wait(0.02):
            self.resident = max(self.resident, self.daemon.resident_mib())

    def end(self):
        self.stop.set()
        for thread in self.threads:
            thread.join(30)
        after = self.daemon.ticks()
        made = {bound: after[bound] - self.before.get(bound, 0) for bound in sorted(after)}
        total = max(made.values(), default=0)
        self.tick_p99 = next((bound for bound, count in made.items() if count >= 0.99 * total), float("inf")) if total else None
        return self


def attacked(card, name, attack, more=None, descriptors=None, share=None):
    """Runs an attack beside honest use, and prints what became of both."""
    daemon = Daemon(more, descriptors)
    try:
        time.sleep(2)
        honest = Honest(daemon)
        attack(daemon)
        begun = time.monotonic()
        while daemon.lives() and time.monotonic() - begun < 30 and daemon.sql("select 'after'", timeout=5)[0] != 200:
            time.sleep(0.1)
        recovered = time.monotonic() - begun
        honest.end()
        card.figure(f"{name}_lives", str(daemon.lives()), "-", "==True", daemon.lives())
        card.at_most(f"{name}_resident", honest.resident, "MiB", MEMORY_MIB * 1.1)
        card.at_most(f"{name}_tick_p99", None if honest.tick_p99 is None else honest.tick_p99 * 1e3, "ms", 250)
        card.at_most(f"{name}_select_1", honest.slowest_select, "s", 2)
        card.at_most(f"{name}_recovered", recovered, "s", 5)
        if share:
            card.at_least(f"{name}_honest_taken", honest.taken / max(honest.sent, 1), "share", share)
    finally:
        daemon.stop()


def at_once(number, work):
    with concurrent.futures.ThreadPoolExecutor(number) as pool:
        list(pool.map(work, range(number)))


# 1. Statements, requests, rules.

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
    chance = random.Random(7)

    def caller(_):
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


def bombs(seconds):
    head, tail = b'{"resourceSpans":[{"scopeSpans":[{"spans":[', b"{}]}]}]}"
    shapes = [
        (gzip.compress(head + b"{}," * 21_000_000 + tail), "application/json"),
        (gzip.compress(head + b"{}," * 6_000_000 + tail), "application/json"),
        (gzip.compress(b'{"resourceSpans":[' + b"{}," * 6_000_000 + b"{}]}"), "application/json"),
        (gzip.compress(head + b'{"attributes":[' + b"{}," * 6_000_000 + b"{}]}]}]}]}"), "application/json"),
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


def new_names(seconds, rate=5_000):
    def attack(daemon):
        end, number = time.monotonic() + seconds, 0
        while time.monotonic() < end and daemon.lives():
            begun = time.monotonic()
            for _ in range(10):
                number += 1
                spans = [span(f"GET /{number}/{n}".encode()) for n in range(rate // 10)]
                daemon.send(request(f"service-{number}".encode(), spans))
            time.sleep(max(0, 1 - (time.monotonic() - begun)))

    return attack


def mutated_requests(daemon):
    good = request(b"shop", [span() for _ in range(5)])
    text = json.dumps({"resourceSpans": [{"scopeSpans": [{"spans": [{"traceId": "5b8efff798038103d269b633813fc60c", "spanId": "eee19b7ec3c1b174",
                      "name": "x", "startTimeUnixNano": str(time.time_ns()), "endTimeUnixNano": str(time.time_ns()), "attributes": [{"key": "a", "value": {"intValue": 1}}]}]}]}]}).encode()

    def sender(number):
        chance = random.Random(number)
        for _ in range(2_500):
            body, content_type = (good, "application/x-protobuf") if chance.random() < 0.5 else (text, "application/json")
            body = bytearray(body)
            for _ in range(chance.randrange(1, 8)):
                at = chance.randrange(len(body))
                kind = chance.randrange(3)
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


RULES = [
    "loop { a = [a]; }", "loop { let b = a; }", "loop { 1 in a; }", "loop { a.index_of(7); }", "loop { a == a; }", "loop { let b = a + a; }",
    "loop { a.sort(|x, y| y - x); }", "loop { a.dedup(); }", "loop { a.reverse(); }", "loop { s.replace(\"x\", \"x\"); }", "loop { s.sub_string(1); }",
    "loop { s += s; }", "loop { n += 1; }", "loop { a.filter(|x| x > n); }", "loop { a.map(|x| [x]); }", "loop { m[n.to_string()] = a; n += 1; }",
    "fn_that_is_not()", "loop { print(s); }", "loop { f = || f; }", "while true { a.push(a); }",
]


def rules(seconds):
    def attack(daemon):
        time.sleep(seconds)

    return attack


def item_1(card, seconds):
    attacked(card, "1.statements", statements(seconds))
    attacked(card, "1.mutated_statements", mutated_statements)
    attacked(card, "1.bombs", bombs(seconds))
    attacked(card, "1.long_texts", long_texts(seconds))
    attacked(card, "1.new_names", new_names(seconds))
    attacked(card, "1.mutated_requests", mutated_requests)
    with tempfile.TemporaryDirectory() as directory:
        for number in range(40):
            body = RULES[number % len(RULES)]
            text = f"fn evaluate(now) {{ let n = 0; let f = 0; let m = #{{}}; let s = \"\"; s.pad(4000, \"x\"); let a = []; a.pad(1900, 0); {body} }}\n"
            open(os.path.join(directory, f"r{number:02}.rhai"), "w").write(text)
        attacked(card, "1.rules", rules(seconds), {"rules": {"directory": directory}})


# 3. Connections.


def held(daemon, port, number, first):
    """Opens connections that say `first` and no more."""
    opened = []
    for _ in range(number):
        try:
            one = socket.create_connection(("127.0.0.1", port), timeout=5)
            if first:
                one.sendall(first)
            opened.append(one)
        except OSError:
            pass
    return opened


def connections(seconds):
    preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

    def attack(daemon):
        end = time.monotonic() + seconds

        def flood(number):
            port = (daemon.http, daemon.grpc, daemon.api)[number % 3]
            while time.monotonic() < end:
                try:
                    one = socket.create_connection(("127.0.0.1", port), timeout=5)
                    one.settimeout(2)
                    one.sendall(preface + b"\0\0\0\4\0\0\0\0\0" + b"\0\0\x08\x06\0\0\0\0\0" + b"\0" * 8)
                    one.close()
                except OSError:
                    pass

        flooding = [threading.Thread(target=flood, args=(number,), daemon=True) for number in range(20)]
        for thread in flooding:
            thread.start()
        silent = []
        for port in (daemon.http, daemon.grpc, daemon.api):
            silent += held(daemon, port, 2_000, b"")
            silent += held(daemon, port, 2_000, b"POST /v1/traces HTTP/1.1\r\nContent-Le" if port != daemon.grpc else preface)
        time.sleep(max(0, end - time.monotonic()))
        for thread in flooding:
            thread.join(10)
        for one in silent:
            one.close()

    return attack


def item_3(card, seconds):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 16_384:
        card.skipped("3.connections", f"this machine allows {hard} descriptors, and 12 000 connections are opened")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacked(card, "3.connections", connections(seconds), descriptors=1024, share=0.95)


# 4. Pages, roles, names.


def item_4(card):
    token = lambda name: f"token-of-{name}-0123456789"
    with tempfile.TemporaryDirectory() as directory:
        import hashlib

        tokens = os.path.join(directory, "tokens")
        digest = lambda name: hashlib.sha256(token(name).encode()).hexdigest()
        open(tokens, "w").write(f"ada: {digest('ada')} operator\nbob: {digest('bob')}\n")
        for name, more, extra in [("open", None, {}), ("token", {"api": {**CONFIG["api"], "tokens_file": tokens}}, {"Authorization": f"Bearer {token('ada')}"})]:
            daemon = Daemon(more)
            try:
                foreign = [
                    {"Host": "evil.example"},
                    {"Origin": "http://evil.example"},
                    {"Origin": "null"},
                    {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
                    {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
                ]
                body = json.dumps({"by": "mallory", "reason": "x"})
                let_in = 0
                for headers in foreign:
                    headers = {**headers, **extra, "Content-Type": "application/json"}
                    for method, path in [("GET", "/api/v1/status"), ("GET", "/metrics"), ("POST", "/api/v1/pause"), ("POST", "/api/v1/sql")]:
                        let_in += daemon.ask(daemon.api, method, path, body if method == "POST" else None, headers)[0] in (200, 202)
                card.equal(f"4.{name}_foreign_let_in", let_in, "requests", 0)
                form = daemon.ask(daemon.api, "POST", "/api/v1/pause", body, {**extra, "Content-Type": "text/plain"})[0]
                card.equal(f"4.{name}_form", form, "status", 415)
                if not extra:
                    answer = daemon.ask(daemon.api, "POST", "/api/v1/pause", body, {"Content-Type": "application/json"})[1]
                    card.equal("4.forged_by", json.loads(answer).get("by"), "-", "mallory (claimed): x")
                if extra:
                    as_bob = {"Authorization": f"Bearer {token('bob')}", "Content-Type": "application/json"}
                    card.equal("4.viewer_pauses", daemon.ask(daemon.api, "POST", "/api/v1/pause", body, as_bob)[0], "status", 403)
                    answer = daemon.ask(daemon.api, "POST", "/api/v1/pause", body, {**extra, "Content-Type": "application/json"})[1]
                    card.equal("4.paused_by", json.loads(answer).get("by"), "-", "ada: x")
                    wrong = daemon.ask(daemon.api, "GET", "/api/v1/status", None, {"Authorization": "Bearer wrong"})
                    card.figure("4.wrong_token", wrong[0], "status", "==401,tokenrejected", wrong[0] == 401 and b"token rejected" in wrong[1])
            finally:
                daemon.stop()


# 5. A soak, and 6. what an ordinary statement takes.


def item_5(card, minutes):
    daemon = Daemon()
    try:
        samples, stop = [], threading.Event()

        def watch():
            while not stop.wait(1):
                samples.append(daemon.resident_mib())

        threading.Thread(target=watch, daemon=True).start()
        new_names(minutes * 60, 20_000)(daemon)
        stop.set()
        early = max(samples[len(samples) // 6 : len(samples) // 3], default=float("nan"))
        late = max(samples[-len(samples) // 6 :], default=float("nan"))
        card.figure("5.lives", str(daemon.lives()), "-", "==True", daemon.lives())
        card.at_most("5.grown_after_a_sixth", late / early, "times", 1.1)
        card.at_most("5.resident", max(samples, default=float("nan")), "MiB", MEMORY_MIB * 1.1)
    finally:
        daemon.stop()


def item_6(card):
    daemon = Daemon()
    try:
        for _ in range(20):
            daemon.send(request(b"shop", [span() for _ in range(500)]))
        time.sleep(2)
        took = []
        for number in range(40):
            begun = time.monotonic()
            status, _ = daemon.sql(f"select service, count(*) as n, max(duration_ns) from spans group by 1 -- {number}")
            if status == 200:
                took.append((time.monotonic() - begun) * 1e3)
        took.sort()
        card.sample("6", took)
        card.at_most("6.statement_median", took[len(took) // 2] if took else None, "ms", 40)
    finally:
        daemon.stop()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", type=int)
    parser.add_argument("--seconds", type=float, default=60, help="of each flood")
    parser.add_argument("--soak", type=float, default=30, help="minutes")
    args = parser.parse_args()
    card = Scorecard("hard")
    items = {
        1: lambda: item_1(card, args.seconds),
        3: lambda: item_3(card, args.seconds),
        4: lambda: item_4(card),
        5: lambda: item_5(card, args.soak),
        6: lambda: item_6(card),
    }
    for number, item in items.items():
        if args.only and number not in args.only:
            continue
        try:
            item()
        except Exception as error:  # a figure that could not be measured is short, and the others are measured
            card.failed(f"{number}.measured", repr(error))
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
