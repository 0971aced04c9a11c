#!/usr/bin/env python3
"""What anticipation must show: capacity that is there before the bell, what it costs, and what a lie costs.

    make accept-anticipate
    python3 tests/accept/anticipate.py [ITEM …]

One function an item; each prints figures of its own number.
"""

import concurrent.futures
import json
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scorecard import ROOT, Scorecard, headroom, last_line  # noqa: E402

SEEDS = range(101, 106)
# A day on which the calendar is known and nothing of what it means: what pods carry and how they start is learnt on it.
TRAINING_SEED = 900
SCHOOL_DAY = ROOT / "examples" / "scenarios" / "school-day.yaml"


def played(scenario, seed, learnt=None):
    """One day at full speed; its summary, or None and why."""
    options = ["--learnt", learnt] if learnt else []
    run = headroom("demo", "--scenario", scenario, "--seed", seed, "--speed", "max", "--json", *options, timeout=7200)
    if run.returncode != 0:
        return None, last_line(run.stderr)
    return json.loads(last_line(run.stdout)), None


def days(scenario, seeds, training):
    """The same day under several seeds, each from what the training day taught."""
    def one(seed):
        with tempfile.TemporaryDirectory() as directory:
            learnt = pathlib.Path(directory) / "learnt.json"
            learnt.write_text(training)
            return seed, *played(scenario, seed, learnt)

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return list(pool.map(one, seeds))


def trained(scenario):
    """What a day of reaction alone teaches."""
    with tempfile.TemporaryDirectory() as directory:
        learnt = pathlib.Path(directory) / "learnt.json"
        summary, why = played(scenario, TRAINING_SEED, learnt)
        return (learnt.read_text(), summary) if summary else (None, why)


def outside(summary):
    """Requests and violations of the day without the event that no calendar had."""
    hidden = [event for event in summary["events"] if not event["announced"]]
    requests = summary["requests"] - sum(event["requests"] for event in hidden)
    violations = round(summary["slo_violation_share"] * summary["requests"]) - sum(e["violations"] for e in hidden)
    return requests, max(violations, 0)


def variant(changes):
    """The school day with other words in its file."""
    text = SCHOOL_DAY.read_text()
    for old, new in changes:
        assert old in text, old
        text = text.replace(old, new)
    return text


def item_2(card):
    """school-day: lectures announced, cancelled, moved, hidden, and one to which nobody comes."""
    training, first = trained("school-day")
    if training is None:
        return card.failed("2.training", first)
    card.sample("training", first)
    shares, ratios = [], []
    for seed, summary, why in days("school-day", SEEDS, training):
        if summary is None:
            card.failed(f"2.seed_{seed}", why)
            continue
        card.sample("school_day", summary)
        requests, violations = outside(summary)
        shares.append(violations / requests)
        ratios.append(summary["pod_seconds"] / summary["pod_seconds_oracle"])
    if shares:
        card.at_most("2.violation_share_outside_unannounced", 100 * max(shares), "%", 0.1)
        card.at_most("2.pod_seconds_over_oracle", max(ratios), "x", 1.15)


def item_3(card):
    """A calendar that lies five times either way: never worse than no calendar, and within its cost."""
    calm = variant([("calendar:\n", "calendar:\n  announced_factor: 0\n")])
    lies = {"fivefold": "5", "a_fifth": "0.2"}
    with tempfile.TemporaryDirectory() as directory:
        def scenario(name, text):
            path = pathlib.Path(directory) / f"{name}.yaml"
            path.write_text(text)
            return path

        training, first = trained("school-day")
        if training is None:
            return card.failed("3.training", first)
        without = {seed: summary for seed, summary, _ in days(scenario("without", calm), SEEDS, training) if summary}
        for name, factor in lies.items():
            text = variant([("calendar:\n", f"calendar:\n  announced_factor: {factor}\n")])
            more, hours = [], []
            for seed, summary, why in days(scenario(name, text), SEEDS, training):
                if summary is None or seed not in without:
                    card.failed(f"3.{name}_seed_{seed}", why or "the day without a calendar failed")
                    continue
                card.sample(name, summary)
                other = without[seed]
                more.append(summary["slo_violation_share"] - other["slo_violation_share"])
                hours.append((summary["pod_seconds"] - other["pod_seconds"]) / 3600)
            if more:
                card.at_most(f"3.{name}_violation_share_more", 100 * max(more), "%", 0.0)
                # schedule.replica_hours_a_day of the demo's planner, and what giving back takes.
                card.at_most(f"3.{name}_replica_hours_more", max(hours), "h", 200.0)


ITEMS = {"2": item_2, "3": item_3}


def main():
    card = Scorecard("anticipate")
    for item in sys.argv[1:] or ITEMS:
        ITEMS[item](card)
    return card.finish()


if __name__ == "__main__":
    sys.exit(main())
