//! Whatever rules propose and however the world turns, the guard keeps its promises.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

use super::tests::{World, everything, finding, scale_in, scale_out, workload};
use super::*;
use crate::action::{Change, Scaling};
use crate::model::{DecisionId, Pauses, ServiceId, Time};

/// What happens within one second.
#[derive(Clone, Debug)]
struct Second {
    /// Service, more or fewer, replicas asked for.
    proposals: Vec<(usize, bool, u32)>,
    needs: [Option<u32>; 3],
    paused: bool,
    blind: bool,
    observe: bool,
    low_traffic: bool,
    /// The cluster does what was permitted, or fails.
    applied: bool,
    passes_s: u64,
}

/// The last one has no workload.
const SERVICES: [&str; 4] = ["a", "b", "c", "foreign"];
const BUDGET: u32 = 25;
const WINDOW: Duration = Duration::from_secs(20);

/// The seconds of one run: busy, or so quiet that something may be given back.
fn seconds(at_most: usize) -> impl Strategy<Value = Vec<Second>> {
    let below = prop_oneof![3 => Just((30, 40)), 2 => Just((4, 4))];
    below.prop_flat_map(move |(needs, asked)| prop::collection::vec(second(needs, asked), 1..at_most))
}

/// Needs and replicas asked for are below these.
fn second(needs: u32, asked: u32) -> impl Strategy<Value = Second> {
    let proposals = prop::collection::vec((0..SERVICES.len(), any::<bool>(), 0..asked), 0..6);
    let needs = prop::array::uniform3(prop::option::weighted(0.9, 0..needs));
    let rarely = || prop::bool::weighted(0.1);
    (proposals, needs, rarely(), rarely(), rarely(), rarely(), prop::bool::weighted(0.9), 1..5u64).prop_map(
        |(proposals, needs, paused, blind, observe, low_traffic, applied, passes_s)| Second {
            proposals,
            needs,
            paused,
            blind,
            observe,
            low_traffic,
            applied,
            passes_s,
        },
    )
}

fn world() -> World {
    let mut world = World::new();
    world.guard = Guard::new(Config {
        added_replicas_max: BUDGET,
        stabilisation: WINDOW,
        scale_in_after_scale_out: Duration::from_secs(5),
        scale_in_cooldown: Duration::from_secs(2),
        panic_hold: Duration::from_secs(5),
        ..Config::default()
    });
    world.cluster.workloads = ["a", "b", "c"].map(|service| workload(service, 4, 2, 20)).to_vec();
    world
}

/// Runs the seconds and hands every review, with the world as it was, to `check`.
fn run(seconds: &[Second], mut check: impl FnMut(&World, &Second, &[Reviewed])) -> Vec<Reviewed> {
    let mut world = world();
    let mut all = Vec::new();
    for second in seconds {
        world.pauses = if second.paused { everything() } else { Pauses::default() };
        world.findings.blind = second.blind;
        world.mode = if second.observe { Mode::Observe } else { Mode::Enforce };
        world.findings.at = world.now;
        world.findings.services = ["a", "b", "c"]
            .iter()
            .zip(second.needs)
            .map(|(service, need)| {
                let mut finding = finding(service, 4, need);
                finding.low_traffic = second.low_traffic;
                finding
            })
            .collect();
        let proposal = |(service, out, to): &(usize, bool, u32)| {
            let service = SERVICES[*service];
            if *out { scale_out(service, *to) } else { scale_in(service, *to) }
        };
        let reviewed = world.review(second.proposals.iter().map(proposal).collect());
        check(&world, second, &reviewed);
        if second.applied {
            world.act(&reviewed);
        } else {
            reviewed
                .iter()
                .filter_map(|r| r.permit.as_ref())
                .for_each(|permit| world.guard.settled(permit.decision(), false));
        }
        world.now = world.now + Duration::from_secs(second.passes_s);
        all.extend(reviewed);
    }
    all
}

fn changes(reviewed: &[Reviewed]) -> impl Iterator<Item = (&ServiceId, u32, u32)> {
    reviewed.iter().filter_map(|r| {
        let Change::Scale(Scaling { service, from, to, .. }) = r.permit.as_ref()?.change() else { return None };
        Some((service, *from, *to))
    })
}

/// The properties below say nothing of a world in which nothing is permitted: enough of their cases must permit a
/// scale-out, and enough a scale-in.
#[test]
fn drawn_worlds_permit_scale_outs_and_scale_ins() {
    const CASES: u32 = 200;
    let (outs, ins) = (Cell::new(0), Cell::new(0));
    let config = ProptestConfig { cases: CASES, failure_persistence: None, ..ProptestConfig::default() };
    let count = |seconds: Vec<Second>| {
        let (mut out, mut into) = (0, 0);
        run(&seconds, |_, _, reviewed| {
            out += changes(reviewed).filter(|(_, from, to)| to > from).count();
            into += changes(reviewed).filter(|(_, from, to)| to < from).count();
        });
        outs.set(outs.get() + u32::from(out > 0));
        ins.set(ins.get() + u32::from(into > 0));
        Ok(())
    };
    TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha))
        .run(&seconds(80), count)
        .unwrap();
    let (outs, ins) = (outs.get(), ins.get());
    assert!(outs >= CASES / 2 && ins >= CASES / 5, "of {CASES} cases {outs} permit a scale-out, {ins} a scale-in");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn never_outside_the_bounds_nor_where_it_must_not_act(seconds in seconds(60)) {
        run(&seconds, |world, second, reviewed| {
            let mut targets = BTreeSet::new();
            for (service, from, to) in changes(reviewed) {
                assert!(!second.paused && !second.blind && !second.observe);
                let workload = world.cluster.workload(service.as_str()).expect("opted in");
                assert_eq!(from, workload.replicas);
                assert_ne!(from, to);
                assert!((workload.min_replicas..=workload.max_replicas).contains(&to));
                assert!(targets.insert(service.clone()), "at most one permit a target");
                assert!(!(second.low_traffic && to < from), "nothing is given back on thin telemetry");
            }
        });
    }

    #[test]
    fn never_below_a_need_of_the_window(seconds in seconds(80)) {
        let mut needs: BTreeMap<ServiceId, Vec<(Time, u32)>> = BTreeMap::new();
        run(&seconds, |world, second, reviewed| {
            for (service, need) in ["a", "b", "c"].iter().zip(second.needs) {
                if let Some(need) = need.filter(|_| !second.blind) {
                    needs.entry((*service).into()).or_default().push((world.now, need));
                }
            }
            for (service, _, to) in changes(reviewed).filter(|(_, from, to)| to < from) {
                let recent = needs[service].iter().filter(|(at, _)| *at + WINDOW >= world.now);
                let highest = recent.map(|(_, need)| *need).max().expect("a need was known");
                assert!(to >= highest, "{service} to {to}, while {highest} were needed within the window");
            }
        });
    }

    #[test]
    fn the_budget_is_never_exceeded(seconds in seconds(60)) {
        // Nobody but headroom changes replicas here, so what is above the start was added by it.
        run(&seconds, |world, _, reviewed| {
            let permitted: BTreeMap<&ServiceId, u32> = changes(reviewed).map(|(service, _, to)| (service, to)).collect();
            let added: u32 = world.cluster.workloads.iter()
                .map(|w| permitted.get(&w.service).copied().unwrap_or(w.replicas).saturating_sub(4))
                .sum();
            let grew = changes(reviewed).any(|(_, from, to)| to > from);
            assert!(!grew || added <= BUDGET, "{added} added");
        });
    }

    #[test]
    fn the_same_input_gives_the_same_output(seconds in seconds(40)) {
        let once = run(&seconds, |_, _, _| ());
        prop_assert_eq!(&once, &run(&seconds, |_, _, _| ()));
        let ids: BTreeSet<DecisionId> = once.iter().map(|r| r.decision.id).collect();
        prop_assert_eq!(ids.len(), once.len(), "ids are unique");
    }
}
