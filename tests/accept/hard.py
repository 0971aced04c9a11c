#!/usr/bin/env python3
"""`make accept-hard`: nobody brings it down. Hostile inputs of every kind against a daemon with `limits.memory: 256MiB`,
while honest senders send over HTTP and gRPC and somebody asks `select 1`; fuzzing; a real browser; a soak.

    hard.py [--only ITEM…] [--attack NAME…] [--seconds S] [--fuzz S] [--soak MINUTES]

HEADROOM_BIN names another program than the release build, HEADROOM_FUZZ another build of the example `fuzz`.
HEADROOM_HARD_PART shortens floods, fuzzing and soak to this part of their length, for who works on them: `0.1`.
"""

import argparse
import hashlib
import json
import os
import pathlib
import resource
import signal
import subprocess
import sys
import tempfile
import threading
import time

import attacks
import browser
from otlp import request, span
from scorecard import Scorecard, binary
from siege import CONFIG, MEMORY_MIB, Daemon, Honest, attacked


def item_1(card, seconds, wanted):
    """Attacks, each beside honest users."""
    kinds = {
        "statements": (attacks.statements(seconds), {}),
        "mutated_statements": (attacks.mutated_statements, {}),
        "bombs": (attacks.bombs(seconds), {}),
        "long_texts": (attacks.long_texts(seconds), {}),
        "new_names": (attacks.new_names(seconds), {}),
        "traces": (attacks.traces(seconds), {}),
        "mutated_requests": (attacks.mutated_requests, {}),
        "api_calls": (attacks.api_calls(seconds), {}),
        "floods": (attacks.floods_alone(seconds), {}),
    }
    with tempfile.TemporaryDirectory() as directory:
        attacks.write_rules(directory)
        kinds["rules"] = (lambda _: time.sleep(seconds), {"rules": {"directory": directory}})
        for name, (attack, more) in kinds.items():
            if not wanted or name in wanted:
                attacked(card, f"1.{name}", attack, more)
    if not wanted or "stopped" in wanted:
        stopped(card)


STOPPED_S = 20


def stopped(card):
    """SIGSTOP for 20 s: what was sent meanwhile is taken once it goes on."""
    daemon = Daemon()
    try:
        honest = Honest(daemon)
        time.sleep(2)
        daemon.process.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        daemon.process.send_signal(signal.SIGCONT)
        resumed = time.monotonic()
        while daemon.sql("select 'after'", timeout=5)[0] != 200 and time.monotonic() - resumed < 30:
            time.sleep(0.1)
        card.at_most("1.stopped_recovered", time.monotonic() - resumed, "s", 5)
        # What was put off meanwhile is made up for.
        deadline = time.monotonic() + 30
        while honest.share() < 0.95 and time.monotonic() < deadline:
            time.sleep(0.2)
        honest.end()
        card.at_least("1.stopped_honest_share", honest.share(), "share", 0.95)
        ready = daemon.ask(daemon.api, "GET", "/readyz")[0]
        card.equal("1.stopped_ready", ready, "status", 200)
        card.equal("1.stopped_exit", daemon.stop(), "code", 0)
    finally:
        if daemon.lives():
            daemon.stop()


def item_2(card, seconds):
    """Fuzzing: statements to the children that answer them, whole HTTP requests to a receiver and an engine."""
    program = os.environ.get("HEADROOM_FUZZ", pathlib.Path(binary()).parent / "examples" / "fuzz")
    for target, least in (("sql", 10), ("http", 100)):
        seed = str(time.time_ns() % 1_000_000)
        command = [str(program), target, "--seconds", str(int(seconds)), "--seed", seed]
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds * 2 + 120)
        lines = [line for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            card.failed(f"2.{target}", f"exit code {done.returncode}, seed {seed}: {done.stderr[-500:]}")
            continue
        outcome = json.loads(lines[-1])
        card.sample(f"2.{target}", outcome)
        for finding in outcome["findings"]:
            print(f"# 2.{target}, seed {seed}: {finding}", file=sys.stderr)
        report = outcome["report"]
        fed = report.get("statements", report.get("requests"))
        card.at_least(f"2.{target}_fed", fed, "inputs", least * seconds)
        card.equal(f"2.{target}_findings", len(outcome["findings"]), "findings", 0)
        held = report.get("child_resident_max", report.get("brought_bytes_max"))
        card.figure(f"2.{target}_held_at_most", held / 2**20, "MiB", "in-the-budget", not outcome["findings"])


def item_3(card, seconds):
    """2 000 idle, 2 000 slow, 200 flooding connections at once on each port, of a daemon with 1 024 descriptors."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 16_384:
        card.skipped("3.connections", f"this machine allows {hard} descriptors, and 12 600 connections are opened")
        return
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attacked(card, "3.connections", attacks.connections(seconds), descriptors=1024, share=0.95)


def token(name):
    return f"token-of-{name}-0123456789"


def tokens_file(directory):
    path = os.path.join(directory, "tokens")
    digest = lambda name: hashlib.sha256(token(name).encode()).hexdigest()
    with open(path, "w") as file:
        file.write(f"ada: {digest('ada')} operator\nbob: {digest('bob')}\n")
    return path


def item_4(card):
    """Pages, roles, names: by requests such as browsers send, and by a browser."""
    with tempfile.TemporaryDirectory() as directory:
        with_tokens = {"api": {**CONFIG["api"], "tokens_file": tokens_file(directory)}}
        for name, more, headers in [("open", {}, {}), ("token", with_tokens, {"Authorization": f"Bearer {token('ada')}"})]:
            daemon = Daemon(more)
            try:
                requests_of_pages(card, daemon, name, headers)
                (identities if headers else claims)(card, daemon)
            finally:
                daemon.stop()
        if browser.chromium() is None:
            card.skipped("4.browser", "no Chromium: apt-get install chromium, or set HEADROOM_CHROMIUM")
            return
        pages = browser.Pages()
        try:
            for name, more in (("open", {}), ("token", with_tokens)):
                pages_of_others(card, pages, name, more)
        finally:
            pages.close()


def requests_of_pages(card, daemon, name, own):
    foreign = [
        {"Host": "evil.example"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Host": "evil.example", "Origin": "http://evil.example", "Sec-Fetch-Site": "same-origin"},
    ]
    body = json.dumps({"by": "mallory", "reason": "x"})
    let_in = 0
    for headers in foreign:
        headers = {**headers, **own, "Content-Type": "application/json"}
        for method, path in [("GET", "/api/v1/status"), ("GET", "/metrics"), ("POST", "/api/v1/pause"), ("POST", "/api/v1/sql")]:
            let_in += daemon.ask(daemon.api, method, path, body if method == "POST" else None, headers)[0] in (200, 202)
    card.equal(f"4.{name}_foreign_let_in", let_in, "requests", 0)
    form = daemon.ask(daemon.api, "POST", "/api/v1/pause", body, {**own, "Content-Type": "text/plain"})[0]
    card.equal(f"4.{name}_form", form, "status", 415)


def claims(card, daemon):
    answer = daemon.post("/api/v1/pause", {"by": "mallory", "reason": "x"})[1]
    card.equal("4.forged_by", json.loads(answer).get("by"), "-", "mallory (claimed): x")


def identities(card, daemon):
    order = {"by": "mallory", "reason": "x"}
    of = lambda name: {"Authorization": f"Bearer {token(name)}"}
    card.equal("4.viewer_pauses", daemon.post("/api/v1/pause", order, of("bob"))[0], "status", 403)
    card.equal("4.paused_by", json.loads(daemon.post("/api/v1/pause", order, of("ada"))[1]).get("by"), "-", "ada: x")
    wrong = daemon.ask(daemon.api, "GET", "/api/v1/status", None, {"Authorization": "Bearer wrong"})
    card.figure("4.wrong_token", wrong[0], "status", "==401,tokenrejected", wrong[0] == 401 and b"token rejected" in wrong[1])


def pages_of_others(card, pages, name, more):
    """A page of another site, one of another port of this machine, and one whose name means this machine."""
    daemon = Daemon(more)
    try:
        for kind, host in (("foreign", browser.FOREIGN), ("other_port", "127.0.0.1")):
            results = pages.visit(daemon, host, token("ada"))
            card.sample(f"4.browser_{name}_{kind}", results)
            if results is None:
                card.failed(f"4.browser_{name}_{kind}", "the page told nothing")
                continue
            read = sorted(attempt for attempt, result in results.items() if browser.has_read(result))
            card.equal(f"4.browser_{name}_{kind}_read", read, "attempts", [])
        own = {"Authorization": f"Bearer {token('ada')}"}
        document = browser.rebound(daemon, "/api/v1/status")
        card.figure(f"4.browser_{name}_rebound_read", browser.has_read(document), "-", "==False", "host" in document and not browser.has_read(document))
        _, metrics = daemon.ask(daemon.api, "GET", "/metrics", None, own)
        changed = [line for line in metrics.decode().splitlines()
                   if line.startswith(("headroom_guard_paused ", "headroom_receive_acknowledged_spans_total ")) and not line.endswith(" 0")]
        card.equal(f"4.browser_{name}_changed", changed, "-", [])
        _, decisions = daemon.ask(daemon.api, "GET", "/api/v1/explain/" + time.strftime("%H:%M", time.gmtime()), None, own)
        card.equal(f"4.browser_{name}_mallory_told", b"mallory" in decisions, "-", False)
    finally:
        daemon.stop()
    # The same page where its origin is listed: else nothing here could fail.
    listed = Daemon({**more, "api": {**CONFIG["api"], **more.get("api", {}), "origins": pages.origin()}})
    try:
        results = pages.visit(listed, browser.FOREIGN, token("ada")) or {}
        card.sample(f"4.browser_{name}_listed", results)
        card.equal(f"4.browser_{name}_listed_reads", browser.has_read(results.get("read_with_token")), "-", True)
    finally:
        listed.stop()


CAPACITY = 5_000


def item_5(card, minutes):
    """New names of everything each second, at three times the capacity."""
    daemon = Daemon({"limits": {**CONFIG["limits"], "spans_per_second": CAPACITY}})
    try:
        samples, stop = [], threading.Event()

        def watch():
            while not stop.wait(1):
                samples.append(daemon.resident_mib())

        threading.Thread(target=watch, daemon=True).start()
        before = daemon.ticks()
        attacks.new_names(minutes * 60, 3 * CAPACITY, per_request=1_000)(daemon)
        stop.set()
        card.sample("5.resident_mib", samples)
        # Flat after five minutes: the most of the five after them beside the most of the last five.
        part = len(samples) // 6
        early, late = max(samples[part : 2 * part], default=0), max(samples[-part:], default=0)
        card.figure("5.lives", str(daemon.lives()), "-", "==True", daemon.lives())
        card.at_most("5.grown_after_5_min", late / early if early else None, "times", 1.1)
        card.at_most("5.resident", max(samples, default=None), "MiB", MEMORY_MIB * 1.1)
        card.at_least("5.offered", (daemon.metric("receive_acknowledged_spans_total") or 0) / (minutes * 60) / CAPACITY, "of-the-capacity", 2)
        after = daemon.ticks()
        made = {bound: after[bound] - before.get(bound, 0) for bound in sorted(after)}
        p99 = next((bound for bound, count in made.items() if count >= 0.99 * max(made.values())), None)
        card.at_most("5.tick_p99", None if p99 is None else p99 * 1e3, "ms", 250)
    finally:
        daemon.stop()


# At most 20 ms more than it took when statements ran in the daemon; what takes less in all has kept to that.
STATEMENT_MAX_MS = 20


def item_6(card):
    """What an ordinary statement takes. What a span costs is item 1 of `make accept-speed`."""
    daemon = Daemon()
    try:
        for _ in range(20):
            daemon.send(request(b"shop", [span() for _ in range(500)]))
        time.sleep(2)
        took = []
        for number in range(40):
            begun = time.monotonic()
            status, _ = daemon.sql(f"select service, count(*) as n, max(duration_ns) from spans group by 1 -- {number}")
            if status == 200:
                took.append((time.monotonic() - begun) * 1e3)
        took.sort()
        card.sample("6", took)
        card.at_most("6.statement_median", took[len(took) // 2] if took else None, "ms", STATEMENT_MAX_MS)
        card.at_most("6.statement_p95", took[len(took) * 95 // 100] if took else None, "ms", STATEMENT_MAX_MS)
    finally:
        daemon.stop()


def main():
    part = float(os.environ.get("HEADROOM_HARD_PART", 1))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="*", type=int)
    parser.add_argument("--attack", nargs="*", help="of item 1")
    parser.add_argument("--seconds", type=float, default=60 * part, help="of each flood")
    parser.add_argument("--fuzz", type=float, default=600 * part, help="seconds of each fuzz target")
    parser.add_argument("--soak", type=float, default=30 * part, help="minutes")
    args = parser.parse_args()
    card = Scorecard("hard")
    items = {
        1: lambda: item_1(card, args.seconds, args.attack),
        2: lambda: item_2(card, args.fuzz),
        3: lambda: item_3(card, args.seconds),
        4: lambda: item_4(card),
        5: lambda: item_5(card, args.soak),
        6: lambda: item_6(card),
    }
    for number, item in items.items():
        if args.only and number not in args.only:
            continue
        try:
            item()
        except Exception as error:  # a figure that could not be measured is short, and the others are measured
            card.failed(f"{number}.measured", repr(error))
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
