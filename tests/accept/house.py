#!/usr/bin/env python3
"""`make accept-house`: what the inside of headroom must show, measured.

    house.py [--only ITEM…] [--systems N] [--seeds-from SEED] [--fuzz-seconds S] [--rounds N] [--seconds S]

HEADROOM_BIN names another program than the release build, HEADROOM_IT a test binary that is built already.
"""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import time

import localise
from scorecard import ROOT, Scorecard, last_line, run_tests

SRC = ROOT / "src"
CARGO = os.environ.get("CARGO", "cargo")


# 1. Borders between folders, and what the engine alone links.


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


def paths_in(tree, before=()):
    """The paths of a `use` tree: `a::{b, c::d}` are `a::b` and `a::c::d`."""
    depth, start, parts = 0, 0, []
    for at, c in enumerate(tree + ","):
        if c == "," and depth == 0:
            parts.append(tree[start:at].strip())
            start = at + 1
        depth += (c == "{") - (c == "}")
    for part in filter(None, parts):
        if "{" in part:
            head, inner = part.split("{", 1)
            names = [name for name in head.split("::") if name.strip()]
            yield from paths_in(inner.rsplit("}", 1)[0], (*before, *names))
        else:
            yield [*before, *(name.strip() for name in part.split(" as ")[0].split("::"))]


class Imports:
    """Which file imports from which: a name that a `mod.rs` only passes on counts as its own file's."""

    def __init__(self):
        self.files = sources()
        self.code = {name: code_of(path) for name, path in self.files.items()}
        self.passed_on = {name: self.re_exports(name) for name in self.files}

    def re_exports(self, module):
        found = {}
        for tree in re.findall(r"\bpub use ([^;]+);", self.code[module]):
            for path in paths_in(tree):
                path = path[1:] if path[0] == "self" else path
                if path[0] not in ("crate", "super") and path:
                    found[path[-1]] = path
        return found

    def resolve(self, path):
        """The module that a path of names, from the crate's root on, comes from."""
        module, rest = "", list(path)
        while rest:
            inner = f"{module}/{rest[0]}".lstrip("/")
            if inner in self.files:
                module, rest = inner, rest[1:]
            elif module and rest[0] in self.passed_on[module]:
                target = self.passed_on[module][rest[0]]
                if target[-1] == rest[0] and f"{module}/{target[0]}" in self.files:
                    rest = [*target, *rest[1:]]
                    module = f"{module}/{rest.pop(0)}"
                else:
                    break
            else:
                break
        return module or None

    def of(self, module):
        """Modules it imports from, with `crate::` or `super::`, in `use` or in place."""
        code, here = self.code[module], module.split("/")
        found = set()
        uses = re.findall(r"\b(?:pub(?:\([^)]*\))? )?use ((?:crate|super|self)::[^;]+);", code)
        paths = [path for tree in uses for path in paths_in(tree)]
        rest = re.sub(r"\buse [^;]+;", "", code)
        paths += [path.split("::") for path in re.findall(r"\b(?:crate|super)(?:::\w+)+", rest)]
        for path in paths:
            base = list(here)
            while path and path[0] in ("crate", "super", "self"):
                word, path = path[0], path[1:]
                base = [] if word == "crate" else base[:-1] if word == "super" else base
            target = self.resolve([*base, *path])
            if target and target != module:
                found.add(target)
        return found

    def folder(self, module):
        """`x.rs` beside `x/` is the head of that folder."""
        path = self.files[module]
        heads = path.name == "mod.rs" or path.with_suffix("").is_dir()
        return module if heads else module.rpartition("/")[0]

    def circles(self):
        """Groups of files of more than one folder that all import one another, directly or through others."""
        edges = {module: self.of(module) for module in self.files}
        reach = {}
        for module in edges:
            seen, open_ = set(), [module]
            while open_:
                for target in edges[open_.pop()] - seen:
                    seen.add(target)
                    open_.append(target)
            reach[module] = seen
        groups = {frozenset(o for o in reach[m] if m in reach[o]) | {m} for m in edges if m in reach[m]}
        # The head of a folder declares what is inside and is imported from there: one folder all the same.
        nested = lambda a, b: a == b or a.startswith(b + "/") or b.startswith(a + "/")
        apart = lambda group: any(
            not nested(self.folder(a), self.folder(b)) and b in edges[a] for a in group for b in group
        )
        return sorted(sorted(group) for group in groups if len(group) > 1 and apart(group)), edges


def item_1(card):
    circles, edges = Imports().circles()
    card.sample("1.imports", {module: sorted(targets) for module, targets in edges.items()})
    for circle in circles:
        print("# circle:", " <-> ".join(circle), file=sys.stderr)
    card.at_least("1.imports_between_files", sum(map(len, edges.values())), "imports", 1)
    card.equal("1.import_circles", len(circles), "circles", 0)
    children = [child.name for child in (SRC / "analyse").iterdir() if child.name != "mod.rs"]
    card.at_most("1.children_of_analyse", len(children), "children", 12)
    run_tests(card, "1.no_import_upstream", "architecture::")
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
