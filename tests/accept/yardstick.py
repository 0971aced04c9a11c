"""The best that two usual Python libraries make of hourly series: LightGBM's quantiles on lags, and statsforecast's MSTL with its own
intervals. Run by forecasts.py in an environment of its own; prints {series@horizon: mean pinball loss of the better of the two}.

Scored are the same hours: forecasts made from the middle of the series on, models trained anew four times on what was known.
"""

import csv
import gzip
import json
import pathlib
import sys

import lightgbm
import numpy
from statsforecast.models import MSTL, AutoETS

HOUR = 3_600
HORIZONS = (1, 24, 168)
LEVELS = (0.5, 0.9, 0.95)
FITS = 4
# Of the origins, MSTL is asked at every so manieth: it is fitted anew at each.
MSTL_EVERY = 97
MSTL_HOURS = 10 * 168


def series(path):
    """Requests by the hour, NaN where unknown; absent is zero where most are absent."""
    counts = {}
    with gzip.open(path, "rt") as file:
        for row in csv.DictReader(file):
            if row["requests"]:
                counts[int(float(row["time_s"]))] = float(row["requests"])
    seconds = sorted(counts)
    every = min(later - earlier for earlier, later in zip(seconds, seconds[1:]))
    absent = 2 * len(seconds) < (seconds[-1] - seconds[0]) // every + 1
    start = seconds[0] // HOUR * HOUR
    length = (seconds[-1] - start) // HOUR + 1
    sums, parts = numpy.zeros(length), numpy.zeros(length)
    for second, count in counts.items():
        sums[(second - start) // HOUR] += count
        parts[(second - start) // HOUR] += 1
    if not absent:
        whole = max(1, HOUR // every)
        sums[1:-1][parts[1:-1] < whole] = numpy.nan
        sums[parts == 0] = numpy.nan
    return start, sums


def pinball(level, quantile, came):
    missed = came - quantile
    return numpy.maximum(level * missed, (level - 1) * missed)


def rows(values, start, origins, horizon):
    """Lags, means and the hour of the week, all of what was known at the origin; on the logarithm, as counts are."""
    log = numpy.log1p(values)
    targets = origins + horizon - 1
    weeks = (horizon - 1) // 168 + 1
    days = (horizon - 1) // 24 + 1
    def lag(places):
        return numpy.where(places >= 0, log[numpy.clip(places, 0, len(log) - 1)], numpy.nan)
    columns = [lag(origins - back) for back in (1, 2, 3, 24)]
    columns += [lag(targets - 168 * (weeks + back)) for back in range(4)]
    columns += [lag(targets - 24 * days)]
    for length in (3, 24, 168, 672):
        kernel = numpy.nancumsum(numpy.insert(log, 0, 0.0))
        columns.append((kernel[origins] - kernel[numpy.maximum(origins - length, 0)]) / length)
    hours = start // HOUR + targets
    columns += [hours % 24, (hours // 24 + 3) % 7, (hours + 72) % 168]
    return numpy.column_stack(columns)


def with_lightgbm(values, start, horizon):
    """The loss of the forecast from each origin."""
    length, score = len(values), len(values) // 2
    bounds = numpy.linspace(score, length, FITS + 1).astype(int)
    losses = {}
    for begin, end in zip(bounds, bounds[1:]):
        origins = numpy.arange(168, begin - horizon + 1)
        came = values[origins + horizon - 1]
        known = ~numpy.isnan(came)
        train, answers = rows(values, start, origins[known], horizon), numpy.log1p(came[known])
        asked = numpy.arange(begin, end)
        asked = asked[asked + horizon - 1 < length]
        asked = asked[~numpy.isnan(values[asked + horizon - 1])]
        if not len(asked):
            continue
        came = values[asked + horizon - 1]
        features = rows(values, start, asked, horizon)
        loss = 0.0
        for level in LEVELS:
            model = lightgbm.LGBMRegressor(objective="quantile", alpha=level, n_estimators=200, learning_rate=0.05,
                                           num_leaves=31, min_child_samples=40, n_jobs=1, verbose=-1, random_state=1)
            said = numpy.expm1(model.fit(train, answers).predict(features))
            loss = loss + pinball(level, said, came) / len(LEVELS)
        losses.update(zip(asked.tolist(), loss.tolist()))
    return losses


def with_mstl(values, horizon):
    """The loss of the forecast from some origins; None where it cannot be fitted."""
    length, losses = len(values), {}
    for origin in range(length // 2, length - horizon + 1, MSTL_EVERY):
        came = values[origin + horizon - 1]
        past = values[max(0, origin - MSTL_HOURS):origin]
        if numpy.isnan(came) or len(past) < 3 * 168:
            continue
        past = numpy.where(numpy.isnan(past), numpy.nanmedian(past), past)
        try:
            model = MSTL(season_length=[24, 168], trend_forecaster=AutoETS(model="ZZN"))
            told = model.forecast(y=past, h=horizon, level=[80, 90])
        except (ValueError, ZeroDivisionError):
            return None
        said = [told["mean"][-1], told["hi-80"][-1], told["hi-90"][-1]]
        losses[origin] = float(sum(pinball(level, max(0.0, one), came) for level, one in zip(LEVELS, said)) / len(LEVELS))
    return losses


def main():
    found = {}
    for path in map(pathlib.Path, sys.argv[1:]):
        start, values = series(path)
        for horizon in HORIZONS:
            trees, mstl = with_lightgbm(values, start, horizon), with_mstl(values, horizon) or {}
            loss = float(numpy.mean(list(trees.values())))
            # Where both were asked, which is the better, and by how much.
            both = [origin for origin in mstl if origin in trees]
            other = sum(trees[origin] for origin in both)
            if other > 0:
                loss *= min(1.0, sum(mstl[origin] for origin in both) / other)
            found[f"{path.name.removesuffix('.csv.gz')}@{horizon * HOUR}s"] = loss
    print(json.dumps(found))


if __name__ == "__main__":
    main()
