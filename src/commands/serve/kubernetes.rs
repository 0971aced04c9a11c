//! Kubernetes as the cluster of `serve`: found at start, told at each tick what the engine saw.

use std::collections::BTreeMap;
use std::sync::Arc;

use kube::Client;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tracing::info;

use super::tasks::{Role, Tasks};

use crate::act::kubernetes::capacity_event::Listed;
use crate::act::kubernetes::leadership::Standing;
use crate::act::kubernetes::mapping::Seen;
use crate::act::kubernetes::shelf::Shelf;
use crate::act::kubernetes::status::Sight;
use crate::act::kubernetes::{Kubernetes, connect, scaler};
use crate::api::{Said, Snapshot};
use crate::clock::Clock;
use crate::commands::error::Error;
use crate::config::{self, Config, Mode};
use crate::guard::{Decision, Outcome};
use crate::journal::What;
use crate::model::{ServiceId, Time};
use crate::schedule::bounds::{LASTS_MAX, shown};
use crate::schedule::{Planned, Problem};

/// What Kubernetes sets in every container.
const IN_CLUSTER: &str = "KUBERNETES_SERVICE_HOST";

/// Names the cluster where the configuration does not: by `--context`, or by the pod it runs in.
pub fn complete(config: &mut Config, context: Option<String>) {
    match (&mut config.cluster, context) {
        (Some(config::Cluster::Kubernetes(kubernetes)), Some(context)) => kubernetes.context = Some(context),
        (cluster, Some(context)) => {
            let context = Some(context);
            *cluster = Some(config::Cluster::Kubernetes(config::Kubernetes { context, ..Default::default() }));
        }
        (cluster @ None, None) if std::env::var_os(IN_CLUSTER).is_some() => {
            *cluster = Some(config::Cluster::Kubernetes(config::Kubernetes::default()));
        }
        (_, None) => {}
    }
}

/// A client that was made, not yet used.
pub struct Reached {
    client: Client,
    standing: Standing,
    scaler: Option<TcpListener>,
    nodes_grow: bool,
}

impl Reached {
    /// None where another cluster or none is configured.
    pub async fn of(config: &Config) -> Result<Option<Reached>, Error> {
        let Some(config::Cluster::Kubernetes(kubernetes)) = &config.cluster else { return Ok(None) };
        let client = connect(kubernetes.context.as_deref()).await?;
        let standing = Standing {
            namespace: kubernetes.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned()),
            lease: kubernetes.lease.clone().unwrap_or_else(|| "headroom".into()),
            identity: kubernetes.identity.clone().unwrap_or_else(host),
        };
        let scaler = match kubernetes.scaler {
            None => None,
            Some(address) => {
                let listen = |source| Error::Listen { what: "the external scaler", address, source };
                let listener = TcpListener::bind(address).await.map_err(listen)?;
                info!(scaler = %listener.local_addr().map_err(listen)?, "the external scaler listens");
                Some(listener)
            }
        };
        Ok(Some(Reached { client, standing, scaler, nodes_grow: kubernetes.nodes_grow }))
    }

    /// To ask the API server other things.
    pub fn client(&self) -> Client {
        self.client.clone()
    }

    /// Starts it, and KEDA's external scaler where one is configured.
    pub fn start(
        self,
        clock: Clock,
        snapshots: watch::Receiver<Arc<Snapshot>>,
        tasks: &mut Tasks,
    ) -> (Kubernetes, Shelf) {
        let (sight, seen) = watch::channel(Arc::new(Sight::default()));
        tasks.spawn("sight of the cluster", Role::Critical, tell(snapshots, sight));
        let (client, standing) = (self.client.clone(), self.standing.clone());
        let system = clock.clone();
        let system_now = Arc::new(move || Time(system.now().0.saturating_add(system.system_ahead_ns())));
        let now = Arc::new(move || clock.now());
        let (kubernetes, helpers) = Kubernetes::start(self.client, self.standing, seen, now, system_now);
        for (name, helper) in helpers {
            tasks.spawn(name, Role::Helper, helper);
        }
        let kubernetes = kubernetes.with_growing_nodes(self.nodes_grow);
        let shelf = Shelf::new(client, &standing.namespace, format!("{}-learnt", standing.lease), kubernetes.leads());
        if let Some(listener) = self.scaler {
            let answers = kubernetes.answers();
            tasks.spawn_fallible("external scaler", Role::Critical, async {
                scaler::serve(listener, answers).await.map_err(|error| error.to_string())
            });
        }
        (kubernetes, shelf)
    }
}

/// What people plan by CapacityEvents, told to the planner as it changes.
pub async fn plan(mut planned: watch::Receiver<Arc<Vec<Listed>>>, heard: mpsc::Sender<Said>) {
    while planned.changed().await.is_ok() {
        let listed = planned.borrow_and_update().clone();
        let problem = |one: &Listed, cause: &String| Problem {
            source: CAPACITY_EVENTS.into(),
            event: one.name.clone(),
            cause: cause.clone(),
        };
        let problems = listed.iter().flat_map(|one| one.problems.iter().map(move |cause| problem(one, cause)));
        let problems = problems.collect();
        let events = listed.iter().map(event).collect();
        if heard.send(Said::All { source: CAPACITY_EVENTS.into(), events, problems }).await.is_err() {
            return;
        }
    }
}

/// The source that all of them are.
pub const CAPACITY_EVENTS: &str = "CapacityEvents";

fn event(one: &Listed) -> Planned {
    Planned {
        id: one.uid.clone(),
        source: format!("CapacityEvent {}", one.name),
        title: shown(&one.title),
        categories: one.kind.iter().map(|kind| shown(kind)).collect(),
        starts: one.starts,
        ends: one.ends.clamp(one.starts, one.starts + LASTS_MAX),
        participants: one.participants,
        cancelled: one.cancelled,
        revision: one.generation,
        floors: one.floors.clone(),
    }
}

/// The host's name: in a pod that of the pod, which a restart of its container keeps.
pub fn host() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "headroom".into(),
        name => name.to_ascii_lowercase(),
    }
}

/// After each tick, what the cluster's side of the house needs of it.
async fn tell(mut snapshots: watch::Receiver<Arc<Snapshot>>, sight: watch::Sender<Arc<Sight>>) {
    while snapshots.changed().await.is_ok() {
        let snapshot = snapshots.borrow_and_update().clone();
        let services = snapshot.findings.services.iter().map(|finding| &finding.service);
        sight.send_replace(Arc::new(Sight {
            seen: Seen::new(services, &snapshot.pods),
            findings: snapshot.findings.clone(),
            decisions: decisions(&snapshot),
            enforces: snapshot.mode == Mode::Enforce && snapshot.pauses.all().is_none(),
            spans_received: snapshot.spans.received,
        }));
    }
}

/// The last decision about each service.
fn decisions(snapshot: &Snapshot) -> BTreeMap<ServiceId, String> {
    let mut last = BTreeMap::new();
    for entry in snapshot.history.iter().rev() {
        if let What::Decided { decision } = &entry.what {
            last.entry(decision.proposal.service().clone()).or_insert_with(|| told(decision));
        }
    }
    last
}

fn told(decision: &Decision) -> String {
    let id = &decision.id;
    let action = &decision.proposal.action;
    let scales = action.replicas_asked().is_some();
    match &decision.outcome {
        Outcome::Permitted { .. } if !scales => format!("{id}: {}", action.describe()),
        Outcome::Permitted { from, to } => format!("{id}: {from} to {to}"),
        Outcome::Observed { .. } => format!("{id}: {}", decision.would().unwrap_or_default()),
        Outcome::Notified => format!("{id}: notified"),
        Outcome::Refused { gate, .. } => format!("{id}: refused by {}", gate.as_str()),
    }
}
