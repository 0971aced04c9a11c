//! A configuration as it would be written: the keys of the file with the values in force, tokens left out. What is printed
//! as JSON can be read back as a configuration.

use serde::{Serialize, Serializer};
use serde_json::{Map, Value, json};

use super::keys::written;
use super::units::{HumanDuration, human_share};
use super::{
    Api, Bounds, Cluster, Config, FixedService, Journal, Limits, Metrics, Notify, Objective, Oidc, People, Receive,
    Selector, Service, Tls, TokenReview, Who,
};
use crate::model::setting::{Kind, Setting, Value as Set};
use crate::model::{Declared, Work};
use crate::{analyse, decide, guard, verify, window};

impl Serialize for Config {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.written().serialize(serializer)
    }
}

/// Numbers stay numbers; what has a unit is text.
pub(super) fn settings<C>(settings: &[Setting<C>], config: &C) -> Map<String, Value> {
    let one = |setting: &Setting<C>| {
        let value = (setting.value)(config)?;
        let written = match (setting.kind, value) {
            (Kind::Bytes { .. }, value) | (_, value @ (Set::Duration(_) | Set::Address(_))) => {
                json!(written(setting.kind, value))
            }
            (Kind::Share, Set::Number(share)) => json!(human_share(share)),
            (_, Set::Whole(whole)) => json!(whole),
            (_, Set::Number(number)) => json!(number),
        };
        Some((setting.key.to_owned(), written))
    };
    settings.iter().filter_map(one).collect()
}

/// What stands beside settings, where it is set.
pub(super) fn with<const N: usize>(mut keys: Map<String, Value>, more: [(&str, Value); N]) -> Value {
    keys.extend(more.into_iter().filter(|(_, value)| !value.is_null()).map(|(key, value)| (key.to_owned(), value)));
    Value::Object(keys)
}

/// Several names in one value.
pub(super) fn list(names: impl IntoIterator<Item = Value>) -> Value {
    let names: Vec<String> = names.into_iter().filter_map(|name| name.as_str().map(str::to_owned)).collect();
    if names.is_empty() { Value::Null } else { json!(names.join(", ")) }
}

fn objective(Objective { selector, bounds }: &Objective) -> Value {
    let selector = match selector {
        Selector::Entry(pattern) => ("entry", json!(pattern.as_str())),
        Selector::Service(name) => ("service", json!(name)),
    };
    with(settings(Bounds::SETTINGS, bounds), [selector])
}

fn declared(Declared { entry, name, work }: &Declared) -> Value {
    let work = work.map(Work::as_str);
    with(Map::new(), [("entry", json!(entry)), ("name", json!(name)), ("work", json!(work))])
}

fn notify(notify: &Notify) -> Value {
    let receivers: Vec<Value> = notify.receivers.iter().map(super::Receiver::written).collect();
    let receivers = if receivers.is_empty() { Value::Null } else { receivers.into() };
    with(settings(Notify::SETTINGS, notify), [("receivers", receivers)])
}

pub(super) fn tls(Tls { cert, key, client_ca }: &Tls) -> Value {
    with(Map::new(), [("cert", json!(cert)), ("key", json!(key)), ("client_ca", json!(client_ca))])
}

fn oidc(oidc: &Oidc) -> Value {
    let [operators, viewers] = people(&oidc.people);
    let more = [
        ("issuer", json!(oidc.issuer)),
        ("audience", json!(oidc.audience)),
        ("ca_file", json!(oidc.ca_file)),
        ("name_claim", json!(oidc.name_claim)),
        ("groups_claim", json!(oidc.groups_claim)),
        operators,
        viewers,
    ];
    with(Map::new(), more)
}

fn token_review(review: &TokenReview) -> Value {
    let [operators, viewers] = people(&review.people);
    with(Map::new(), [("audience", json!(review.audience)), operators, viewers])
}

fn people(people: &People) -> [(&'static str, Value); 2] {
    let listed = |who: &[Who]| list(who.iter().map(|who| json!(who)));
    [("operators", listed(&people.operators)), ("viewers", listed(&people.viewers))]
}

fn cluster(cluster: &Cluster) -> Value {
    match cluster {
        Cluster::Embedded { url } => json!({"embedded": {"url": url}}),
        Cluster::Fixed(services) => {
            let one = |of: &FixedService| json!({"service": of.service, "instances": of.instances.join(", ")});
            json!({"fixed": {"services": services.iter().map(one).collect::<Vec<_>>()}})
        }
        Cluster::Kubernetes(of) => {
            let more = [
                ("context", json!(of.context)),
                ("namespace", json!(of.namespace)),
                ("lease", json!(of.lease)),
                ("identity", json!(of.identity)),
                ("scaler", json!(of.scaler.map(|address| address.to_string()))),
                ("nodes", json!(if of.nodes_grow { "grow" } else { "fixed" })),
            ];
            json!({"kubernetes": with(Map::new(), more)})
        }
    }
}

impl Config {
    /// The keys of the file, and the values in force.
    pub fn written(&self) -> Value {
        let receive = with(
            settings(Receive::SETTINGS, &self.receive),
            [("tls", self.receive.tls.as_ref().map_or(Value::Null, tls))],
        );
        let api = with(
            settings(Api::SETTINGS, &self.api),
            [
                ("hosts", list(self.api.hosts.iter().map(|host| json!(host)))),
                ("origins", list(self.api.origins.iter().map(|origin| json!(origin)))),
                ("tls", self.api.tls.as_ref().map_or(Value::Null, tls)),
                ("oidc", self.api.oidc.as_ref().map_or(Value::Null, oidc)),
                ("token_review", self.api.token_review.as_ref().map_or(Value::Null, token_review)),
            ],
        );
        let services = self.services.iter().map(|(name, of)| (name.clone(), settings(Service::SETTINGS, of).into()));
        let journal = |journal: &Journal| with(settings(Journal::SETTINGS, journal), [("path", json!(journal.path))]);
        let analyse = settings(analyse::Config::SETTINGS, &self.analyse.station);
        with(
            Map::new(),
            [
                ("mode", json!(self.mode)),
                ("analysis", json!(if self.analysis { "on" } else { "off" })),
                ("tick", json!(HumanDuration(self.tick).to_string())),
                ("default_objective", settings(Bounds::SETTINGS, &self.default_objective).into()),
                ("objectives", self.objectives.iter().map(objective).collect()),
                ("operations", self.window.operations.iter().map(declared).collect()),
                ("sidecars", list(self.window.sidecars.iter().map(|name| json!(name)))),
                ("services", Value::Object(services.collect())),
                ("receive", receive),
                ("api", api),
                ("gateway", self.gateway.written()),
                ("metrics", settings(Metrics::SETTINGS, &self.metrics).into()),
                ("notify", notify(&self.notify)),
                ("window", settings(window::Config::SETTINGS, &self.window).into()),
                ("limits", settings(Limits::SETTINGS, &self.limits).into()),
                ("analyse", with(analyse, [("queries", json!(self.analyse.queries))])),
                (
                    "rules",
                    with(
                        settings(decide::Limits::SETTINGS, &self.rules.limits),
                        [("directory", json!(self.rules.directory))],
                    ),
                ),
                ("guard", settings(guard::Config::SETTINGS, &self.guard).into()),
                ("verify", settings(verify::Config::SETTINGS, &self.verify).into()),
                ("schedule", self.schedule.written()),
                ("history", self.history.written()),
                ("journal", self.journal.as_ref().map_or(Value::Null, journal)),
                ("learnt", self.learnt.as_ref().map_or(Value::Null, |path| json!({"path": path}))),
                ("cluster", self.cluster.as_ref().map_or(Value::Null, cluster)),
            ],
        )
    }
}
