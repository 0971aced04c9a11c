#!/usr/bin/env python3
"""The bill of materials of a binary, CycloneDX 1.5 as JSON: every crate that is linked into it for this machine.

    sbom.py BINARY > headroom.cdx.json

Made from `cargo metadata` of the locked dependencies and the checksums of Cargo.lock: what is for tests, benches and
build scripts alone is left out.
"""

import hashlib
import json
import os
import pathlib
import subprocess
import sys
import tomllib
import uuid

ROOT = pathlib.Path(__file__).resolve().parents[1]


def metadata(triple):
    command = [os.environ.get("CARGO", "cargo"), "metadata", "--format-version=1", "--locked", "--filter-platform", triple]
    return json.loads(subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout)


def linked(graph, root):
    """Ids of what `root` links, with what each of them links."""
    nodes = {node["id"]: node for node in graph["resolve"]["nodes"]}
    found, open_ids = {}, [root]
    while open_ids:
        one = open_ids.pop()
        if one in found:
            continue
        normal = [dep["pkg"] for dep in nodes[one]["deps"] if any(kind["kind"] is None for kind in dep["dep_kinds"])]
        found[one] = sorted(normal)
        open_ids += normal
    return found


def component(package, checksums):
    reference = f"pkg:cargo/{package['name']}@{package['version']}"
    entry = {"type": "library", "bom-ref": reference, "name": package["name"], "version": package["version"], "purl": reference}
    if package["license"]:
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if checksum := checksums.get((package["name"], package["version"])):
        entry["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return entry


def main():
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    binary = hashlib.sha256(pathlib.Path(sys.argv[1]).read_bytes()).hexdigest()
    triple = next(
        line.split()[1]
        for line in subprocess.run(["rustc", "-vV"], check=True, capture_output=True, text=True).stdout.splitlines()
        if line.startswith("host:")
    )
    graph = metadata(triple)
    packages = {package["id"]: package for package in graph["packages"]}
    root = graph["resolve"]["root"]
    found = linked(graph, root)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(of["name"], of["version"]): of["checksum"] for of in lock["package"] if "checksum" in of}
    reference = lambda one: f"pkg:cargo/{packages[one]['name']}@{packages[one]['version']}"
    libraries = sorted((component(packages[one], checksums) for one in found if one != root), key=lambda it: it["bom-ref"])
    product = component(packages[root], {}) | {"type": "application", "hashes": [{"alg": "SHA-256", "content": binary}]}
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        # The same binary has the same number.
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_OID, binary)}",
        "version": 1,
        "metadata": {"component": product},
        "components": libraries,
        "dependencies": [
            {"ref": reference(one), "dependsOn": sorted({reference(other) for other in others})}
            for one, others in sorted(found.items(), key=lambda entry: reference(entry[0]))
        ],
    }
    json.dump(document, sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
