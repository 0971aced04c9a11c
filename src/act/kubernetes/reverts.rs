//! Was a change undone? Another manager that sets a value back within a minute does not want it there; headroom does
//! not fight it, and names it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::lever::{Lever, Means};
use super::objective::Breaker;
use super::survey::Key;
use crate::action::Slot;
use crate::model::{Hold, InterventionId, InterventionRecord, Time};

/// What is set back sooner is a controller or a pipeline at work, not a person who thought about it.
const SOON: Duration = Duration::from_secs(60);

/// As long as the guard keeps any breaker open.
const OPEN: Duration = Duration::from_secs(600);

/// A change that is watched.
#[derive(Clone, Debug)]
struct Change {
    record: InterventionRecord,
    means: Means,
    /// The value was seen on the object: a state from before the write proves nothing.
    seen: bool,
}

/// A change that was undone, said once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reverted {
    pub manager: String,
    pub intervention: InterventionId,
    pub to: u32,
    pub value: u32,
}

#[derive(Default)]
pub struct Reverts {
    changes: BTreeMap<Key, Change>,
    open: BTreeMap<Key, (String, Time)>,
}

impl Reverts {
    /// Headroom changed the workload of this objective.
    pub fn changed(&mut self, key: &Key, means: Means, record: &InterventionRecord) {
        self.changes.insert(key.clone(), Change { record: record.clone(), means, seen: false });
    }

    /// Looks at a lever: what was found undone just now, and whether a breaker is open. `recorded` is what the
    /// objective's status says of one: another replica may have opened it.
    pub fn look(
        &mut self,
        key: &Key,
        lever: &Lever,
        recorded: Option<&Breaker>,
        now: Time,
    ) -> (Option<Reverted>, Option<Hold>) {
        if let Some(Breaker { manager, until }) = recorded {
            let until = Time::from_secs(until.0.as_second());
            self.open.entry(key.clone()).or_insert_with(|| (manager.clone(), until));
        }
        let reverted = self.undone(key, lever, now);
        if let Some(reverted) = &reverted {
            self.open.insert(key.clone(), (reverted.manager.clone(), now + OPEN));
        }
        self.open.retain(|_, (_, until)| now < *until);
        let hold =
            self.open.get(key).map(|(manager, until)| Hold::Reverted { manager: manager.clone(), until: *until });
        (reverted, hold)
    }

    fn undone(&mut self, key: &Key, lever: &Lever, now: Time) -> Option<Reverted> {
        // What the object itself records is watched too, after a restart or by a new leader.
        if let Some(record) = lever.intervention(Slot::Replicas)
            && self.changes.get(key).is_none_or(|change| change.record.applied_at < record.applied_at)
        {
            self.changed(key, lever.means, &record);
        }
        let change = self.changes.get_mut(key)?;
        if now > change.record.applied_at + SOON || change.means != lever.means {
            self.changes.remove(key);
            return None;
        }
        let (to, value) = (change.record.replicas_after, lever.value().unwrap_or(1));
        if value == to {
            change.seen = true;
            return None;
        }
        let is_out = to > change.record.replicas_before;
        // What goes on in the same direction is another need, not an objection.
        let back = if is_out { value < to } else { value > to };
        let own = lever.manager().is_none_or(|manager| manager == super::record::MANAGER);
        let recorded = lever.intervention(Slot::Replicas).is_some_and(|record| record.id == change.record.id);
        if !back || own || !(change.seen || recorded) {
            return None;
        }
        let change = self.changes.remove(key)?;
        Some(Reverted { manager: lever.manager()?, intervention: change.record.id, to, value })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use kube::api::{ApiResource, DynamicObject};
    use serde_json::json;

    use super::*;
    use crate::act::kubernetes::objective::ServiceObjective;
    use crate::act::kubernetes::record::INTERVENTION;

    fn record(applied_at: Time) -> InterventionRecord {
        InterventionRecord {
            id: "i-1-1".parse().unwrap(),
            origin: "r".into(),
            reason: "it saturates".into(),
            applied_at,
            deadline: applied_at,
            replicas_before: 2,
            replicas_after: 9,
            waiting_ns_before: 0,
            details: None,
        }
    }

    fn lever(replicas: u32, manager: &str, recorded: Option<Time>) -> Lever {
        let resource = ApiResource::erase::<ServiceObjective>(&());
        let mut object = DynamicObject::new("auth", &resource);
        let fields = json!([{"manager": manager, "fieldsV1": {"f:spec": {"f:replicas": {}}}}]);
        object.metadata.managed_fields = serde_json::from_value(fields).unwrap();
        object.metadata.annotations =
            recorded.map(|at| [(INTERVENTION.to_owned(), serde_json::to_string(&record(at)).unwrap())].into());
        object.data = json!({"spec": {"replicas": replicas}});
        Lever { means: Means::Replicas, resource, object: Arc::new(object) }
    }

    fn key() -> Key {
        ("shop".into(), "auth".into())
    }

    #[test]
    fn what_is_set_back_within_a_minute_opens_the_breaker_and_names_who_did_it() {
        let mut reverts = Reverts::default();
        let at = Time::from_secs(100);
        reverts.changed(&key(), Means::Replicas, &record(at));
        let look = |reverts: &mut Reverts, replicas, manager: &str, second| {
            reverts.look(&key(), &lever(replicas, manager, None), None, Time::from_secs(second))
        };
        assert_eq!(look(&mut reverts, 2, "kubectl", 100), (None, None), "a state from before the write");
        assert_eq!(look(&mut reverts, 9, "headroom", 101), (None, None));
        let (said, hold) = look(&mut reverts, 2, "argocd-controller", 110);
        assert_eq!(said.unwrap().manager, "argocd-controller");
        let open = Hold::Reverted { manager: "argocd-controller".into(), until: Time::from_secs(710) };
        assert_eq!(hold, Some(open.clone()));
        assert_eq!(look(&mut reverts, 2, "argocd-controller", 111), (None, Some(open)), "said once");
        assert_eq!(look(&mut reverts, 2, "argocd-controller", 710), (None, None), "it closes again");
    }

    #[test]
    fn a_breaker_that_another_replica_opened_holds_as_long_as_its_status_says() {
        let mut reverts = Reverts::default();
        let until = k8s_openapi::apimachinery::pkg::apis::meta::v1::Time(
            k8s_openapi::jiff::Timestamp::from_second(700).unwrap(),
        );
        let recorded = Breaker { manager: "flux".into(), until };
        let mut look = |second| reverts.look(&key(), &lever(2, "flux", None), Some(&recorded), Time::from_secs(second));
        let open = Hold::Reverted { manager: "flux".into(), until: Time::from_secs(700) };
        assert_eq!(look(650), (None, Some(open)), "held, and not said once more");
        assert_eq!(look(700), (None, None), "although the status still has it");
    }

    #[test]
    fn a_new_leader_sees_it_by_the_record_and_later_changes_are_no_reverts() {
        let at = Time::from_secs(100);
        let mut reverts = Reverts::default();
        let (said, _) = reverts.look(&key(), &lever(2, "flux", Some(at)), None, Time::from_secs(130));
        assert_eq!(said.unwrap().manager, "flux");
        let mut reverts = Reverts::default();
        assert_eq!(
            reverts.look(&key(), &lever(2, "flux", Some(at)), None, Time::from_secs(161)),
            (None, None),
            "too late"
        );
        assert_eq!(
            reverts.look(&key(), &lever(12, "kubectl", Some(at)), None, Time::from_secs(130)),
            (None, None),
            "more"
        );
    }
}
