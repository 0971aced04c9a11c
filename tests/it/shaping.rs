//! A front door that asks headroom: who is turned away, for how long, and what users get.

use headroom::action::{Action, Change};
use headroom::analyse::Verdict;
use headroom::commands::demo::course;
use headroom::decide;
use headroom::guard::Outcome;
use headroom::journal::{Entry, What};
use headroom::simulate::{EntryMeasures, Measures, Order, Policy, Scenario, perfect_admission, reference};
use headroom::verify::Stage;

const SEED: u64 = 3;

struct Run {
    scenario: Scenario,
    measures: Measures,
    entries: Vec<Entry>,
}

/// A scenario with a gateway in front, to its `end_s`.
fn run(name: &str, end_s: f64) -> Run {
    let mut scenario = Scenario::by_name(name).unwrap();
    (scenario.shaping, scenario.horizon_s) = (true, end_s);
    // The last requests can end.
    scenario.truth.window_s = end_s - 5.0 - scenario.truth.onset_s;
    let mut entries = Vec::new();
    let simulation = course::run(
        &scenario,
        SEED,
        &decide::shipped(),
        None,
        |_| Ok(()),
        |moment| {
            entries.extend_from_slice(moment.entries);
            Ok(())
        },
    );
    let measures = simulation.unwrap().0.measures();
    Run { scenario, measures, entries }
}

impl Run {
    fn of(&self, operation: &str) -> &EntryMeasures {
        self.measures.entries.iter().find(|entry| entry.operation == operation).unwrap()
    }

    fn client(&self, client: &str) -> &EntryMeasures {
        self.measures.entries.iter().find(|entry| entry.client == client).unwrap()
    }

    /// Services that requests were kept from, and scaled out.
    fn permitted(&self) -> (Vec<String>, Vec<String>) {
        let (mut shed, mut scaled) = (Vec::new(), Vec::new());
        for entry in &self.entries {
            let What::Decided { decision } = &entry.what else { continue };
            if !matches!(decision.outcome, Outcome::Permitted { .. }) {
                continue;
            }
            match &decision.proposal.action {
                Action::Shed(shedding) => shed.push(shedding.service.to_string()),
                Action::ScaleOut(scaling) => scaled.push(scaling.service.to_string()),
                _ => {}
            }
        }
        (shed, scaled)
    }

    fn orders(&self) -> Vec<Order> {
        let start = self.entries[0].at;
        let order = |entry: &Entry| match &entry.what {
            What::Acted { change: Change::Scale(scaling), error: None, .. } => Some(Order {
                at_s: entry.at.seconds_since(start),
                service: scaling.service.name().into(),
                replicas: scaling.to,
            }),
            _ => None,
        };
        self.entries.iter().filter_map(order).collect()
    }

    fn ends_of_shedding(&self) -> Vec<(f64, Stage)> {
        let start = self.entries[0].at;
        let ended = |entry: &Entry| match &entry.what {
            What::Intervention { report } if report.stage.is_end() && report.from == report.to => {
                Some((entry.at.seconds_since(start), report.stage))
            }
            _ => None,
        };
        self.entries.iter().filter_map(ended).collect()
    }
}

fn share(part: u64, all: u64) -> f64 {
    part as f64 / all.max(1) as f64
}

#[test]
fn beyond_capacity_the_low_priority_goes_and_submits_are_kept() {
    let run = run("beyond-capacity", 150.0);
    let (shed, scaled) = run.permitted();
    assert!(!shed.is_empty() && shed.iter().all(|service| service == "auth"), "{shed:?}");
    assert_eq!(scaled, [""; 0]);
    let [submits, videos] = ["POST /exam/{id}/submit", "GET /video/{id}"].map(|operation| run.of(operation));
    assert!(submits.violation_share < 0.1, "{submits:?}");
    assert_eq!(videos.shed, 0, "they do not cross auth: {videos:?}");
    // The door lets in what auth can do, and hardly anything is refused there or given up after that.
    let logins = run.of("POST /login");
    assert!(share(logins.shed, logins.requests) > 0.5, "{logins:?}");
    assert!(share(logins.refused + logins.timed_out, logins.requests) < 0.1, "{logins:?}");
}

#[test]
fn a_metastable_overload_ends_with_its_cause() {
    let run = run("metastable", 120.0);
    let without = reference(&run.scenario, SEED, Policy::Without, 120.0).measures();
    assert_eq!(without.recovered_s, None, "left alone it lasts");
    let (with_us, alone) = (run.measures.slo_violation_share, without.slo_violation_share);
    assert!(run.measures.recovered_s.is_some(), "{with_us} of {alone}");
    assert!(with_us < 0.6 * alone, "{with_us} of {alone}");
    let ends = run.ends_of_shedding();
    assert!(ends.iter().any(|(_, stage)| *stage == Stage::GivenBack), "and the limit is gone: {ends:?}");
}

#[test]
fn of_two_tenants_the_one_that_floods_is_shed() {
    let run = run("noisy-tenant", 140.0);
    let [north, south] = ["north", "south"].map(|client| run.client(client));
    assert!(share(north.shed, north.requests) > 0.4, "{north:?}");
    assert!(share(south.shed, south.requests) < 0.05 && south.violation_share < 0.2, "{south:?}");
}

#[test]
fn a_locked_database_sheds_pages_alone_and_scales_nothing() {
    let run = run("locked-database", 150.0);
    let (shed, scaled) = run.permitted();
    assert_eq!(scaled, [""; 0]);
    assert!(shed.iter().all(|service| service == "content-api"), "{shed:?}");
    for operation in ["POST /login", "POST /exam/{id}/submit", "GET /video/{id}"] {
        assert_eq!(run.of(operation).shed, 0, "{operation}");
    }
}

#[test]
fn nothing_is_shed_where_there_is_room() {
    for (name, end_s) in [("calm", 100.0), ("bad-pod", 100.0)] {
        let run = run(name, end_s);
        assert_eq!(run.permitted().0, [""; 0], "{name}");
        assert!(run.measures.entries.iter().all(|entry| entry.shed == 0), "{name}");
    }
}

#[test]
fn what_is_shed_is_part_of_the_need() {
    let run = run("exam-start", 150.0);
    let (shed, scaled) = run.permitted();
    assert!(!shed.is_empty() && !scaled.is_empty(), "{shed:?} {scaled:?}");
    let mut findings = run.entries.iter().filter_map(|entry| match &entry.what {
        What::Found { findings } => Some(findings),
        _ => None,
    });
    let last = findings.next_back().unwrap();
    assert_ne!(last.verdict(), Verdict::Saturated);
    assert!(!run.ends_of_shedding().is_empty(), "the limit is gone once the pods are there");
    // With the same pods nobody does better than who knows what they can serve, and that one turns away and is not refused.
    let best = perfect_admission(&run.scenario, SEED, &run.orders());
    let refused: u64 = best.entries.iter().map(|entry| entry.refused).sum();
    assert!(best.slo_violation_share < run.measures.slo_violation_share && best.shed > 0, "{best:?}");
    assert!(share(refused, best.requests) < 0.01, "{best:?}");
}

#[test]
fn a_slow_canary_gets_fewer_requests_and_nothing_else_is_done() {
    let run = run("bad-canary", 200.0);
    let without = reference(&run.scenario, SEED, Policy::Without, 200.0).measures();
    let (with_us, alone) = (run.measures.slo_violation_share, without.slo_violation_share);
    assert!(with_us < alone / 5.0, "{with_us} of {alone}");
    let (shed, scaled) = run.permitted();
    assert_eq!((shed, scaled), (vec![], vec![]), "more pods, or fewer requests in all, would not help");
    let shift = |entry: &Entry| match &entry.what {
        What::Acted { change: Change::ShiftWeight(shift), error: None, .. } => Some(shift.clone()),
        _ => None,
    };
    let shifts: Vec<_> = run.entries.iter().filter_map(shift).collect();
    let weights = |of: &[(String, u32)]| of.iter().map(|(_, weight)| *weight).collect::<Vec<_>>();
    assert!(shifts.iter().all(|shift| weights(&shift.from)[0].abs_diff(weights(&shift.to)[0]) <= 50), "{shifts:?}");
    let ends: Vec<(String, u32)> = vec![("exam-api-v1".into(), 100), ("exam-api-v2".into(), 0)];
    assert_eq!(shifts.last().unwrap().to, ends);
}
