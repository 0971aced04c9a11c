#!/usr/bin/env python3
"""`make accept-speed`: what a span costs, and what a flood does.

    speed.py [--only ITEM…] [--rounds N] [--seconds S] [--fuzz-seconds S]

Speeds are ratios to a sink in tonic and prost that throws spans away, measured in turn: machines differ, and one machine
differs from hour to hour. The server has one core, the load another. HEADROOM_BIN names another program than the release
build; HEADROOM_LOAD a directory with another generator (run_load.py), in place of examples/load.
"""

import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

import peers
from scorecard import ROOT, Scorecard, binary, free_port, last_line

# The first that the sink keeps up with on this machine: what stands still at one core cannot be compared.
RATES = (300_000, 200_000, 150_000, 100_000, 50_000)
PAYLOADS = ("narrow", "wide")
# A load that falls short of its rate measures something else.
RATE_SHARE_MIN = 0.95
# A daemon runs for days: what counts is its cost once the window is full, not that of touching memory for the first time
# (a third of a microsecond a span on a virtual machine). A window this small is full before counting begins.
SMALL_WINDOW = "window: {memory: 64MiB}\n"
WARM_UP_S = 4
SERVER_CPU, LOAD_CPU = "0", "1"


def example(name):
    return str(pathlib.Path(binary()).parent / "examples" / name)


def accepts(port, process, seconds=20):
    until = time.monotonic() + seconds
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.2):
            return
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


@contextlib.contextmanager
def server(command, port, env=None):
    """A server on its core, stopped at the end."""
    pinned = ["taskset", "-c", SERVER_CPU, *map(str, command)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(pinned, stdout=log, stderr=log, env={**os.environ, **(env or {})})
        try:
            accepts(port, process)
            yield process.pid
        finally:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


@contextlib.contextmanager
def headroom_server(extra=""):
    """`headroom serve` with `extra` lines of configuration: its pid, its gRPC port and its API's port."""
    ports = [free_port() for _ in range(3)]
    grpc, http, api = ports
    with tempfile.TemporaryDirectory() as directory:
        config = pathlib.Path(directory) / "headroom.yaml"
        listen = f'receive: {{grpc: "127.0.0.1:{grpc}", http: "127.0.0.1:{http}"}}\napi: {{listen: "127.0.0.1:{api}"}}\n'
        config.write_text(listen + extra)
        with server([binary(), "serve", "--config", config, "--log", "warn"], grpc) as pid:
            yield pid, grpc, api


def load(pid, port, payload, seconds, mode="grpc", rate=RATES[0], gzip=False):
    """One run of the generator; its report, with the cost of the server."""
    pinned = ["taskset", "-c", LOAD_CPU]
    if other := os.environ.get("HEADROOM_LOAD"):
        command = [sys.executable, f"{other}/run_load.py", "--pid", pid, "--mode", mode, "--addr", f"127.0.0.1:{port}"]
        command += ["--fresh", "--rate", rate / 1000, "--secs", seconds, "--warm", WARM_UP_S, "--dir", other]
        command += ["--wide"] * (payload == "wide")
    else:
        command = [example("load"), f"--{mode}", f"127.0.0.1:{port}", "--pid", pid, "--payload", payload]
        command += ["--spans-per-second", rate, "--seconds", seconds, "--warm-up", WARM_UP_S] + ["--gzip"] * gzip
    done = subprocess.run([*pinned, *map(str, command)], capture_output=True, text=True, timeout=seconds + WARM_UP_S + 60)
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr))
    report = json.loads(last_line(done.stdout))
    if "server" not in report:
        report["server"] = {"cpu_s_per_million_spans": report["cpu_s_per_Mspans"]}
    return report


# 1: from the socket to the window, and to the end of the loop.


def subjects():
    """What is measured in each round: a name, and a context that gives (pid, port, mode) of a running server."""

    @contextlib.contextmanager
    def sink(*flags):
        port = free_port()
        with server([example("sink"), "--listen", f"127.0.0.1:{port}", *flags], port) as pid:
            yield pid, port, "grpc"

    @contextlib.contextmanager
    def ours(extra=""):
        with headroom_server(extra) as (pid, port, _):
            yield pid, port, "grpc"

    @contextlib.contextmanager
    def rotel(program, allocator):
        grpc, http = free_port(), free_port()
        listen = ["--otlp-grpc-endpoint", f"127.0.0.1:{grpc}", "--otlp-http-endpoint", f"127.0.0.1:{http}"]
        command = [program, "start", *listen, "--exporter", "blackhole"]
        with server(command, http, env={"LD_PRELOAD": str(allocator)}) as pid:
            yield pid, http, "http"

    known = {
        "sink": lambda: sink(),
        "transport": lambda: sink("--raw"),
        "kept": lambda: ours("analysis: off\n" + SMALL_WINDOW),
        "whole": lambda: ours(SMALL_WINDOW),
    }
    why = None
    try:
        program, allocator = peers.rotel(), peers.jemalloc()
        known["rotel"] = lambda: rotel(program, allocator)
    except (peers.Unavailable, OSError, subprocess.TimeoutExpired) as error:
        why = str(error)
    return known, why


def rate_of_this_machine(known):
    """The highest rate of which the sink, the dearest of all, keeps a tenth of its core free."""
    for rate in RATES:
        with known["sink"]() as (pid, port, mode):
            report = load(pid, port, "wide", 3, mode, rate)
        if report["spans_per_s"] >= RATE_SHARE_MIN * rate and report["server"].get("cores", 0) <= 0.9:
            return rate
    raise RuntimeError(f"the sink does not keep up with {RATES[-1]} spans a second")


def item1(card, rounds, seconds):
    known, no_rotel = subjects()
    try:
        rate = rate_of_this_machine(known)
    except RuntimeError as error:
        return card.failed("1.rate", error)
    card.figure("1.rate", rate, "spans_a_second", "reported", True)
    costs = {(payload, name): [] for payload in PAYLOADS for name in known}
    for _ in range(rounds):
        for payload in PAYLOADS:
            for name, start in known.items():
                try:
                    with start() as (pid, port, mode):
                        report = load(pid, port, payload, seconds, mode, rate)
                except RuntimeError as error:
                    card.sample(f"1.{payload}.{name}", {"error": str(error)})
                    costs[payload, name].append(None)
                    continue
                card.sample(f"1.{payload}.{name}", report)
                reached = report["spans_per_s"] >= RATE_SHARE_MIN * rate
                costs[payload, name].append(report["server"]["cpu_s_per_million_spans"] if reached else None)
    for payload in PAYLOADS:
        told = {name: median(costs[payload, name]) for name in known}
        print(f"# {payload}: CPU s a million spans:", *(f"{name} {shown(cost)}" for name, cost in told.items()), flush=True)
        for name, bound in (("kept", 0.45), ("whole", 0.70)):
            ratio(card, f"1.{payload}.{name}", costs[payload, name], costs[payload, "sink"], "of-the-sink", bound)
        if no_rotel:
            card.skipped(f"1.{payload}.below-rotel", no_rotel)
        else:
            ratio(card, f"1.{payload}.below-rotel", costs[payload, "whole"], costs[payload, "rotel"], "of-rotel", 1.0)


def median(values):
    measured = [value for value in values if value is not None]
    return statistics.median(measured) if measured else None


def shown(value):
    return "unmeasured" if value is None else f"{value:.2f}"


def ratio(card, name, ours, theirs, unit, bound):
    """The median of the rounds' ratios; a round in which either fell short of the rate says nothing."""
    ratios = [a / b for a, b in zip(ours, theirs) if a is not None and b is not None]
    if 2 * len(ratios) <= len(ours):
        return card.failed(name, f"the rate was reached in {len(ratios)} of {len(ours)} rounds")
    card.at_most(name, statistics.median(ratios), unit, bound)


# 2: decoding alone.


def item2(card, rounds):
    ratios = {payload: [] for payload in PAYLOADS}
    for _ in range(rounds):
        command = [os.environ.get("CARGO", "cargo"), "bench", "--locked", "--bench", "decode", "--", "--figures"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if done.returncode != 0:
            return card.failed("2.decode", last_line(done.stderr))
        figures = dict(re.findall(r"^figure (\S+) ([\d.]+)", done.stdout, re.MULTILINE))
        card.sample("2", figures)
        for payload in PAYLOADS:
            ratios[payload].append(float(figures[f"decode.{payload}.ratio"]))
    for payload in PAYLOADS:
        card.at_most(f"2.{payload}.decode", statistics.median(ratios[payload]), "of-prost", 0.30)


# 6: input that nobody would send.


def item6(card, seconds):
    if not shutil.which("cargo-fuzz"):
        return card.skipped("6.fuzz", "cargo-fuzz is not installed: cargo install cargo-fuzz, with a nightly toolchain")
    done = subprocess.run(["make", "fuzz", f"SECONDS={seconds}"], cwd=ROOT, capture_output=True, text=True)
    runs = sum(map(int, re.findall(r"Done (\d+) runs", done.stdout + done.stderr)))
    card.sample("6", {"runs": runs, "end": (done.stdout + done.stderr)[-2000:]})
    card.figure("6.fuzz", runs, "inputs", "no finding", done.returncode == 0 and runs > 0)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--fuzz-seconds", type=int, default=600)
    args = parser.parse_args()
    card = Scorecard("speed")
    items = {
        1: lambda: item1(card, args.rounds, args.seconds),
        2: lambda: item2(card, args.rounds),
        6: lambda: item6(card, args.fuzz_seconds),
    }
    try:
        import flood
        items |= {3: lambda: flood.item3(card), 4: lambda: flood.item4(card), 5: lambda: flood.item5(card)}
    except ModuleNotFoundError as error:
        if error.name != "flood":
            raise
        items |= {n: lambda n=n: card.skipped(f"{n}.all", "tests/accept/flood.py is not there") for n in (3, 4, 5)}
    if (os.cpu_count() or 1) < 2:
        raise SystemExit("needs two cores: one for the server, one for the load")
    for item in sorted(items):
        if not args.only or item in args.only:
            items[item]()
    return card.finish()


if __name__ == "__main__":
    sys.exit(main())
