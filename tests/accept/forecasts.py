"""What forecasts must show, on series of real requests that are found beside the project or by HEADROOM_TRAFFIC.

1. Pinball loss at 0.5, 0.9 and 0.95 over a rolling origin, against the empirical quantiles of the last four same hours of the
   week, and against what people do in Python (statsforecast's MSTL, LightGBM's quantiles); how often 0.95 covers.

HEADROOM_YARDSTICK=0 leaves Python's out: it takes most of the time.
"""

import csv
import gzip
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

from scorecard import ROOT, Scorecard, headroom, last_line

TRAFFIC = pathlib.Path(os.environ.get("HEADROOM_TRAFFIC", ROOT.parent / "shared" / "traffic"))
CACHE = pathlib.Path(os.environ.get("HEADROOM_CACHE", pathlib.Path.home() / ".cache" / "headroom"))
# Seconds since a common start or within one hour: they have no week, and show bursts alone.
BURSTS_ONLY = 2 * 86_400
HOUR, DAY, WEEK = 3_600, 86_400, 604_800
LEVELS = (0.5, 0.9, 0.95)


def rows(path):
    opened = gzip.open(path, "rt") if path.suffix == ".gz" else open(path)
    with opened as file:
        return [(int(float(row["time_s"])), float(row["requests"])) for row in csv.DictReader(file) if row["requests"]]


def place_of(window, parents):
    """Where a window that counts from 0 was cut out: the parent and second at which the same counts follow each other."""
    counts = [count for _, count in window]
    for name, known in parents.items():
        # An absent bucket of these is a zero.
        busiest = max(range(len(counts)), key=counts.__getitem__)
        for at, count in known.items():
            if count != counts[busiest]:
                continue
            start = at - 60 * busiest
            if all(known.get(start + 60 * minute, 0) == count for minute, count in enumerate(counts)):
                return name, start
    return None


def stamp(second):
    return time.strftime("%Y-%m-%dT%H:%M", time.gmtime(second))


def backtest(card, name, path, *options):
    done = headroom("backtest", path, "--column", "requests", "--json", *options)
    if done.returncode == 2:
        card.failed(f"1.{name}", last_line(done.stderr))
        return []
    document = json.loads(done.stdout)
    for judged in document["series"]:
        judged["name"] = f"{name}@{judged['horizon_s']}s"
        card.sample("backtest", judged)
    return [judged for judged in document["series"] if judged["ratio"] is not None]


def python_yardstick(names):
    """A virtual environment with the libraries; None where they cannot be had."""
    home = CACHE / "yardstick"
    python = home / "bin" / "python"
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", home], check=True)
        wanted = ["statsforecast", "lightgbm"]
        installed = subprocess.run([home / "bin" / "pip", "install", "-q", *wanted], capture_output=True, text=True)
        if installed.returncode != 0:
            return None
    here = pathlib.Path(__file__).parent / "yardstick.py"
    done = subprocess.run([python, here, *map(str, names)], capture_output=True, text=True, timeout=3600)
    if done.returncode != 0:
        print(last_line(done.stderr), file=sys.stderr)
        return None
    return json.loads(done.stdout)


def main():
    card = Scorecard("forecasts")
    if not TRAFFIC.is_dir():
        card.skipped("1.forecasts", f"no series in {TRAFFIC}; name a folder by HEADROOM_TRAFFIC")
        return card.finish()
    judged, hourly, parents = [], [], {}
    for path in sorted(TRAFFIC.glob("*.csv.gz")):
        name = path.name.removesuffix(".csv.gz")
        counts = rows(path)
        if counts[-1][0] - counts[0][0] < BURSTS_ONLY:
            continue
        parents[name] = dict(counts)
        hourly.append(path)
        judged += backtest(card, name, path, "--step", "1h", "--horizon", "1h", "--horizon", "1d", "--horizon", "7d")
    for path in sorted((TRAFFIC / "windows").glob("*.csv")):
        window = rows(path)
        place = place_of(window, parents)
        if place is None:
            card.skipped(f"1.{path.stem}", "not a part of a series that is there, so without a history")
            continue
        parent, start = place
        until = start + 60 * len(window)
        judged += backtest(card, path.stem, TRAFFIC / f"{parent}.csv.gz", "--step", "1m", "--horizon", "5m",
                           "--horizon", "1h", "--from", stamp(start), "--until", stamp(until))
    if not judged:
        card.failed("1.forecasts", "nothing was judged")
        return card.finish()
    ratios = [one["ratio"] for one in judged]
    card.at_most("1.ratio_to_naive_median", statistics.median(ratios), "ratio", 0.8)
    worst = max(judged, key=lambda one: one["ratio"])
    card.at_most(f"1.ratio_to_naive_worst({worst['name']})", worst["ratio"], "ratio", 1.03)
    card.at_most("1.series_past_1.03", sum(ratio > 1.03 for ratio in ratios), "series", 0)
    for one in judged:
        # Of sixty forecasts within one burst a share says nothing; nor where nearly all buckets are empty.
        if one["empty_share"] <= 0.9 and one["chosen"]["forecasts"] >= 400:
            covered = one["chosen"]["coverage"][2]
            card.figure(f"1.covered.{one['name']}", covered, "share", "0.92..0.98", 0.92 <= covered <= 0.98)
    if os.environ.get("HEADROOM_YARDSTICK") == "0":
        card.skipped("1.yardstick", "HEADROOM_YARDSTICK=0")
        return card.finish()
    yardstick = python_yardstick(hourly)
    if yardstick is None:
        card.skipped("1.yardstick", "statsforecast and lightgbm cannot be installed here")
        return card.finish()
    for name, loss in yardstick.items():
        own = next((one for one in judged if one["name"] == name), None)
        if own and loss > 0:
            mean = sum(own["chosen"]["pinball"]) / len(LEVELS)
            card.at_most(f"1.ratio_to_yardstick.{name}", mean / loss, "ratio", 1.05)
    return card.finish()


if __name__ == "__main__":
    sys.exit(main())
