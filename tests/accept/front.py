"""Item 1 of `make accept-shaping`: a real Envoy in front of four services, offered three times what the last of them can do, with
headroom and with what Envoy has of its own."""

import asyncio
import contextlib
import pathlib
import sys

from scorecard import ROOT, binary

sys.path.insert(0, str(ROOT / "tests" / "real" / "front"))

import door  # noqa: E402
from rush import Rush, of_kind, quantile_ms, share  # noqa: E402

# Of `store`: four workers of 100 ms each.
CAPACITY_PER_S = 40.0
RUSH_PER_S = 3 * CAPACITY_PER_S
CALM_PER_S = 0.5 * CAPACITY_PER_S
# The same requests at the same instants for all that are compared; those before are others.
SEED, SEED_BEFORE = 18, 81
# From then on what was begun at the step must hold.
SETTLED_S = 3.0
# Envoy's filters learn what is normal before the step: adaptive concurrency measures its shortest round trip.
FILTER_CALM_S = 20.0
# Fewer violations than this are chance: seven submits.
NOISE_SHARE = 0.005
# A shorter step suffices to choose a setting.
SEARCH_S = 20.0


async def until(what, within_s, is_so):
    """Polls off the loop that sends; raises when it does not come true. Returns after how long it was."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await asyncio.to_thread(is_so):
        if loop.time() - began > within_s:
            raise RuntimeError(f"not within {within_s:g} s: {what}")
        await asyncio.sleep(0.5)
    return loop.time() - began


@contextlib.asynccontextmanager
async def while_calm(rush, seed):
    """A calm load meanwhile."""

    async def calm():
        for number in range(10_000):
            await rush.run(CALM_PER_S, 5, seed * 1_000 + number)

    task = asyncio.create_task(calm())
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def watch(front, seen):
    """What headroom believes, once a second."""
    loop = asyncio.get_running_loop()
    while True:
        with contextlib.suppress(OSError, ValueError):
            believed, verdict, limited = await asyncio.to_thread(lambda: (front.load(), front.verdict(), front.is_limited()))
            seen.append({"at": loop.time(), "verdict": verdict, "is_limited": limited, "load": believed})
        await asyncio.sleep(1)


async def with_headroom(front, seconds):
    """Calm, a saturation that shows what `store` can do, calm, and the step: its samples, what was seen, and when all limits
    were gone after its end."""
    front.open()
    rush, loop, seen = Rush("127.0.0.1", front.port), asyncio.get_running_loop(), []
    async with while_calm(rush, SEED_BEFORE):
        await asyncio.sleep(20)
        await until("a baseline is learnt", 60, front.has_baseline)
    await rush.run(RUSH_PER_S, 20, SEED_BEFORE)
    async with while_calm(rush, SEED_BEFORE + 1):
        await until("the limits of the first saturation are gone", 60, lambda: not front.is_limited())
        await asyncio.sleep(10)
    watching = asyncio.create_task(watch(front, seen))
    cpu = front.headroom.cpu_s(), front.envoy.cpu_s()
    rush.late_s_max = 0.0
    began = await rush.run(RUSH_PER_S, seconds, SEED)
    ended, late_s = loop.time(), rush.late_s_max
    cpu = front.headroom.cpu_s() - cpu[0], front.envoy.cpu_s() - cpu[1]
    async with while_calm(rush, SEED_BEFORE + 2):
        with contextlib.suppress(RuntimeError):
            await until("the limits are gone", 40, lambda: not front.is_limited())
        gone_s = None if front.is_limited() else loop.time() - ended
    watching.cancel()
    unasked = front.let_in_unasked()
    await rush.answered()
    samples = rush.between(began, began + seconds)
    seen = [{**one, "at": round(one["at"] - began, 2)} for one in seen]
    return samples, {"seen": seen, "gone_s": gone_s, "late_s": late_s, "cpu_s": cpu, "unasked": unasked, "began": began}


async def beside(front, in_place, by_kind, seconds, calm_s=FILTER_CALM_S):
    """The same step with a filter of Envoy's own in headroom's place."""
    front.open(in_place, by_kind)
    rush = Rush("127.0.0.1", front.port)
    await rush.run(CALM_PER_S, calm_s, SEED_BEFORE)
    began = await rush.run(RUSH_PER_S, seconds, SEED)
    await rush.answered()
    return rush.between(began, began + seconds), began


def violations(samples):
    return share(of_kind(samples, "submit"), lambda sample: not sample.is_good)


def goodput(samples, seconds):
    return sum(sample.is_good for sample in samples) / seconds


async def best_local(front, settings):
    """Tries each setting in a short step: the one that violates least, and of equals serves most."""
    tried = []
    for in_place, by_kind, told in settings:
        samples, _ = await beside(front, in_place, by_kind, SEARCH_S, calm_s=3.0)
        tried.append((violations(samples), -goodput(samples, SEARCH_S), told, in_place, by_kind))
        print(f"#   {told}: submit violations {tried[-1][0]:.3f}, goodput {-tried[-1][1]:.1f}/s", flush=True)
        # What has queued is worked off.
        await asyncio.sleep(3)
    _, _, told, in_place, by_kind = min(tried, key=lambda one: one[:2])
    return in_place, by_kind, told


async def filters(card, front, seconds):
    """Submit violations under each of Envoy's own filters, by name."""
    one_bucket = [
        (door.local_rate_limit(part * CAPACITY_PER_S), None, f"one bucket of {part:g} of what it can do")
        for part in (0.8, 0.95, 1.1)
    ]
    by_route = [
        (
            door.local_rate_limit_by_route(),
            {"page": page * CAPACITY_PER_S, "video": video * CAPACITY_PER_S},
            f"pages at {page:g} and video at {video:g} of what it can do, submits free",
        )
        for page, video in ((0.35, 0.05), (0.3, 0.03), (0.2, 0.03))
    ]
    found = {}
    for name, settings in {
        "nothing": [(door.nothing(), None, "no filter")],
        "admission_control": [(door.admission_control(), None, "as documented, a window of 5 s")],
        "adaptive_concurrency": [(door.adaptive_concurrency(), None, "as documented")],
        "local_rate_limit": one_bucket,
        "local_rate_limits_tuned_by_hand": by_route,
    }.items():
        in_place, by_kind, told = settings[0] if len(settings) == 1 else await best_local(front, settings)
        samples, began = await beside(front, in_place, by_kind, seconds)
        found[name] = violations(samples)
        served = goodput(samples, seconds)
        print(f"# {name} ({told}): submit violations {found[name]:.4f}, goodput {served:.1f}/s", flush=True)
        raw = {"setting": told, "requests": [sample.row(began) for sample in samples]}
        card.sample(f"1.{name}", raw)
        await asyncio.sleep(3)
    return found


def shed_first(card, settled):
    """Who was turned away, and what they were told."""
    kinds = {kind: of_kind(settled, kind) for kind in ("submit", "page", "video")}
    shed = {kind: share(of, lambda sample: sample.is_shed) for kind, of in kinds.items()}
    print("# of requests from 3 s on, turned away:", *(f"{kind} {part:.3f}" for kind, part in shed.items()), flush=True)
    card.at_least("1.videos_turned_away", shed["video"], "share", 0.95)
    card.at_most("1.submits_turned_away", shed["submit"], "share", 0.01)
    untold = [sample for sample in settled if sample.is_shed and not sample.retry_after.isdigit()]
    card.equal("1.turned_away_without_retry_after", len(untold), "answers", 0)


async def measure(card, front, seconds, only_headroom):
    samples, told = await with_headroom(front, seconds)
    began = told.pop("began")
    rows = [sample.row(began) for sample in samples]
    card.sample("1.headroom", {**told, "requests": rows})
    settled = [sample for sample in samples if sample.due >= began + SETTLED_S]
    submits = of_kind(settled, "submit")
    print(
        f"# headroom: submits from {SETTLED_S:g} s on: p50 {quantile_ms(submits, 0.5):.0f} ms, p99 {quantile_ms(submits, 0.99):.0f} ms;"
        f" CPU of headroom {told['cpu_s'][0]:.1f} s, of Envoy {told['cpu_s'][1]:.1f} s; a request left late by"
        f" {told['late_s'] * 1e3:.0f} ms at most; let in without an answer {told['unasked']}",
        flush=True,
    )
    card.at_least("1.submits_in_time_from_3s", share(submits, lambda sample: sample.is_good), "share", 0.99)
    card.at_least("1.goodput_from_3s", goodput(settled, seconds - SETTLED_S) / CAPACITY_PER_S, "of-capacity", 0.9)
    ours = violations(samples)
    card.at_least("1.submits_in_time", 1 - ours, "share", 0.95)
    shed_first(card, settled)
    card.at_most("1.limits_gone_after", told["gone_s"], "s", 15)
    if only_headroom:
        return
    found = await filters(card, front, seconds)
    # Set by somebody who knows what `store` can do and how much of each kind comes: right until either changes.
    by_hand = found.pop("local_rate_limits_tuned_by_hand")
    name, best = min(found.items(), key=lambda one: one[1])
    print(f"# submit violations over the whole step: headroom {ours:.4f}, {name} {best:.4f}, limits tuned by hand {by_hand:.4f}")
    card.at_most("1.violations_of_best_filter", ours / max(best, 1e-9), "x", 0.5)
    if by_hand < NOISE_SHARE:
        why = f"they violate {by_hand:.4f} and headroom {ours:.4f}: of next to nothing nothing is at most half"
        return card.skipped("1.violations_of_limits_tuned_by_hand", why)
    card.at_most("1.violations_of_limits_tuned_by_hand", ours / by_hand, "x", 0.5)


def item_1(card, seconds, only_headroom=False):
    try:
        with door.Door(binary()) as front:
            try:
                asyncio.run(measure(card, front, seconds, only_headroom))
            finally:
                journal = pathlib.Path(front.room.name) / "journal.jsonl"
                kept = ROOT / "target" / "accept" / "shaping.journal.jsonl"
                kept.parent.mkdir(parents=True, exist_ok=True)
                if journal.exists():
                    kept.write_bytes(journal.read_bytes())
    except (door.Failed, RuntimeError, OSError) as error:
        card.failed("1.front", error)
