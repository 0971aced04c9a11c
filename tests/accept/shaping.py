#!/usr/bin/env python3
"""`make accept-shaping`: what shaping traffic must show, measured.

    shaping.py [--only ITEM…] [--seeds N] [--seconds S] [--rounds N]

Item 1 needs what tests/real/setup.sh brings (front.py), item 2 the examples of the release build (answers.py), item 4 the programs of tests/control-plane/build.sh. HEADROOM_BIN names another program than the release build.
"""

import argparse
import random

import answers
import front
from scorecard import Scorecard, played, run_tests

SUBMIT = "POST /exam/{id}/submit"
# What a scenario needs for its recovery to be looked at.
AFTER_TRIGGER_S = 20


def entry(summary, operation=None, client=""):
    of = [e for e in summary["entries"] if operation in (None, e["operation"]) and client in ("", e.get("client", ""))]
    return of[0]


def shed_share(one):
    return one["shed"] / max(1, one["requests"])


def of_kind(actions, *kinds):
    return [action for action in actions if action["action"] in kinds]


# 3. The simulator, on seeds nobody has looked at.


def beyond_capacity(card, name, actions, summary):
    submits, videos = entry(summary, SUBMIT), entry(summary, "GET /video/{id}")
    card.at_most(f"{name}.submit_violations", submits["violation_share"], "share", 0.05)
    card.equal(f"{name}.videos_shed", videos["shed"], "requests", 0)
    card.equal(f"{name}.scaled", len(of_kind(actions, "scale_out")), "actions", 0)
    card.equal(f"{name}.wrong_actions", summary["wrong_actions"], "actions", 0)


def storm(card, name, actions, summary):
    recovered, onset = summary["recovered_s"], summary["onset_s"]
    trigger = summary["trouble_ends_s"] - onset
    after = None if recovered is None else max(0.0, recovered - trigger)
    card.at_most(f"{name}.over_after_trigger", after, "s", AFTER_TRIGGER_S)
    without = summary["slo_violation_share_without"]
    card.at_most(f"{name}.violations_of_doing_nothing", summary["slo_violation_share"] / max(without, 1e-9), "x", 0.5)


def locked_database(card, name, actions, summary):
    card.equal(f"{name}.scaled", len(of_kind(actions, "scale_out")), "actions", 0)
    others = sum(e["shed"] for e in summary["entries"] if e["operation"] != "GET /course/{id}/page")
    card.equal(f"{name}.others_shed", others, "requests", 0)
    card.equal(f"{name}.wrong_actions", summary["wrong_actions"], "actions", 0)


def bad_release(card, name, actions, summary):
    # A canary: of a release that has rolled there is no other version to go back to.
    card.equal(f"{name}.scaled", len(of_kind(actions, "scale_out")), "actions", 0)
    without = summary["slo_violation_share_without"]
    card.at_most(f"{name}.violations_of_doing_nothing", summary["slo_violation_share"] / max(without, 1e-9), "x", 0.2)


def noisy_tenant(card, name, _actions, summary):
    north, south = entry(summary, client="north"), entry(summary, client="south")
    card.at_least(f"{name}.flooding_tenant_shed", shed_share(north), "share", 0.4)
    card.at_most(f"{name}.other_tenant_shed", shed_share(south), "share", 0.02)


def no_limit(card, name, actions, summary):
    card.equal(f"{name}.limits", len(of_kind(actions, "shed", "limit_rate")), "actions", 0)
    card.equal(f"{name}.shed", sum(e["shed"] for e in summary["entries"]), "requests", 0)


SCENARIOS = {
    "beyond-capacity": beyond_capacity,
    "retry-storm": storm,
    "metastable": storm,
    "locked-database": locked_database,
    "bad-canary": bad_release,
    "noisy-tenant": noisy_tenant,
    "calm": no_limit,
}


def item_3(card, seeds):
    for scenario, name, actions, summary in played(card, 3, SCENARIOS, seeds, "--shape"):
        SCENARIOS[scenario](card, name, actions, summary)


# 5. Shed and scale together.

TOGETHER = ("exam-start", "login-storm")


def item_5(card, seeds):
    alone = {}
    for _, name, _, summary in played(card, 5, TOGETHER, seeds):
        alone[name] = summary
    for _, name, _, summary in played(card, 5, TOGETHER, seeds, "--shape"):
        if name not in alone:
            continue
        scaled, best = alone[name]["slo_violation_share"], summary["slo_violation_share_shed_onset"]
        way = (scaled - summary["slo_violation_share"]) / max(scaled - best, 1e-9)
        card.at_least(f"{name}.way_to_shed_onset", way, f"of_{scaled:.4f}_to_{best:.4f}", 0.7)
        pods = summary["pod_seconds"] / max(alone[name]["pod_seconds"], 1e-9)
        card.at_most(f"{name}.pod_seconds", pods, "of_scale_out_alone", 1.05)


# 4. Weights on the real API server.


def item_4(card):
    """HTTPRoutes of the Gateway API on a real control plane: steps, expiry after a kill at each of ten points, others' routes, the owner's edit."""
    run_tests(card, "4.weights", "kubernetes::weights", env={"HEADROOM_KILLS": "10"})


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", type=int, default=[1, 2, 3, 4, 5])
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=60, help="of item 1: how long three times as much comes as fits")
    parser.add_argument("--without-filters", action="store_true", help="of item 1: headroom alone, nothing beside it")
    parser.add_argument("--rounds", type=int, default=5, help="of item 2")
    args = parser.parse_args()
    card = Scorecard("shaping")
    seeds = random.sample(range(1000, 100_000), args.seeds)
    for item in args.only:
        if item == 1:
            front.item_1(card, args.seconds, args.without_filters)
        elif item == 2:
            answers.item_2(card, args.rounds, seconds=8)
        elif item == 3:
            item_3(card, seeds)
        elif item == 5:
            item_5(card, seeds)
        elif item == 4:
            item_4(card)
    raise SystemExit(card.finish())


if __name__ == "__main__":
    main()
