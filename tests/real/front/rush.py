"""An open-loop load of exam submits, pages and video, watched at the client: requests leave on the clock, whether or not
earlier ones came back, and a latency counts from the instant at which its request was due. Standard library only."""

import asyncio
import dataclasses
import random
import time

from http1 import Pool

# Which share of the requests each kind is, how it is asked for, and how important it is (9 goes last).
KINDS = {
    "submit": (0.2, "POST", "/exam/{n}/submit", 9),
    "page": (0.5, "GET", "/course/{n}/page", 5),
    "video": (0.3, "GET", "/video/{n}", 1),
}
OBJECTIVE_S = 0.5
# A request that was not answered for so long is given up.
PATIENCE_S = 10.0


@dataclasses.dataclass
class Sample:
    kind: str
    # On time.monotonic().
    due: float
    latency_s: float
    # 0: no answer.
    status: int
    # What a client that was turned away is told.
    retry_after: str = ""
    policy: str = ""

    @property
    def is_good(self):
        return self.status == 200 and self.latency_s <= OBJECTIVE_S

    @property
    def is_shed(self):
        return self.status == 429

    def row(self, since):
        """For a file: kind, when it was due, how long it took, its status and Retry-After."""
        return f"{self.kind} {self.due - since:.3f} {self.latency_s:.4f} {self.status} {self.retry_after or '-'}"


def arrivals(rate, seconds, seed):
    """Instants and kinds, by chance as the requests of many people come (Poisson); the same for the same seed."""
    chance, at, due = random.Random(seed), 0.0, []
    kinds, shares = list(KINDS), [of[0] for of in KINDS.values()]
    while (at := at + chance.expovariate(rate)) < seconds:
        due.append((at, chance.choices(kinds, shares)[0]))
    return due


class Rush:
    """Requests to one address. Samples are added as answers come."""

    def __init__(self, host, port):
        self.pool, self.samples, self.under_way, self.sent = Pool(host, port), [], set(), {kind: 0 for kind in KINDS}
        # How late a request left, at worst: a machine that is too busy for its load measures itself.
        self.late_s_max = 0.0

    async def run(self, rate, seconds, seed):
        """Sends for so long; returns when it began. Answers to the last ones may still come."""
        began = time.monotonic()
        for number, (at, kind) in enumerate(arrivals(rate, seconds, seed)):
            due = began + at
            if (wait := due - time.monotonic()) > 0:
                await asyncio.sleep(wait)
            self.late_s_max = max(self.late_s_max, time.monotonic() - due)
            self.sent[kind] += 1
            task = asyncio.create_task(self.one(kind, due, number))
            self.under_way.add(task)
            task.add_done_callback(self.under_way.discard)
        await asyncio.sleep(max(0.0, began + seconds - time.monotonic()))
        return began

    async def one(self, kind, due, number):
        _, method, path, _ = KINDS[kind]
        try:
            status, headers = await asyncio.wait_for(self.pool.ask(method, path.format(n=number % 97)), PATIENCE_S)
        except (OSError, asyncio.TimeoutError, asyncio.IncompleteReadError):
            status, headers = 0, {}
        latency = time.monotonic() - due
        told = headers.get("retry-after", ""), headers.get("ratelimit-policy", "")
        self.samples.append(Sample(kind, due, latency, status, *told))

    async def answered(self):
        """Waits for the answers that are still to come."""
        while self.under_way:
            await asyncio.wait(set(self.under_way))

    def between(self, begin, end):
        return [sample for sample in self.samples if begin <= sample.due < end]


def share(samples, is_so):
    """The share of samples of which it is so; None of none."""
    return sum(map(is_so, samples)) / len(samples) if samples else None


def of_kind(samples, kind):
    return [sample for sample in samples if sample.kind == kind]


def quantile_ms(samples, q):
    latencies = sorted(sample.latency_s for sample in samples)
    return latencies[min(len(latencies) - 1, int(q * len(latencies)))] * 1e3 if latencies else None
