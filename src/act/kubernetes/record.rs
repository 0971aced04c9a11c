//! What headroom writes on the objects it changes: the open intervention, and what its floor stood at before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use ring::digest::{SHA256, digest};

use crate::action::{self, Place, Slot};
use crate::model::InterventionRecord;

/// The open intervention of the replicas as JSON, an [`InterventionRecord`]. 0.1.0 had one record an object and kept it
/// here, whatever it was of: such a record is read, and moves to its own key with the next write.
pub const INTERVENTION: &str = "headroom.dev/intervention";

/// Under which key a record stands. An entry operation is no name of an annotation: the key has its hash, the record says it.
pub fn key(place: &Place) -> String {
    let slot = place.slot.as_str();
    match place.slot {
        Slot::Replicas => INTERVENTION.to_owned(),
        // Of weights each route has its own, on the route itself.
        Slot::Pods | Slot::Cpu | Slot::Traffic | Slot::Weight => format!("{INTERVENTION}-{slot}"),
        Slot::Rate => {
            let hash = hex::encode(&digest(&SHA256, place.part.as_bytes()).as_ref()[..8]);
            format!("{INTERVENTION}-{slot}-{hash}")
        }
    }
}

/// On an autoscaler whose minimum headroom has raised: what it was, as JSON, so that it is given back whatever
/// becomes of headroom.
pub const FLOOR: &str = "headroom.dev/floor";

/// Owner of every field that headroom writes (`metadata.managedFields`).
pub const MANAGER: &str = "headroom";

/// The owner's minimum before headroom raised it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// None where the owner had set none.
    pub before: Option<u32>,
    /// What headroom wants. An external scaler is told this; elsewhere it is the autoscaler's minimum itself.
    pub wanted: u32,
}

/// What all its annotations on other people's objects begin with.
const OWN: &str = "headroom.dev/";

type Annotations = BTreeMap<String, String>;

/// The open interventions by the keys they stand under. An annotation that cannot be read, or is of a kind that this
/// version does not know, is left out.
pub fn by_key(annotations: Option<&Annotations>) -> Vec<(&str, InterventionRecord)> {
    let mut records = Vec::new();
    for (key, text) in annotations.into_iter().flatten() {
        let is_own = key.strip_prefix(INTERVENTION).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        let record = serde_json::from_str(text).ok().filter(|record| is_own && Slot::of(record).is_some());
        records.extend(record.map(|record| (key.as_str(), record)));
    }
    records
}

/// The open interventions, one of each place.
pub fn interventions(annotations: Option<&Annotations>) -> Vec<InterventionRecord> {
    let mut records = Vec::new();
    by_key(annotations).into_iter().for_each(|(_, record)| action::put(&mut records, record));
    records
}

/// The open intervention of a slot that has one at most.
pub fn intervention(annotations: Option<&Annotations>, slot: Slot) -> Option<InterventionRecord> {
    interventions(annotations).into_iter().find(|record| Slot::of(record) == Some(slot))
}

/// The open intervention of a place.
pub fn intervention_at(annotations: Option<&Annotations>, place: &Place) -> Option<InterventionRecord> {
    interventions(annotations).into_iter().find(|record| Place::of(record).as_ref() == Some(place))
}

pub fn floor(annotations: Option<&Annotations>) -> Option<Floor> {
    read(annotations, FLOOR)
}

fn read<T: serde::de::DeserializeOwned>(annotations: Option<&Annotations>, key: &str) -> Option<T> {
    serde_json::from_str(annotations?.get(key)?).ok()
}

/// The annotations that are headroom's own, whatever version wrote them. The scaler's key is not among them: it stands in
/// a trigger's metadata.
pub fn own_keys(annotations: &Annotations) -> impl Iterator<Item = &str> {
    annotations.keys().map(String::as_str).filter(|key| key.starts_with(OWN))
}

/// An annotation's place in a JSON Patch (RFC 6901).
pub fn pointer(key: &str) -> String {
    format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Details, Time};

    fn record(id: &str, details: Option<Details>) -> InterventionRecord {
        InterventionRecord {
            id: id.parse().unwrap(),
            origin: "scale_out".into(),
            reason: "auth saturates".into(),
            applied_at: Time(1),
            deadline: Time(2),
            replicas_before: 2,
            replicas_after: 9,
            waiting_ns_before: 3,
            details,
        }
    }

    fn lent(id: &str) -> InterventionRecord {
        let fields = [("factor".to_owned(), 1.5.into())].into_iter().collect();
        record(id, Some(Details { kind: "resized_cpu".into(), fields }))
    }

    fn annotations(of: &[(&str, &InterventionRecord)]) -> Annotations {
        of.iter().map(|(key, record)| ((*key).to_owned(), serde_json::to_string(record).unwrap())).collect()
    }

    #[test]
    fn each_slot_has_its_record_under_its_own_key() {
        let (scaled, lent) = (record("i-1-1", None), lent("i-2-1"));
        assert_eq!(key(&Place::of(&lent).unwrap()), "headroom.dev/intervention-cpu");
        let both = annotations(&[(INTERVENTION, &scaled), ("headroom.dev/intervention-cpu", &lent)]);
        assert_eq!(interventions(Some(&both)), [scaled.clone(), lent.clone()]);
        assert_eq!(intervention(Some(&both), Slot::Cpu), Some(lent));
        assert_eq!(intervention(Some(&both), Slot::Pods), None);
        assert_eq!(pointer(INTERVENTION), "/metadata/annotations/headroom.dev~1intervention");
    }

    #[test]
    fn each_entry_operation_whose_rate_is_limited_has_a_key_that_is_one() {
        let limited = |id: &str, entry: &str| {
            let fields = [("entry".to_owned(), entry.into()), ("per_s".to_owned(), 50.0.into())].into_iter().collect();
            record(id, Some(Details { kind: "limited_rate".into(), fields }))
        };
        let (one, other) = (limited("i-1-1", "shop POST /loan"), limited("i-2-1", "shop GET /search"));
        let keys = [&one, &other].map(|record| key(&Place::of(record).unwrap()));
        assert_ne!(keys[0], keys[1]);
        for key in &keys {
            let name = key.strip_prefix(OWN).unwrap();
            assert!(name.len() <= 63 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'), "{key}");
        }
        let both = annotations(&[(keys[0].as_str(), &one), (keys[1].as_str(), &other)]);
        assert_eq!(interventions(Some(&both)).len(), 2);
        assert_eq!(intervention_at(Some(&both), &Place::of(&other).unwrap()), Some(other));
    }

    #[test]
    fn the_single_record_of_the_first_version_is_read_whatever_it_is_of() {
        let old = annotations(&[(INTERVENTION, &lent("i-2-1"))]);
        assert_eq!(intervention(Some(&old), Slot::Cpu), Some(lent("i-2-1")));
        assert_eq!(intervention(Some(&old), Slot::Replicas), None);
    }

    #[test]
    fn nonsense_and_what_a_newer_version_wrote_are_left_out() {
        let newer = record("i-1-1", Some(Details { kind: "painted_blue".into(), fields: serde_json::Map::new() }));
        let mut of = annotations(&[("headroom.dev/intervention-route", &newer)]);
        of.insert(INTERVENTION.to_owned(), "{".to_owned());
        of.insert("headroom.dev/interventions".to_owned(), "{}".to_owned());
        assert_eq!(interventions(Some(&of)), []);
    }
}
