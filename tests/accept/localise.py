#!/usr/bin/env python3
"""`make accept-localise`: how well the faulty service is named, measured.

    localise.py [--only ITEM…] [--seeds N] [--scenarios NAME…]

HEADROOM_BIN names another program than the release build; HEADROOM_INCIDENTS another directory of recorded incidents
(labels.json beside OTLP JSON lines, compressed with zstd).
"""

import argparse
import concurrent.futures
import hashlib
import json
import math
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

import systems
from loop import BURSTS, INCIDENTS
from scorecard import ROOT, Scorecard, demo, headroom, last_line

LATENCY = ("cpu_contention", "cpu_consumed", "network_delay")
TIMES = ("startTimeUnixNano", "endTimeUnixNano", "timeUnixNano")
NAMED_WITHIN_S = 5


def score(directory, *more):
    done = headroom("score", directory, "--json", *more)
    if done.returncode not in (0, 1):
        raise RuntimeError(last_line(done.stderr))
    return json.loads(done.stdout)


def is_latency(result):
    return result["fault"] in LATENCY


def share(results, most):
    """Share of cases whose faulty service is among the first `most`."""
    return sum((r["rank"] or most + 1) <= most for r in results) / len(results) if results else None


# Reading and writing recorded spans.


def lines_of(path):
    """Parsed lines of a file; zstd by its own program, which Python has only from 3.14 on."""
    text = subprocess.run(["zstd", "-dcq", path], check=True, capture_output=True).stdout
    return [json.loads(line) for line in text.splitlines() if line.strip()]


def write_lines(path, lines):
    text = "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
    subprocess.run(["zstd", "-q1", "-o", path], input=text.encode(), check=True)


def spans_of(lines):
    for line in lines:
        for resource in line.get("resourceSpans", []):
            for scope in resource.get("scopeSpans", []):
                yield from scope.get("spans", [])


def alias(text):
    """Another name for each name, the same one everywhere; it says nothing of the first."""
    return "n" + hashlib.sha256(b"headroom" + text.encode()).hexdigest()[:12]


def rename(lines):
    """Services, pods and operations called otherwise: every text of a resource, every span's name, and every
    attribute that repeats one of them."""
    known = set()
    for line in lines:
        for resource in line.get("resourceSpans", []):
            for attribute in resource.get("resource", {}).get("attributes", []):
                if "stringValue" in attribute["value"]:
                    known.add(attribute["value"]["stringValue"])
    known |= {span["name"] for span in spans_of(lines)}
    for line in lines:
        for resource in line.get("resourceSpans", []):
            owners = [resource.get("resource", {})]
            owners += [span for scope in resource.get("scopeSpans", []) for span in scope.get("spans", [])]
            for owner in owners:
                if "name" in owner:
                    owner["name"] = alias(owner["name"])
                for attribute in owner.get("attributes", []):
                    text = attribute["value"].get("stringValue")
                    if text in known:
                        attribute["value"]["stringValue"] = alias(text)
    return lines


def stretch(lines, factor, zero):
    def moved(text):
        return str(zero + round((int(text) - zero) * factor))

    for span in spans_of(lines):
        for timed in [span, *span.get("events", [])]:
            timed.update({key: moved(timed[key]) for key in TIMES if key in timed})
    return lines


def variant(directory, to, factor, new_names):
    """All cases under other names and with all times scaled by `factor`, as a directory of their own."""
    labels = json.loads((directory / "labels.json").read_text())
    for file in sorted({label[key] for label in labels.values() for key in ("incident", "normal")}):
        lines = lines_of(directory / file)
        zero = min(int(span["startTimeUnixNano"]) for span in spans_of(lines))
        lines = stretch(lines, factor, zero) if factor != 1 else lines
        write_lines(to / file, rename(lines) if new_names else lines)
    for label in labels.values() if new_names else ():
        label.update({key: alias(label[key]) for key in ("service", "pod") if key in label})
    (to / "labels.json").write_text(json.dumps(labels))


def halves(lines):
    """The traces of a file by their start: those before the median, and those after."""
    starts = {}
    for span in spans_of(lines):
        at = int(span["startTimeUnixNano"])
        starts[span["traceId"]] = min(at, starts.get(span["traceId"], at))
    ordered = sorted(starts, key=lambda trace: (starts[trace], trace))
    early = set(ordered[: len(ordered) // 2])

    def only(keep):
        kept = json.loads(json.dumps(lines))
        for line in kept:
            for resource in line.get("resourceSpans", []):
                for scope in resource.get("scopeSpans", []):
                    scope["spans"] = [span for span in scope.get("spans", []) if keep(span["traceId"])]
        return kept

    return only(lambda trace: trace in early), only(lambda trace: trace not in early)


# What must be shown.


def item_1(card, base):
    latency = [r for r in base["results"] if is_latency(r)]
    card.at_least("1.latency.first", share(latency, 1), "share", 0.95)
    card.at_least("1.latency.first_three", share(latency, 3), "share", 1.0)
    card.at_most("1.seconds_per_case", base["seconds_per_case"], "s", 1.5)
    for system in sorted({r["system"] for r in latency}):
        others = sorted({r["system"] for r in base["results"]} - {system})
        right = lambda results: sum(r["rank"] == 1 for r in results if is_latency(r) and r["system"] == system)
        try:
            # With two systems, those chosen on are all that is left.
            held_out = [score(INCIDENTS, "--fit", other) for other in others]
        except RuntimeError as error:
            card.failed(f"1.{system}.held_out", error)
            continue
        for other, results in zip(others, held_out):
            card.sample("held_out", {"scored": system, "chosen_on": other, **results})
            fewer = right(latency) - right(results["results"])
            card.at_most(f"1.{system}.as_{other}_has_it.fewer", fewer, "cases", 1)
    was = {r["case"]: r["rank"] == 1 for r in latency}
    for factor, new_names in [(1, True), (0.7, True), (1.6, True)]:
        name = f"1.renamed.x{factor}"
        try:
            with tempfile.TemporaryDirectory() as directory:
                variant(INCIDENTS, pathlib.Path(directory), factor, new_names)
                results = [r for r in score(directory)["results"] if is_latency(r)]
        except (RuntimeError, subprocess.CalledProcessError) as error:
            card.failed(name, error)
            continue
        moved = sorted(r["case"] for r in results if (r["rank"] == 1) != was[r["case"]])
        card.sample("moved", {"variant": name, "cases": moved})
        card.at_most(f"{name}.moved", len(moved), "cases", 1)


def item_2(card, base):
    others = [r for r in base["results"] if not is_latency(r)]
    card.figure("2.code_faults.first", share(others, 1), "share", "reported", True)
    card.at_most("2.brier", base["brier"], "mean_square", 0.15)
    card.at_most("2.brier_of_constant", base["brier"] / base["brier_constant"], "share", 0.7)
    ordered = sorted(base["results"], key=lambda r: (r["score"], r["case"]))
    for third in range(3):
        group = ordered[len(ordered) * third // 3 : len(ordered) * (third + 1) // 3]
        mean = sum(r["score"] for r in group) / len(group)
        card.at_most(f"2.calibration.third{third + 1}", abs(mean - share(group, 1)), "difference", 0.10)


def item_3(card):
    normals = sorted({label["normal"] for label in json.loads((INCIDENTS / "labels.json").read_text()).values()})
    for file in normals:
        with tempfile.TemporaryDirectory() as directory:
            early, late = (pathlib.Path(directory) / name for name in ("early.jsonl.zst", "late.jsonl.zst"))
            for path, half in zip((early, late), halves(lines_of(INCIDENTS / file))):
                write_lines(path, half)
            for name, baseline, rest in [("late", early, late), ("early", late, early)]:
                figure = f"3.{file.split('.')[0]}.{name}"
                done = headroom("diagnose", "--baseline", baseline, rest, "--json")
                if done.returncode not in (0, 1):
                    card.failed(figure, last_line(done.stderr))
                    continue
                suspects = json.loads(done.stdout)["suspects"]
                card.sample("healthy", {"figure": figure, "suspects": suspects[:3]})
                card.at_most(figure, max((s["score"] for s in suspects), default=0.0), "score", 0.5)


# Where something is to be named. Their files say what, and how much traffic they have.
SCENARIOS = [
    *BURSTS,
    "beyond-capacity",
    "hidden-fan-out",
    "retry-storm",
    "locked-database",
    "bad-pod",
    "bad-release",
    "failing",
]
# Where something is to be named that no user feels: their times are from the onset, and nobody set a bound.
UNFELT = ["early-return"]
ONSET_S = 60
# Long past what is allowed: the run may end once it is decided.
UNTIL_S = ONSET_S + 40
SAMPLED_BASE_PER_S = 2000


def base_per_s(scenario):
    """Requests a second of the scenario's file before anything happens."""
    text = (ROOT / "examples" / "scenarios" / f"{scenario}.yaml").read_text()
    return sum(float(rate) for rate in re.findall(r"\brate: ([\d.]+)", text))


def variants(scenario):
    """Name and options: pods as shipped and all shared, every trace and one in a hundred of enough traffic."""
    factor = math.ceil(SAMPLED_BASE_PER_S / base_per_s(scenario))
    for pods, kind in [("shipped", []), ("shared", ["--pods", "shared"])]:
        yield f"{pods}.all", kind
        yield f"{pods}.one_percent", [*kind, "--load-factor", factor, "--sampling", 0.01]


def item_4(card, seeds, scenarios):
    wanted = [(s, name, options, seed) for s in scenarios for name, options in variants(s) for seed in seeds]
    found = {}
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = [pool.submit(demo, s, seed, "--until", UNTIL_S, *options) for s, _, options, seed in wanted]
        for (scenario, name, _, seed), run in zip(wanted, runs):
            try:
                actions, summary = run.result()
            except Exception as error:
                card.failed(f"4.{scenario}.{name}.seed{seed}", error)
                continue
            card.sample("simulated", {"variant": name, "actions": actions, "summary": summary})
            for finding in summary["findings"]:
                key = f"4.{scenario}.{name}.{finding['service']}.{finding['verdict']}"
                found.setdefault(key, []).append({**finding, "wrong_actions": summary["wrong_actions"]})
    for key, each in found.items():
        silent_failures = key.split(".")[1] in UNFELT
        delays = [one["first_correct_s" if silent_failures else "delay_s"] for one in each]
        if silent_failures:
            card.figure(f"{key}.named", sum(d is not None for d in delays), f"of_{len(each)}_runs", "reported", True)
            card.figure(f"{key}.slowest", None if None in delays else max(delays), "s_from_onset", "reported", True)
            continue
        within = sum(delay is not None and delay <= NAMED_WITHIN_S for delay in delays)
        card.equal(f"{key}.named_in_time", within, "of_runs", len(each))
        # The slowest, and how often something else was said before.
        card.figure(f"{key}.slowest", None if None in delays else max(delays), "s", "reported", True)
        card.figure(f"{key}.wrong_before", sum(one["wrong_before"] for one in each), "times", "reported", True)
        card.equal(f"{key}.wrong_actions", sum(one["wrong_actions"] for one in each), "actions", 0)


# Seeds below are those that the analysis was mended on.
SEEN_BELOW = 10_000


def unseen_from():
    """The first seed of systems that nobody has looked at. It moves with the version: whoever mends the analysis on
    systems of this range raises the version, and with it the range."""
    text = (ROOT / "Cargo.toml").read_text()
    major, minor, patch = map(int, re.search(r'^version = "(\d+)\.(\d+)\.(\d+)"', text, re.M).groups())
    return SEEN_BELOW + 1_000 * ((major * 100 + minor) * 100 + patch) + 1


def drawn_systems(card, name, first, count):
    """The same question of systems that the analysis was not mended on (systems.py)."""
    seeds = range(first, first + count)
    wanted = [(kind, seed) for kind in systems.KINDS for seed in seeds]
    told = f"reported,seeds_{first}..{first + count - 1}"
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:

        def play(kind, seed):
            file = pathlib.Path(directory) / f"{kind}-{seed}.yaml"
            file.write_text(json.dumps(systems.draw(kind, seed)))
            return demo(file, seed, "--until", UNTIL_S)

        runs = {key: pool.submit(play, *key) for key in wanted}
        all_wrong, all_restarts = 0, 0
        for kind, verdict in systems.KINDS.items():
            played, felt, in_time, named, before, wrong, acted, restarts = 0, 0, 0, 0, 0, 0, 0, []
            for seed in seeds:
                try:
                    actions, summary = runs[kind, seed].result()
                except Exception as error:
                    card.failed(f"{name}.{kind}.{seed}", error)
                    continue
                played += 1
                card.sample(name, {"case": f"{kind}-{seed}", "actions": actions, "summary": summary})
                wrong += summary["wrong_actions"]
                if summary["wrong_actions"]:
                    did = [(a["action"], a["service"], a["verdict"]) for a in actions if a["action"] != "notify"]
                    print(f"# {kind}-{seed}: {summary['wrong_actions']} wrong of {did}", file=sys.stderr)
                acted += len(actions)
                restarts += summary["restarts"]
                for finding in summary["findings"]:
                    named += finding["first_correct_s"] is not None
                    if finding["first_missed_s"] is not None:
                        felt += 1
                        in_time += finding["delay_s"] is not None and finding["delay_s"] <= NAMED_WITHIN_S
                        before += finding["wrong_before"]
            if verdict is None:
                card.figure(f"{name}.{kind}.actions", acted, "actions", told, played > 0)
            elif kind in systems.UNFELT:
                card.figure(f"{name}.{kind}.named", named, f"of_{played}", told, played > 0)
            else:
                card.figure(f"{name}.{kind}.named_in_time", in_time, f"of_{felt}_felt", told, felt > 0)
                card.figure(f"{name}.{kind}.wrong_before", before, "times", told, True)
            healthy = sum(not restart["was_bad"] for restart in restarts)
            card.figure(f"{name}.{kind}.restarts", len(restarts), f"pods,{healthy}_healthy", told, played > 0)
            card.figure(f"{name}.{kind}.wrong_actions", wrong, "actions", told, played > 0)
            all_wrong, all_restarts = all_wrong + wrong, all_restarts + len(restarts)
        # A simulator that restarted nothing would make the next figure mean little.
        card.at_least(f"{name}.restarts", all_restarts, "pods", 1)
        card.equal(f"{name}.wrong_actions", all_wrong, "actions", 0)


def item_5(card):
    command = [os.environ.get("CARGO", "cargo"), "test", "--locked", "--lib", "analyse::trace"]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "PROPTEST_CASES": "10000"}, capture_output=True, text=True
    )
    passed = [line for line in done.stdout.splitlines() if line.startswith("test ") and line.endswith("ok")]
    if done.returncode != 0:
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
    card.figure("5.critical_path", len(passed), "tests", "all pass, some run", done.returncode == 0 and passed)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int, choices=range(1, 7), default=list(range(1, 7)))
    parser.add_argument("--seeds", type=int, default=5, help="how many, from 1 on")
    parser.add_argument("--scenarios", nargs="+", default=SCENARIOS + UNFELT)
    parser.add_argument("--systems", type=int, default=30, help="drawn systems of each kind")
    parser.add_argument("--seeds-from", type=int, default=unseen_from(), help="the first seed of drawn systems")
    args = parser.parse_args()
    card = Scorecard("localise")
    recorded = {item for item in (1, 2, 3) if item in args.only}
    if recorded and not (INCIDENTS / "labels.json").exists():
        for item in recorded:
            card.skipped(item, f"no recorded incidents in {INCIDENTS}; HEADROOM_INCIDENTS names their directory")
        recorded = set()
    if recorded & {1, 3} and not shutil.which("zstd"):
        card.skipped("1 and 3", "zstd is not installed, which writes and reads the files")
        recorded &= {2}
    base = None
    if recorded & {1, 2}:
        try:
            base = score(INCIDENTS)
            card.sample("score", base)
        except RuntimeError as error:
            card.failed("1.score", error)
    items = {
        1: lambda: base and 1 in recorded and item_1(card, base),
        2: lambda: base and 2 in recorded and item_2(card, base),
        3: lambda: 3 in recorded and item_3(card),
        4: lambda: item_4(card, range(1, args.seeds + 1), args.scenarios),
        5: lambda: item_5(card),
        6: lambda: drawn_systems(card, "6.unseen.all", args.seeds_from, args.systems),
    }
    for item in args.only:
        items[item]()
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
