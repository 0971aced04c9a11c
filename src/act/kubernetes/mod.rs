//! Kubernetes as a [`Cluster`]: watches what is opted in, moves the lever that fights nobody, records each change on
//! the object it changes.
//!
//! - [`objective`]: the custom resource that opts a workload in
//! - [`capacity_event`]: the custom resource by which people plan capacity
//! - [`watches`] and [`survey`]: what runs, and which service it serves ([`mapping`])
//! - [`lever`], [`patch`] and [`change`]: what is moved, as one JSON Patch, after a dry run
//! - [`route_objective`] and [`routes`]: the custom resource that lets weights of a route be moved, and how they are
//! - [`pods`]: one is evicted, or all are resized in place
//! - [`scheduling_capacity`]: what quotas, nodes and disruption budgets have room for ([`quantity`])
//! - [`leadership`]: of several replicas one acts
//! - [`reverts`]: who undid a change
//! - [`scaler`]: what KEDA asks
//! - [`shelf`]: what is kept over restarts
//! - [`share`]: who sees all spans
//! - [`token_review`]: whose a token is
//! - [`give_back`]: all that is held, given back by a person who removes headroom
//! - [`events`] and [`status`]: what the workload's people see

pub mod capacity_event;
pub mod change;
pub mod connect;
pub mod events;
pub mod give_back;
pub mod leadership;
pub mod lever;
pub mod mapping;
pub mod objective;
pub mod patch;
pub mod pods;
mod quantity;
pub mod record;
pub mod retry;
pub mod reverts;
pub mod route_objective;
pub mod routes;
pub mod scaler;
pub mod scheduling_capacity;
pub mod share;
pub mod shelf;
pub mod status;
pub mod survey;
pub mod token_review;
pub mod watches;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use futures::future::BoxFuture;
use kube::Client;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::watch;

use super::{ActError, Cluster};
use crate::action::{Change, Scaling};
use crate::guard::Permit;
use crate::model::{ClusterState, Hold, ServiceId, Time};
use capacity_event::Listed;
use change::{Fence, Writer};
use events::{Events, Reason};
use leadership::{Leadership, Standing};
use lever::Lever;
use objective::ServiceObjective;
use reverts::Reverts;
use scaler::Answers;
use status::Sight;
use survey::{Found, Key, Objects, Surveyed};
use watches::{Kind, Watches};

pub use connect::connect;

/// Reads the clock: the shell's, so that the cluster and the engine live in the same time.
pub type Now = Arc<dyn Fn() -> Time + Send + Sync>;

/// How often it is looked at start whether all watches have seen everything.
const SETTLE: Duration = Duration::from_millis(50);

/// A policy that refused is asked again after this; a person may have changed it.
const REFUSAL_HOLDS: Duration = Duration::from_secs(60);

pub struct Kubernetes {
    client: Client,
    /// Whether pods that find no room get new nodes.
    nodes_grow: bool,
    watches: Watches,
    leadership: Leadership,
    sight: watch::Receiver<Arc<Sight>>,
    now: Now,
    /// This machine's own clock: by it the Lease is renewed.
    system_now: Now,
    writer: Writer,
    events: Events,
    reverts: Reverts,
    /// What policies refused, and until when that holds.
    refusals: BTreeMap<ServiceId, (String, Time)>,
    /// Of the last survey.
    found: BTreeMap<ServiceId, (Key, Found)>,
    statuses: watch::Sender<Arc<Vec<Surveyed>>>,
    answers: watch::Sender<Arc<Answers>>,
    planned: watch::Sender<Arc<Vec<Listed>>>,
}

impl Kubernetes {
    /// Starts its watches and stands for election. What it writes for people is returned as tasks with their names, for
    /// the caller to run and to watch over.
    pub fn start(
        client: Client,
        standing: Standing,
        sight: watch::Receiver<Arc<Sight>>,
        now: Now,
        system_now: Now,
    ) -> (Kubernetes, Vec<(&'static str, BoxFuture<'static, ()>)>) {
        let (statuses, surveyed) = watch::channel(Arc::new(Vec::new()));
        let leadership = Leadership::stand(client.clone(), standing.clone());
        let (events, writing_events) = Events::new(client.clone(), standing.identity.clone());
        let writing_status = status::write(client.clone(), surveyed, sight.clone(), leadership.watched(), now.clone());
        let sharing = share::run(client.clone(), standing, sight.clone(), now.clone());
        let tasks = vec![
            ("share of the spans", sharing.boxed()),
            ("status writer", writing_status.boxed()),
            ("writer of Events", writing_events.boxed()),
        ];
        let kubernetes = Kubernetes {
            client: client.clone(),
            nodes_grow: false,
            watches: Watches::start(client.clone()),
            leadership,
            sight,
            now,
            system_now,
            writer: Writer::new(client),
            events,
            reverts: Reverts::default(),
            refusals: BTreeMap::new(),
            found: BTreeMap::new(),
            statuses,
            answers: watch::Sender::default(),
            planned: watch::Sender::default(),
        };
        (kubernetes, tasks)
    }

    /// The cluster adds nodes for pods that find no room: theirs bounds nothing.
    pub fn with_growing_nodes(self, nodes_grow: bool) -> Kubernetes {
        Kubernetes { nodes_grow, ..self }
    }

    /// What KEDA is answered, for [`scaler::serve`].
    pub fn answers(&self) -> watch::Receiver<Arc<Answers>> {
        self.answers.subscribe()
    }

    /// The CapacityEvents that stand, as they change.
    pub fn planned(&self) -> watch::Receiver<Arc<Vec<Listed>>> {
        self.planned.subscribe()
    }

    /// Whether this replica leads, as it changes.
    pub fn leads(&self) -> watch::Receiver<bool> {
        self.leadership.watched()
    }

    fn objects(&self) -> Objects {
        let mut objects = Objects {
            objectives: self.watches.objectives.state(),
            pods: self.watches.pods.state(),
            quotas: self.watches.quotas.state(),
            budgets: self.watches.budgets.state(),
            routes: self.watches.routes(),
            rollouts: self.watches.rollouts(),
            nodes: if self.nodes_grow { Vec::new() } else { self.watches.nodes.state() },
            ..Objects::default()
        };
        if let Kind::Watched { resource, objects: hpas } = self.watches.hpas() {
            objects.autoscalers.add_hpas(&resource, hpas.state());
        }
        if let Kind::Watched { resource, objects: scaled } = self.watches.scaled_objects() {
            objects.autoscalers.add_scaled_objects(&resource, scaled.state());
        }
        for objective in &objects.objectives {
            let key = survey::key(objective);
            if let Kind::Watched { resource, objects: targets } = self.watches.target(&objective.spec.target) {
                let of = ObjectRef::new_with(&objective.spec.target.name, resource.clone()).within(&key.0);
                if let Some(object) = targets.get(&of) {
                    objects.targets.insert(key, (resource, object));
                }
            }
        }
        objects
    }

    /// What speaks against a change of it beyond what its owner says.
    fn hold(&mut self, objective: &ServiceObjective, found: &Found, now: Time) -> Option<Hold> {
        let recorded = objective.status.as_ref().and_then(|status| status.breaker.as_ref());
        let (reverted, breaker) = self.reverts.look(&survey::key(objective), &found.lever, recorded, now);
        let follows = self.leadership.other().map(|leader| Hold::Leader { leader });
        if let (Some(reverted), None) = (reverted, &follows) {
            let intervention = reverted.intervention.to_string();
            let sentence = format!(
                "{} set {} back from {} to {} within a minute of {}; headroom leaves it alone for ten minutes. Let it \
                 ignore this field, or use the external scaler, which leaves no drift",
                reverted.manager,
                found.lever.name(),
                reverted.to,
                reverted.value,
                intervention
            );
            let kind = &found.resource.kind;
            self.events.say(&found.object, kind, now, Reason::Reverted, &intervention, &sentence);
        }
        let service = &found.workload.service;
        let refused = self.refusals.get(service).map(|(reason, _)| Hold::Admission { reason: reason.clone() });
        follows.or(breaker).or(refused)
    }
}

impl Cluster for Kubernetes {
    async fn state(&mut self) -> Result<ClusterState, ActError> {
        self.watches.check();
        self.leadership.check();
        while !self.watches.settle() {
            tokio::time::sleep(SETTLE).await;
        }
        let now = (self.now)();
        self.refusals.retain(|_, (_, until)| now < *until);
        let sight = self.sight.borrow().clone();
        let mut surveyed = survey::survey(&self.objects(), &sight.seen);
        let mut found = BTreeMap::new();
        let mut workloads = Vec::new();
        for one in &mut surveyed {
            let Ok(of) = &mut one.found else { continue };
            let key = survey::key(&one.objective);
            of.workload.held = self.hold(&one.objective, of, now).or_else(|| of.workload.held.take());
            workloads.push(of.workload.clone());
            found.insert(of.workload.service.clone(), (key, of.clone()));
        }
        workloads.sort_by(|a, b| a.service.cmp(&b.service));
        self.found = found;
        self.answers.send_replace(Arc::new(scaler::answers(&surveyed, &sight)));
        if let Kind::Watched { objects, .. } = self.watches.capacity_events() {
            let listed = capacity_event::list(&objects.state(), &surveyed);
            self.planned.send_if_modified(|known| {
                let is_news = **known != listed;
                if is_news {
                    *known = Arc::new(listed);
                }
                is_news
            });
        }
        self.statuses.send_replace(Arc::new(surveyed));
        Ok(ClusterState { at: now, workloads })
    }

    async fn apply(&mut self, permit: &Permit) -> Result<(), ActError> {
        let service = permit.service();
        let not_found = || ActError::NotFound { service: service.to_string() };
        let (key, found) = self.found.get(service).ok_or_else(not_found)?;
        let (key, lever, now) = (key.clone(), found.lever.clone(), (self.now)());
        let fence = Fence { leadership: &self.leadership, now: &self.system_now };
        let done = pods::change(&self.client, &self.writer, found, permit, fence).await;
        let kind = &found.resource.kind;
        let decision = permit.decision().to_string();
        match (&done, permit.change()) {
            (Ok(()), Change::Scale(Scaling { from, to, record, .. })) => {
                let sentence = format!(
                    "{service}: from {from} to {to} replicas by {}, because {}; `headroom explain {decision}` tells more",
                    said(&lever),
                    record.reason,
                );
                self.events.say(&found.object, kind, now, Reason::Scaled, &decision, &sentence);
                self.reverts.changed(&key, lever.means, record);
            }
            (Err(ActError::Refused { reason, .. }), Change::Scale(Scaling { from, to, .. })) => {
                let sentence = format!(
                    "{service} stays at {from} replicas: {to} were wanted by {decision}, and the cluster refuses: {reason}"
                );
                self.events.say(&found.object, kind, now, Reason::Refused, &decision, &sentence);
                self.refusals.insert(service.clone(), (reason.clone(), now + REFUSAL_HOLDS));
            }
            (Ok(()), change) => {
                if let (Some(record), Some(slot)) = (change.record(), change.slot()) {
                    let (done, reason) = (change.describe(), &record.reason);
                    let sentence =
                        format!("{service}: {done}, because {reason}; `headroom explain {decision}` tells more");
                    self.events.say(&found.object, kind, now, Reason::done(slot), &decision, &sentence);
                }
            }
            (Err(ActError::Refused { reason, .. }), change) if change.record().is_some() => {
                let sentence = format!("{service}: the cluster refuses {decision}: {reason}");
                self.events.say(&found.object, kind, now, Reason::Refused, &decision, &sentence);
            }
            (Err(_), _) => {}
        }
        done
    }

    async fn leave(&mut self) {
        self.leadership.leave().await;
    }
}

fn said(lever: &Lever) -> String {
    use lever::Means::{ExternalScaler, HpaMinimum, KedaMinimum, Replicas};
    match lever.means {
        ExternalScaler => format!("the external scaler of {}", lever.name()),
        KedaMinimum | HpaMinimum => format!("the minimum of {}", lever.name()),
        Replicas => format!("the replicas of {}", lever.name()),
    }
}
