#!/usr/bin/env python3
"""`make accept-traces`: whether traces as they really are lead to the findings of clean ones, measured.

    traces.py [--only ITEM…] [--scenarios NAME…] [--disturbances NAME…] [--seed N]

1. Each scenario with each disturbance of `disturb.py`, replayed as it came: the same service and verdict at most 3 s later,
   the same orders within one step; where information is gone no wrong action, and `partial` said within 5 s; `healthy` while
   users miss never.
4. `headroom doctor` on prepared streams: what was done to each is named first, and nothing on a clean one.

HEADROOM_BIN names another program than the release build.
"""

import argparse
import datetime
import json
import pathlib
import sys
import tempfile

import disturb
from disturb import DISTURBANCES, read, write
from scorecard import Scorecard, headroom, last_line

# Each with a fault that users feel, within seconds of its onset.
SCENARIOS = ["exam-start", "login-storm", "retry-storm", "bad-pod", "failing"]
# Long enough for the first orders after an onset at 60 s.
UNTIL_S = 90
LATER_S_MAX = 3
PARTIAL_WITHIN_S = 5
# The first spans are there, and the first trace is closed; a trace without its root has been idle for long.
SETTLED_S = 20
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

    def targets(self):
        """The services that were scaled out, each with the most that was ordered."""
        found = {}
        for order in self.orders:
            action = order["proposal"]["action"]
            if "scale_out" in action.values():
                found[action["service"]] = max(found.get(action["service"], 0), order["to"])
        return found


def item_1(card, scenarios, disturbances, seed):
    for scenario in scenarios:
        with tempfile.TemporaryDirectory() as directory:
            directory = pathlib.Path(directory)
            spans, journal = directory / "spans.jsonl", directory / "journal.jsonl"
            args = ["demo", "--scenario", scenario, "--seed", seed, "--speed", "max", "--json", "--until", UNTIL_S]
            done = headroom(*args, "--spans", spans, "--journal", journal)
            if done.returncode != 0:
                card.failed(f"1.{scenario}", last_line(done.stderr))
                continue
            summary = json.loads(done.stdout.splitlines()[-1])
            clean = Replay(spans, journal)
            for name in disturbances:
                change, expected = DISTURBANCES[name]
                requests = read(spans)
                change(requests)
                disturbed = directory / f"{name}.jsonl"
                write(disturbed, requests)
                try:
                    compare(card, f"1.{scenario}.{name}", clean, Replay(disturbed, journal, clean.start), expected, summary)
                except RuntimeError as error:
                    card.failed(f"1.{scenario}.{name}", error)
                disturbed.unlink()


def compare(card, name, clean, found, expected, summary):
    card.sample(name, {"clean": clean.told, "found": found.told})
    (clean_at, service, verdict), (at, *same) = clean.named(), found.named()
    if expected.same and clean_at is not None:
        card.equal(f"{name}.named", "/".join(map(str, same)), "service/verdict", f"{service}/{verdict}")
        card.at_most(f"{name}.later", None if at is None else at - clean_at, "s", LATER_S_MAX)
        orders, wanted = found.targets(), clean.targets()
        off = sum(1 for service in orders.keys() | wanted.keys() if abs(orders.get(service, 0) - wanted.get(service, 0)) > 1)
        card.equal(f"{name}.orders_off", off, "services", 0)
    else:
        wrong = set(found.targets()) - set(clean.targets())
        card.equal(f"{name}.wrong_orders", len(wrong), "services", 0)
    if expected.partial:
        # Nothing is wrong yet; what is said then is said of how much is seen.
        card.equal(f"{name}.partial", found.says(SETTLED_S) in ("partial", "blind"), "said", True)
    # While users miss an objective, and the clean stream says so.
    felt = [when for when, one in clean.told if one["verdict"] in FOUND]
    if felt:
        said = found.says(felt[0] + FELT_AFTER_S)
        card.figure(f"{name}.not_healthy", said, "verdict", "!=healthy", said != "healthy")


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
    parser.add_argument("--only", nargs="*", default=["1", "4"])
    parser.add_argument("--scenarios", nargs="*", default=SCENARIOS)
    parser.add_argument("--disturbances", nargs="*", default=list(DISTURBANCES))
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    card = Scorecard("traces")
    disturb.PLACES_KEPT = True
    if "1" in args.only:
        item_1(card, args.scenarios, args.disturbances, args.seed)
    if "4" in args.only:
        item_4(card, args.seed)
    return card.finish()


if __name__ == "__main__":
    sys.exit(main())
