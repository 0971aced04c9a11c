#!/usr/bin/env python3
"""`make accept-traces`: whether traces as they really are lead to the findings of clean ones, measured.

    traces.py [--only ITEM…] [--scenarios NAME…] [--disturbances NAME…] [--seed N]

1. Each shipped scenario with each disturbance of `disturb.py`, replayed beside the journal of the clean run: the same service
   and verdict at most 3 s later, the same orders within one step (one order more or less); where information is gone no wrong
   action, and `partial` said within 5 s; `healthy` while users miss never. Some 20 minutes on two cores.
2. The files of `../shared/field/traces`, where they are there: an extra.
3. Real senders (senders.py): SDKs, proxies, a Collector and a browser, each named as a person would.
4. `headroom doctor` on prepared streams: what was done to each is named first, and nothing on a clean one.

HEADROOM_BIN names another program than the release build.
"""

import argparse
import concurrent.futures
import datetime
import gzip
import json
import marshal
import os
import pathlib
import sys
import tempfile

import disturb
import senders
from disturb import DISTURBANCES, read, write
from scorecard import ROOT, Scorecard, headroom, last_line
from siege import Daemon

# All that are shipped; each has its onset at second 60.
SCENARIOS = sorted(path.stem for path in (ROOT / "examples" / "scenarios").glob("*.yaml"))
# Long enough for the first orders after an onset at 60 s.
UNTIL_S = 90
LATER_S_MAX = 3
PARTIAL_WITHIN_S = 5
# A missed objective is seen when telemetry is complete, and looked at in windows of seconds.
FELT_AFTER_S = 6
FOUND = ("saturated", "exhausted", "slow_dependency", "bad_instance", "regression", "amplification", "failing",
         "unreachable", "degraded", "unknown")


def run(*args):
    done = headroom(*args, timeout=900)
    if done.returncode not in (0, 1):
        raise RuntimeError(last_line(done.stderr))
    return [json.loads(line) for line in done.stdout.splitlines()]


def seconds(text):
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


class Replay:
    """What a replay said, in seconds since its first word."""

    def __init__(self, spans, journal, start=None):
        lines = run("replay", spans, "--journal", journal, "--verdicts", "--json")
        told = [line["told"] for line in lines if "told" in line]
        self.start = start if start is not None else seconds(told[0]["at"])
        self.told = [(seconds(one["at"]) - self.start, one) for one in told]
        decisions = [line["now"] for line in lines if line.get("now")]
        # As replayed: what the cluster did is that of the clean run.
        self.orders = [one for one in decisions if one["outcome"] in ("permitted", "observed")]

    def named(self):
        """When a bottleneck was first named with a cause, its service and its verdict."""
        for at, one in self.told:
            if one["verdict"] in FOUND and one["verdict"] != "unknown":
                return at, one["service"], one["verdict"]
        return None, None, None

    def says(self, at):
        """The verdict that held at a time."""
        said = [one["verdict"] for when, one in self.told if when <= at]
        return said[-1] if said else "blind"

    def settles_on(self, service, verdict, by):
        """Whether this service and verdict were named, from a time on or before it."""
        return any(one["service"] == service and one["verdict"] == verdict and at <= by for at, one in self.told)

    def partial_after(self):
        """Seconds until it is said that not all is seen, from when anything can be said; None where `healthy` comes first and
        stays."""
        return next((at for at, one in self.told if at > 0 and one["verdict"] in ("partial", "blind")), 0.0 if len(self.told) == 1 and self.told[0][1]["verdict"] == "blind" else None)

    def steps(self):
        """The services that were scaled out, each with the replicas that were ordered, one after the other."""
        found = {}
        for order in self.orders:
            action = order["proposal"]["action"]
            if "scale_out" in action.values():
                found.setdefault(action["service"], []).append(order["to"])
        return {service: sorted(set(steps)) for service, steps in found.items()}


def prepare(scenario, seed, directory):
    """The clean stream of a scenario, its journal, what a replay of it says, and its requests for those who disturb them."""
    spans, journal = directory / f"{scenario}.jsonl", directory / f"{scenario}.journal"
    args = ["demo", "--scenario", scenario, "--seed", seed, "--speed", "max", "--json", "--until", UNTIL_S]
    done = headroom(*args, "--spans", spans, "--journal", journal)
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr))
    # Read back many times: much quicker than JSON.
    (directory / f"{scenario}.requests").write_bytes(marshal.dumps(read(spans)))
    return journal, Replay(spans, journal)


def disturbed(scenario, name, directory, journal, start):
    """What a replay says of the stream with this disturbance. Runs in a process of its own."""
    disturb.PLACES_KEPT = True
    requests = marshal.loads((directory / f"{scenario}.requests").read_bytes())
    DISTURBANCES[name][0](requests)
    file = directory / f"{scenario}.{name}.jsonl"
    write(file, requests)
    try:
        return Replay(file, journal, start)
    finally:
        file.unlink()


def item_1(card, scenarios, disturbances, seed):
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ProcessPoolExecutor(os.cpu_count()) as pool:
        directory = pathlib.Path(directory)
        for scenario in scenarios:
            try:
                journal, clean = prepare(scenario, seed, directory)
            except RuntimeError as error:
                card.failed(f"1.{scenario}", error)
                continue
            runs = {name: pool.submit(disturbed, scenario, name, directory, journal, clean.start) for name in disturbances}
            for name, run_of in runs.items():
                try:
                    compare(card, f"1.{scenario}.{name}", clean, run_of.result(), DISTURBANCES[name][1])
                except RuntimeError as error:
                    card.failed(f"1.{scenario}.{name}", error)
            (directory / f"{scenario}.requests").unlink()


def compare(card, name, clean, found, expected):
    card.sample(name, {"clean": clean.told, "found": found.told, "clean_orders": clean.steps(), "orders": found.steps()})
    (clean_at, service, verdict), (at, *same) = clean.named(), found.named()
    if expected.same and clean_at is not None:
        # A sign more or less may make one cause of another for a second; which one is settled on counts.
        settled = found.settles_on(service, verdict, clean_at + LATER_S_MAX)
        card.equal(f"{name}.named", f"{service}/{verdict}" if settled else "/".join(map(str, same)), "service/verdict", f"{service}/{verdict}")
        card.at_most(f"{name}.later", None if at is None else max(at - clean_at, 0.0), "s", LATER_S_MAX)
        off = orders_off(clean.steps(), found.steps())
        card.figure(f"{name}.orders_off", off, "services", "=={}", not off)
    else:
        wrong = set(found.steps()) - set(clean.steps())
        card.equal(f"{name}.wrong_orders", len(wrong), "services", 0)
    if expected.partial:
        card.at_most(f"{name}.partial_after", found.partial_after(), "s", PARTIAL_WITHIN_S)
    card.equal(f"{name}.healthy_while_missed", healthy_while_missed(clean, found), "s", 0)


def orders_off(wanted, found):
    """Services whose orders end more than one step, that is one order, away from those of the clean stream."""
    off = {}
    for service in wanted.keys() | found.keys():
        steps, to = wanted.get(service, []), max(found.get(service, []), default=0)
        if not steps:
            off[service] = [0, to]
            continue
        step = max(steps[-1] - steps[-2], 1) if len(steps) > 1 else 1
        least = steps[-2] if len(steps) > 1 else min(steps[-1] - 1, 1)
        if not least <= to <= steps[-1] + step:
            off[service] = [steps[-1], to]
    return off


def healthy_while_missed(clean, found):
    """Seconds in which the clean stream tells of a missed objective, and did so for a while, and this one says `healthy`."""
    seconds_healthy = 0
    for second in range(UNTIL_S):
        missed = all(clean.says(second - before) in FOUND for before in range(FELT_AFTER_S + 1))
        seconds_healthy += missed and found.says(second) == "healthy"
    return seconds_healthy


# What is right of each file of `../shared/field/traces`: the service that is named and nothing else, or nobody.
FIELD = pathlib.Path(os.environ.get("HEADROOM_FIELD", ROOT.parent / "shared" / "field")) / "traces"
FIELD_FILES = {
    "00-control": "orders",
    "01-root-not-exported": "orders",
    "02-ids-in-names": "orders",
    "03-control-own-ids": "stock",
    "03-zipkin-shared-ids": "stock",
    "04-uniform-slowness-seed8": "orders",
    "05-queue-20s-late": None,
}
DAMAGED = {"10-truncated-utf8-attribute.pb": "application/x-protobuf", "11-lone-surrogate-attribute.json": "application/json"}


def item_2(card):
    """An extra: the files are not part of the project. Streams of the same kinds are made by tests/it/traces.rs and shapes.rs."""
    if not FIELD.is_dir():
        return card.skipped("2", f"{FIELD} is not there; set HEADROOM_FIELD")
    with tempfile.TemporaryDirectory() as directory:
        for name, service in FIELD_FILES.items():
            file = pathlib.Path(directory) / f"{name}.jsonl"
            file.write_bytes(gzip.decompress((FIELD / f"{name}.jsonl.gz").read_bytes()))
            lines = run("replay", file, "--verdicts", "--json")
            told = [line["told"] for line in lines if "told" in line]
            card.sample(f"2.{name}", lines)
            named = sorted({one["service"] for one in told if one["verdict"] in FOUND})
            card.equal(f"2.{name}.named", named, "services", [service] if service else [])
            actions = {line["now"]["proposal"]["action"]["action"] for line in lines if line.get("now")}
            card.equal(f"2.{name}.restarts", "restart_pod" in actions, "proposed", False)
            card.equal(f"2.{name}.early_returns", sum(1 for one in told if one.get("silent_failures")), "claimed", 0)
    daemon = Daemon()
    try:
        for name, kind in DAMAGED.items():
            status, _ = daemon.send((FIELD / name).read_bytes(), kind)
            card.equal(f"2.{name}", status, "status", 200)
        _, text = daemon.ask(daemon.api, "GET", "/metrics")
        counted = {line.split()[0]: float(line.split()[1]) for line in text.decode().splitlines() if line.startswith("headroom_receive_")}
        card.equal("2.broken_texts", counted["headroom_receive_broken_texts_total"], "texts", len(DAMAGED))
    finally:
        daemon.stop()


def item_4(card, seed):
    disturb.PLACES_KEPT = False
    with tempfile.TemporaryDirectory() as directory:
        directory = pathlib.Path(directory)
        spans = directory / "spans.jsonl"
        args = ["demo", "--scenario", "calm", "--seed", seed, "--speed", "max", "--json", "--until", 60]
        done = headroom(*args, "--spans", spans)
        if done.returncode != 0:
            return card.failed("4", last_line(done.stderr))
        for name, (change, expected) in DISTURBANCES.items():
            if name != "clean" and expected.doctor is None:
                continue
            requests = read(spans)
            change(requests)
            prepared = directory / f"{name}.jsonl"
            write(prepared, requests)
            examined = headroom("doctor", prepared, "--json", timeout=900)
            if examined.returncode not in (0, 1):
                card.failed(f"4.{name}", last_line(examined.stderr))
                continue
            found = json.loads(examined.stdout)["hindrances"]
            card.sample(f"4.{name}", found)
            first = found[0]["kind"] if found else "none"
            card.equal(f"4.{name}", first, "named_first", expected.doctor or "none")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", default=["1", "2", "3", "4"])
    parser.add_argument("--scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--disturbances", nargs="*", default=list(DISTURBANCES))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    card = Scorecard("traces")
    disturb.PLACES_KEPT = True
    if "1" in args.only:
        item_1(card, args.scenarios, args.disturbances, args.seed)
    if "2" in args.only:
        item_2(card)
    if "3" in args.only:
        senders.item_3(card)
    if "4" in args.only:
        item_4(card, args.seed)
    return card.finish()


if __name__ == "__main__":
    sys.exit(main())
