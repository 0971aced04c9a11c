#!/usr/bin/env python3
"""`make accept-kubernetes`: what headroom must show on a real Kubernetes control plane, measured.

    kubernetes.py [--only ITEM…] [--bursts N] [--workloads N] [--pods N]

HEADROOM_BIN names another program than the release build, HEADROOM_IT a test binary that is built already.
"""

import argparse
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time

from scorecard import ROOT, Scorecard, binary, last_line, run_tests


def tests(card, name, wanted, **environment):
    """Runs tests of the integration binary against the program that is measured: what they printed, by name."""
    environment = {"HEADROOM_NO_SKIP": "1", "HEADROOM_BIN": binary(), **environment}
    found = {}
    for line in re.findall(r"MEASURE (\S+) (\S+) (\S+)", run_tests(card, name, wanted, env=environment)):
        card.sample("measured", dict(zip(("name", "value", "unit"), line)))
        found.setdefault(line[0], []).append(float(line[1]))
    return found


def first(found, name):
    return next(iter(found.get(name, [])), None)


def quantile(values, share):
    """The smallest value that so many are at or below; of 50, 0.99 is the largest."""
    return sorted(values)[max(0, math.ceil(share * len(values)) - 1)] if values else None


# 1 and 2. One run of the loop shows both: an HPA, an external scaler client, neither; a policy, a revert, a stranger.


def items_1_2(card, only):
    found = tests(card, "1.closed_loop" if 1 in only else "2.closed_loop", "kubernetes::closed_loop")
    if 1 in only:
        card.equal("1.levers_given_back", first(found, "kubernetes.levers_given_back"), "levers", 3)
        took = first(found, "kubernetes.given_back_after")
        card.figure("1.given_back_after", took, "s", "reported", took is not None)
    if 2 in only:
        writes = first(found, "kubernetes.writes")
        card.at_least("2.writes_in_the_audit_log", writes, "writes", 1)
        card.equal("2.writes_to_what_is_not_opted_in", first(found, "kubernetes.writes_beyond"), "writes", 0)


def item_3(card):
    found = tests(card, "3.chaos", "kubernetes::chaos")
    card.at_least("3.kills", first(found, "kubernetes.kills"), "kills", 20)
    card.equal("3.kills.done_twice", first(found, "kubernetes.kills.twice"), "changes", 0)
    card.equal("3.kills.dangling", first(found, "kubernetes.kills.dangling"), "records", 0)
    card.equal("3.trouble.done_twice", first(found, "kubernetes.trouble.twice"), "changes", 0)
    again = first(found, "kubernetes.trouble.attempts_again")
    card.at_least("3.trouble.attempts_again", again, "attempts", 1)
    card.at_most("3.failover", first(found, "kubernetes.failover"), "s", 15)


def item_4(card):
    tests(card, "4.deployment", "kubernetes::deploy")


# 5. From the need that is visible in spans to the patched scale.


def item_5(card, bursts):
    """`Traffic::evidence` in tests/it says when a need is visible: when the first batch is sent that holds a request of
    the burst slower than the objective. Patched is when the API server had answered the write, by its audit log. Spans
    come promptly (`Pipeline::Prompt`); with SDKs that send once a second, a second's spans come over two seconds, and
    headroom waits for them: that is reported too."""
    for pipeline in ("prompt", "usual"):
        name = "5" if pipeline == "prompt" else "5.usual_pipeline"
        env = {"HEADROOM_BURSTS": str(bursts), "HEADROOM_PIPELINE": pipeline}
        found = tests(card, f"{name}.bursts_answered", "kubernetes::bursts", **env)
        plain = found.get("kubernetes.plain.seen_to_patched", [])
        p99 = quantile(plain, 0.99)
        if pipeline == "prompt":
            card.at_least("5.bursts", len(plain), "bursts", 50)
            card.at_most("5.seen_to_patched.p99", p99, "s", 2)
        else:
            card.figure(f"{name}.seen_to_patched.p99", p99, "s", "reported", p99 is not None)
        card.figure(f"{name}.seen_to_patched.p50", quantile(plain, 0.5), "s", "reported", bool(plain))
        for owner in ("hpa", "external"):
            for step in ("patched", "scaled"):
                values = found.get(f"kubernetes.{owner}.seen_to_{step}", [])
                card.figure(f"{name}.{owner}.seen_to_{step}.worst", quantile(values, 1.0), "s", "reported", bool(values))


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
    parser.add_argument("--bursts", type=int, default=50, help="of workloads that nobody owns")
    parser.add_argument("--workloads", type=int, default=500)
    parser.add_argument("--pods", type=int, default=5000)
    args = parser.parse_args()
    card = Scorecard("kubernetes")
    if {1, 2} & set(args.only):
        items_1_2(card, args.only)
    if 3 in args.only:
        item_3(card)
    if 4 in args.only:
        item_4(card)
    if 5 in args.only:
        item_5(card, args.bursts)
    if 6 in args.only:
        try:
            item_6(card, args.workloads, args.pods)
        except Exception as error:
            card.failed("6.many_workloads", error)
    sys.exit(card.finish())


if __name__ == "__main__":
    main()
