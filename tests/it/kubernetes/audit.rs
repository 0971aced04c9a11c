//! What somebody wrote, by the API server's own account (`audit.k8s.io/v1`).

use std::collections::BTreeMap;

use headroom::model::{InterventionRecord, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use super::control_plane::ControlPlane;

const RECORD: &str = "/metadata/annotations/headroom.dev~1intervention";

/// One write, done or refused.
#[derive(Debug)]
pub struct Write {
    /// When the API server had answered it.
    pub at: Time,
    pub resource: String,
    pub subresource: String,
    pub namespace: String,
    pub name: String,
    /// Asked for as a dry run, which changes nothing.
    pub dry: bool,
    pub code: u64,
    body: Value,
}

impl Write {
    fn read(event: &Value) -> Write {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let of = &event["objectRef"];
        let at: Timestamp = text(&event["stageTimestamp"]).parse().unwrap();
        Write {
            at: Time(i64::try_from(at.as_nanosecond()).unwrap()),
            resource: text(&of["resource"]),
            subresource: text(&of["subresource"]),
            namespace: text(&of["namespace"]),
            name: text(&of["name"]),
            dry: text(&event["requestURI"]).contains("dryRun="),
            code: event["responseStatus"]["code"].as_u64().unwrap_or(0),
            body: event["requestObject"].clone(),
        }
    }

    /// It changed something.
    pub fn done(&self) -> bool {
        !self.dry && self.code < 300
    }

    fn operation(&self, op: &str) -> Option<&Value> {
        self.body.as_array()?.iter().find(|of| of["op"] == op && of["path"] == RECORD)
    }

    /// The record of the intervention that it begins.
    pub fn begins(&self) -> Option<InterventionRecord> {
        serde_json::from_str(self.operation("add")?["value"].as_str()?).ok()
    }

    /// It takes the record of an intervention away.
    pub fn closes(&self) -> bool {
        self.operation("remove").is_some()
    }
}

/// Every write of this user, or of this controller of the control plane, in the order of the log.
pub fn writes(cluster: &ControlPlane, user: &str) -> Vec<Write> {
    let events = cluster.audit();
    events.iter().filter(|event| event["user"]["username"] == user).map(Write::read).collect()
}

/// The writes that changed a lever of `namespace`, by object; asserts that nothing was done twice: each intervention
/// was begun by one write and ended by one at most, each step goes on from where the one before left it, and no object
/// has a record without the write that put it there.
pub fn once_each(writes: &[Write], namespace: &str) -> BTreeMap<String, Vec<InterventionRecord>> {
    let mut by_object = BTreeMap::<String, Vec<InterventionRecord>>::new();
    let mut open = BTreeMap::<&str, String>::new();
    for write in writes.iter().filter(|write| write.done() && write.namespace == namespace) {
        if let Some(record) = write.begins() {
            let before = by_object.entry(write.name.clone()).or_default();
            assert!(before.iter().all(|other| other.id != record.id), "{} was done twice: {before:#?}", record.id);
            open.insert(&write.name, record.id.clone());
            before.push(record);
        } else if write.closes() {
            assert!(open.remove(write.name.as_str()).is_some(), "{} was closed twice", write.name);
        }
    }
    by_object
}

/// What headroom may write, whoever watches: levers of what is opted in, the objectives' status, its Lease, its
/// ConfigMap and Events. The rest of `writes`, which should be nothing.
pub fn beyond<'a>(writes: &'a [Write], namespace: &str, opted_in: &[&str]) -> Vec<&'a Write> {
    let own = |write: &&Write| {
        let opted_in = write.namespace == namespace && opted_in.contains(&write.name.as_str());
        match (write.resource.as_str(), write.subresource.as_str()) {
            ("deployments", "" | "scale") | ("horizontalpodautoscalers" | "scaledobjects", "") => opted_in,
            ("serviceobjectives", "status") => opted_in,
            ("leases" | "configmaps", "") => write.namespace == namespace,
            ("events", "") => write.namespace == namespace,
            _ => false,
        }
    };
    writes.iter().filter(|write| !own(write)).collect()
}
