#!/usr/bin/env python3
"""`make accept-loop`: what the closed loop must show, measured.

    loop.py [--only ITEM…] [--seeds N] [--scenarios NAME…]

HEADROOM_BIN names another program than the release build; HEADROOM_INCIDENTS another directory of recorded incidents.
"""

import argparse
import json
import os
import pathlib
import random
import re
import sys
import tempfile
import time

from scorecard import ROOT, Scorecard, demo, headroom, last_line, played, run_tests

BURSTS = ["exam-start", "login-storm", "login-storm-shared", "front-door", "front-door-shared"]
INCIDENTS = pathlib.Path(os.environ.get("HEADROOM_INCIDENTS", ROOT.parent / "shared" / "incidents"))


def scalings(actions, *kinds):
    return [action for action in actions if action["action"] in (kinds or ("scale_out", "scale_in"))]


# 1. The burst is noticed, the right services are scaled, the objectives hold again.


def item_1(card, seeds, scenarios):
    for scenario, name, actions, summary in played(card, 1, scenarios, seeds):
        (burst if scenario in BURSTS else quiet)(card, name, scenario, actions, summary)


def burst(card, name, _scenario, _actions, summary):
    with_us, without = summary["slo_violation_share"], summary["slo_violation_share_without"]
    onset = summary["slo_violation_share_onset"]
    card.equal(f"{name}.wrong_actions", summary["wrong_actions"], "actions", 0)
    card.equal(f"{name}.targets", summary["targets"], "services", summary["expected_targets"])
    card.at_most(f"{name}.of_without", with_us / without if without else None, "share", 0.25)
    # Where on the way from the best reaction there can be to none at all.
    card.at_most(f"{name}.way", (with_us - onset) / (without - onset) if without > onset else None, "share", 0.15)
    card.at_most(f"{name}.pod_seconds", summary["pod_seconds"] / summary["pod_seconds_onset"], "of_onset", 1.4)
    recovered = summary["recovered_s"]
    card.figure(f"{name}.recovered", recovered, "s", "measured", recovered is not None)


def quiet(card, name, scenario, actions, summary):
    kinds = {"bad-pod": ["scale_out"]}.get(scenario, [])
    card.equal(f"{name}.scalings", len(scalings(actions, *kinds)), "actions", 0)
    if scenario == "calm":
        card.equal(f"{name}.actions", len(actions), "lines", 0)
    card.equal(f"{name}.wrong_actions", summary["wrong_actions"], "actions", 0)


# 2. The same again: identical; renamed; replayed.


def services_of(text):
    """Names under `services:` of a scenario file: keys indented by two."""
    section = re.search(r"^services:\n(.*?)^\S", text, re.M | re.S).group(1)
    return re.findall(r"^  ([\w-]+):\s*$", section, re.M)


def renamed(text, names):
    """The scenario with its services called otherwise, wherever a service is meant."""
    for old, new in names.items():
        text = re.sub(rf"^  {old}:(\s*)$", rf"  {new}:\1", text, flags=re.M)
        text = re.sub(rf"\bservice: {old}\b(?!-)", f"service: {new}", text)
    targets = lambda found: re.sub(r"[\w-]+", lambda word: names.get(word[0], word[0]), found[2])
    return re.sub(r"((?<=targets: )|(?<= at: ))(\[.*?\])", targets, text)


def names_back(value, back):
    if isinstance(value, dict):
        return {key: names_back(item, back) for key, item in value.items() if key != "scenario"}
    if isinstance(value, list):
        return [names_back(item, back) for item in value]
    return back.get(value, value) if isinstance(value, str) else value


def item_2(card, seeds, scenarios):
    chance = random.Random(20261124)  # any words will do; the same ones every time, so that a failure comes again
    for scenario in [s for s in scenarios if s in ("exam-start", "login-storm", "bad-pod")]:
        name = f"2.{scenario}"
        try:
            with tempfile.TemporaryDirectory() as directory:
                same_again(card, name, scenario, seeds[0], pathlib.Path(directory), chance)
        except Exception as error:
            card.failed(name, error)


def same_again(card, name, scenario, seed, directory, chance):
    spans, journal = directory / "spans.jsonl", directory / "journal.jsonl"
    args = ["demo", "--scenario", scenario, "--seed", seed, "--speed", "max", "--json"]
    first = headroom(*args, "--spans", spans, "--journal", journal)
    second = headroom(*args)
    card.figure(f"{name}.twice", len(first.stdout), "bytes", "identical", first.stdout == second.stdout != "")

    text = (ROOT / "examples" / "scenarios" / f"{scenario}.yaml").read_text()
    words = lambda: "".join(chance.choice("bcdfghjklmnprstvwz") + chance.choice("aeiou") for _ in range(4))
    names = {service: f"{words()}-{words()}" for service in services_of(text)}
    file = directory / f"{scenario}.yaml"
    file.write_text(renamed(text, names))
    back = {new: old for old, new in names.items()}
    lines = [json.loads(line) for line in first.stdout.splitlines()]
    other = [names_back(line, back) for line in sum(([*a, s] for a, s in [demo(file, seed)]), [])]
    same = [names_back(line, {}) for line in lines] == other
    card.figure(f"{name}.renamed", len(other), "lines", "identical", same)

    replayed = headroom("replay", spans, "--journal", journal, "--json")
    if replayed.returncode not in (0, 1):
        raise RuntimeError(last_line(replayed.stderr))
    summary = json.loads(last_line(replayed.stdout))
    card.sample("replay", summary)
    then, again = summary["decisions_then"], summary["reproduced"]
    card.figure(f"{name}.replayed", again, "decisions", f"=={then}", replayed.returncode == 0 and then == again > 0)


# 3. Real incidents recorded by others.


def item_3(card):
    labels = INCIDENTS / "labels.json"
    if not labels.exists():
        card.skipped("3", f"no recorded incidents in {INCIDENTS}; HEADROOM_INCIDENTS names their directory")
        return
    slowest, first = 0.0, {}
    for case, label in sorted(json.loads(labels.read_text()).items()):
        begun = time.monotonic()
        done = headroom(
            "diagnose", "--baseline", INCIDENTS / label["normal"], INCIDENTS / label["incident"], "--json"
        )
        took = time.monotonic() - begun
        if done.returncode not in (0, 1):
            card.failed(f"3.{case}", last_line(done.stderr))
            continue
        suspects = json.loads(done.stdout)["suspects"]
        # A service may be written with its namespace.
        named = suspects[0]["service"].rsplit("/", 1)[-1] if suspects else None
        right = named == label["service"]
        card.sample("cases", {"case": case, "fault": label["fault"], "first": named, "right": right, "s": took})
        slowest = max(slowest, took)
        first.setdefault(label["fault"], []).append(right)
    card.figure("3.slowest_case", slowest, "s", "<5", slowest < 5)
    for fault in ("network_delay", "cpu_consumed"):
        right = first.get(fault, [])
        card.at_least(f"3.{fault}.first", sum(right) / len(right) if right else None, "share", 0.75)


# 4 to 6. What the integration tests show.


def item_4(card):
    out = run_tests(card, "4.real_sources", "real::")
    measured = re.findall(r"MEASURE (\S+) (\S+) (\S+)", out)
    for name, value, unit in measured:
        card.sample("measured", {"name": name, "value": value, "unit": unit})
        number = float(value)
        if name.startswith("named_within"):
            card.at_most(f"4.{name}", number, unit, 5)
        elif name.startswith("missing"):
            card.equal(f"4.{name}", number, unit, 0.0)
        else:
            card.figure(f"4.{name}", number, unit, "measured", True)
    if not any(name.startswith("named_within") for name, _, _ in measured):
        card.failed("4.named_within_s", "the tests of real sources printed no such measure")


def item_5(card):
    run_tests(card, "5.killed_at_20_points", "kill", env={"HEADROOM_KILLS": "20"})


def item_6(card):
    run_tests(card, "6.bad_input", "bad_input::")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int, choices=range(1, 7), default=list(range(1, 7)))
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 1 on")
    parser.add_argument("--scenarios", nargs="+", default=[*BURSTS, "calm", "locked-database", "bad-pod"])
    args = parser.parse_args()
    card = Scorecard("loop")
    seeds = range(1, args.seeds + 1)
    items = {
        1: lambda: item_1(card, seeds, args.scenarios),
        2: lambda: item_2(card, seeds, args.scenarios),
        3: lambda: item_3(card),
        4: lambda: item_4(card),
        5: lambda: item_5(card),
        6: lambda: item_6(card),
    }
    for item in args.only:
        items[item]()
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
