//! What is kept comes back the same; what is none of ours, or too old, is named and not used.

use super::*;
use crate::analyse::learned::Operations;
use crate::analyse::learned::baseline::Baseline;
use crate::analyse::learned::quarantine::Released;
use crate::analyse::rollup::by_hand::Rows;
use crate::analyse::rollup::{EdgeKey, EntryKey, HealthKey, OperationKey, PathKey, PathKind, PathSums};
use crate::analyse::trace::SegmentKind;
use crate::model::Text;

const NOW: Time = Time::from_secs(1_000_000);

/// Healthy minutes of a shop that asks a database, and of a service that hardly anybody asks.
fn healthy() -> Known {
    let mut known = Known::default();
    for second in 0..120 {
        let mut rows = Rows::default();
        for (service, requests) in [("shop", 100), ("attic", 1)] {
            let (name, operation): (Text, Text) = (service.into(), "GET /".into());
            let entry = EntryKey { second, entry: format!("{service} GET /").as_str().into(), bucket: 200 };
            Rows::add(&mut rows.entries, entry, EntrySums { requests, ..EntrySums::default() });
            let path = PathKey {
                second,
                entry: format!("{service} GET /").as_str().into(),
                missed: false,
                at_risk: false,
                service: name.clone(),
                operation: operation.clone(),
                peer: "db".into(),
                kind: PathKind::Time(SegmentKind::Peer),
            };
            Rows::add(&mut rows.paths, path, PathSums { traces: requests, exclusive_ns: 7 * requests });
            let pod = HealthKey { second, service: name.clone(), pod: "a".into(), version: "1".into() };
            Rows::add(&mut rows.health, pod, HealthSums { requests, hold_ns: 9 * requests, ..HealthSums::default() });
            let key = OperationKey { second, service: name.clone(), version: "1".into(), operation: operation.clone() };
            Rows::add(&mut rows.operations, key, OperationSums { requests, own_ns: requests, ..Default::default() });
            let edge =
                EdgeKey { second, caller: name, version: "1".into(), operation, callee: "db".into(), answered: false };
            Rows::add(
                &mut rows.edges,
                edge,
                EdgeSums { calls: requests, caller_ns: 7 * requests, ..Default::default() },
            );
        }
        let released = Released { rollups: vec![rows.tables()], tainted: Default::default() };
        known.baseline.learn(&released);
        known.operations.learn(&released);
    }
    known
}

/// What a snapshot is taken of.
#[derive(Default)]
struct Known {
    baseline: Baseline,
    operations: Operations,
}

impl Known {
    fn restore(&mut self, learnt: &Learnt) {
        self.baseline.restore(learnt);
        self.operations.restore(learnt);
    }
}

fn kept(known: &Known) -> Learnt {
    let mut learnt = Learnt { at: NOW, ..Learnt::default() };
    known.baseline.keep(&mut learnt);
    known.operations.keep(&mut learnt);
    learnt
}

#[test]
fn another_life_knows_the_same() {
    let before = healthy();
    let (document, left_out) = kept(&before).encode(BYTES_MAX);
    assert_eq!(left_out, 0);
    let learnt = Learnt::decode(&document, NOW).unwrap();
    assert_eq!(learnt, kept(&before));
    let mut after = Known::default();
    after.restore(&learnt);
    assert_eq!(kept(&after), kept(&before));
    assert_eq!(after.baseline.service("shop"), before.baseline.service("shop"));
    assert_eq!(after.baseline.crossed_by("shop GET /"), before.baseline.crossed_by("shop GET /"));
    assert!(after.baseline.knows_version(&"shop".into(), &"1".into()));
    assert_eq!(after.operations.call_ns("shop", "GET /", &"db".into()), Some(7.0));
}

#[test]
fn what_was_seen_here_goes_before_what_was_kept() {
    let mut learnt = kept(&healthy());
    for entry in learnt.entries.values_mut() {
        entry.sums.requests *= 10;
    }
    for service in learnt.services.values_mut() {
        service.healthy.as_mut().unwrap().sums.hold_ns *= 10;
    }
    let mut here = healthy();
    here.restore(&learnt);
    assert_eq!(here.baseline.service("shop"), healthy().baseline.service("shop"));
    assert_eq!(kept(&here).entries["shop GET /"], kept(&healthy()).entries["shop GET /"]);
}

#[test]
fn without_room_the_least_asked_go_first() {
    let learnt = kept(&healthy());
    let (whole, _) = learnt.encode(BYTES_MAX);
    let (document, left_out) = learnt.encode(whole.len() - 1);
    assert!(document.len() < whole.len());
    let learnt = Learnt::decode(&document, NOW).unwrap();
    assert_eq!((left_out, learnt.services.contains_key("shop")), (1, true));
}

#[test]
fn what_cannot_be_used_is_said() {
    let said = |document: &str| Learnt::decode(document, NOW).unwrap_err().to_string();
    let (document, _) = kept(&healthy()).encode(BYTES_MAX);
    assert!(said("hello").starts_with("not a snapshot of learnt state"), "{}", said("hello"));
    assert!(said(&document.replace(KIND, "ConfigMap")).contains("its kind is `ConfigMap`"));
    assert!(said(&document.replace("\"schema\":1", "\"schema\":2")).contains("snapshot schema 2 is not 1"));
    assert!(said(&document.replace("hold_ns", "held_ns")).starts_with("not a snapshot"));
    let late = |s: i64| Learnt::decode(&document, Time::from_secs(1_000_000 + s)).map(|_| ()).unwrap_err().to_string();
    assert!(late(8 * 24 * 3600).contains("more than a week ago"));
    assert!(late(-3600).contains("is in the future; check NTP"));
}

#[test]
fn what_an_older_or_a_newer_version_wrote_is_read() {
    let (document, _) = kept(&healthy()).encode(BYTES_MAX);
    // 0.1.0 named requests at risk `near`, and kept histograms.
    let older = document.replace("\"at_risk\":", "\"near\":").replace("\"paths\":", "\"buckets\":[[200,7]],\"paths\":");
    let newer = document
        .replace("\"paths\":", "\"seasons\":[],\"paths\":")
        .replace("\"healthy\":", "\"moods\":{},\"healthy\":");
    for written in [older, newer] {
        assert_ne!(written, document);
        assert_eq!(Learnt::decode(&written, NOW).unwrap(), kept(&healthy()));
    }
}

#[test]
fn of_a_service_whose_requests_were_never_seen_nothing_is_made_up() {
    let starts_only = Service { pod_starts_ms: vec![900], ..Service::default() };
    let learnt = Learnt { services: BTreeMap::from([("quiet".into(), starts_only)]), at: NOW, ..Learnt::default() };
    let mut known = Known::default();
    known.restore(&learnt);
    assert!(kept(&known).is_empty());
}
