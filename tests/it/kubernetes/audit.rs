//! What somebody wrote, by the API server's own account (`audit.k8s.io/v1`).

use std::collections::{BTreeMap, BTreeSet};

use headroom::model::{InterventionRecord, Time};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

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

/// What was done to the levers of a namespace.
#[derive(Debug, Default)]
pub struct Account {
    /// The interventions of each object, in the order in which they began.
    pub begun: BTreeMap<String, Vec<InterventionRecord>>,
    /// Interventions that a second write began again, and closes of what was closed already.
    pub twice: Vec<String>,
    /// Objects whose last record was never taken away.
    pub dangling: Vec<String>,
}

/// The account of the writes that changed a lever of `namespace`.
pub fn account(writes: &[Write], namespace: &str) -> Account {
    let mut account = Account::default();
    let mut open = BTreeSet::<&str>::new();
    for write in writes.iter().filter(|write| write.done() && write.namespace == namespace) {
        if let Some(record) = write.begins() {
            let before = account.begun.entry(write.name.clone()).or_default();
            if before.iter().any(|other| other.id == record.id) {
                account.twice.push(format!("{} of {} was begun twice", record.id, write.name));
            }
            open.insert(&write.name);
            before.push(record);
        } else if write.closes() && !open.remove(write.name.as_str()) {
            account.twice.push(format!("{} was closed twice", write.name));
        }
    }
    account.dangling = open.into_iter().map(str::to_owned).collect();
    account
}

/// The interventions of each object; asserts that nothing was done twice.
pub fn once_each(writes: &[Write], namespace: &str) -> BTreeMap<String, Vec<InterventionRecord>> {
    let account = account(writes, namespace);
    assert_eq!(account.twice, [""; 0], "{:#?}", account.begun);
    account.begun
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

/// An audit log in which one intervention is begun by two writes, closed twice, and another is left open.
#[test]
fn what_is_done_twice_and_what_is_left_open_is_found() {
    let write = |name: &str, body: Value| Write {
        at: Time(0),
        resource: "deployments".into(),
        subresource: String::new(),
        namespace: "shop".into(),
        name: name.into(),
        dry: false,
        code: 200,
        body,
    };
    let begin = |name: &str, id: &str| {
        let record = json!({"id": id, "rule": "r", "reason": "", "applied_at": 0, "deadline": 1, "replicas_before": 1,
            "replicas_after": 2, "waiting_ns_before": 0});
        write(name, json!([{"op": "add", "path": RECORD, "value": record.to_string()}]))
    };
    let close = |name: &str| write(name, json!([{"op": "remove", "path": RECORD}]));
    let sound = [begin("a", "i-1-1"), close("a"), begin("a", "i-2-1"), close("a")];
    let told = account(&sound, "shop");
    assert_eq!((told.begun["a"].len(), told.twice.len(), told.dangling.len()), (2, 0, 0));
    let told =
        account(&[begin("a", "i-1-1"), begin("a", "i-1-1"), close("a"), close("a"), begin("b", "i-3-1")], "shop");
    assert_eq!(told.twice, ["i-1-1 of a was begun twice", "a was closed twice"]);
    assert_eq!(told.dangling, ["b"]);
}
