#!/usr/bin/env python3
"""What comes from elsewhere, held against deny.toml: licences, sources, several versions of one crate, versions that their
authors withdrew, and known vulnerabilities. Part of `make lint`; asks no network.

    supply.py

It reads what `cargo metadata` knows, the registry's index as cargo last saw it (withdrawn versions), and a copy of RustSec's
advisory database where one is: HEADROOM_ADVISORY_DB, or where cargo-audit and cargo-deny keep it. Where `cargo deny` is
installed it is asked as well. What could not be looked at is said in capitals.
"""

import collections
import glob
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tomllib

ROOT = pathlib.Path(__file__).resolve().parents[1]
CARGO_HOME = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo"))
TARGET = "x86_64-unknown-linux-gnu"


def packages():
    """Of the program, its tests and its build, on the platform that it is deployed on."""
    cargo = os.environ.get("CARGO", "cargo")
    command = [cargo, "metadata", "--locked", "--format-version", "1", "--all-features", "--filter-platform", TARGET]
    done = subprocess.run([*command, "--offline"], cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        # A new machine has none of it yet.
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"supply: cargo metadata failed: {done.stderr.strip().splitlines()[-1:]}")
    known = json.loads(done.stdout)
    used = {node["id"] for node in known["resolve"]["nodes"]}
    return [package for package in known["packages"] if package["id"] in used and package["source"]]


# Licences: an SPDX expression is met where its alternatives leave something that is allowed.


def is_allowed(expression, allowed):
    tokens = re.findall(r"\(|\)|[^\s()/]+|/", expression or "")

    def either():
        met = both()
        while tokens and tokens[0] in ("OR", "/"):
            tokens.pop(0)
            other = both()
            met = met or other
        return met

    def both():
        met = one()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            other = one()
            met = met and other
        return met

    def one():
        token = tokens.pop(0) if tokens else ""
        if token == "(":
            met = either()
            tokens[:1] = []
            return met
        if tokens and tokens[0] == "WITH":
            token = f"{token} WITH {tokens.pop(1)}"
            tokens.pop(0)
        return token in allowed

    return bool(expression) and either() and not tokens


def licences(found, rules):
    allowed = set(rules["licenses"]["allow"])
    exceptions = {one["crate"]: set(one["allow"]) for one in rules["licenses"].get("exceptions", [])}
    for package in found:
        if not is_allowed(package["license"], allowed | exceptions.get(package["name"], set())):
            yield f"{package['name']} {package['version']} has the licence {package['license']}, which is not allowed"


def sources(found, _):
    """All from one registry: that of cargo's own, which most name."""
    registry, _ = collections.Counter(package["source"] for package in found).most_common(1)[0]
    for package in found:
        if package["source"] != registry or not registry.startswith("registry+"):
            yield f"{package['name']} {package['version']} comes from {package['source']}"


def duplicates(found, rules):
    versions = collections.defaultdict(set)
    for package in found:
        versions[package["name"]].add(package["version"])
    skipped = {one["crate"].split("@")[0] for one in rules["bans"].get("skip", [])}
    for name, several in sorted(versions.items()):
        if len(several) > 1 and name not in skipped:
            yield f"{name} is there in {len(several)} versions: {', '.join(sorted(several))}"
    for name in sorted(skipped):
        if len(versions[name]) < 2:
            yield f"deny.toml lets {name} be there in several versions, and there is one: remove the entry"


# Withdrawn versions: the index as cargo keeps it, an entry a version between zero bytes.


def index_of(name):
    lower = name.lower()
    folder = {1: "1", 2: "2", 3: f"3/{lower[:1]}"}.get(len(lower), f"{lower[:2]}/{lower[2:4]}")
    for path in glob.glob(str(CARGO_HOME / "registry/index/*/.cache" / folder / lower)):
        entries = (part for part in pathlib.Path(path).read_bytes().split(b"\0") if part.startswith(b"{"))
        return {entry["vers"]: entry for entry in map(json.loads, entries)}
    return None


def withdrawn(found):
    for package in found:
        entry = (index_of(package["name"]) or {}).get(package["version"])
        if entry is not None and entry["yanked"]:
            yield f"{package['name']} {package['version']} was withdrawn by its authors"


# Advisories.


def number(version):
    """Comparable: a version before its release comes before it."""
    release, _, before = version.split("+")[0].partition("-")
    parts = tuple(int(part) for part in release.split("."))
    return parts + (0,) * (3 - len(parts)), before == "", before


def matches(version, requirement):
    """Whether a version meets all of the comparators."""
    return all(compares(version, one.strip()) for one in requirement.split(",") if one.strip())


def compares(version, comparator):
    sign, bound = re.match(r"(>=|<=|>|<|=|\^|~)?\s*(.+)", comparator).groups()
    bound = bound.replace(".*", "")
    mine, other = number(version), number(bound)
    if sign == ">=":
        return mine >= other
    if sign == ">":
        return mine > other
    if sign == "<":
        return mine < other
    if sign == "<=":
        return mine <= other
    if sign == "=":
        return mine[0][: len(bound.split("."))] == other[0][: len(bound.split("."))]
    # The first part that is not zero stays; with ~ the first two do.
    kept = 2 if sign == "~" else next((place + 1 for place, part in enumerate(other[0]) if part), 3)
    return mine >= other and mine[0][:kept] == other[0][:kept]


def advisory_database():
    if "HEADROOM_ADVISORY_DB" in os.environ:
        return pathlib.Path(os.environ["HEADROOM_ADVISORY_DB"])
    places = [CARGO_HOME / "advisory-db", *map(pathlib.Path, glob.glob(str(CARGO_HOME / "advisory-dbs/*")))]
    return next((place for place in places if (place / "crates").is_dir()), None)


def advisories(found, rules, database):
    ignored = {one if isinstance(one, str) else one["id"] for one in rules.get("advisories", {}).get("ignore", [])}
    for package in found:
        for path in sorted((database / "crates" / package["name"]).glob("RUSTSEC-*.md")):
            front = tomllib.loads(path.read_text().split("```toml", 1)[1].split("```", 1)[0])
            advisory, versions = front["advisory"], front.get("versions", {})
            is_fixed = any(matches(package["version"], one) for one in [*versions.get("patched", []), *versions.get("unaffected", [])])
            if is_fixed or "withdrawn" in advisory or advisory["id"] in ignored:
                continue
            kind = advisory.get("informational")
            yield kind, f"{package['name']} {package['version']}: {advisory['id']}{f' ({kind})' if kind else ''}"


def main():
    rules = tomllib.loads((ROOT / "deny.toml").read_text())
    found = packages()
    wrong = [*licences(found, rules), *sources(found, rules), *duplicates(found, rules), *withdrawn(found)]
    unseen = sum(index_of(package["name"]) is None for package in found)
    if unseen:
        print(f"supply: SKIPPED: whether {unseen} of {len(found)} crates were withdrawn: the registry's index of them is not here")
    database = advisory_database()
    if database is None:
        print("supply: SKIPPED: KNOWN VULNERABILITIES: no advisory database here; clone RustSec's and set HEADROOM_ADVISORY_DB")
    else:
        for kind, said in advisories(found, rules, database):
            # Unmaintained is a worry, not a hole.
            (wrong if kind in (None, "unsound") else notes).append(said)
    if shutil.which("cargo-deny"):
        done = subprocess.run(["cargo", "deny", "--offline", "check", "licenses", "bans", "sources"], cwd=ROOT)
        if done.returncode != 0:
            wrong.append("cargo deny found something, see above")
    for said in notes:
        print(f"supply: note: {said}")
    for said in wrong:
        print(f"supply: {said}")
    print(f"supply: {len(found)} crates looked at, {len(wrong)} wrong")
    sys.exit(1 if wrong else 0)


notes = []

if __name__ == "__main__":
    main()
