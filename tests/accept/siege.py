"""A daemon with `limits.memory: 256MiB`, honest users of each of its ports, and an attack beside them.

Attacks run in processes of their own, at a lower priority: they come from other machines, and are not to be measured.
"""

import collections
import http.client
import json
import multiprocessing
import os
import re
import resource
import signal
import subprocess
import tempfile
import threading
import time

from otlp import Export, request, span
from scorecard import binary

# Attacks inherit what is here, and are not the daemon's parent.
OWN_PID = os.getpid()

MEMORY_MIB = 256
CONFIG = {
    "receive": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"},
    "api": {"listen": "127.0.0.1:0", "sql_timeout": "5s"},
    "limits": {"memory": f"{MEMORY_MIB}MiB"},
}


class Daemon:
    def __init__(self, more=None, descriptors=None):
        self.directory = tempfile.TemporaryDirectory(prefix="headroom-hard-")
        config = {**CONFIG, **(more or {})}
        path = os.path.join(self.directory.name, "headroom.yaml")
        with open(path, "w") as file:
            json.dump(config, file)
        ports = os.path.join(self.directory.name, "ports.json")
        limit = (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))) if descriptors else None
        self.log_path = os.path.join(self.directory.name, "log")
        self.log = open(self.log_path, "wb")
        command = [binary(), "serve", "--config", path, "--ports-file", ports, "--log", "warn"]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log, preexec_fn=limit, cwd=self.directory.name)
        self.pid = self.process.pid
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.lives():
            if os.path.exists(ports):
                listening = json.load(open(ports))
                self.api, self.grpc, self.http = (int(listening[name].rsplit(":", 1)[1]) for name in ("api", "grpc", "http"))
                if self.ask(self.api, "GET", "/readyz")[0] == 200:
                    return
            time.sleep(0.05)
        raise RuntimeError(f"the daemon did not become ready: {open(self.log_path).read()[-500:]}")

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
        return self.post("/api/v1/sql", {"query": query}, timeout=timeout)

    def post(self, path, content, headers=None, timeout=30):
        headers = {"Content-Type": "application/json", **(headers or {})}
        return self.ask(self.api, "POST", path, json.dumps(content), headers, timeout)

    def send(self, body, content_type="application/x-protobuf", encoding=None, timeout=30):
        headers = {"Content-Type": content_type, **({"Content-Encoding": encoding} if encoding else {})}
        return self.ask(self.http, "POST", "/v1/traces", body, headers, timeout)

    def lives(self):
        """Also in a process that inherited this object, which is not the daemon's parent."""
        try:
            return self.process.poll() is None if os.getpid() == OWN_PID else os.kill(self.pid, 0) is None
        except OSError:
            return False

    def resident_mib(self, key="VmRSS"):
        try:
            status = open(f"/proc/{self.pid}/status").read()
            return int(re.search(rf"{key}:\s+(\d+)", status)[1]) / 1024
        except (OSError, TypeError):
            return float("nan")

    def ticks(self):
        """Ticks by the upper bound of what they took, cumulative."""
        _, text = self.ask(self.api, "GET", "/metrics")
        found = re.findall(r'headroom_engine_tick_duration_seconds_bucket\{le="([^"]+)"\} (\d+)', text.decode())
        return {float(bound): int(count) for bound, count in found}

    def metric(self, name):
        _, text = self.ask(self.api, "GET", "/metrics")
        found = re.search(rf"^headroom_{re.escape(name)} (\S+)$", text.decode(), re.MULTILINE)
        return float(found[1]) if found else None

    def stop(self):
        """The exit code; None when it had to be killed."""
        self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return None
        finally:
            self.log.close()
            self.directory.cleanup()


RATE = 10  # requests a second of each honest sender, of 20 spans
PATIENCE_S = 10  # how long an exporter tries one request


class Honest:
    """Sends ten requests a second over HTTP and as many over gRPC, asks `select 1` twice a second; remembers how it fared."""

    def __init__(self, daemon):
        self.daemon, self.stop = daemon, threading.Event()
        self.due = {"http": 0, "grpc": 0}
        self.taken = {"http": 0, "grpc": 0}
        self.slowest_send = self.slowest_select = self.resident = 0.0
        self.failed_selects, self.refusals = 0, collections.Counter()
        exporting = Export(daemon.grpc)
        over_http = lambda body: daemon.send(body, timeout=PATIENCE_S)[0] == 200
        work = [lambda: self.send("http", over_http), lambda: self.send("grpc", exporting.send), self.select, self.watch]
        self.threads = [threading.Thread(target=one, daemon=True) for one in work]
        self.before = daemon.ticks()
        for thread in self.threads:
            thread.start()

    def send(self, port, export):
        begun = time.monotonic()
        while not self.stop.is_set():
            self.due[port] += 1
            sent = time.monotonic()
            # A sender tries again, as exporters do.
            while not self.stop.is_set() and time.monotonic() - sent < PATIENCE_S:
                if export(request(b"shop", [span() for _ in range(20)])):
                    self.taken[port] += 1
                    break
                time.sleep(0.05)
            self.slowest_send = max(self.slowest_send, time.monotonic() - sent)
            # What was put off is made up for, as a queue would.
            self.stop.wait(max(0.0, begun + self.due[port] / RATE - time.monotonic()))
        self.due[port] = max(self.due[port], int((time.monotonic() - begun) * RATE) - 1)

    def select(self):
        number = 0
        while not self.stop.wait(0.5):
            number += 1
            begun = time.monotonic()
            while not self.stop.is_set() and (status := self.daemon.sql(f"select {number}", timeout=10)[0]) != 200:
                self.refusals[str(status)[:60]] += 1
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

    def share(self):
        """Of the honest sender that fared worse."""
        return min(self.taken[port] / max(self.due[port], 1) for port in self.due)


def attacked(card, name, attack, more=None, descriptors=None, share=None):
    """Runs an attack beside honest use, and prints what became of both."""
    daemon = Daemon(more, descriptors)
    try:
        time.sleep(2)
        honest = Honest(daemon)

        def attacking():
            os.nice(10)
            attack(daemon)

        process = multiprocessing.get_context("fork").Process(target=attacking, daemon=True)
        process.start()
        process.join()
        begun = time.monotonic()
        while daemon.lives() and time.monotonic() - begun < 30 and daemon.sql("select 'after'", timeout=5)[0] != 200:
            time.sleep(0.1)
        recovered = time.monotonic() - begun
        honest.end()
        card.sample(name, {"due": honest.due, "taken": honest.taken, "slowest_send_s": honest.slowest_send, "refused_selects": honest.refusals,
                           "log": open(daemon.log_path).read()[-4000:], "attack": process.exitcode})
        card.figure(f"{name}_lives", str(daemon.lives()), "-", "==True", daemon.lives() and process.exitcode == 0)
        card.at_most(f"{name}_resident", honest.resident, "MiB", MEMORY_MIB * 1.1)
        card.at_most(f"{name}_tick_p99", None if honest.tick_p99 is None else honest.tick_p99 * 1e3, "ms", 250)
        card.at_most(f"{name}_send", honest.slowest_send, "s", 2)
        card.at_most(f"{name}_select_1", honest.slowest_select, "s", 2)
        card.at_most(f"{name}_recovered", recovered, "s", 5)
        card.at_most(f"{name}_log", os.path.getsize(daemon.log_path) / 1024, "KiB", 64)
        if share:
            card.at_least(f"{name}_honest_share", honest.share(), "share", share)
    finally:
        daemon.stop()
