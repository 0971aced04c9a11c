//! One permitted change, written: looked up, sent as a dry run so that every policy speaks, and only then done.

use kube::api::{DynamicObject, Patch, PatchParams};
use kube::core::Status;
use kube::{Api, Client, Error, ResourceExt};
use serde_json::Value;

use super::Now;
use super::leadership::Leadership;
use super::lever::{Lever, Means, value};
use super::patch;
use super::record::{self, MANAGER};
use super::retry::{ATTEMPTS, Outcome, Reason, retried};
use crate::action::{Change, CpuResize, Eviction, Place, RateLimit, Shedding};
use crate::guard::{ActError, Permit};
use crate::net::https::root_cause;

/// Status writes of controllers move an object's version while its pods start; the change is then tried on the newer
/// version, as long as what it was decided on still stands.
pub(super) const CONFLICTS_MAX: u32 = 3;

pub struct Writer {
    client: Client,
}

/// What stands before the write itself.
#[derive(Clone, Copy)]
pub struct Fence<'a> {
    pub leadership: &'a Leadership,
    pub now: &'a Now,
}

impl Fence<'_> {
    pub(super) async fn passed(self, service: &str) -> Result<(), ActError> {
        match self.leadership.confirm((self.now)()).await {
            Ok(()) => Ok(()),
            Err(Ok(leader)) => Err(ActError::NotLeader { service: service.to_owned(), leader }),
            Err(Err(error)) => Err(ActError::Unreachable { cause: root_cause(&error) }),
        }
    }
}

/// How one try ended.
enum Tried {
    Done,
    /// Somebody wrote the object in between.
    Moved,
}

impl Writer {
    pub fn new(client: Client) -> Writer {
        Writer { client }
    }

    /// Writes the change that a permit allows; who leads is asked right before the object is written.
    ///
    /// # Errors
    /// `Conflict` where the object is no longer what was decided on, `Refused` with the words of the policy,
    /// `Unreachable` where the server has not answered well within the budget of tries.
    pub async fn write(&self, lever: &Lever, permit: &Permit, fence: Fence<'_>) -> Result<(), ActError> {
        let service = permit.service().as_str();
        let namespace = lever.object.namespace().unwrap_or_default();
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &namespace, &lever.resource);
        let name = lever.object.name_any();
        let mut reason = Reason::First;
        for attempt in 1..=CONFLICTS_MAX {
            let live = retried(|| api.get(&name)).await.map_err(|error| failed(service, error))?;
            match standing(lever, &live, permit.change()) {
                Standing::AsDecided => {}
                // An earlier try of this very call went through although its answer was lost.
                Standing::Done if reason == Reason::Conflict => {
                    ATTEMPTS.count(reason, Outcome::Done);
                    return Ok(());
                }
                Standing::Done | Standing::Moved => break,
            }
            let tried = attempt_on(&api, lever, &live, permit.change(), service, fence).await;
            if reason == Reason::Conflict {
                let outcome = match tried {
                    Ok(Tried::Done) => Outcome::Done,
                    Ok(Tried::Moved) if attempt < CONFLICTS_MAX => Outcome::Again,
                    Ok(Tried::Moved) | Err(_) => Outcome::Failed,
                };
                ATTEMPTS.count(reason, outcome);
            }
            match tried? {
                Tried::Done => return Ok(()),
                Tried::Moved => reason = Reason::Conflict,
            }
        }
        Err(ActError::Conflict { service: service.to_owned() })
    }
}

impl Writer {
    /// Takes the record of a permit off again, as what it tells of was not done. Where that fails too, the record stays
    /// and runs out at its deadline.
    pub async fn forget(&self, lever: &Lever, permit: &Permit) {
        let Some(record) = permit.change().record() else { return };
        let namespace = lever.object.namespace().unwrap_or_default();
        let api = Api::<DynamicObject>::namespaced_with(self.client.clone(), &namespace, &lever.resource);
        let name = lever.object.name_any();
        let Ok(live) = retried(|| api.get(&name)).await else { return };
        let recorded = record::interventions(live.metadata.annotations.as_ref());
        if recorded.iter().any(|recorded| recorded.id == record.id)
            && let Ok(operations) = json_patch(patch::close(&live, record.id))
        {
            let written = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
            let _ = retried(|| api.patch(&name, &written, &operations)).await;
        }
    }
}

/// What an object is, compared with what a change was decided on.
enum Standing {
    AsDecided,
    Done,
    Moved,
}

fn standing(lever: &Lever, live: &DynamicObject, change: &Change) -> Standing {
    let annotations = live.metadata.annotations.as_ref();
    let scaling = match change {
        Change::Scale(scaling) => Some(scaling),
        Change::RestartPod(_)
        | Change::ResizeCpu(_)
        | Change::Shed(_)
        | Change::LimitRate(_)
        | Change::ShiftWeight(_) => None,
        Change::Close { intervention, .. } => {
            let is_recorded = record::interventions(annotations).iter().any(|record| record.id == *intervention);
            return if is_recorded { Standing::AsDecided } else { Standing::Done };
        }
    };
    // Of the place that is changed the object must carry the record that was decided on; other places are not looked at.
    let Some(place) = change.record().and_then(Place::of) else { return Standing::Moved };
    let at = |annotations| record::intervention_at(annotations, &place).map(|record| record.id);
    let recorded = at(annotations);
    if change.record().is_some_and(|record| recorded == Some(record.id)) {
        return Standing::Done;
    }
    let mut same = recorded == at(lever.object.metadata.annotations.as_ref()) && live.uid() == lever.object.uid();
    if let Some(scaling) = scaling {
        // Where a floor is raised for the first time, the replicas it was decided on are those of the workload.
        let is_first = lever.means.is_floor() && lever.floor().is_none();
        same &= (is_first || value(lever.means, live) == Some(scaling.from))
            && value(lever.means, live) == lever.value()
            && record::floor(annotations) == record::floor(lever.object.metadata.annotations.as_ref());
    }
    if same { Standing::AsDecided } else { Standing::Moved }
}

async fn attempt_on(
    api: &Api<DynamicObject>,
    lever: &Lever,
    live: &DynamicObject,
    change: &Change,
    service: &str,
    fence: Fence<'_>,
) -> Result<Tried, ActError> {
    let name = live.name_any();
    let written = PatchParams { field_manager: Some(MANAGER.into()), ..PatchParams::default() };
    let dry = PatchParams { dry_run: true, ..written.clone() };
    let operations = match change {
        Change::Scale(scaling) => patch::scale(lever.means, live, scaling.to, &scaling.record),
        Change::RestartPod(Eviction { record, .. })
        | Change::ResizeCpu(CpuResize { record, .. })
        | Change::Shed(Shedding { record, .. })
        | Change::LimitRate(RateLimit { record, .. }) => patch::note(live, record),
        // The weights themselves are on the route, which `routes` writes.
        Change::ShiftWeight(shift) => patch::note(live, &shift.record),
        Change::Close { intervention, .. } => patch::close(live, *intervention),
    };
    let operations = json_patch(operations)?;
    let moved = |error: Error| if is_moved(&error) { Ok(Tried::Moved) } else { Err(failed(service, error)) };
    if change.record().is_some()
        && let Err(error) = retried(|| api.patch(&name, &dry, &operations)).await
    {
        return moved(error);
    }
    if let (Change::Scale(scaling), Means::Replicas) = (change, lever.means) {
        // A policy may match the subresource alone: both doors are asked, one is gone through.
        let scale = json_patch(patch::scale_subresource(lever.value().unwrap_or(1), scaling.to))?;
        if let Err(error) = retried(|| api.patch_scale(&name, &dry, &scale)).await {
            return moved(error);
        }
    }
    fence.passed(service).await?;
    match retried(|| api.patch(&name, &written, &operations)).await {
        Ok(_) => Ok(Tried::Done),
        Err(error) => moved(error),
    }
}

pub(super) fn json_patch(operations: Value) -> Result<Patch<()>, ActError> {
    let unreadable = |error: serde_json::Error| ActError::Unreachable { cause: error.to_string() };
    Ok(Patch::Json(serde_json::from_value(operations).map_err(unreadable)?))
}

/// What the API server answers (422, Invalid) when a `test` of the patch fails; a policy says more than this.
const TEST_FAILED: &str = "the server rejected our request due to an error in our request";

/// Whether the object moved on: a conflict, or a `test` of the patch that failed.
pub(super) fn is_moved(error: &Error) -> bool {
    let tested = |status: &Status| status.code == 422 && status.message == TEST_FAILED;
    matches!(error, Error::Api(status) if status.code == 409 || tested(status))
}

pub(super) fn failed(service: &str, error: Error) -> ActError {
    let service = service.to_owned();
    match error {
        Error::Api(status) if status.code == 404 => ActError::NotFound { service },
        Error::Api(status) if matches!(status.code, 400 | 403 | 405 | 422) => {
            ActError::Refused { service, reason: status.message }
        }
        Error::Api(status) => ActError::Unreachable { cause: status.to_string() },
        error => ActError::Unreachable { cause: root_cause(&error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_test_that_failed_is_a_conflict_and_a_policy_a_refusal() {
        let answer = |code, message: &str| Error::Api(Status::failure(message, "Invalid").with_code(code).boxed());
        assert!(is_moved(&answer(422, TEST_FAILED)) && is_moved(&answer(409, "the object has been modified")));
        let denied = "deployments.apps \"auth\" is forbidden: ValidatingAdmissionPolicy 'four' denied request";
        assert!(!is_moved(&answer(422, denied)));
        let refused = ActError::Refused { service: "auth".into(), reason: denied.into() };
        assert_eq!(failed("auth", answer(422, denied)), refused);
        assert!(matches!(failed("auth", answer(503, "busy")), ActError::Unreachable { .. }));
        assert_eq!(failed("auth", answer(404, "")), ActError::NotFound { service: "auth".into() });
    }
}
