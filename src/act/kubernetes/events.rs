//! What was done to a workload, told where its people look: an Event on it (`kubectl describe`). Said once each, by an
//! id in its name; an Event that cannot be written is logged and holds nothing up.

use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::api::events::v1;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use k8s_openapi::jiff::Timestamp;
use kube::api::{DynamicObject, PostParams};
use kube::{Api, Client, ResourceExt};
use tokio::sync::mpsc;
use tracing::warn;

use super::record::MANAGER;
use super::retry::retried;
use crate::action::Slot;
use crate::model::Time;

/// Events on their way: far more than `guard.actions_per_minute` lets arise while a server is slow.
const WAITING_MAX: usize = 64;

/// The API server's limit of a note, in bytes.
const NOTE_BYTES_MAX: usize = 1024;

/// The kinds of Events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Scaled,
    Restarted,
    Resized,
    Shaped,
    Refused,
    Reverted,
}

impl Reason {
    const fn as_str(self) -> &'static str {
        match self {
            Reason::Scaled => "HeadroomScaled",
            Reason::Restarted => "HeadroomRestarted",
            Reason::Resized => "HeadroomResized",
            Reason::Shaped => "HeadroomShaped",
            Reason::Refused => "HeadroomRefused",
            Reason::Reverted => "HeadroomReverted",
        }
    }
}

impl Reason {
    /// Something of this slot was changed.
    pub const fn done(slot: Slot) -> Reason {
        match slot {
            Slot::Replicas => Reason::Scaled,
            Slot::Pods => Reason::Restarted,
            Slot::Cpu => Reason::Resized,
            Slot::Traffic | Slot::Rate | Slot::Weight => Reason::Shaped,
        }
    }

    /// What was tried, as the API wants it said.
    const fn action(self) -> &'static str {
        match self {
            Reason::Restarted => "Restart",
            Reason::Resized => "Resize",
            Reason::Shaped => "Shape",
            Reason::Scaled | Reason::Refused | Reason::Reverted => "Scale",
        }
    }
}

#[derive(Clone)]
pub struct Events {
    identity: String,
    queue: mpsc::Sender<v1::Event>,
}

impl Events {
    pub fn new(client: Client, identity: String) -> (Events, impl Future<Output = ()> + Send + 'static) {
        let (queue, waiting) = mpsc::channel(WAITING_MAX);
        (Events { identity, queue }, write(client, waiting))
    }

    /// One sentence on `object`. `id` is the decision or the intervention that it is about.
    pub fn say(&self, object: &DynamicObject, kind: &str, at: Time, reason: Reason, id: &str, sentence: &str) {
        let event = event(&self.identity, object, kind, at, reason, id, sentence);
        if self.queue.try_send(event).is_err() {
            warn!(sentence, "too many Events wait; this one is not written");
        }
    }
}

fn event(
    identity: &str,
    object: &DynamicObject,
    kind: &str,
    at: Time,
    reason: Reason,
    id: &str,
    sentence: &str,
) -> v1::Event {
    let name = format!("{}.{id}.{}", object.name_any(), reason.as_str().to_lowercase());
    let types = object.types.clone().unwrap_or_default();
    let mut note = sentence.to_owned();
    note.truncate(note.floor_char_boundary(NOTE_BYTES_MAX));
    v1::Event {
        metadata: ObjectMeta { name: Some(name), namespace: object.namespace(), ..ObjectMeta::default() },
        action: Some(reason.action().into()),
        event_time: Some(MicroTime(Timestamp::from_nanosecond(at.0.into()).unwrap_or_default())),
        note: Some(note),
        reason: Some(reason.as_str().into()),
        regarding: Some(ObjectReference {
            api_version: Some(types.api_version),
            kind: Some(kind.to_owned()),
            name: Some(object.name_any()),
            namespace: object.namespace(),
            uid: object.uid(),
            ..ObjectReference::default()
        }),
        reporting_controller: Some(format!("headroom.dev/{MANAGER}")),
        reporting_instance: Some(identity.to_owned()),
        type_: Some(if matches!(reason, Reason::Refused | Reason::Reverted) { "Warning" } else { "Normal" }.into()),
        ..v1::Event::default()
    }
}

async fn write(client: Client, mut waiting: mpsc::Receiver<v1::Event>) {
    while let Some(event) = waiting.recv().await {
        let namespace = event.metadata.namespace.clone().unwrap_or_default();
        let created = PostParams::default();
        let api = Api::<v1::Event>::namespaced(client.clone(), &namespace);
        match retried(|| api.create(&created, &event)).await {
            Ok(_) => {}
            // A first try went through although its answer was lost.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(error) => warn!(note = event.note, "cannot write an Event: {error}"),
        }
    }
}
