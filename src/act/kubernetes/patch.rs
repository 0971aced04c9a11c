//! One change as one JSON Patch (RFC 6902): every field is tested before it is replaced, the object's version too, and
//! the record of the intervention goes with it. Whole or not at all.

use kube::ResourceExt;
use kube::api::DynamicObject;
use serde_json::{Value, json};

use super::lever::{Means, value};
use super::record::{self, FLOOR, Floor, INTERVENTION, pointer};
use crate::action::{Place, Slot};
use crate::model::{InterventionId, InterventionRecord};

/// The patch that moves the lever to `to` replicas, on the object as it is.
pub fn scale(means: Means, live: &DynamicObject, to: u32, record: &InterventionRecord) -> Value {
    let mut patch = Patch::on(live);
    let floor = record::floor(live.metadata.annotations.as_ref()).filter(|_| means.is_floor());
    let before = floor.map_or_else(|| owner_value(means, live), |floor| floor.before);
    // A floor that comes down to what the owner had is given back whole.
    let back = means.is_floor() && floor.is_some() && to <= before.unwrap_or(1);
    if let Some(field) = means.field() {
        let wanted = if back { before } else { Some(to) };
        patch.set(field, value(means, live).map(Value::from), wanted.map(Value::from));
    }
    if back {
        patch.remove_annotation(FLOOR);
    } else if means.is_floor() {
        patch.annotate(FLOOR, &Floor { before, wanted: to });
    }
    patch.record(record);
    patch.done()
}

/// The patch that records an intervention and changes nothing else: what it does is done to pods.
pub fn note(live: &DynamicObject, record: &InterventionRecord) -> Value {
    let mut patch = Patch::on(live);
    patch.record(record);
    patch.done()
}

/// The patch that carries out these operations and records an intervention.
pub fn with_record(live: &DynamicObject, operations: Vec<Value>, record: &InterventionRecord) -> Value {
    let mut patch = Patch::on(live);
    patch.operations.extend(operations);
    patch.record(record);
    patch.done()
}

/// The patch that carries out these operations and takes off all annotations that are headroom's.
pub fn without_own(live: &DynamicObject, operations: Vec<Value>) -> Value {
    let mut patch = Patch::on(live);
    patch.operations.extend(operations);
    patch.remove_own();
    patch.done()
}

/// The patch that removes the record of an intervention and leaves the rest.
pub fn close(live: &DynamicObject, intervention: InterventionId) -> Value {
    let mut patch = Patch::on(live);
    for (key, record) in record::by_key(live.metadata.annotations.as_ref()) {
        if record.id == intervention {
            patch.remove_annotation(key);
        }
    }
    patch.done()
}

/// Takes off all that is headroom's. A floor that nobody changed goes back to what its owner had; with `replicas`, a
/// workload to what it had before an intervention that is still open.
pub fn give_back(means: Means, live: &DynamicObject, replicas: bool) -> Value {
    let mut patch = Patch::on(live);
    let annotations = live.metadata.annotations.as_ref();
    let has = value(means, live);
    if let Some(field) = means.field().filter(|_| means.is_floor())
        && let Some(floor) = record::floor(annotations).filter(|floor| has == Some(floor.wanted))
    {
        patch.set(field, has.map(Value::from), floor.before.map(Value::from));
    }
    if let (Means::Replicas, Some(field), true) = (means, means.field(), replicas)
        && let Some(open) =
            record::intervention(annotations, Slot::Replicas).filter(|of| has == Some(of.replicas_after))
    {
        patch.set(field, has.map(Value::from), Some(Value::from(open.replicas_before)));
    }
    patch.remove_own();
    patch.done()
}

/// The same replicas through the scale subresource: sent as a dry run alone, for policies that match it.
pub fn scale_subresource(from: u32, to: u32) -> Value {
    json!([
        {"op": "test", "path": "/spec/replicas", "value": from},
        {"op": "replace", "path": "/spec/replicas", "value": to},
    ])
}

/// The owner's minimum while headroom has raised none.
fn owner_value(means: Means, live: &DynamicObject) -> Option<u32> {
    match means {
        Means::ExternalScaler => value(Means::KedaMinimum, live),
        _ => value(means, live),
    }
}

struct Patch<'a> {
    live: &'a DynamicObject,
    operations: Vec<Value>,
}

impl<'a> Patch<'a> {
    fn on(live: &'a DynamicObject) -> Patch<'a> {
        let version = live.resource_version();
        let mut operations = vec![json!({"op": "test", "path": "/metadata/resourceVersion", "value": version})];
        if live.metadata.annotations.is_none() {
            operations.push(json!({"op": "add", "path": "/metadata/annotations", "value": {}}));
        }
        Patch { live, operations }
    }

    fn set(&mut self, path: &str, old: Option<Value>, new: Option<Value>) {
        if let Some(old) = &old {
            self.operations.push(json!({"op": "test", "path": path, "value": old}));
        }
        match (old, new) {
            (_, Some(new)) => self.operations.push(json!({"op": "add", "path": path, "value": new})),
            (Some(_), None) => self.operations.push(json!({"op": "remove", "path": path})),
            (None, None) => {}
        }
    }

    fn annotate(&mut self, key: &str, value: &impl serde::Serialize) {
        // Numbers, texts and times of our own always serialise.
        let value = serde_json::to_string(value).unwrap_or_default();
        self.operations.push(json!({"op": "add", "path": pointer(key), "value": value}));
    }

    /// Puts a record under the key of its place. One of another slot that 0.1.0 put under the key of replicas moves to its
    /// own key.
    fn record(&mut self, record: &InterventionRecord) {
        let place = Place::of(record).unwrap_or(Place { slot: Slot::Replicas, part: String::new() });
        let old = record::by_key(self.live.metadata.annotations.as_ref()).into_iter();
        let old = old.filter(|(key, _)| *key == INTERVENTION).find_map(|(_, old)| Some((Place::of(&old)?, old)));
        if let Some((of, old)) = old.filter(|(of, _)| of.slot != Slot::Replicas) {
            if of != place {
                self.annotate(&record::key(&of), &old);
            }
            if place.slot != Slot::Replicas {
                self.remove_annotation(INTERVENTION);
            }
        }
        self.annotate(&record::key(&place), record);
    }

    fn remove_annotation(&mut self, key: &str) {
        if self.live.annotations().contains_key(key) {
            self.operations.push(json!({"op": "remove", "path": pointer(key)}));
        }
    }

    fn remove_own(&mut self) {
        let own: Vec<String> = record::own_keys(self.live.annotations()).map(str::to_owned).collect();
        own.iter().for_each(|key| self.remove_annotation(key));
    }

    fn done(self) -> Value {
        Value::Array(self.operations)
    }
}

#[cfg(test)]
mod tests {
    use kube::api::ApiResource;

    use super::*;
    use crate::act::kubernetes::objective::ServiceObjective;
    use crate::model::{Details, Time};

    fn object(spec: Value, annotations: Option<Value>) -> DynamicObject {
        let mut object = DynamicObject::new("auth", &ApiResource::erase::<ServiceObjective>(&()));
        object.metadata.resource_version = Some("41".into());
        object.metadata.annotations = annotations.map(|of| serde_json::from_value(of).unwrap());
        object.data = json!({"spec": spec});
        object
    }

    fn record() -> InterventionRecord {
        InterventionRecord {
            id: "i-1-1".parse().unwrap(),
            origin: "r".into(),
            reason: "it saturates".into(),
            applied_at: Time(1),
            deadline: Time(2),
            replicas_before: 2,
            replicas_after: 9,
            waiting_ns_before: 0,
            details: None,
        }
    }

    /// Each operation as `op path=value`; the record's own text is left out.
    fn told(patch: Value) -> Vec<String> {
        let operation = |of: &Value| {
            let (op, path) = (of["op"].as_str().unwrap(), of["path"].as_str().unwrap());
            let path = path.trim_start_matches("/metadata/annotations/headroom.dev~1");
            match path {
                "intervention" | "intervention-cpu" => format!("{op} {path}"),
                _ if of["value"].is_null() => format!("{op} {path}"),
                _ => format!("{op} {path}={}", of["value"].as_str().map_or(of["value"].to_string(), str::to_owned)),
            }
        };
        patch.as_array().unwrap().iter().map(operation).collect()
    }

    #[test]
    fn replicas_are_tested_then_set_with_the_record_in_one_write() {
        let patch = scale(Means::Replicas, &object(json!({"replicas": 2}), None), 9, &record());
        let expected = [
            "test /metadata/resourceVersion=41",
            "add /metadata/annotations={}",
            "test /spec/replicas=2",
            "add /spec/replicas=9",
            "add intervention",
        ];
        assert_eq!(told(patch), expected);
    }

    #[test]
    fn a_floor_remembers_what_the_owner_had_through_every_step_and_is_given_back() {
        let first = scale(Means::HpaMinimum, &object(json!({"minReplicas": 2}), Some(json!({}))), 9, &record());
        let expected = [
            "test /metadata/resourceVersion=41",
            "test /spec/minReplicas=2",
            "add /spec/minReplicas=9",
            r#"add floor={"before":2,"wanted":9}"#,
            "add intervention",
        ];
        assert_eq!(told(first), expected);
        let raised = object(json!({"minReplicas": 9}), Some(json!({FLOOR: r#"{"before":2,"wanted":9}"#})));
        let lower = told(scale(Means::HpaMinimum, &raised, 4, &record()));
        assert_eq!(lower[2..4], ["add /spec/minReplicas=4", r#"add floor={"before":2,"wanted":4}"#]);
        let back = told(scale(Means::HpaMinimum, &raised, 2, &record()));
        assert_eq!(back[2..], ["add /spec/minReplicas=2", "remove floor", "add intervention"]);
    }

    #[test]
    fn a_minimum_that_was_not_set_is_removed_again() {
        let raised = object(json!({"minReplicaCount": 9}), Some(json!({FLOOR: r#"{"before":null,"wanted":9}"#})));
        let back = told(scale(Means::KedaMinimum, &raised, 1, &record()));
        assert_eq!(back[2..], ["remove /spec/minReplicaCount", "remove floor", "add intervention"]);
    }

    #[test]
    fn an_external_scaler_is_told_by_an_annotation_and_no_field_drifts() {
        let owner = object(json!({"minReplicaCount": 3}), Some(json!({})));
        let patch = told(scale(Means::ExternalScaler, &owner, 9, &record()));
        assert_eq!(patch[1..], [r#"add floor={"before":3,"wanted":9}"#, "add intervention"]);
    }

    fn lent() -> InterventionRecord {
        let fields = [("factor".to_owned(), 1.5.into())].into_iter().collect();
        let details = Some(Details { kind: "resized_cpu".into(), fields });
        InterventionRecord { id: "i-2-1".parse().unwrap(), replicas_after: 2, details, ..record() }
    }

    #[test]
    fn a_scale_out_leaves_the_record_of_lent_cpu_where_it_is_and_closing_takes_one_alone() {
        let text = |record: &InterventionRecord| serde_json::to_string(record).unwrap();
        let lending = object(json!({"replicas": 2}), Some(json!({"headroom.dev/intervention-cpu": text(&lent())})));
        let out = told(scale(Means::Replicas, &lending, 9, &record()));
        assert_eq!(out[1..], ["test /spec/replicas=2", "add /spec/replicas=9", "add intervention"]);
        let both = json!({INTERVENTION: text(&record()), "headroom.dev/intervention-cpu": text(&lent()), "other": "x"});
        let both = object(json!({"replicas": 9}), Some(both));
        assert_eq!(told(close(&both, record().id))[1..], ["remove intervention"]);
        assert_eq!(told(close(&both, lent().id))[1..], ["remove intervention-cpu"]);
    }

    #[test]
    fn a_record_that_the_first_version_left_under_the_one_key_moves_to_its_own() {
        let text = serde_json::to_string(&lent()).unwrap();
        let old = object(json!({"replicas": 2}), Some(json!({INTERVENTION: text})));
        let out = told(scale(Means::Replicas, &old, 9, &record()));
        assert_eq!(out[3..], ["add intervention-cpu", "add intervention"]);
        let returned = told(note(&old, &InterventionRecord { id: "i-3-1".parse().unwrap(), ..lent() }));
        assert_eq!(returned[1..], ["remove intervention", "add intervention-cpu"]);
        assert_eq!(told(close(&old, lent().id))[1..], ["remove intervention"]);
    }

    #[test]
    fn giving_back_takes_all_of_its_own_off_and_leaves_what_others_changed() {
        let held = |min: u32| {
            let annotations = json!({FLOOR: r#"{"before":2,"wanted":9}"#, "headroom.dev/later": "x", "other": "y"});
            object(json!({"minReplicas": min}), Some(annotations))
        };
        let floor = told(give_back(Means::HpaMinimum, &held(9), false));
        let expected = ["test /spec/minReplicas=9", "add /spec/minReplicas=2", "remove floor", "remove later"];
        assert_eq!(floor[1..], expected);
        let changed = told(give_back(Means::HpaMinimum, &held(5), false));
        assert_eq!(changed[1..], ["remove floor", "remove later"], "5 is somebody else's");

        let text = serde_json::to_string(&record()).unwrap();
        let open = |replicas: u32| object(json!({"replicas": replicas}), Some(json!({INTERVENTION: text})));
        assert_eq!(told(give_back(Means::Replicas, &open(9), false))[1..], ["remove intervention"]);
        let back = told(give_back(Means::Replicas, &open(9), true));
        assert_eq!(back[1..], ["test /spec/replicas=9", "add /spec/replicas=2", "remove intervention"]);
        assert_eq!(told(give_back(Means::Replicas, &open(7), true))[1..], ["remove intervention"], "7 is not its own");
    }
}
