#!/usr/bin/env python3
"""`make accept-diagnosis`: whether one diagnosis holds on systems that nobody tuned it on, measured.

    diagnosis.py [--only ITEM…] [--drawn N] [--systems N] [--seeds-from SEED]

Drawn systems come from `headroom draw`. Seeds below 10 000 are for choosing parameters, those from 130 001 on for
reporting: whoever has looked at a range moves on to the next. The figures name their seeds.

HEADROOM_BIN names another program than the release build; HEADROOM_INCIDENTS another directory of recorded incidents,
HEADROOM_FIELD one with `slow-third-party.yaml` and `scenarios/`, HEADROOM_HELD_OUT one of labelled recordings a folder,
that nothing was chosen on.
"""

import argparse
import concurrent.futures
import json
import math
import os
import pathlib
import re
import statistics
import subprocess
import sys
import tempfile

import course
import localise
from loop import INCIDENTS
from scorecard import ROOT, Scorecard, headroom, last_line

FIELD = pathlib.Path(os.environ.get("HEADROOM_FIELD", ROOT.parent / "shared" / "field"))
HELD_OUT = os.environ.get("HEADROOM_HELD_OUT")
KINDS = (
    "saturated degraded bad_instance regression amplification slow_dependency slow_edge slow_edge_one lossy_link "
    "exhausted_pool refused black_hole failing early_return two"
).split()
UNREACHABLE = ("refused", "black_hole")
# For reporting: nothing is chosen on these.
SEEDS_FROM = 130_001
ONSET_S = 60
# Long past what is allowed for the first answer.
ANSWER_UNTIL_S = ONSET_S + 40
SAMPLED_PER_S = 2000


def json_of(*args):
    done = headroom(*args, timeout=3600)
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr))
    return json.loads(done.stdout)


def share(part, whole):
    return part / whole if whole else None


# 1. Drawn recordings.


def item_1(card, drawn, seeds_from):
    told = f"seeds_{seeds_from}..{seeds_from + drawn - 1}"
    try:
        found = json_of("score", "--drawn", drawn, "--seeds-from", seeds_from, "--json")
        lost = json_of("score", "--drawn", max(1, drawn // 3), "--seeds-from", seeds_from, "--lose", 0.5, "--json")
    except RuntimeError as error:
        return card.failed("1.score", error)
    card.sample("drawn", found)
    card.sample("drawn_half_lost", lost)
    card.at_least("1.cases", found["cases"], f"cases,{told}", 2000)
    card.at_least("1.felt.first", found["felt"]["ac1"], f"of_{found['felt']['cases']}", 0.95)
    card.at_least("1.felt.first_three", found["felt"]["ac3"], f"of_{found['felt']['cases']}", 0.99)
    card.at_most("1.brier", found["brier"] / found["brier_constant"], "of_constant", 0.7)
    card.at_most("1.log_loss", found["log_loss"] / found["log_loss_constant"], "of_constant", 0.7)
    card.at_most("1.calibration_error", found["calibration_error"], "difference", 0.02)
    outside = [group for group in found["calibration"] if not group["is_within"]]
    card.equal("1.groups_outside", len(outside), "of_their_99_percent", 0)
    card.at_least("1.sure.right", found["sure"]["share_right"], "share", 0.97)
    card.at_least("1.sure", found["sure"]["share"], "of_all_answers", 0.5)
    for kind, score in found["felt_by_fault"].items():
        card.figure(f"1.felt.{kind}.first", score["ac1"], f"of_{score['cases']}", "reported", True)
        card.figure(f"1.felt.{kind}.verdict", score["verdict"], f"of_{score['cases']}", "reported", True)
    card.figure("1.unfelt.first", unfelt(found), "share", "reported", True)
    card.at_least("1.half_lost.felt.first", lost["felt"]["ac1"], f"of_{lost['felt']['cases']}", 0.90)
    try:
        calm = json_of("score", "--drawn", drawn, "--kinds", "none", "--seeds-from", seeds_from, "--json")
    except RuntimeError as error:
        return card.failed("1.none", error)
    card.sample("drawn_none", calm)
    scores = sorted(result["score"] for result in calm["results"])
    card.figure("1.none.highest_score", scores[-1], f"of_{len(scores)}", "reported", True)
    card.figure("1.none.at_most_0.3", share(sum(s <= 0.3 for s in scores), len(scores)), "share", "reported", True)
    card.figure("1.seconds_per_case", found["seconds_per_case"], "s", "reported", True)


def unfelt(found):
    rest = [result for result in found["results"] if result["felt"] is False]
    return share(sum(result["rank"] == 1 for result in rest), len(rest))


# 2. Recorded incidents, which nothing was chosen on.


def item_2(card):
    try:
        found = localise.score(INCIDENTS)
    except RuntimeError as error:
        return card.failed("2.score", error)
    card.sample("incidents", found)
    latency = [result for result in found["results"] if localise.is_latency(result)]
    card.at_least("2.latency.first", localise.share(latency, 1), f"of_{len(latency)}", 1.0)
    # No worse than the parameters that were fitted to these very cases (docs/accuracy.md).
    card.at_most("2.brier", found["brier"], "mean_square", 0.027)
    for third, group in enumerate(found["calibration"], 1):
        off = abs(group["mean_score"] - group["share_right"])
        card.at_most(f"2.calibration.third{third}", off, "difference", 0.10)


# 3. Sources that are held out.


def item_3(card):
    if not HELD_OUT:
        return card.skipped("3", "HEADROOM_HELD_OUT names no directory of held-out recordings")
    for source in sorted(path for path in pathlib.Path(HELD_OUT).iterdir() if (path / "labels.json").exists()):
        try:
            found = localise.score(source)
        except RuntimeError as error:
            card.failed(f"3.{source.name}", error)
            continue
        card.sample("held_out", {"source": source.name, **found})
        for fault, score in found["by_fault"].items():
            card.figure(f"3.{source.name}.{fault}.first", score["ac1"], f"of_{score['cases']}", "reported", True)
        card.at_most(f"3.{source.name}.brier", found["brier"], "mean_square", 0.10)


# 4. Online: the first answer.


def drawn_scenario(kind, seed, directory):
    done = headroom("draw", kind, "--seed", seed)
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr))
    file = pathlib.Path(directory) / f"{kind}-{seed}.yaml"
    file.write_text(done.stdout)
    return file


def per_s(file):
    """Requests a second before anything happens."""
    return sum(map(float, re.findall(r"\brate: ([\d.]+)", pathlib.Path(file).read_text())))


def play(file, seed, *more, speed="max", binary=None):
    """Actions, summary and the journal's path of a run; the journal is the caller's to remove."""
    journal = tempfile.NamedTemporaryFile(suffix=".journal", delete=False)
    journal.close()
    options = ["--scenario", file, "--seed", seed, "--speed", speed, "--json", "--journal", journal.name, *more]
    if binary:
        command = [binary, "demo", *map(str, options)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=1800)
    else:
        done = headroom("demo", *options)
    if done.returncode != 0:
        os.unlink(journal.name)
        raise RuntimeError(f"demo of {file}, seed {seed}: {last_line(done.stderr)}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[:-1], lines[-1], journal.name


def allowed_until(summary, finding, kind):
    """The last moment, from the onset, at which an answer is in time; None where nothing asks for one."""
    missed = finding["first_missed_s"]
    arrived = summary["affected_arrived_s"]
    if missed is None or len(arrived) < 20:
        return None
    in_time = missed + 5 if arrived[19] <= missed + 4 else arrived[19] + 2
    if kind in UNREACHABLE and summary["first_unanswered_s"] is not None:
        in_time = min(in_time, max(summary["first_unanswered_s"], missed) + 3)
    return in_time


def item_4(card, systems, seeds_from):
    seeds = range(seeds_from, seeds_from + systems)
    told = f"seeds_{seeds[0]}..{seeds[-1]}"
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:

        def answer(kind, seed, sampled):
            file = drawn_scenario(kind, seed, directory)
            options = ["--sampling", 1]
            if sampled:
                options = ["--load-factor", min(100, math.ceil(SAMPLED_PER_S / per_s(file))), "--sampling", 0.01]
            actions, summary, journal = play(file, seed, "--until", ANSWER_UNTIL_S, *options)
            os.unlink(journal)
            return actions, summary

        wanted = [(kind, seed, sampled) for sampled in (False, True) for kind in KINDS for seed in seeds]
        runs = {key: pool.submit(answer, *key) for key in wanted}
        for sampled, name, bound in [(False, "every_trace", 0.97), (True, "one_percent", 0.90)]:
            all_asked, all_in_time, wrong_actions = 0, 0, 0
            for kind in KINDS:
                asked, in_time, scaled = 0, 0, 0
                for seed in seeds:
                    try:
                        actions, summary = runs[kind, seed, sampled].result()
                    except Exception as error:
                        card.failed(f"4.{name}.{kind}.{seed}", error)
                        continue
                    case = {"case": f"{kind}-{seed}", "variant": name, "actions": actions, "summary": summary}
                    card.sample("first_answers", case)
                    wrong_actions += summary["wrong_actions"]
                    scaled += sum(action["action"] == "scale_out" for action in actions)
                    for finding in summary["findings"]:
                        until = allowed_until(summary, finding, kind)
                        if until is not None:
                            asked += 1
                            first = finding["first_correct_s"]
                            in_time += first is not None and first <= until
                card.figure(f"4.{name}.{kind}.in_time", in_time, f"of_{asked}", f"reported,{told}", True)
                if kind in UNREACHABLE:
                    card.equal(f"4.{name}.{kind}.scaled", scaled, "times", 0)
                all_asked, all_in_time = all_asked + asked, all_in_time + in_time
            card.at_least(f"4.{name}.in_time", share(all_in_time, all_asked), f"of_{all_asked},{told}", bound)
            card.equal(f"4.{name}.wrong_actions", wrong_actions, "actions", 0)


# 5. It stays right.


def stay(card, name, file, seed, speed="max", binary=None):
    """Counts of one run, or None when it could not be played."""
    try:
        _, summary, journal = play(file, seed, speed=speed, binary=binary)
        counted = course.staying(journal, summary)
        os.unlink(journal)
    except Exception as error:
        card.failed(name, error)
        return None
    card.sample("staying", {"name": name, **counted, "summary": summary})
    return counted


def item_5(card, systems, seeds_from, live):
    seeds = range(seeds_from, seeds_from + systems)
    with tempfile.TemporaryDirectory() as directory, concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        file = lambda kind, seed: drawn_scenario(kind, seed, directory)
        runs = {
            (kind, seed): pool.submit(lambda k=kind, s=seed: stay(card, f"5.{k}.{s}", file(k, s), s))
            for kind in KINDS
            for seed in seeds
        }
        every = []
        for kind in KINDS:
            of_kind = [counted for seed in seeds if (counted := runs[kind, seed].result()) is not None]
            every += of_kind
            told = f"of_{total(of_kind, 'ticks')}"
            card.figure(f"5.{kind}.right", total(of_kind, "right"), told, "reported", True)
            card.figure(f"5.{kind}.another", total(of_kind, "another"), told, "reported", True)
    told = f"of_{total(every, 'ticks')},seeds_{seeds[0]}..{seeds[-1]}"
    card.at_least("5.right", share(total(every, "right"), total(every, "ticks")), told, 0.97)
    card.at_most("5.another", share(total(every, "another"), total(every, "ticks")), told, 0.01)
    card.equal("5.another_twice_in_a_row", total(every, "another_twice"), "ticks", 0)
    card.equal("5.healthy_restarts_proposed", total(every, "healthy_restarts_proposed"), "pods", 0)
    backlog = total(every, "backlog")
    card.equal("5.backlog_otherwise", backlog - total(every, "backlog_same"), f"of_{backlog}_ticks", 0)
    card.equal("5.named_when_all_is_well", total(every, "named_after"), "ticks", 0)
    card.figure("5.wrong_notices", total(every, "wrong_notices"), f"of_{total(every, 'notices')}", "reported", True)

    shown = [("exam-start", ROOT / "examples" / "scenarios" / "exam-start.yaml")]
    if (FIELD / "slow-third-party.yaml").exists():
        shown.append(("slow-third-party", FIELD / "slow-third-party.yaml"))
    else:
        card.skipped("5.slow-third-party", f"not in {FIELD}; HEADROOM_FIELD names its directory")
    for name, file in shown:
        for variant, binary, speed in variants(card, live):
            counted = [stay(card, f"5.{name}.{variant}.{seed}", file, seed, speed, binary) for seed in range(1, 6)]
            counted = [one for one in counted if one is not None]
            others = total(counted, "another") + total(counted, "another_before")
            card.equal(f"5.{name}.{variant}.others", others, f"ticks_of_{len(counted)}_runs", 0)
            card.equal(f"5.{name}.{variant}.healthy_restarts", total(counted, "healthy_restarts_proposed"), "pods", 0)
            ticks = total(counted, "ticks")
            card.at_least(f"5.{name}.{variant}.right", share(total(counted, "right"), ticks), f"of_{ticks}", 0.97)


def variants(card, live):
    """Name, program and speed; a debug build at four times real time is what a person sees first."""
    yield "max", None, "max"
    debug = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug" / "headroom"
    if not live:
        card.skipped("5.live", "asked for with --live: ten runs of two minutes each")
    elif not debug.exists():
        card.skipped("5.live", f"there is no debug build in {debug}")
    else:
        yield "debug_x4", str(debug), "4"


def total(counted, key):
    return sum(one[key] for one in counted)


# 6. Scenarios from the field.


def item_6(card):
    scenarios = FIELD / "scenarios"
    if not scenarios.is_dir():
        return card.skipped("6", f"no scenarios in {scenarios}; HEADROOM_FIELD names their directory")
    files = sorted(scenarios.glob("*.yaml"))
    seeds = range(1, 4)
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {(f.stem, s): pool.submit(through, f, s) for f in files for s in seeds}
        all_right, over, orders = 0, [], []
        for file in files:
            right = 0
            for seed in seeds:
                try:
                    told = runs[file.stem, seed].result()
                except Exception as error:
                    card.failed(f"6.{file.stem}.{seed}", error)
                    continue
                card.sample("field", {"case": f"{file.stem}-{seed}", **told})
                right += not told["wrong"]
                over += told["over"]
                orders += told["orders"]
            card.equal(f"6.{file.stem}.right", right, "of_runs", len(seeds))
            all_right += right
        card.figure("6.right", share(all_right, len(files) * len(seeds)), f"of_{len(files) * len(seeds)}", "reported", True)
    shipped = ROOT / "examples" / "scenarios"
    for name in localise.BURSTS:
        for seed in seeds:
            try:
                told = through(shipped / f"{name}.yaml", seed)
            except Exception as error:
                card.failed(f"6.{name}.{seed}", error)
                continue
            card.sample("bursts", {"case": f"{name}-{seed}", **told})
            over += told["over"]
            orders += told["orders"]
    card.at_most("6.ordered_over_need.median", statistics.median(over) if over else None, "times", 1.3)
    card.at_most("6.ordered_over_need.worst", max(over) if over else None, "times", 1.6)
    card.at_most("6.orders_until_enough.worst", max(orders) if orders else None, "orders", 2)


def through(file, seed):
    """All that is wrong with a run, and how much was ordered."""
    actions, summary, journal = play(file, seed)
    try:
        counted = course.staying(journal, summary)
    finally:
        os.unlink(journal)
    wrong = []
    for finding in summary["findings"]:
        if finding["first_missed_s"] is not None and finding["first_correct_s"] is None:
            wrong.append(f"{finding['service']} never {finding['verdict']}")
    if counted["another"] + counted["another_before"]:
        wrong.append(f"{counted['another'] + counted['another_before']} ticks named {counted['others']}")
    if counted["healthy_restarts_proposed"]:
        wrong.append(f"{counted['healthy_restarts_proposed']} restarts of healthy pods")
    if counted["wrong_notices"]:
        wrong.append(f"notices {counted['wrong']}")
    if summary["wrong_actions"]:
        wrong.append(f"{summary['wrong_actions']} wrong actions")
    if set(summary["targets"]) - set(summary["expected_targets"]):
        wrong.append(f"scaled {summary['targets']}")
    over, orders = [], []
    for target, need in zip(summary["expected_targets"], summary["needed"]):
        ordered = [a["to"] for a in actions if a["action"] == "scale_out" and a["service"] == target]
        if ordered:
            over.append(max(ordered) / need)
            enough = next((n for n, to in enumerate(ordered, 1) if to >= need), None)
            orders.append(enough or len(ordered))
    return {"wrong": wrong, "over": over, "orders": orders, "staying": counted, "summary": summary}


# 7. Orders, names and other clocks.


def item_7(card):
    if not localise.shutil.which("zstd"):
        return card.skipped("7", "zstd is not installed, which writes and reads the files")
    try:
        was = {result["case"]: result["rank"] == 1 for result in localise.score(INCIDENTS)["results"]}
    except RuntimeError as error:
        return card.failed("7.score", error)
    for factor in (1, 0.5, 3):
        with tempfile.TemporaryDirectory() as directory:
            try:
                localise.variant(INCIDENTS, pathlib.Path(directory), factor, True)
                results = localise.score(directory)["results"]
            except (RuntimeError, subprocess.CalledProcessError) as error:
                card.failed(f"7.renamed.x{factor:g}", error)
                continue
        moved = sorted(r["case"] for r in results if (r["rank"] == 1) != was[r["case"]])
        card.sample("moved", {"factor": factor, "cases": moved})
        card.at_most(f"7.renamed.x{factor:g}.moved", len(moved), f"of_{len(was)}", 1)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int, choices=range(1, 8), default=list(range(1, 8)))
    parser.add_argument("--drawn", type=int, default=140, help="recorded systems of each kind")
    parser.add_argument("--systems", type=int, default=12, help="played systems of each kind")
    parser.add_argument("--seeds-from", type=int, default=SEEDS_FROM, help="the first seed of drawn systems")
    parser.add_argument("--live", action="store_true", help="play the debug build at four times real time as well")
    args = parser.parse_args()
    card = Scorecard("diagnosis")
    only = list(args.only)
    for item in (2, 7):
        if item in only and not (INCIDENTS / "labels.json").exists():
            card.skipped(item, f"no recorded incidents in {INCIDENTS}; HEADROOM_INCIDENTS names their directory")
            only.remove(item)
    items = {
        1: lambda: item_1(card, args.drawn, args.seeds_from),
        2: lambda: item_2(card),
        3: lambda: item_3(card),
        4: lambda: item_4(card, args.systems, args.seeds_from),
        5: lambda: item_5(card, max(1, args.systems // 3), args.seeds_from, args.live),
        6: lambda: item_6(card),
        7: lambda: item_7(card),
    }
    for item in only:
        items[item]()
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
