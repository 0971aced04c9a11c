#!/usr/bin/env python3
"""`make demo-envoy`: a real Envoy asks headroom which requests may come in, while three times as much comes as a service can do.

    demo.py --headroom PROGRAM [--seconds S]

Exam submits, pages and video of an open-loop load go through Envoy (deploy/gateway/envoy.yaml) to four services that trace
themselves; the last of them does 40 requests a second. One line a second says what came and what became of it. Everything runs
on loopback and ends with this script, by itself or by Ctrl-C. It needs what tests/real/setup.sh brings.
"""

import argparse
import asyncio
import collections
import contextlib
import pathlib
import signal
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "real" / "front"))

from door import Door, Failed  # noqa: E402
from rush import KINDS, OBJECTIVE_S, Rush, of_kind, quantile_ms, share  # noqa: E402

CAPACITY_PER_S = 40.0
CALM_PER_S, RUSH_PER_S = 0.5 * CAPACITY_PER_S, 3 * CAPACITY_PER_S
LEARN_S, FIRST_RUSH_S, REST_S = 25, 20, 8
# By then a queue of before the limit is worked off.
SETTLED_S = 3.0
# Limits that last longer than this after a rush are worth a look, not a longer wait.
LIMITS_GONE_WITHIN_S = 60
# So many requests a character of the picture.
REQUESTS_A_CHARACTER = 4
# p99 needs some submits: those of so many seconds.
SUBMITS_OF_S = 5.0

HEAD = (
    "  s  load   came │ submits   pages   video │ turned  p99 of  │ clients are  │ headroom finds\n"
    "                 │  in/came in/came in/came │   away submits  │ told a limit │"
)
LEGEND = (
    f"S, P, V: submits, pages and video served in time;  !: served late or refused by a service;  ·: turned away by Envoy"
    f"  ({REQUESTS_A_CHARACTER} requests each)"
)


class Story:
    """Prints a line a second of what the load saw."""

    def __init__(self, front, rush):
        self.front, self.rush, self.phase = front, rush, "calm"
        self.began, self.told, self.sent = time.monotonic(), 0, dict(rush.sent)
        self.recent = collections.deque()

    async def tell(self):
        for second in range(1, 1 << 31):
            await asyncio.sleep(max(0.0, self.began + second - time.monotonic()))
            try:
                found = await asyncio.to_thread(self.front.verdict)
            except (OSError, ValueError):
                found = "no answer"
            print(self.line(second, found), flush=True)

    def line(self, second, found):
        answered, self.told = self.rush.samples[self.told:], len(self.rush.samples)
        came = {kind: self.rush.sent[kind] - self.sent[kind] for kind in KINDS}
        self.sent = dict(self.rush.sent)
        served = {kind: sum(sample.status == 200 for sample in of_kind(answered, kind)) for kind in KINDS}
        self.recent.extend(of_kind(answered, "submit"))
        while self.recent and self.recent[0].due < time.monotonic() - SUBMITS_OF_S:
            self.recent.popleft()
        p99 = quantile_ms([sample for sample in self.recent if sample.status == 200], 0.99)
        shed = [sample for sample in answered if sample.is_shed]
        told = next((sample.policy.partition("q=")[2].partition(";")[0] for sample in reversed(shed) if sample.policy), "")
        columns = [
            f"{second:3d}  {self.phase:5s} {sum(came.values()):5d} │",
            *(f"{f'{served[kind]}/{came[kind]}':>7s}" for kind in KINDS),
            f"│ {len(shed):6d} {f'{p99:.0f} ms' if p99 else '-':>8s} │ {f'{told}/s' if told else '-':>12s} │ {found}",
        ]
        return " ".join(columns) + "\n      " + picture(answered)


def picture(answered):
    def characters(sign, samples):
        return sign * round(len(samples) / REQUESTS_A_CHARACTER)

    good = [characters(kind[0].upper(), [s for s in of_kind(answered, kind) if s.is_good]) for kind in KINDS]
    shed = [sample for sample in answered if sample.is_shed]
    bad = [sample for sample in answered if not sample.is_good and not sample.is_shed]
    return "".join(good) + characters("!", bad) + characters("·", shed)


async def calm_until(rush, seed, is_over, at_least_s, within_s):
    """A calm load until it is over; returns after how long it was, None where it was not."""
    began, over_after = time.monotonic(), None
    for number in range(10_000):
        await rush.run(CALM_PER_S, 1, seed * 10_000 + number)
        after = time.monotonic() - began
        if over_after is None and await asyncio.to_thread(is_over):
            over_after = after
        if after >= within_s or (over_after is not None and after >= at_least_s):
            return over_after


async def play(front, seconds):
    # Unoptimised, and with all of this on one machine, headroom may stall for longer than the shipped 50 ms.
    front.open(patience="0.5s")
    print(f"Envoy listens on 127.0.0.1:{front.port}, headroom's API on http://127.0.0.1:{front.api_port}\n")
    print(f"{LEGEND}\n\n{HEAD}", flush=True)
    rush = Rush("127.0.0.1", front.port)
    story = Story(front, rush)
    telling = asyncio.create_task(story.tell())
    try:
        say("calm: half of what it can do. What is healthy is learnt.")
        await calm_until(rush, 1, front.has_baseline, LEARN_S, 3 * LEARN_S)
        say("a first rush, three times what it can do: a queue shows what that is.")
        story.phase = "rush"
        await rush.run(RUSH_PER_S, FIRST_RUSH_S, 2)
        say("calm again.")
        story.phase = "calm"
        await calm_until(rush, 3, lambda: not front.is_limited(), REST_S, LIMITS_GONE_WITHIN_S)
        say(f"the same rush for {seconds:g} s. What fits is known now.")
        story.phase = "rush"
        began = await rush.run(RUSH_PER_S, seconds, 4)
        ended = began + seconds
        say("calm: whoever was turned away may come again.")
        story.phase = "calm"
        gone_s = await calm_until(rush, 5, lambda: not front.is_limited(), REST_S, LIMITS_GONE_WITHIN_S)
    finally:
        telling.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await telling
    await rush.answered()
    summary(began, rush.between(began, ended), gone_s, front.let_in_unasked())


def say(text):
    print(f"\n{text}\n", flush=True)


def summary(began, samples, gone_s, unasked):
    print(f"\nThe second rush: {len(samples)} requests, three times what {CAPACITY_PER_S:g} a second allow.\n")
    print(f"{'':8s} priority   came  served within {OBJECTIVE_S * 1e3:.0f} ms  late or refused  turned away (429)   p50      p99")
    for kind, (*_, priority) in KINDS.items():
        of = of_kind(samples, kind)
        good, shed = share(of, lambda sample: sample.is_good), share(of, lambda sample: sample.is_shed)
        served = [sample for sample in of if sample.status == 200]
        p50, p99 = (f"{quantile_ms(served, q):.0f} ms" if served else "-" for q in (0.5, 0.99))
        print(f"{kind:8s} {priority:8d} {len(of):6d} {good:21.1%} {1 - good - shed:16.1%} {shed:18.1%} {p50:>6s} {p99:>8s}")
    settled = of_kind([sample for sample in samples if sample.due >= began + SETTLED_S], "submit")
    in_time = share(settled, lambda sample: sample.is_good)
    if in_time is not None:
        print(f"\nFrom {SETTLED_S:g} s after its beginning on, {in_time:.1%} of the submits were served in time.")
    gone = "were not gone by the end" if gone_s is None else f"were gone {gone_s:.0f} s after it"
    print(f"All limits {gone}. Envoy let in {unasked} without headroom's answer.")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--headroom", required=True, help="the program, built with the feature `gateway`")
    parser.add_argument("--seconds", type=float, default=40, help="of the second rush (default 40)")
    args = parser.parse_args()

    def end(*_):
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, end)
    try:
        with Door(args.headroom) as front:
            asyncio.run(play(front, args.seconds))
    except KeyboardInterrupt:
        print("\nstopped", flush=True)
    except (Failed, OSError) as error:
        sys.exit(f"demo.py: {error}")


if __name__ == "__main__":
    main()
