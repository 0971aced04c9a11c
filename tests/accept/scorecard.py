"""A scorecard: one printed line a figure, raw samples in a file, and an exit code.

    ok|SHORT ITEM.FIGURE VALUE UNIT BOUND

ITEM is the number in the list of what must be shown. A figure that cannot be measured here is printed as SKIPPED
with the reason: it is neither met nor missed, and nobody can take it for met.
"""

import concurrent.futures
import json
import os
import pathlib
import socket
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def binary():
    """The program under test: HEADROOM_BIN, or the release build."""
    if "HEADROOM_BIN" in os.environ:
        return os.environ["HEADROOM_BIN"]
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    return str(target / "release" / "headroom")


def headroom(*args, cwd=None, timeout=1800):
    """Runs it to its end; the caller looks at the exit code."""
    return subprocess.run([binary(), *map(str, args)], cwd=cwd, capture_output=True, text=True, timeout=timeout)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def last_line(text):
    lines = [line for line in text.strip().splitlines() if line]
    return lines[-1] if lines else "no output"


def demo(scenario, seed, *more):
    """Action lines and summary of a run on virtual time; raises with its last words when it failed."""
    done = headroom("demo", "--scenario", scenario, "--seed", seed, "--speed", "max", "--json", *more)
    if done.returncode != 0:
        raise RuntimeError(f"demo of {scenario}, seed {seed}: {last_line(done.stderr)}")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    return lines[:-1], lines[-1]


def played(card, item, scenarios, seeds, *more):
    """Plays each scenario by each seed, as many at once as there are cores: scenario, name of its figures, action lines, summary.

    One that fails is a failed figure, and left out; raw samples go to the card.
    """
    wanted = [(scenario, seed) for scenario in scenarios for seed in seeds]
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        runs = {key: pool.submit(demo, *key, *more) for key in wanted}
        for scenario, seed in wanted:
            name = f"{item}.{scenario}.seed{seed}"
            try:
                actions, summary = runs[scenario, seed].result()
            except Exception as error:
                card.failed(name, error)
                continue
            card.sample("runs", {"actions": actions, "summary": summary})
            yield scenario, name, actions, summary


class Scorecard:
    def __init__(self, name):
        self.path = ROOT / "target" / "accept" / f"{name}.json"
        self.figures, self.samples = [], {}

    def sample(self, key, value):
        """Keeps a raw measurement, so that a figure can be looked into."""
        self.samples.setdefault(key, []).append(value)

    def figure(self, name, value, unit, bound, ok):
        shown = f"{value:.4g}" if isinstance(value, float) else str(value).replace(" ", "")
        print("ok" if ok else "SHORT", name, shown, unit, bound, flush=True)
        self.figures.append({"name": name, "value": value, "unit": unit, "bound": bound, "ok": bool(ok)})

    def at_most(self, name, value, unit, bound):
        self.figure(name, value, unit, f"<={bound:g}", value is not None and value <= bound)

    def at_least(self, name, value, unit, bound):
        self.figure(name, value, unit, f">={bound:g}", value is not None and value >= bound)

    def equal(self, name, value, unit, bound):
        self.figure(name, value, unit, f"=={str(bound).replace(' ', '')}", value == bound)

    def failed(self, name, why):
        """It could not be measured because something broke."""
        print(f"# {name}: {why}", file=sys.stderr)
        self.figure(name, "failed", "-", "measured", False)

    def skipped(self, name, why):
        print("SKIPPED", name, why, flush=True)
        self.figures.append({"name": name, "skipped": why})

    def finish(self):
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps({"figures": self.figures, "samples": self.samples}, indent=1) + "\n")
        short = [figure["name"] for figure in self.figures if figure.get("ok") is False]
        skipped = [figure["name"] for figure in self.figures if "skipped" in figure]
        met = len(self.figures) - len(short) - len(skipped)
        print(f"{met} met, {len(short)} short, {len(skipped)} skipped; samples in {self.path}")
        return 1 if short else 0


def run_tests(card, name, *filters, env=None):
    """Runs tests of the integration binary; its output, or None when they failed.

    HEADROOM_IT names a test binary that is built already.
    """
    if "HEADROOM_IT" in os.environ:
        command = [os.environ["HEADROOM_IT"]]
    else:
        features = os.environ.get("FEATURES", "calendar,forecast,gateway")
        command = [os.environ.get("CARGO", "cargo"), "test", "--locked", "--features", features, "--test", "it", "--"]
    command += ["--nocapture", "--test-threads=1", *filters]
    done = subprocess.run(command, cwd=ROOT, env={**os.environ, **(env or {})}, capture_output=True, text=True)
    results = [line for line in done.stdout.splitlines() if "test result:" in line]
    passed = sum(int(line.split(" passed")[0].split()[-1]) for line in results)
    card.sample("tests", {"name": name, "code": done.returncode, "results": results})
    if done.returncode != 0:
        # Someone has to see why.
        print(done.stdout[-4000:], done.stderr[-4000:], sep="\n", file=sys.stderr)
    card.figure(name, passed, "tests", "all pass, some run", done.returncode == 0 and passed > 0)
    return done.stdout
