"""Systems that nobody drew: random service graphs with one fault each, as scenario files, and what is to be named.

Whoever mends an analysis on the scenarios that are shipped fits it to them. These are others: of five to nine services in
layers, with operations, callees, pools, rates and objectives drawn by a seed, each with room for its load. The same kind
and seed give the same system.

    systems.py KIND SEED        prints the scenario
"""

import json
import math
import random
import sys

ONSET_S = 60
NAMES = "apple birch cedar dahlia elder fern grape hazel iris juniper kale lilac maple nettle oak poppy".split()
# What may go wrong, and the verdict that is right; None where nothing is.
KINDS = {
    "saturated": "saturated",
    "slow_dependency": "slow_dependency",
    "bad_instance": "bad_instance",
    "regression": "regression",
    "failing": "failing",
    "amplification": "amplification",
    # Nobody misses an objective by it.
    "early_return": "failing",
    "none": None,
    "harmless": None,
}
UNFELT = ["early_return"]
# Share of a pool that the load holds where nothing is wrong.
CALM = (0.2, 0.45)


class System:
    """A graph in layers: requests enter at the first, each operation calls some of deeper layers."""

    def __init__(self, chance):
        self.chance = chance
        names = chance.sample(NAMES, chance.randint(5, 9))
        depth = chance.randint(3, 4)
        layers = [[names[0]], *([] for _ in range(depth - 1))]
        for n, name in enumerate(names[1:]):
            layers[1 + n % (depth - 1)].append(name)
        self.peers, self.services, self.layer = {}, {}, {}
        self.operations = {}  # (service, operation): {"own_ms", "calls": [(service, operation) or peer, count]}
        for level in reversed(range(depth)):
            below = [key for key in self.operations if self.layer[key[0]] > level]
            for name in layers[level]:
                self.layer[name] = level
                for n in range(chance.randint(2, 4) if level == 0 else chance.randint(1, 3)):
                    self.add(name, f"GET /{name}/{'abcd'[n]}", level, below)
        self.entries = {key: chance.uniform(10, 60) for key in self.operations if self.layer[key[0]] == 0}
        self.factors = {key: 1.0 for key in self.entries}
        self.room = {}

    def add(self, service, operation, level, below):
        chance = self.chance
        own_ms = chance.uniform(0.5, 2) if level == 0 else math.exp(chance.uniform(math.log(3), math.log(60)))
        calls = [(callee, 1) for callee in chance.sample(below, min(len(below), chance.randint(1, 2 + (level == 0))))]
        if level > 0 and (not calls or chance.random() < 0.4):
            peer = f"{service}-{chance.choice(['db', 'cache'])}"
            self.peers[peer] = {"system": "postgresql", "latency_ms": round(chance.uniform(1, 10), 1), "connections": 400}
            calls.append((peer, chance.randint(1, 2)))
        self.operations[service, operation] = {"own_ms": round(own_ms, 1), "calls": calls}

    def rates(self, factors=None):
        """Requests a second of each operation, of each entry operation so many times as many."""
        rates = {key: 0.0 for key in self.operations}
        for key, rate in self.entries.items():
            rates[key] += rate * (factors or {}).get(key, 1.0)
        for key in sorted(self.operations, key=lambda key: self.layer[key[0]]):
            for callee, count in self.operations[key]["calls"]:
                if callee in rates:
                    rates[callee] += rates[key] * count
        return rates

    def time_ms(self, key):
        operation = self.operations[key]
        of = lambda callee: self.time_ms(callee) if callee in self.operations else self.peers[callee]["latency_ms"]
        return 1.1 * operation["own_ms"] + sum(count * (of(callee) + 0.6) for callee, count in operation["calls"])

    def reached(self, key):
        """Operations that a request of this one meets, itself included."""
        below = (self.reached(callee) for callee, _ in self.operations[key]["calls"] if callee in self.operations)
        return {key}.union(*below)

    def entries_to(self, service):
        return [entry for entry in self.entries if any(name == service for name, _ in self.reached(entry))]

    def of(self, service):
        return [key for key in self.operations if key[0] == service]

    def size(self, service, factors, kind):
        """Pods that hold so many times the usual load at a calm share."""
        share = self.chance.uniform(*CALM)
        rates = self.rates(factors)
        held = sum(rates[key] * self.time_ms(key) for key in self.of(service)) / 1e3
        busy = sum(rates[key] * self.operations[key]["own_ms"] * 1.1 for key in self.of(service)) / 1e3
        replicas = self.chance.randint(3, 5) if kind == "bad_instance" else self.chance.randint(2, 4)
        if self.layer[service] == 0 or self.chance.random() < 0.4:
            cores = max(0.5, math.ceil(2 * busy / share / replicas) / 2)
            pods = {"shared": {"cores": cores, "in_flight_max": 10_000}}
        else:
            pods = {"workers": {"threads": max(4, math.ceil(held / share / replicas)), "queue": 64}}
        return {"pods": pods, "replicas": replicas, "max_replicas": 8 * replicas}

    def file(self, truth, faults, factors, kind):
        services = {}
        for name in sorted(self.layer, key=lambda name: self.layer[name]):
            operations = {}
            for key in self.of(name):
                calls = []
                for callee, count in self.operations[key]["calls"]:
                    who = {"service": callee[0], "operation": callee[1]} if callee in self.operations else {"peer": callee, "span": "SELECT"}
                    calls.append({**who, "count": count})
                operations[key[1]] = {"own_ms": self.operations[key]["own_ms"], "calls": calls}
            sized = self.size(name, self.room.get(name, factors), kind)
            balance = {"balance": "round_robin"} if kind == "bad_instance" else {}
            services[name] = {**sized, **balance, "operations": operations}
        entries = []
        for key, rate in self.entries.items():
            shapes = [{"noise": {"sigma": 0.05, "every_s": 5}}]
            if factors.get(key, 1.0) > 1.0:
                rise_s = self.chance.uniform(2, 10)
                shapes.append({"burst": {"at_s": ONSET_S, "rise_s": rise_s, "hold_s": 120, "fall_s": 10, "factor": factors[key]}})
            objective = {"latency_ms": round(self.chance.uniform(3, 5) * self.time_ms(key) + 30)}
            traffic = {"rate": round(rate, 1), "shapes": shapes}
            entries.append({"service": key[0], "operation": key[1], "objective": objective, "traffic": traffic})
        truth = {"targets": [], "onset_s": ONSET_S, **truth}
        return {
            "description": f"A drawn system: {kind}.",
            "horizon_s": 305,
            "truth": truth,
            "services": services,
            "peers": self.peers,
            "faults": faults,
            "entries": entries,
        }


def draw(kind, seed):
    """The scenario of this kind and seed."""
    chance = random.Random(f"{kind} {seed}")
    while True:
        system = System(chance)
        scenario = FAULTS[kind](system, chance)
        if scenario is not None:
            return scenario


def worth_naming(system, least=0.0):
    """Services below the first layer that are asked enough, and whose time is felt by who asks first."""
    rates = system.rates()
    for name, level in system.layer.items():
        asked = sum(rates[key] for key in system.of(name))
        felt = max((system.operations[key]["own_ms"] for key in system.of(name)), default=0)
        if level > 0 and asked >= 20 and felt >= least and system.entries_to(name):
            yield name


def pick(system, chance, least=0.0):
    names = sorted(worth_naming(system, least))
    return chance.choice(names) if names else None


def saturated(system, chance):
    culprit = pick(system, chance, 8)
    if culprit is None:
        return None
    factor = chance.uniform(4, 8)
    factors = {entry: factor for entry in system.entries_to(culprit)}
    # All others have room for the burst.
    system.room = {culprit: {}}
    return system.file({"targets": [culprit], "verdict": "saturated"}, [], factors, "saturated")


def slow_dependency(system, chance):
    callers = sorted({(key[0], callee) for key in system.operations for callee, _ in system.operations[key]["calls"] if callee in system.peers})
    rates = system.rates()
    asked = lambda service, peer: sum(rates[key] for key in system.of(service) if any(c == peer for c, _ in system.operations[key]["calls"]))
    callers = [(service, peer) for service, peer in callers if asked(service, peer) >= 15 and system.entries_to(service)]
    if not callers:
        return None
    service, peer = chance.choice(callers)
    slowest = max(system.time_ms(entry) for entry in system.entries_to(service))
    factor = min(1000, round(8 * slowest / system.peers[peer]["latency_ms"] + 20))
    fault = {"slow_peer": {"peer": peer, "factor": factor, "from_s": ONSET_S, "to_s": 400}}
    return system.file({"verdict": "slow_dependency", "at": [service]}, [fault], {}, "slow_dependency")


def bad_instance(system, chance):
    culprit = pick(system, chance, 10)
    if culprit is None:
        return None
    own_ms = max(system.operations[key]["own_ms"] for key in system.of(culprit))
    slowest = max(system.time_ms(entry) for entry in system.entries_to(culprit))
    factor = round(8 + 6 * slowest / own_ms)
    fault = {"slow_pod": {"service": culprit, "pod": chance.randint(0, 2), "factor": factor, "from_s": ONSET_S, "to_s": 400}}
    return system.file({"verdict": "bad_instance", "at": [culprit]}, [fault], {}, "bad_instance")


def release(kind, factor_of, truth_of):
    def make(system, chance):
        culprit = pick(system, chance, 10)
        if culprit is None:
            return None
        factor = factor_of(system, chance, culprit)
        # The new version finds room: it is slow, not short of pods.
        room = {entry: max(1.0, factor) for entry in system.entries_to(culprit)}
        system.room = {culprit: room, **{name: room for name in system.layer}}
        fault = {"release": {"service": culprit, "version": "v2", "factor": round(factor, 2), "at_s": ONSET_S}}
        return system.file(truth_of(culprit), [fault], {}, kind)

    return make


def slow_factor(system, chance, culprit):
    own_ms = max(system.operations[key]["own_ms"] for key in system.of(culprit))
    slowest = max(system.time_ms(entry) for entry in system.entries_to(culprit))
    return min(12.0, chance.uniform(2, 3) + 6 * slowest / own_ms)


def failing(system, chance):
    culprit = pick(system, chance)
    if culprit is None:
        return None
    rates = system.rates()
    operation = max(system.of(culprit), key=lambda key: rates[key])[1]
    share = round(chance.uniform(0.2, 0.6), 2)
    fault = {"failing_operation": {"service": culprit, "operation": operation, "share": share, "from_s": ONSET_S, "to_s": 400}}
    return system.file({"verdict": "failing", "at": [culprit]}, [fault], {}, "failing")


def early_return(system, chance):
    rates = system.rates()
    # Often enough for a share to show in some seconds.
    callers = [key for key, known in system.operations.items() if known["calls"] and system.layer[key[0]] > 0 and rates[key] >= 5]
    if not callers:
        return None
    service, operation = chance.choice(sorted(callers))
    share = round(chance.uniform(0.2, 0.6), 2)
    fault = {"early_return": {"service": service, "operation": operation, "share": share, "from_s": ONSET_S, "to_s": 400}}
    return system.file({"verdict": "failing", "at": [service]}, [fault], {}, "early_return")


def amplification(system, chance):
    rates = system.rates()
    pairs = []
    for key in system.operations:
        for callee, _ in system.operations[key]["calls"]:
            enough = callee in system.operations and rates[key] >= 15 and system.operations[callee]["own_ms"] >= 10
            if enough and system.layer[key[0]] > 0:
                pairs.append((key[0], callee[0]))
    if not pairs:
        return None
    caller, callee = chance.choice(sorted(set(pairs)))
    factor = chance.randint(5, 8)
    # Whom the callee calls has room for as many calls.
    below = set().union(*(system.reached(key) for key in system.of(callee))) - set(system.of(callee))
    system.room = {name: {entry: float(factor) for entry in system.entries} for name, _ in below if name != callee}
    fault = {"release": {"service": caller, "version": "v2", "at_s": ONSET_S, "calls": {callee: factor}}}
    return system.file({"targets": [callee], "verdict": "amplification", "at": [callee]}, [fault], {}, "amplification")


def none(system, chance):
    return system.file({"verdict": "healthy"}, [], {}, "none")


FAULTS = {
    "saturated": saturated,
    "slow_dependency": slow_dependency,
    "bad_instance": bad_instance,
    "regression": release("regression", slow_factor, lambda culprit: {"verdict": "regression", "at": [culprit]}),
    "failing": failing,
    "amplification": amplification,
    "early_return": early_return,
    "none": none,
    "harmless": release("harmless", lambda *_: 1.0, lambda _: {"verdict": "healthy"}),
}

if __name__ == "__main__":
    print(json.dumps(draw(sys.argv[1], int(sys.argv[2])), indent=1))
