#!/usr/bin/env python3
"""Memory, the tick, the delay to a finding, and what happens under a flood: items 3, 4 and 5 of `make accept-speed`.

    flood.py [--only ITEM…]

HEADROOM_BIN names another program than the release build, HEADROOM_WINDOW_COST another build of the example of that
name; HEADROOM_OTELCOL and HEADROOM_PYTHON (or what tests/real/setup.sh brought) a Collector and a Python with the SDK.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

from scorecard import Scorecard, binary, free_port
from stream import Sender, Template

CACHE = pathlib.Path(os.environ.get("HEADROOM_CACHE", pathlib.Path.home() / ".cache" / "headroom"))


def example(name, *args, timeout=900):
    """An example's JSON line."""
    program = os.environ.get(f"HEADROOM_{name.upper()}", pathlib.Path(binary()).parent / "examples" / name)
    done = subprocess.run([str(program), *map(str, args)], capture_output=True, text=True, timeout=timeout)
    if done.returncode != 0:
        raise RuntimeError(f"{name}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def real_program(name):
    """What tests/real/setup.sh brought; None without it."""
    if name in os.environ:
        return os.environ[name]
    env = CACHE / "real" / "env"
    lines = env.read_text().splitlines() if env.exists() else []
    return dict(line.split("=", 1) for line in lines if "=" in line).get(name)


# 3. Memory and the tick.


def item3(card):
    """5 M spans held by 60 services; ticks with 1 M and 10 M in the window, at the same rate."""
    held = example("window_cost", "--held", 5_000_000, "--rate", 100_000)
    card.sample("window_cost", held)
    card.at_most("3.table_bytes_per_span", held["table_bytes_per_span"], "B", 96)
    card.at_most("3.resident_bytes_per_span", held["resident_bytes_per_span"], "B", 220)
    # A window of five minutes that holds 10 M spans takes 33 000 a second.
    p99 = {}
    for spans in (1_000_000, 10_000_000, 1_000_000, 10_000_000):
        run = example("window_cost", "--held", spans, "--rate", 33_000, "--ticks", 100)
        card.sample("window_cost", run)
        p99[spans] = min(p99.get(spans, 1e9), run["tick_p99_ms"])
    card.at_most("3.tick_p99_at_10M", p99[10_000_000], "ms", 50)
    card.at_most("3.tick_p99_10M_over_1M", p99[10_000_000] / p99[1_000_000], "ratio", 1.5)


# 4 and 5 run the daemon.


class Daemon:
    """headroom with a configuration, and what it says of itself."""

    def __init__(self, directory, cpu=None, **sections):
        self.directory = pathlib.Path(directory)
        config, ports = self.directory / "headroom.yaml", self.directory / "ports.json"
        listen = {"receive": {"grpc": "127.0.0.1:0", "http": "127.0.0.1:0"}, "api": {"listen": "127.0.0.1:0"}}
        config.write_text(json.dumps({**listen, **sections}))  # JSON is YAML
        self.log = open(self.directory / "headroom.log", "w")
        command = ["taskset", "-c", cpu] if cpu else []
        command += [binary(), "serve", "--config", str(config), "--ports-file", str(ports)]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=subprocess.STDOUT)
        self.wait(lambda: ports.exists(), 30)
        known = json.loads(ports.read_text())
        self.api, self.http, self.grpc = (int(known[name].rsplit(":", 1)[1]) for name in ("api", "http", "grpc"))
        self.wait(lambda: self.get("/readyz", text=True).startswith("ok"), 30)

    def wait(self, condition, seconds):
        until = time.monotonic() + seconds
        while True:
            try:
                if condition():
                    return
            except (OSError, ValueError, urllib.error.URLError):
                pass
            if time.monotonic() > until or self.process.poll() is not None:
                raise RuntimeError(f"headroom did not get there: {self.directory / 'headroom.log'}")
            time.sleep(0.05)

    def get(self, path, text=False):
        with urllib.request.urlopen(f"http://127.0.0.1:{self.api}{path}", timeout=10) as answer:
            body = answer.read().decode()
        return body if text else json.loads(body)

    def spans(self):
        return self.get("/api/v1/status")["spans"]

    def metric(self, name):
        """A gauge or counter without labels."""
        lines = self.get("/metrics", text=True).splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"headroom_{name} "))

    def buckets(self, metric):
        """A histogram: upper edge to count up to it."""
        found = {}
        for line in self.get("/metrics", text=True).splitlines():
            if line.startswith(f"headroom_{metric}_seconds_bucket"):
                edge, count = line.split('le="')[1].split('"} ')
                found[float(edge.replace("+Inf", "inf"))] = float(count.split()[0])
        return found

    def resident_bytes(self):
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) * 1024

    def end(self):
        self.process.send_signal(signal.SIGCONT)
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


def quantile(after, before, q):
    """The upper edge of the bucket in which the quantile lies, of what was added between two readings."""
    added = {edge: count - before.get(edge, 0) for edge, count in sorted(after.items())}
    total = added.get(float("inf"), 0)
    return next((edge for edge, count in added.items() if total and count >= q * total), None)


SERVER_CPU, LOAD_CPU = "0", "1"


def load(daemon, spans_per_second, seconds, warm_up):
    """The load generator beside the daemon, started."""
    program = os.environ.get("HEADROOM_LOAD_EXAMPLE", pathlib.Path(binary()).parent / "examples" / "load")
    command = ["taskset", "-c", LOAD_CPU, str(program), "--grpc", f"127.0.0.1:{daemon.grpc}", "--payload", "wide"]
    command += ["--spans-per-second", str(int(spans_per_second)), "--seconds", str(seconds), "--warm-up", str(warm_up)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def item4(card):
    """From receipt to finding at half the rate that one core takes at most, 60 services and 1 200 operations."""
    with tempfile.TemporaryDirectory() as directory:
        daemon = Daemon(directory, cpu=SERVER_CPU)
        try:
            # As fast as answers come.
            peak = json.loads(load(daemon, 0, 6, 3).communicate(timeout=60)[0])
            card.sample("peak", peak)
        finally:
            daemon.end()
    rate = peak["spans_per_s"] / 2
    with tempfile.TemporaryDirectory() as directory:
        daemon = Daemon(directory, cpu=SERVER_CPU)
        sender = load(daemon, rate, 30, 10)
        try:
            time.sleep(10)  # the lag is learnt
            before = daemon.buckets("findings_delay")
            time.sleep(28)
            after = daemon.buckets("findings_delay")
            report = json.loads(sender.communicate(timeout=60)[0])
        finally:
            sender.kill()
            daemon.end()
    card.sample("findings_delay", {"load": report, "before": list(before.items()), "after": list(after.items())})
    card.figure("4.peak", peak["spans_per_s"], "spans/s", "measured", peak["spans_per_s"] > 0)
    card.at_least("4.rate_reached", report["spans_per_s"] / rate, "of-half-the-peak", 0.95)
    card.at_most("4.receipt_to_finding_p99", quantile(after, before, 0.99), "s", 1.5)


CAPACITY = 20_000
# Reached in the flood: a minute of what is admitted takes more.
MEMORY = 224 << 20
FLOOD_S = 60


def item5(card):
    flood(card)
    outage(card)
    lossy_sdk(card)


def flood(card):
    """A loud service at three times the capacity and a quiet one, whose callee becomes slow in the middle of it."""
    with tempfile.TemporaryDirectory() as directory:
        limits = {"memory": MEMORY, "spans_per_second": CAPACITY}
        daemon = Daemon(directory, limits=limits)
        quiet = Sender(daemon.http, Template(1, "quiet-front", "quiet-back"), 9 * 15)
        calm = Sender(daemon.http, Template(20, "loud-front", "loud-back"), CAPACITY / 4)
        loud = [Sender(daemon.http, Template(50, "loud-front", "loud-back"), CAPACITY) for _ in range(3)]
        resident, named_before, named_after, shares = [], 0, None, []

        def watch(seconds, since=None):
            nonlocal named_before, named_after
            until = time.monotonic() + seconds
            while time.monotonic() < until:
                time.sleep(0.2)
                status = daemon.get("/api/v1/status")
                shares.append((time.monotonic(), status["spans"]["admitted_share"]))
                resident.append(daemon.resident_bytes())
                found = daemon.get("/api/v1/bottleneck")["bottlenecks"]
                if any(one["service"] == "quiet-back" for one in found):
                    if since is None:
                        named_before += 1
                    elif named_after is None:
                        named_after = time.monotonic() - since

        try:
            quiet.start(), calm.start()
            watch(30)  # healthy time
            ticks_before = daemon.buckets("engine_tick_duration")
            [sender.start() for sender in loud]
            watch(FLOOD_S / 2)
            named_before_slow = named_before
            quiet.slow_milliseconds = 400
            watch(FLOOD_S / 2, since=time.monotonic())
            ticks_after = daemon.buckets("engine_tick_duration")
            thinned = daemon.spans()["admitted_share"]
            quiet.slow_milliseconds = None
            [sender.stop() for sender in loud]
            ended, recovered = time.monotonic(), None
            while recovered is None and time.monotonic() < ended + 15:
                watch(0.2)
                recovered = time.monotonic() - ended if shares[-1][1] == 1.0 else None
            senders = [quiet, calm, *loud]
            quiet.stop(), calm.stop()
            time.sleep(2)
            spans = daemon.spans()
        finally:
            daemon.end()
        acknowledged = sum(sender.acknowledged for sender in senders)
        offered = sum(sender.sent for sender in senders)
        card.sample("flood", {"spans": spans, "resident": resident, "shares": shares, "offered": offered,
                              "refusals": [str(sender.refusals) for sender in senders]})
        card.figure("5.offered_over_capacity", sum(s.sent for s in loud) / FLOOD_S / CAPACITY, "ratio", ">=2.5",
                    sum(s.sent for s in loud) / FLOOD_S / CAPACITY >= 2.5)
        card.at_most("5.resident_over_limit", max(resident) / MEMORY, "ratio", 1.1)
        card.at_most("5.tick_p99", quantile(ticks_after, ticks_before, 0.99), "s", 0.25)
        card.equal("5.acknowledged_not_counted", acknowledged - spans["received"], "spans", 0)
        card.equal("5.counted_not_admitted_or_shed", spans["received"] - spans["admitted"] - spans["shed"], "spans", 0)
        card.figure("5.admitted_share_in_the_flood", thinned, "share", "0.25..0.45", 0.25 <= thinned <= 0.45)
        card.at_most("5.recovered_within", recovered, "s", 5)
        card.at_most("5.quiet_slowdown_named_within", named_after, "s", 5)
        card.equal("5.quiet_named_while_healthy", named_before_slow, "readings", 0)


COLLECTOR = """
receivers: {{otlp: {{protocols: {{http: {{endpoint: "127.0.0.1:{http}"}}}}}}}}
exporters:
  otlp:
    endpoint: "127.0.0.1:{grpc}"
    tls: {{insecure: true}}
    timeout: 2s
    sending_queue: {{queue_size: 100000, num_consumers: 4}}
    retry_on_failure: {{initial_interval: 200ms, max_interval: 1s, max_elapsed_time: 0s}}
service:
  pipelines: {{traces: {{receivers: [otlp], exporters: [otlp]}}}}
  telemetry: {{metrics: {{level: none}}, logs: {{level: error}}}}
"""


# Twice the age from which spans tell of the past.
OUTAGE_S = 20


def outage(card):
    """headroom takes nothing for a while and a Collector goes on receiving: its queue holds what is missed, and is sent
    again at what the present leaves of the capacity; what is too much is refused and comes once more. A Collector sends in
    order, so the present comes when its queue is empty."""
    collector = real_program("HEADROOM_OTELCOL")
    if collector is None:
        card.skipped("5.collector_lost", "no Collector; tests/real/setup.sh builds one")
        return
    with tempfile.TemporaryDirectory() as directory:
        daemon = Daemon(directory, limits={"spans_per_second": CAPACITY})
        http, config = free_port(), pathlib.Path(directory) / "collector.yaml"
        config.write_text(COLLECTOR.format(http=http, grpc=daemon.grpc))
        with open(pathlib.Path(directory) / "collector.log", "w") as log:
            program = subprocess.Popen([collector, "--config", str(config)], stdout=log, stderr=log)
        rate = CAPACITY / 4
        sender = Sender(http, Template(20, "front", "back"), rate)
        try:
            sender.start()
            daemon.wait(lambda: daemon.spans()["received"] > 2 * rate, 40)
            daemon.process.send_signal(signal.SIGSTOP)
            time.sleep(OUTAGE_S)
            daemon.process.send_signal(signal.SIGCONT)
            resumed, present = time.monotonic(), None
            while present is None and time.monotonic() < resumed + 40:
                time.sleep(0.2)
                entries = daemon.get("/api/v1/entries")["entries"]
                seen = entries[0]["requests_per_s"] if entries else 0
                # A trace has nine spans; most of the present must be there.
                if daemon.metric("window_watermark_lag_seconds") < 5 and seen > 0.8 * rate / 9:
                    present = time.monotonic() - resumed
            time.sleep(5)
            sender.stop()
            until = time.monotonic() + 60
            while daemon.spans()["received"] < sender.acknowledged and time.monotonic() < until:
                time.sleep(0.5)
            spans = daemon.spans()
            overloaded = daemon.metric('receive_refused_requests_total{reason="overloaded"}')
        finally:
            sender.stopping.set()
            program.terminate()
            program.wait(20)
            daemon.end()
        card.sample("outage", {"spans": spans, "sent": sender.acknowledged, "overloaded": overloaded})
        card.equal("5.collector_lost", max(0, sender.acknowledged - spans["received"]), "spans", 0)
        card.at_least("5.collector_refused", overloaded, "requests", 1)
        # What was missed, at what the present leaves.
        backlog_s = OUTAGE_S * rate / (CAPACITY - rate)
        card.at_most("5.present_after_outage_within", present, "s", backlog_s + 5)


LOSSY = """
import sys, time
from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
provider = TracerProvider(resource=Resource.create({"service.name": "lossy"}))
exporter = OTLPSpanExporter(endpoint=sys.argv[1])
provider.add_span_processor(BatchSpanProcessor(exporter, max_queue_size=256, max_export_batch_size=256,
                                               schedule_delay_millis=1000))
tracer = provider.get_tracer("lossy")
until = time.time() + 15
while time.time() < until:
    for _ in range(100):
        with tracer.start_as_current_span("GET /lossy", kind=trace.SpanKind.SERVER):
            for _ in range(8):
                with tracer.start_as_current_span("step"):
                    pass
    time.sleep(0.2)
provider.shutdown()
"""


def lossy_sdk(card):
    """A real SDK that makes more spans than its queue holds drops the rest; the gap is to be seen."""
    python = real_program("HEADROOM_PYTHON")
    if python is None:
        card.skipped("5.sdk_gap", "no Python with the SDK; tests/real/setup.sh brings one")
        return
    with tempfile.TemporaryDirectory() as directory:
        daemon = Daemon(directory)
        try:
            address = f"http://127.0.0.1:{daemon.http}/v1/traces"
            done = subprocess.run([python, "-c", LOSSY, address], capture_output=True, text=True, timeout=120)
            if done.returncode != 0:
                card.failed("5.sdk_gap", done.stderr.strip().splitlines()[-1:])
                return
            seen = None
            until = time.monotonic() + 25
            while not seen and time.monotonic() < until:
                time.sleep(0.5)
                seen = daemon.get("/api/v1/findings")["findings"].get("missing_parents")
            spans = daemon.spans()
        finally:
            daemon.end()
        card.sample("sdk", {"gaps": seen, "spans": spans})
        named = [gap["service"] for gap in seen or []]
        card.equal("5.sdk_gap_named", named, "services", ["lossy"])
        card.at_least("5.sdk_gap_spans", spans["without_parent"], "spans", 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int, choices=(3, 4, 5), default=[3, 4, 5])
    args = parser.parse_args()
    card = Scorecard("flood")
    for item in args.only:
        {3: item3, 4: item4, 5: item5}[item](card)
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
