"""What a scrape of many names costs, what comes of more names than may have series of their own, and what a scraper costs the loop."""

import contextlib
import gzip
import os
import re
import statistics
import struct
import threading
import time
import urllib.request

import speed
from otlp import field, request
from siege import Daemon

SERVICES, OPERATIONS = 200, 20
MANY_OPERATIONS = 20_000
SERVER = b"\x30\x02"
OPENMETRICS = "application/openmetrics-text; version=1.0.0"
# Of load, for each cost.
SECONDS = 8


def word(number):
    """Letters alone: numbers in names are taken for identifiers, and grouped."""
    return bytes("".join(chr(97 + number // 26**place % 26) for place in range(3)), "ascii")


def span(name, trace, own, parent, took_ns):
    end = time.time_ns() - 10_000_000
    ids = field(1, trace) + field(2, own) + (field(4, parent) if parent else b"")
    return ids + field(5, name) + SERVER + b"\x39" + struct.pack("<Q", end - took_ns) + b"\x41" + struct.pack("<Q", end)


def send(daemon, service, spans):
    status, answer = daemon.send(request(service, spans))
    if status != 200:
        raise RuntimeError(f"spans were answered {status}: {answer[:200]}")


def requests_to(daemon, service, operations):
    """A request of each operation, each begun at the gateway."""
    roots, children = [], []
    for number, operation in enumerate(operations):
        trace, root = os.urandom(16), os.urandom(8)
        roots.append(span(b"GET /" + word(number % OPERATIONS), trace, root, b"", 30_000_000))
        children.append(span(operation, trace, os.urandom(8), root, 20_000_000))
    send(daemon, service, children)
    send(daemon, b"gateway", roots)


def scrape(daemon):
    """Seconds, bytes as they came, and the text."""
    headers = {"Accept": OPENMETRICS, "Accept-Encoding": "gzip"}
    began = time.perf_counter()
    status, body = daemon.ask(daemon.api, "GET", "/metrics", headers=headers)
    took = time.perf_counter() - began
    if status != 200:
        raise RuntimeError(f"/metrics answered {status}")
    return took, len(body), (gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body).decode()


def value(text, series):
    found = re.search(rf"^{re.escape(series)} (\S+)", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def until(daemon, ready, seconds=60):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        text = scrape(daemon)[2]
        if ready(text):
            return text
        time.sleep(0.5)
    raise RuntimeError(f"not within {seconds} s; names now: {re.findall(r'headroom_metrics_names.*', text)}")


def item_2(card):
    daemon = Daemon()
    try:
        many_services(card, daemon)
        many_operations(card, daemon)
    finally:
        daemon.stop()


def many_services(card, daemon):
    for _ in range(3):
        for number in range(SERVICES):
            requests_to(daemon, b"service-" + word(number), [b"GET /" + word(operation) for operation in range(OPERATIONS)])
    operations = 'headroom_metrics_names{dimension="operations"}'
    until(daemon, lambda text: value(text, operations) >= SERVICES * OPERATIONS)
    scrapes = [scrape(daemon) for _ in range(20)]
    for took, _, _ in scrapes:
        card.sample("scrape_s", took)
    times = sorted(took for took, _, _ in scrapes)
    card.at_most("2.scrape_200x20", times[len(times) // 2] * 1e3, "ms", 100)
    card.at_most("2.scrape_200x20_gzip", scrapes[-1][1] / 2**20, "MiB", 2)
    card.figure("2.scrape_200x20_series", sum(not line.startswith("#") for line in scrapes[-1][2].splitlines()), "series", "reported", True)


def many_operations(card, daemon):
    # Of one service a few hundred are told apart, the rest is grouped: these are of forty.
    before = scrape(daemon)[2]
    for first in range(0, MANY_OPERATIONS, 500):
        requests_to(daemon, b"many-" + word(first), [b"work-" + word(number) for number in range(first, first + 500)])
    rest = 'headroom_metrics_other_rows_total{dimension="operations"}'
    text = until(daemon, lambda text: value(text, rest) > 0)
    skipped = "headroom_engine_ticks_skipped_total"
    names, limit = (value(text, f'headroom_metrics_{what}{{dimension="operations"}}') for what in ("names", "limit"))
    card.at_most("2.names_past_the_bound", names - limit, "names", 0)
    card.at_least("2.counted_in_other", value(text, rest), "rows", 1)
    card.equal("2.ticks_skipped", value(text, skipped) - value(before, skipped), "ticks", 0)
    took = scrape(daemon)[0]
    card.figure("2.scrape_20000", took * 1e3, "ms", "reported", True)


def item_5(card, rounds):
    """What the loop pays for somebody who scrapes it each second, as a share of what a sink of spans costs; in turn, by round."""
    shares = []
    rate = speed.rate_of_this_machine(speed.subjects()[0])
    for _ in range(rounds):
        alone, scraped, sink = (cost(rate, *run) for run in (("whole", False), ("whole", True), ("sink", False)))
        card.sample("5.cpu_s_per_million_spans", {"alone": alone, "scraped": scraped, "sink": sink})
        shares.append((scraped - alone) / sink)
    card.at_most("5.whole_with_a_scraper", statistics.median(shares), "more-of-the-sink", 0.03)


def cost(rate, subject, is_scraped):
    """CPU seconds a million spans of a server that takes them at this rate."""
    ended = threading.Event()

    def scrape_each_second(port):
        while not ended.wait(1.0):
            address = urllib.request.Request(f"http://127.0.0.1:{port}/metrics", headers={"Accept": OPENMETRICS})
            with urllib.request.urlopen(address, timeout=10) as answer:
                answer.read()

    with contextlib.ExitStack() as stack:
        if subject == "sink":
            pid, port, _ = stack.enter_context(speed.subjects()[0]["sink"]())
        else:
            pid, port, api = stack.enter_context(speed.headroom_server(speed.SMALL_WINDOW))
        if is_scraped:
            scraper = threading.Thread(target=scrape_each_second, args=(api,), daemon=True)
            scraper.start()
            stack.callback(scraper.join, 15)
        stack.callback(ended.set)
        return speed.load(pid, port, "narrow", SECONDS, rate=rate)["server"]["cpu_s_per_million_spans"]
