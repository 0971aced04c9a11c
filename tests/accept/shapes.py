#!/usr/bin/env python3
"""Traces as real senders write them: the part of `make accept-traces` that is about names, identity, damage and restarts.

    shapes.py [--only ITEM…] [--runs N] [--requests N]

1 the shipped scenarios with spans added to each call (what keeps the number of spans is in `disturb.py`); 5 one broken
attribute in each request, and hostile queries; 6 pods that slow alike. HEADROOM_BIN names another program than the release build.
"""

import argparse
import concurrent.futures
import copy
import json
import os
import pathlib
import random
import re
import struct
import tempfile
import threading
import time

import course
from attacks import STATEMENTS
from diagnosis import play
from otlp import field, request, span
from scorecard import Scorecard, headroom, last_line
from siege import MEMORY_MIB, Daemon

CLIENT, SERVER = 3, 2

# 1. What a stream may look like. Each takes requests as they were sent, and gives them back disturbed.


def spans_of(requests):
    """(resource spans, scope spans, span) of every span."""
    for request in requests:
        for resource_spans in request["resourceSpans"]:
            for scope_spans in resource_spans["scopeSpans"]:
                for span in scope_spans["spans"]:
                    yield resource_spans, scope_spans, span


def key(span, name="spanId"):
    return span["traceId"], span.get(name, "")


def inner_id(span, nth):
    return f"{(int(span['spanId'], 16) * 31 + nth) & ((1 << 64) - 1) | 1:016x}"


def client_in_client(requests):
    """A library's CLIENT within each CLIENT."""
    callers = {key(span) for _, _, span in spans_of(requests) if span.get("kind") == CLIENT}
    more = []
    for _, scope_spans, span in spans_of(requests):
        if key(span) in callers:
            start, end = int(span["startTimeUnixNano"]), int(span["endTimeUnixNano"])
            inset = min(15_000, (end - start) // 4)
            times = {"startTimeUnixNano": str(start + inset), "endTimeUnixNano": str(end - inset)}
            ids = {"spanId": inner_id(span, 1), "parentSpanId": span["spanId"]}
            more.append((scope_spans, {**span, **ids, **times, "name": "HTTP " + span["name"]}))
        elif span.get("kind") == SERVER and key(span, "parentSpanId") in callers:
            span["parentSpanId"] = inner_id({"spanId": span["parentSpanId"]}, 1)
    for scope_spans, span in more:
        scope_spans["spans"].append(span)
    return requests


def sidecars(requests):
    """Before each callee a sidecar in its pod, with a service name of its own."""
    callers = {key(span): span for _, _, span in spans_of(requests) if span.get("kind") == CLIENT}
    for request in requests:
        proxies = []
        for resource_spans in request["resourceSpans"]:
            before = []
            for scope_spans in resource_spans["scopeSpans"]:
                for span in scope_spans["spans"]:
                    caller = callers.get(key(span, "parentSpanId"))
                    if span.get("kind") != SERVER or caller is None:
                        continue
                    start, end = int(caller["startTimeUnixNano"]), int(caller["endTimeUnixNano"])
                    inset = min(150_000, (end - start) // 4)
                    proxy = {**span, "spanId": inner_id(span, 2), "name": "ingress", "attributes": []}
                    proxy.update(startTimeUnixNano=str(start + inset), endTimeUnixNano=str(end - inset))
                    span["parentSpanId"] = proxy["spanId"]
                    before.append(proxy)
            if before:
                resource = copy.deepcopy(resource_spans["resource"])
                for attribute in resource.get("attributes", []):
                    if attribute["key"] == "service.name":
                        attribute["value"]["stringValue"] += ".default"
                proxies.append({"resource": resource, "scopeSpans": [{"scope": {"name": "proxy"}, "spans": before}]})
        request["resourceSpans"] += proxies
    return requests


DISTURBANCES = {
    "client_in_client": client_in_client,
    "sidecars": sidecars,
}

SCENARIOS = ("exam-start", "retry-storm", "bad-pod", "failing")


def proposals(document):
    """(second, service, action, replicas wanted) of whatever a replay decides."""
    found = []
    for line in document.splitlines():
        decision = json.loads(line).get("now")
        if decision:
            proposal = decision["proposal"]
            action = proposal["action"]
            found.append((decision["at"] / 1e9, course.name_of(action["service"]), action["action"], action.get("to")))
    return found


def item_1(card):
    with tempfile.TemporaryDirectory() as directory:
        for scenario in SCENARIOS:
            spans, journal = (pathlib.Path(directory) / f"{scenario}.{kind}" for kind in ("jsonl", "journal"))
            done = headroom("demo", "--scenario", scenario, "--speed", "max", "--json", "--spans", spans, "--journal", journal)
            if done.returncode != 0:
                card.failed(f"1.{scenario}", last_line(done.stderr))
                continue
            clean = proposals(headroom("replay", spans, "--json").stdout)
            wanted = {(service, action) for _, service, action, _ in clean}
            first = {pair: min(at for at, *rest in clean if tuple(rest[:2]) == pair) for pair in wanted}
            for name, disturb in DISTURBANCES.items():
                requests = [json.loads(line) for line in spans.read_text().splitlines()]
                disturbed = pathlib.Path(directory) / "disturbed.jsonl"
                disturbed.write_text("".join(json.dumps(request) + "\n" for request in disturb(requests)))
                found = proposals(headroom("replay", disturbed, "--json").stdout)
                got = {(service, action) for _, service, action, _ in found}
                late = [min(at for at, *rest in found if tuple(rest[:2]) == pair) - first[pair] for pair in wanted & got]
                card.sample(f"1.{scenario}.{name}", {"clean": clean, "disturbed": found})
                card.equal(f"1.{scenario}.{name}.missing", sorted(wanted - got), "services,actions", [])
                card.equal(f"1.{scenario}.{name}.wrong", sorted(got - wanted), "services,actions", [])
                card.at_most(f"1.{scenario}.{name}.later", max(late, default=0.0), "s", 3)


# 5. One broken attribute.


def broken_attribute(numbers):
    """A KeyValue that no reader of protobuf would take: its end is known, and nothing in it makes sense."""
    kind = numbers.randrange(5)
    if kind == 0:  # not UTF-8
        return field(1, b"note") + field(2, field(1, numbers.randbytes(6) + b"\xff"))
    if kind == 1:  # a value that claims to be longer than it is
        return field(1, b"note") + b"\x12\x7f\x0a\x01"
    if kind == 2:  # a wire type that there is not
        return field(1, b"note") + b"\x17\x00"
    if kind == 3:  # an integer of eleven bytes
        return field(1, b"note") + field(2, b"\x18" + b"\xff" * 10 + b"\x01")
    return numbers.randbytes(12)


def item_5(card, number):
    numbers, spans_each = random.Random(14), 3
    daemon = Daemon()
    try:
        refused, status = 0, None
        for _ in range(number):
            end = time.time_ns() - 10_000_000
            spans = []
            for nth in range(spans_each):
                ids = field(1, numbers.randbytes(16)) + field(2, numbers.randbytes(8)) + field(5, b"GET /")
                times = b"\x30\x02\x39" + struct.pack("<Q", end - 1_000_000) + b"\x41" + struct.pack("<Q", end)
                attribute = field(9, broken_attribute(numbers)) if nth == 1 else b""
                spans.append(field(2, ids + times + attribute))
            service = field(1, field(1, b"service.name") + field(2, field(1, b"shop")))
            status, answer = daemon.send(field(1, field(1, service) + field(2, b"".join(spans))))
            if status != 200:
                refused += 1
                card.sample("5.refused", [status, answer.decode(errors="replace")[:200]])
        _, text = daemon.ask(daemon.api, "GET", "/metrics")
        taken = {line.split()[0]: float(line.split()[1]) for line in text.decode().splitlines() if line.startswith("headroom_receive")}
        card.equal("5.refused_requests", refused, f"of_{number}", 0)
        card.equal("5.acknowledged_spans", int(taken["headroom_receive_acknowledged_spans_total"]), "spans", number * spans_each)
        told = taken["headroom_receive_left_out_fields_total"] + taken["headroom_receive_broken_texts_total"]
        card.at_least("5.told", int(told), "damages", number)
    finally:
        daemon.stop()


QUERIES, LIMIT_S = 100, 5


def family_mib(pid):
    """What a process and its children have in memory, what they share counted once."""
    total = 0
    for entry in pathlib.Path("/proc").iterdir():
        try:
            of = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            if entry.name == str(pid) or of[1] == str(pid):
                total += int(re.search(r"Pss:\s+(\d+)", (entry / "smaps_rollup").read_text())[1])
        except (OSError, IndexError, TypeError):
            pass
    return total / 1024


def hostile_queries(card):
    """One after the other, each at its limit of time; then an ordinary one."""
    daemon = Daemon()
    try:
        for _ in range(50):
            daemon.send(request(b"shop", [span() for _ in range(200)]))
        most, watching = [0.0], threading.Event()

        def watch():
            while not watching.wait(0.05):
                most[0] = max(most[0], family_mib(daemon.process.pid))

        watcher = threading.Thread(target=watch, daemon=True)
        watcher.start()
        longest = 0.0
        for number in range(QUERIES):
            began = time.monotonic()
            status, _ = daemon.sql(f"{STATEMENTS[number % len(STATEMENTS)]} -- {number}", timeout=60)
            took = time.monotonic() - began
            longest = max(longest, took)
            card.sample("5.queries", {"statement": number % len(STATEMENTS), "status": status, "seconds": round(took, 2)})
        status, _ = daemon.sql("select count(*) from spans")
        watching.set()
        watcher.join()
        card.at_most("5.queries.longest", longest, "s", LIMIT_S + 1)
        card.at_most("5.queries.memory", most[0], "MiB", MEMORY_MIB * 1.2)
        card.equal("5.queries.ordinary", status, "status", 200)
    finally:
        daemon.stop()


# 6. Pods that slow alike.

UNIFORM = """
description: Every pod of one service takes {factor} times as long from second 60 on.
horizon_s: 160
truth: {{ targets: [store], verdict: {verdict}, onset_s: 60, window_s: 40 }}
services:
  gate:
    pods: {{ shared: {{ cores: 4, burst_cores: 4, in_flight_max: 10000 }} }}
    replicas: 2
    max_replicas: 2
    operations:
      GET /item: {{ own_ms: 2, calls: [{{ service: store, operation: GET /item }}] }}
  store:
    pods: {{ workers: {{ threads: 64, queue: 1000 }} }}
    replicas: {pods}
    max_replicas: 12
    operations:
      GET /item: {{ own_ms: {own_ms}, sigma: {sigma} }}
faults:
  - {fault}
entries:
  - {{ service: gate, operation: GET /item, objective: {{ latency_ms: {objective_ms} }}, traffic: {{ rate: {rate} }} }}
"""


def uniform(seed, directory, bad_pod):
    """A drawn scenario: its rate, times, pods and how much slower they become."""
    numbers = random.Random(seed)
    factor = round(numbers.uniform(3, 12), 1)
    kind = "slow_pod: { service: store, pod: 0" if bad_pod else "slow_operation: { service: store, operation: GET /item"
    own_ms = numbers.choice([10, 20, 40, 80])
    drawn = {
        "factor": factor,
        "fault": f"{kind}, factor: {factor}, from_s: 60, to_s: 160 }}",
        "verdict": "bad_instance" if bad_pod else "degraded",
        "own_ms": own_ms,
        # Half of what slowed requests take: that they are slow is felt, and by no chance.
        "objective_ms": max(50, int(own_ms * factor / 2)),
        "sigma": numbers.choice([0.2, 0.4, 0.8, 1.2]),
        "pods": numbers.randint(3 if bad_pod else 2, 8),
        "rate": round(3 * (80 / 3) ** numbers.random(), 1),
    }
    file = pathlib.Path(directory) / f"{'bad' if bad_pod else 'alike'}-{seed}.yaml"
    file.write_text(UNIFORM.format(**drawn))
    return file, drawn


def restarts(file, seed):
    """Pods that were proposed to be restarted, and what was named."""
    _, summary, journal = play(file, seed)
    try:
        asked = [(second, service, pod) for second, action, service, pod, _, _ in course.decisions(journal) if action == course.RESTART]
        told = set().union(*(names for _, names in course.ticks(journal)))
        return asked, told, summary
    finally:
        os.unlink(journal)


def item_6(card, runs):
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        alike = {}
        for seed in range(1, runs + 1):
            file, drawn = uniform(seed, directory, bad_pod=False)
            alike[seed] = drawn, pool.submit(restarts, file, seed)
        restarted, found = 0, 0
        for seed, (drawn, run) in alike.items():
            asked, told, _ = run.result()
            card.sample("6.alike", {"seed": seed, **drawn, "restarts": asked, "named": sorted(told)})
            restarted += bool(asked)
            found += any(service == "store" for service, _ in told)
        card.equal("6.alike.restarts", restarted, f"of_{runs}_runs", 0)
        card.figure("6.alike.named", found, f"of_{runs}_runs", "reported", True)
        bad = {}
        few = max(4, runs // 10)
        for seed in range(1001, 1001 + few):
            file, drawn = uniform(seed, directory, bad_pod=True)
            # Enough of the pod's requests for anybody to tell.
            file.write_text(file.read_text().replace(f"rate: {drawn['rate']}", f"rate: {drawn['pods'] * 20}"))
            bad[seed] = drawn, pool.submit(restarts, file, seed)
        named_pods = 0
        for seed, (drawn, run) in bad.items():
            asked, told, _ = run.result()
            card.sample("6.one_bad_pod", {"seed": seed, **drawn, "restarts": asked, "named": sorted(told)})
            named_pods += ("store", "bad_instance") in told
        card.equal("6.one_bad_pod.named", named_pods, f"of_{few}_runs", few)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", type=int, default=[1, 5, 6])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--requests", type=int, default=10_000)
    options = parser.parse_args()
    card = Scorecard("shapes")
    items = {1: lambda: item_1(card), 5: lambda: (item_5(card, options.requests), hostile_queries(card)), 6: lambda: item_6(card, options.runs)}
    for number in options.only:
        items[number]()
    raise SystemExit(card.finish())


if __name__ == "__main__":
    main()
