"""The course of one run, read from its journal: what was named in each tick, what was told, which restarts were asked for.

A tick is right when something that the scenario expects is named and nothing else is; wrong when something else is named.
`unknown` at an expected service, and nothing at all, is neither.
"""

import json

START_NS = 1_767_600_000_000_000_000  # where demos begin (src/commands/scenario.rs)
RESTART = "restart_pod"


def entries(path):
    with open(path) as lines:
        for line in lines:
            yield json.loads(line)


def name_of(service):
    """Without namespace and cluster."""
    return service.rsplit("/", 1)[-1]


def ticks(path):
    """(second, {(service, verdict), …}) after each tick: bottlenecks of endpoints that miss their objective."""
    at, named, all_of_it = None, set(), []
    for entry in entries(path):
        if entry["what"] == "ticked":
            if at is not None:
                all_of_it.append((at, named))
            at = (entry["at"] - START_NS) / 1e9
        elif entry["what"] == "found":
            named = {(name_of(b["service"]), b["verdict"]) for b in entry["findings"]["bottlenecks"]}
    if at is not None:
        all_of_it.append((at, named))
    return all_of_it


def decisions(path):
    """(second, action, service, pod, verdict, outcome) of whatever a rule proposed."""
    for entry in entries(path):
        if entry["what"] == "decided":
            proposal = entry["decision"]["proposal"]
            action = proposal["action"]
            second = (entry["at"] - START_NS) / 1e9
            outcome = entry["decision"]["outcome"]
            outcome = outcome if isinstance(outcome, str) else next(iter(outcome))
            yield second, action["action"], name_of(action["service"]), action.get("pod"), proposal["verdict"], outcome


def staying(path, summary):
    """How a run went: counts of ticks and whatever was proposed wrongly."""
    onset = summary["onset_s"]
    expected = {(finding["service"], finding["verdict"]) for finding in summary["findings"]}
    services = {service for service, _ in expected}
    every = ticks(path)
    recovered = summary["recovered_s"]
    # From here on every request that starts is within its objective, but for the 1 % that may miss it.
    healthy_from = None if not recovered else onset + recovered
    end = summary["trouble_ends_s"]
    is_other = lambda named: any(one not in expected and (one[1] != "unknown" or one[0] not in services) for one in named)
    is_right = lambda named: bool(named & expected) and not is_other(named)
    first = next((at for at, named in every if at >= onset and is_right(named)), None)
    trouble_to = min(at for at in (end, healthy_from, every[-1][0]) if at is not None)
    counted = {
        "first_right_s": None if first is None else first - onset,
        "ticks": 0,
        "right": 0,
        "another": 0,
        "another_twice": 0,
        "another_before": sum(is_other(named) for at, named in every if at < (first or trouble_to)),
        "backlog": 0,
        "backlog_same": 0,
        "named_after": 0,
    }
    was_other = False
    for at, named in every:
        if first is not None and first <= at <= trouble_to:
            counted["ticks"] += 1
            counted["right"] += is_right(named)
            counted["another"] += is_other(named)
            counted["another_twice"] += is_other(named) and was_other
        elif at > trouble_to and healthy_from is not None and at <= healthy_from:
            counted["backlog"] += 1
            counted["backlog_same"] += all(service in services for service, _ in named)
        elif healthy_from is not None and at > healthy_from + 10:
            counted["named_after"] += bool(named)
        was_other = is_other(named)
    bad = summary["bad_pods"]
    asked = list(decisions(path))
    restarts = [d for d in asked if d[1] == RESTART and d[3] not in bad]
    counted["healthy_restarts_proposed"] = len({(service, pod) for _, _, service, pod, _, _ in restarts})
    counted["healthy_restarts_permitted"] = sum(d[5] == "permitted" for d in restarts)
    notices = [d for d in asked if d[1] == "notify" and d[5] in ("notified", "permitted", "observed")]
    wrong = [d for d in notices if not is_right_notice(d, expected, services)]
    counted["notices"], counted["wrong_notices"] = len(notices), len(wrong)
    counted["wrong"] = [(round(at, 1), service, verdict) for at, _, service, _, verdict, _ in wrong][:10]
    others = sorted({one for _, named in every for one in named if one not in expected})
    counted["others"] = others[:10]
    return counted


def is_right_notice(decision, expected, services):
    """What a person is told is right when service and verdict are; a target at its maximum may be told to be that."""
    _, _, service, _, verdict, _ = decision
    return (service, verdict) in expected or (verdict == "exhausted" and (service, "saturated") in expected)
