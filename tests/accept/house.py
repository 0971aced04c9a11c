#!/usr/bin/env python3
"""`make accept-house`: what the inside of headroom must show, measured.

    house.py [--only ITEM…] [--systems N] [--seeds-from SEED] [--fuzz-seconds S] [--rounds N] [--seconds S]

HEADROOM_BIN names another program than the release build, HEADROOM_IT a test binary that is built already.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import time

import localise
from scorecard import ROOT, Scorecard, last_line, run_tests

SRC = ROOT / "src"
CARGO = os.environ.get("CARGO", "cargo")


def is_test(path):
    return path.name in ("tests.rs", "properties.rs", "differential.rs") or path.stem.endswith("_tests") or "tests" in path.parts


def code_of(path):
    """A file without comments, and without the tests at its end."""
    text = path.read_text().split("#[cfg(test)]\nmod tests {")[0]
    return "\n".join(line.split("//")[0] for line in text.splitlines())


def sources():
    """Module paths (`analyse/rollup`) to files, tests aside."""
    found = {}
    for path in sorted(SRC.rglob("*.rs")):
        name = path.relative_to(SRC).with_suffix("")
        name = name.parent if name.name == "mod" else name
        if not is_test(path.relative_to(SRC)) and name.name not in ("lib", "main"):
            found[str(name)] = path
    return found


# 1. Borders between folders (tests/it/architecture.rs reads the imports), and what the engine alone links.


def item_1(card):
    out = run_tests(card, "1.no_import_upstream", "architecture::")
    measured = dict(re.findall(r"MEASURE architecture\.(\S+) (\d+)", out))
    number = lambda name: int(measured[name]) if name in measured else None
    card.equal("1.import_circles", number("import_circles"), "circles", 0)
    card.at_most("1.children_of_analyse", number("children_of_analyse"), "children", 12)
    core = ["--locked", "--no-default-features", "--features", "core"]
    checked = subprocess.run([CARGO, "check", "--lib", *core], cwd=ROOT, capture_output=True, text=True)
    card.figure("1.core_compiles", checked.returncode, "exit_code", "==0", checked.returncode == 0)
    tree = subprocess.run([CARGO, "tree", *core, "-e", "features,normal"], cwd=ROOT, capture_output=True, text=True)
    if tree.returncode != 0:
        card.failed("1.core_dependencies", last_line(tree.stderr))
        return
    crates = {line.strip(" │├└─").split()[0] for line in tree.stdout.splitlines() if line.strip(" │├└─")}
    card.at_least("1.core_dependencies", len(crates), "crates", 10)
    card.equal("1.core_links_kube", len([name for name in crates if name.split("-")[0] in ("kube", "k8s")]), "crates", 0)
    sockets = re.findall(r'tokio feature "(?:net|full)"', tree.stdout)
    card.equal("1.core_links_sockets", len(sockets), "features", 0)


# 2. How far one action reaches.


def item_2(card):
    found = [name for name, path in sources().items() if re.search("ResizeCpu|resize_cpu", code_of(path))]
    card.sample("2", found)
    card.figure("2.files_that_know_a_resize", len(found), "files", "1..6", 1 <= len(found) <= 6)


# 3 to 5. What tests show.


def item_3(card):
    run_tests(card, "3.orders", "orders::entry_operations")
    run_tests(card, "3.four_absorbers", "orders::four_shards")


def item_4(card):
    run_tests(card, "4.clock_steps", "clock::", "faketime::")


def item_5(card):
    run_tests(card, "5.sentences", "sentences::")


# 6. The engine under arbitrary input, and systems that nobody has looked at.


def item_6(card, seconds, systems, seeds_from):
    out = run_tests(
        card,
        "6.engine_drawn",
        "engine_fuzz::",
        env={"HEADROOM_FUZZ_SECONDS": str(seconds // 2), "HEADROOM_SEED": str(int(time.time()))},
    )
    for name, value, unit in re.findall(r"MEASURE engine_fuzz\.(\S+) (\S+) (\S+)", out):
        card.figure(f"6.engine_drawn.{name}", int(value), unit, "reported", int(value) > 0)
    if shutil.which("cargo-fuzz"):
        command = ["make", "fuzz", "FUZZ_TARGETS=engine", f"SECONDS={seconds - seconds // 2}"]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        runs = sum(map(int, re.findall(r"Done (\d+) runs", done.stdout + done.stderr)))
        card.sample("6.fuzz", {"runs": runs, "end": (done.stdout + done.stderr)[-4000:]})
        card.figure("6.engine_fuzz", runs, "inputs", "no_finding", done.returncode == 0 and runs > 0)
    else:
        card.skipped("6.engine_fuzz", "cargo-fuzz is not installed: cargo install cargo-fuzz, with a nightly toolchain")
    localise.drawn_systems(card, "6.drawn", seeds_from, systems)


# 7. Speed.


def item_7(card, rounds, seconds):
    if (os.cpu_count() or 1) < 2:
        card.skipped("7.speed", "needs two cores: one for the server, one for the load")
        return
    import flood
    import speed

    named = Renumbered(card, "7.")
    speed.item1(named, rounds, seconds)
    flood.item3(named)


class Renumbered:
    """The card, with this item's number before the names of another scorecard's figures."""

    def __init__(self, card, prefix):
        self.card, self.prefix = card, prefix

    def __getattr__(self, method):
        return lambda name, *values: getattr(self.card, method)(self.prefix + name, *values)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int, choices=range(1, 8), default=list(range(1, 8)))
    parser.add_argument("--systems", type=int, default=30, help="drawn systems of each kind")
    parser.add_argument("--seeds-from", type=int, default=localise.unseen_from(), help="the first seed of drawn systems")
    parser.add_argument("--fuzz-seconds", type=int, default=1200)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=int, default=6)
    args = parser.parse_args()
    card = Scorecard("house")
    items = {
        1: lambda: item_1(card),
        2: lambda: item_2(card),
        3: lambda: item_3(card),
        4: lambda: item_4(card),
        5: lambda: item_5(card),
        6: lambda: item_6(card, args.fuzz_seconds, args.systems, args.seeds_from),
        7: lambda: item_7(card, args.rounds, args.seconds),
    }
    for item in args.only:
        items[item]()
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
