"""Item 2 of `make accept-shaping`: what an answer to a gateway costs, beside a tonic service that says OK without reading. For
costs the server has one core, the load another; for latencies both have both, as on one core a tick would hold up answers by a slice
of the scheduler's (examples/gateway)."""

import contextlib
import json
import os
import pathlib
import statistics
import subprocess
import tempfile

import speed
from scorecard import binary, free_port, last_line

ROUTES, CLASSES = 1_000, 100
QUESTIONS_PER_S = 10_000
# A load that falls short of its rate measures something else.
RATE_SHARE_MIN = 0.95
# Keys of clients that are never seen again, a second, and for how long: at a hundred bytes each they would come to 40 MB.
STRANGERS_PER_S, STRANGERS_S = 10_000, 40
GROWTH_MAX_BYTES = 16 << 20

# Always, so that what is measured is a limit that holds.
SHED = """fn evaluate(now) {
    [shed("store").because("its cost is measured")]
}
"""


@contextlib.contextmanager
def ours(sheds):
    """`headroom serve`, with a limit on `store` in force or without: its pid, where gateways ask, and where it is taught."""
    grpc, http, api, gateway = (free_port() for _ in range(4))
    with tempfile.TemporaryDirectory() as directory:
        place = pathlib.Path(directory)
        (place / "rules").mkdir()
        (place / "rules" / "shed.rhai").write_text(SHED if sheds else "fn evaluate(now) {\n    []\n}\n")
        (place / "headroom.yaml").write_text(
            f'mode: enforce\nreceive: {{grpc: "127.0.0.1:{grpc}", http: "127.0.0.1:{http}"}}\n'
            f'api: {{listen: "127.0.0.1:{api}"}}\ngateway: {{listen: "127.0.0.1:{gateway}"}}\n'
            "rules: {directory: rules}\ncluster: {fixed: {services: [{service: store, instances: store-0}]}}\n"
            # Full before counting begins, so that what grows is not the window.
            "window: {memory: 64MiB}\n"
        )
        command = [binary(), "serve", "--config", place / "headroom.yaml", "--log", "warn"]
        with speed.server(command, gateway) as pid:
            yield pid, gateway, grpc


@contextlib.contextmanager
def unread(*flags):
    port = free_port()
    with speed.server([speed.example("gateway"), "serve", "--listen", f"127.0.0.1:{port}", *flags], port) as pid:
        yield pid, port, None


def set_free(pid):
    """Lets a server run on all cores."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):
            os.sched_setaffinity(int(thread), range(os.cpu_count()))


def ask(pid, port, taught, *more, per_s=QUESTIONS_PER_S, seconds=8, is_pinned=True):
    """One run of the load; its report."""
    command = [speed.example("gateway"), "load", "--gateway", f"127.0.0.1:{port}", "--pid", pid, "--per-second", per_s]
    command += ["--seconds", seconds, "--routes", ROUTES, "--classes", CLASSES, *more]
    if taught:
        command += ["--teach", f"127.0.0.1:{taught}"]
    pinned = ["taskset", "-c", speed.LOAD_CPU] if is_pinned else []
    done = subprocess.run([*pinned, *map(str, command)], capture_output=True, text=True, timeout=seconds + 60)
    if done.returncode != 0:
        raise RuntimeError(last_line(done.stderr))
    return json.loads(last_line(done.stdout))


SUBJECTS = {
    "unread": lambda: unread(),
    "decoded": lambda: unread("--decode"),
    "admitting": lambda: ours(False),
    "shedding": lambda: ours(True),
}


def item_2(card, rounds, seconds):
    costs = {name: [] for name in SUBJECTS}
    latencies = {"admitting": [], "shedding": []}
    for _ in range(rounds):
        for name, start in SUBJECTS.items():
            try:
                with start() as (pid, port, taught):
                    report = ask(pid, port, taught, seconds=seconds)
                    if name in latencies:
                        set_free(pid)
                        half = ask(pid, port, taught, per_s=QUESTIONS_PER_S / 2, seconds=seconds, is_pinned=False)
                        card.sample(f"2.{name}.half", half)
                        latencies[name].append(half["latency_ms"]["p99"])
            except (RuntimeError, subprocess.TimeoutExpired) as error:
                card.sample(f"2.{name}", {"error": str(error)})
                costs[name].append(None)
                continue
            card.sample(f"2.{name}", report)
            reached = report["answers_per_s"] >= RATE_SHARE_MIN * QUESTIONS_PER_S and not report["failed"]
            # Where it must shed, it does; else what is measured is not that.
            reached = reached and (name != "shedding" or report["shed"] > report["admitted"])
            costs[name].append(report["server"]["cpu_us_per_answer"] if reached else None)
    told = {name: speed.median(of) for name, of in costs.items()}
    print("# CPU µs an answer:", *(f"{name} {speed.shown(cost)}" for name, cost in told.items()), flush=True)
    for name in latencies:
        speed.ratio(card, f"2.{name}.cpu", costs[name], costs["unread"], "of-unread", 1.4)
        p99 = statistics.median(latencies[name]) if latencies[name] else None
        card.at_most(f"2.{name}.p99", p99, "ms", 2.0)
    strangers(card)


def strangers(card):
    """Ten thousand clients a second that nobody ever heard of, while a limit shares out fairly between them."""
    try:
        with ours(True) as (pid, port, taught):
            ask(pid, port, taught, "--strangers", per_s=STRANGERS_PER_S, seconds=10)
            report = ask(pid, port, taught, "--strangers", per_s=STRANGERS_PER_S, seconds=STRANGERS_S)
    except (RuntimeError, subprocess.TimeoutExpired) as error:
        return card.failed("2.strangers", error)
    card.sample("2.strangers", report)
    keys = report["admitted"] + report["shed"]
    card.at_least("2.strangers", keys, "keys", RATE_SHARE_MIN * STRANGERS_PER_S * STRANGERS_S)
    grown = report["server"]["resident_bytes"] - report["server"]["resident_bytes_before"]
    card.at_most("2.strangers.growth", round(grown / 2**20, 2), "MiB", GROWTH_MAX_BYTES / 2**20)
