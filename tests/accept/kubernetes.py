#!/usr/bin/env python3
"""`make accept-kubernetes`: what headroom must show on a real Kubernetes control plane, measured.

    kubernetes.py [--only ITEM…] [--workloads N] [--pods N]

HEADROOM_BIN names another program than the release build, HEADROOM_IT a test binary that is built already. What is asked
for and not measured yet is printed as SHORT: it counts as missed.
"""

import argparse
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from scorecard import ROOT, Scorecard, binary, last_line, run_tests

NOT_MEASURED = "no test plays it yet"


def measures(card, out):
    """What the tests printed: name to value and unit."""
    found = {}
    for name, value, unit in re.findall(r"MEASURE (\S+) (\S+) (\S+)", out):
        card.sample("measured", {"name": name, "value": value, "unit": unit})
        found[name] = (float(value), unit)
    return found


def items_1_2_5(card, only):
    """One run of the tests shows parts of three items."""
    out = run_tests(card, "1.closed_loop", "kubernetes::closed_loop", env={"HEADROOM_NO_SKIP": "1"})
    found = measures(card, out)
    if 1 in only:
        # HPA, external scaler client and neither: replicas, ready pods, the record closed after it was verified.
        card.failed("1.scale_in_follows", NOT_MEASURED)
    if 3 in only:
        value, unit = found.get("kubernetes.failover", (None, "s"))
        card.at_most("3.failover", value, unit, 15)
        card.failed("3.killed_at_20_points", NOT_MEASURED)
        card.failed("3.api_server_in_trouble", NOT_MEASURED)
    if 5 in only:
        value, unit = found.get("kubernetes.found_to_patched", (None, "s"))
        card.at_most("5.found_to_patched_worst", value, unit, 2)
        bursts, unit = found.get("kubernetes.bursts", (0.0, "bursts"))
        card.at_least("5.bursts", bursts, unit, 50)


def item_4(card):
    out = run_tests(card, "4.deployment", "kubernetes::deploy", env={"HEADROOM_NO_SKIP": "1"})
    measures(card, out)


# 6. Many workloads.


class ControlPlane:
    """`tests/control-plane/up.sh`, ended with this."""

    def __init__(self, directory):
        up = ROOT / "tests" / "control-plane" / "up.sh"
        self.directory = pathlib.Path(directory)
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([up, directory, "1"], **pipes)
        ready = self.process.stdout.readline()
        if not ready.startswith("KUBECONFIG="):
            raise RuntimeError("the control plane did not start")
        self.kubeconfig = ready.strip().split("=", 1)[1]

    def kubectl(self, *args, objects=None):
        text = objects and json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        command = [self.directory / "bin" / "kubectl", "--kubeconfig", self.kubeconfig, *args]
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=900)
        if done.returncode != 0:
            raise RuntimeError(last_line(done.stderr))
        return done.stdout

    def create(self, objects):
        for start in range(0, len(objects), 500):
            self.kubectl("create", "-f", "-", objects=objects[start : start + 500])

    def stop(self):
        self.process.stdin.close()
        self.process.wait()


def objects(workloads, pods):
    """Deployments that start nothing, and the pods that they would have: the watches see no difference."""
    names = [f"w-{n}" for n in range(workloads)]
    of = lambda name: {"name": name, "namespace": "many"}
    template = lambda name: {
        "metadata": {"labels": {"app": name}},
        "spec": {"containers": [{"name": "web", "image": "web"}], "schedulerName": "nobody"},
    }
    for name in names:
        spec = {"replicas": 0, "selector": {"matchLabels": {"app": name}}, "template": template(name)}
        yield {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": of(name), "spec": spec}
        spec = {"target": {"name": name}, "service": name, "maxReplicas": 20}
        yield {"apiVersion": "headroom.dev/v1alpha1", "kind": "ServiceObjective", "metadata": of(name), "spec": spec}
    for n in range(pods):
        # No ReplicaSet adopts them: its selector has the hash of its template too.
        labels = {"app": names[n % workloads]}
        metadata = {**of(f"p-{n}"), "labels": labels}
        yield {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template("")["spec"]}


def item_6(card, workloads, pods):
    with tempfile.TemporaryDirectory() as directory:
        cluster = ControlPlane(directory)
        try:
            crd = subprocess.run([binary(), "crd"], capture_output=True, text=True, check=True).stdout
            path = pathlib.Path(directory) / "crd.yaml"
            path.write_text(crd)
            cluster.kubectl("apply", "--server-side", "-f", str(path))
            cluster.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=60s")
            cluster.kubectl("create", "namespace", "many")
            cluster.create(list(objects(workloads, pods)))
            watch_many(card, cluster, pathlib.Path(directory), workloads)
        finally:
            cluster.stop()


def watch_many(card, cluster, directory, workloads):
    journal = directory / "journal.jsonl"
    configuration = directory / "headroom.yaml"
    configuration.write_text(
        "receive: {grpc: '127.0.0.1:0', http: '127.0.0.1:0'}\napi: {listen: '127.0.0.1:0'}\n"
        "cluster: {kubernetes: {namespace: many, identity: one}}\njournal: {path: journal.jsonl}\n"
    )
    started = time.monotonic()
    environment = {**os.environ, "KUBECONFIG": cluster.kubeconfig}
    log = (directory / "headroom.log").open("w")
    daemon = subprocess.Popen([binary(), "serve", "--config", configuration], env=environment, stdout=log, stderr=log)
    try:
        seen = None
        while time.monotonic() < started + 60 and seen is None:
            time.sleep(0.05)
            for line in journal.read_text().splitlines() if journal.exists() else []:
                if '"workloads"' in line and line.count('"max_replicas"') == workloads:
                    seen = time.monotonic() - started
        card.at_most("6.restart_to_all_workloads", seen, "s", 5)
        cpu = lambda: sum(map(int, pathlib.Path(f"/proc/{daemon.pid}/stat").read_text().split()[13:15]))
        before, window = cpu(), 30
        time.sleep(window)
        used = (cpu() - before) / os.sysconf("SC_CLK_TCK") / window
        status = pathlib.Path(f"/proc/{daemon.pid}/status").read_text()
        memory = int(re.search(r"VmHWM:\s+(\d+)", status)[1]) / 1024
        card.figure("6.memory_peak", memory, "MiB", "reported", True)
        card.figure("6.cpu", used, "cores", "reported", True)
    finally:
        daemon.kill()
        daemon.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", nargs="+", type=int, choices=range(1, 7), default=list(range(1, 7)))
    parser.add_argument("--workloads", type=int, default=500)
    parser.add_argument("--pods", type=int, default=5000)
    args = parser.parse_args()
    card = Scorecard("kubernetes")
    if {1, 2, 3, 5} & set(args.only):
        items_1_2_5(card, args.only)
    if 4 in args.only:
        item_4(card)
    if 6 in args.only:
        try:
            item_6(card, args.workloads, args.pods)
        except Exception as error:
            card.failed("6.many_workloads", error)
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
