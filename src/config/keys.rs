//! Every key of the configuration, declared once: by the stations that have settings, and here where a key is more than a
//! value. The reader, the check for unknown keys, the reference file, the documentation and the JSON Schema all go by
//! [`ROOT`].

use std::sync::LazyLock;

use super::units::{HumanBytes, HumanDuration, human_share};
use super::{
    Api, Bounds, Config, Gateway, Journal, Limits, Metrics, Notify, PRIORITY_MAX, Receive, ReceiverKind, Service,
};
use crate::model::Work;
use crate::model::setting::{Kind, Setting, Value};
use crate::{analyse, decide, guard, schedule, verify, window};

/// One key.
pub struct Key {
    pub name: &'static str,
    /// One line.
    pub doc: &'static str,
    pub shape: Shape,
    /// What holds where it is not written, as it would be written; None where nothing does.
    pub default: Option<String>,
    /// What it may look like, where there is no default.
    pub example: &'static str,
}

pub enum Shape {
    Value(Written),
    Section(Vec<Key>),
    /// A list of sections.
    List(Vec<Key>),
    /// Sections by names of the operator's choice.
    Named(Vec<Key>),
}

/// What is written as a value.
#[derive(Clone, Copy)]
pub enum Written {
    Kind(Kind),
    Choice(&'static [&'static str]),
    Text,
    /// Relative to the directory of the configuration.
    Path,
}

impl Key {
    fn value(name: &'static str, written: Written, example: &'static str, doc: &'static str) -> Key {
        Key { name, doc, shape: Shape::Value(written), default: None, example }
    }

    fn choice(name: &'static str, choices: &'static [&'static str], doc: &'static str) -> Key {
        let default = choices.first().map(|first| (*first).to_owned());
        Key { default, ..Key::value(name, Written::Choice(choices), "", doc) }
    }

    pub(super) fn text(name: &'static str, example: &'static str, doc: &'static str) -> Key {
        Key::value(name, Written::Text, example, doc)
    }

    fn path(name: &'static str, example: &'static str, doc: &'static str) -> Key {
        Key::value(name, Written::Path, example, doc)
    }

    fn section(name: &'static str, doc: &'static str, keys: impl IntoIterator<Item = Key>) -> Key {
        Key { name, doc, shape: Shape::Section(keys.into_iter().collect()), default: None, example: "" }
    }

    pub fn keys(&self) -> &[Key] {
        match &self.shape {
            Shape::Value(_) => &[],
            Shape::Section(keys) | Shape::List(keys) | Shape::Named(keys) => keys,
        }
    }
}

/// The keys of a station, with the defaults of its `Config`.
pub(super) fn settings<C: Default>(settings: &'static [Setting<C>]) -> Vec<Key> {
    with_defaults(settings, &C::default())
}

fn with_defaults<C>(settings: &'static [Setting<C>], defaults: &C) -> Vec<Key> {
    let key = |setting: &Setting<C>| Key {
        default: (setting.value)(defaults).map(|value| written(setting.kind, value)),
        ..Key::value(setting.key, Written::Kind(setting.kind), example(setting.kind), setting.doc)
    };
    settings.iter().map(key).collect()
}

/// A value as it would be written.
pub fn written(kind: Kind, value: Value) -> String {
    match (kind, value) {
        (_, Value::Duration(duration)) => HumanDuration(duration).to_string(),
        (Kind::Bytes { .. }, Value::Whole(bytes)) => HumanBytes(bytes).to_string(),
        (Kind::Share, Value::Number(share)) => human_share(share),
        (_, Value::Whole(whole)) => whole.to_string(),
        (_, Value::Number(number)) => number.to_string(),
        (_, Value::Address(address)) => address.to_string(),
    }
}

const fn example(kind: Kind) -> &'static str {
    match kind {
        Kind::Duration { .. } => "10s",
        Kind::Count { most, .. } if most < 200_000 => "20",
        Kind::Count { .. } => "200000",
        Kind::Number { .. } => "1.5",
        Kind::Share => "1%",
        Kind::Bytes { .. } => "2GiB",
        Kind::Address => "127.0.0.1:8082",
    }
}

/// The whole file.
pub static ROOT: LazyLock<Vec<Key>> = LazyLock::new(|| {
    let mut keys = vec![
        Key::choice(
            "mode",
            &["observe", "enforce"],
            "`observe` reports what it would do; `enforce` does it and needs a `cluster`",
        ),
        Key::choice(
            "analysis",
            &["on", "off"],
            "`off` receives and keeps spans for SQL alone: no bottleneck is found, no action is taken",
        ),
    ];
    keys.extend(settings(Config::SETTINGS));
    keys.extend([
        Key::section(
            "default_objective",
            "what holds for endpoints (root spans) that no objective names",
            settings(Bounds::SETTINGS),
        ),
        Key {
            shape: Shape::List(objective()),
            ..Key::section(
                "objectives",
                "objectives of endpoints (root spans): the first that matches holds; what it leaves out is the default objective's",
                [],
            )
        },
        Key {
            shape: Shape::List(operations()),
            ..Key::section(
                "operations",
                "what certain operations are: their name, and the kind of work; the first that matches holds",
                [],
            )
        },
        Key::text(
            "sidecars",
            "\"envoy, *.istio\"",
            "services that are proxies of the workloads beside them; those in the pod of their workload are known",
        ),
        Key {
            shape: Shape::Named(settings(Service::SETTINGS)),
            ..Key::section("services", "bounds of one service by its name: they narrow those of its workload and never widen them", [])
        },
        Key::section("receive", "OTLP receivers; listening beyond loopback needs a token or a client authority", receive()),
        Key::section("api", "HTTP API, metrics and health; listening beyond loopback needs a token", api()),
        Key::section(
            "gateway",
            "where Envoy asks headroom which requests may come in; listening beyond loopback needs a token or a client authority, see shaping.md",
            gateway(),
        ),
        Key::section(
            "metrics",
            "names that have series of their own in /metrics; what comes past a bound is counted in `_other`, see metrics.md",
            settings(Metrics::SETTINGS),
        ),
        Key::section(
            "notify",
            "who is told of what people should know; without receivers it is in the log, the API and SQL alone, see notices.md",
            notify(),
        ),
        Key::section("window", "what is kept in memory; a span takes about 86 bytes", with_defaults(window::Config::SETTINGS, &Config::default().window)),
        Key::section("limits", "what headroom as a whole may take, see overload.md", settings(Limits::SETTINGS)),
        Key::section("analyse", "how bottlenecks are found", analyse()),
        Key::section("rules", "rules, and what one evaluation of one of them may take", rules()),
        Key::section("guard", "the bounds of every action", settings(guard::Config::SETTINGS)),
        Key::section("verify", "how an action is judged", settings(verify::Config::SETTINGS)),
        Key::section(
            "schedule",
            "events that are planned, for which capacity is ready before they begin, see schedule.md",
            schedule(),
        ),
        Key::section(
            "history",
            "what was seen, kept by the minute for forecasts; without a store none is kept, see history.md",
            super::history::keys(),
        ),
        Key::section(
            "journal",
            "every input and step as JSON lines, for `explain` and `replay`; without it they are kept in memory alone",
            [Key::path("path", "journal.jsonl", "the file")].into_iter().chain(settings(Journal::SETTINGS)),
        ),
        Key::section(
            "learnt",
            "what was learnt of healthy time, kept over restarts; without it a ConfigMap keeps it on Kubernetes, and nothing elsewhere",
            [Key::path("path", "learnt.json", "the file, written every minute and at the end, read at the start")],
        ),
        Key::section(
            "cluster",
            "where workloads run, one of the three; without it nothing is touched, but in a pod `kubernetes: {}` holds",
            cluster(),
        ),
    ]);
    keys
});

fn objective() -> Vec<Key> {
    let mut keys = vec![
        Key::text(
            "entry",
            "\"ingress POST /exam/*\"",
            "the endpoint as `service operation` of the root span, `*` stands for any text",
        ),
        Key::text("service", "ingress", "or all endpoints of a service, with or without cluster and namespace"),
    ];
    keys.extend(settings(Bounds::SETTINGS));
    keys
}

fn operations() -> Vec<Key> {
    vec![
        Key::text(
            "entry",
            "\"shop GET /item/*\"",
            "`service operation`, as sent or as grouped; `*` stands for any text",
        ),
        Key::text("name", "\"GET /item/{sku}\"", "the operation that all of them count as; without it as grouped"),
        Key::value(
            "work",
            Written::Choice(&Work::NAMES),
            "stream",
            "`request`, `message`, `job`, `stream` or `probe`; without it as recognised. A `probe` does not count",
        ),
    ]
}

fn token(file: &'static str, whose: &'static str) -> [Key; 2] {
    [
        Key::path("token_file", file, whose),
        Key::text("token", "correct-horse-battery", "the token itself, in place of a file"),
    ]
}

fn receive() -> Vec<Key> {
    let mut keys = settings(Receive::SETTINGS);
    keys.extend(token("receive.token", "holds the bearer token that senders present"));
    keys.push(tls(
        "PEM files of the receivers",
        "with it senders must present a certificate that this authority signed",
    ));
    keys
}

fn gateway() -> Vec<Key> {
    let priority = vec![
        Key::text("entry", "\"ingress POST /exam/*\"", "endpoints as `service operation`, `*` stands for any text"),
        Key::value("priority", Written::Kind(Kind::count(0, u64::from(PRIORITY_MAX))), "9", "0 is shed first, 9 last"),
    ];
    let priorities = Key {
        shape: Shape::List(priority),
        ..Key::section(
            "priorities",
            "which requests go last: the first that matches holds; without one it is 5 for endpoints with an objective of their own, else 4",
            [],
        )
    };
    let domain = Key {
        default: Some(Gateway::default().domain),
        ..Key::text("domain", "", "the domain that rate limit filters name")
    };
    let mut keys = settings(Gateway::SETTINGS);
    keys.extend(token("gateway.token", "holds the bearer token that gateways present"));
    keys.extend([
        tls("PEM files of it", "with it gateways must present a certificate that this authority signed"),
        domain,
        priorities,
        Key::text(
            "client_header",
            "x-client-id",
            "the header by which clients are told apart; the gateway must set or strip it",
        ),
        Key::text(
            "priority_header",
            "x-priority",
            "the header with a request's priority, 0 to 9; the gateway must set or strip it",
        ),
        Key::text(
            "retry_header",
            "x-retry",
            "the header with how often a request was tried before; the gateway must set or strip it",
        ),
    ]);
    keys
}

fn tls(whose: &'static str, client_ca: &'static str) -> Key {
    Key::section(
        "tls",
        whose,
        [
            Key::path("cert", "server.pem", "the certificate chain"),
            Key::path("key", "server.key", "its private key"),
            Key::path("client_ca", "clients.pem", client_ca),
        ],
    )
}

/// Which of those that somebody else vouches for may do what.
fn people() -> [Key; 2] {
    [
        Key::text(
            "operators",
            "\"ada@example.org, group:sre\"",
            "who may pause and resume too: names, `group:NAME`, or `*` for all whose token is good",
        ),
        Key::text("viewers", "\"*\"", "who may read: the same; whoever is in neither list is refused"),
    ]
}

fn oidc() -> Key {
    let issuer = Key::text("issuer", "https://login.example.org", "the provider, as its tokens name it (`iss`)");
    let audience = Key::text("audience", "headroom", "whom its tokens must be for (`aud`)");
    let keys_file =
        Key::path("keys_file", "keys.json", "its public keys (JWKS); without it they are asked of the issuer");
    let ca_file =
        Key::path("ca_file", "ca.pem", "the authority of the issuer's certificate, where the system does not know it");
    let claim = |name, default: &str, doc| Key { default: Some(default.into()), ..Key::text(name, "", doc) };
    let claims = [
        claim("name_claim", "sub", "the claim that names the caller, such as `email`"),
        claim("groups_claim", "groups", "the claim that lists the caller's groups"),
    ];
    let keys = [issuer, audience, keys_file, ca_file].into_iter().chain(claims).chain(people());
    Key::section("oidc", "an OpenID provider whose tokens (JWT) callers present", keys)
}

fn token_review() -> Key {
    let audience = Key::text("audience", "headroom", "whom the tokens must be for");
    let doc = "callers present tokens of Kubernetes, such as service accounts'; its API server is asked whose they are";
    Key::section("token_review", doc, [audience].into_iter().chain(people()))
}

fn api() -> Vec<Key> {
    settings(Api::SETTINGS)
        .into_iter()
        .chain(token("api.token", "holds the bearer token that callers present"))
        .chain([
            Key::path(
                "tokens_file",
                "api.tokens",
                "callers by name, a line each: `name: sha256 of the token` and `viewer` (the default) or `operator`",
            ),
            Key::text(
                "hosts",
                "\"headroom.example, *.monitoring.svc\"",
                "names it answers to beside localhost and addresses; a request for another name is refused",
            ),
            Key::text(
                "origins",
                "https://grafana.example",
                "web pages of these origins may call it, beside its own; all others are refused",
            ),
            tls("PEM files of the API", "with it callers must present a certificate that this authority signed"),
            oidc(),
            token_review(),
        ])
        .collect()
}

fn notify() -> Vec<Key> {
    let receivers = vec![
        Key::text("name", "on-call", "for people and metrics; without it the kind's"),
        Key::value(
            "kind",
            Written::Choice(&ReceiverKind::NAMES),
            "webhook",
            "`webhook`, `alertmanager`, `slack` or `pagerduty`",
        ),
        Key::text(
            "url",
            "https://hooks.example/headroom",
            "where it is reached; of an Alertmanager its address suffices, PagerDuty's is known",
        ),
        Key::path(
            "secret_file",
            "webhook.secret",
            "signs a webhook (HMAC-SHA256), is the bearer token of an Alertmanager or the routing key of PagerDuty",
        ),
        Key::text("secret", "correct-horse-battery", "the secret itself, in place of a file"),
    ];
    let receivers = Key {
        shape: Shape::List(receivers),
        ..Key::section("receivers", "places that are told; `headroom notify-test` tries them", [])
    };
    [receivers].into_iter().chain(settings(Notify::SETTINGS)).collect()
}

fn analyse() -> Vec<Key> {
    let queries = Key::path(
        "queries",
        "queries",
        "`*.sql` files that replace shipped queries of the same name, reloaded when they change; see queries.md",
    );
    [queries].into_iter().chain(settings(analyse::Config::SETTINGS)).collect()
}

fn rules() -> Vec<Key> {
    let directory =
        Key::path("directory", "rules", "`*.rhai` files, reloaded when they change; without it the shipped rules run");
    [directory].into_iter().chain(settings(decide::Limits::SETTINGS)).collect()
}

fn zone(doc: &'static str) -> Key {
    Key { default: Some("UTC".into()), ..Key::text("zone", "", doc) }
}

fn schedule() -> Vec<Key> {
    let calendars = vec![
        Key::text("name", "lectures", "for people; without it `calendar 1`, and so on"),
        Key::path("file", "lectures.ics", "an iCalendar file"),
        Key::text("url", "https://registrar.example/lectures.ics", "or a feed"),
        Key::text("zone", "Europe/Berlin", "the time zone of events that name none; without it that of the schedule"),
        Key::text(
            "participants",
            "X-SEATS",
            "the property that says how many come; without it X-HEADROOM-PARTICIPANTS, else those invited are counted",
        ),
    ];
    let number = |name, most, example, doc| Key::value(name, Written::Kind(Kind::number(0.0, most)), example, doc);
    let loads = vec![
        Key::text("entry", "\"ingress POST /login\"", "an endpoint as `service operation`, `*` stands for any text"),
        number("per_participant", 1_000.0, "0.05", "requests a second of it for each participant, at the peak"),
        Key::text("service", "auth", "or a service"),
        number("per_replica", 1e7, "200", "participants that one replica of it carries"),
    ];
    let list = |name, doc, keys| Key { shape: Shape::List(keys), ..Key::section(name, doc, []) };
    let matches = Key::text(
        "match",
        "\"exam, *klausur*\"",
        "categories or titles of such events, `*` stands for any text; without it the kind's name",
    );
    let loads = list("loads", "what participants load; without it that is learnt from past events", loads);
    let kind = [matches].into_iter().chain(settings(schedule::Kind::SETTINGS)).chain([loads]).collect();
    let kinds = Key {
        shape: Shape::Named(kind),
        ..Key::section("kinds", "kinds of events by their names; an event is of the first that it fits", [])
    };
    let calendars =
        list("calendars", "files and feeds (iCalendar); `headroom schedule` shows what they come to", calendars);
    let webhook = Key::section(
        "webhook",
        "changes that a registrar sends to /api/v1/schedule/changes; without a secret it presents a token of the API",
        [
            Key::path(
                "secret_file",
                "registrar.secret",
                "signs them (Standard Webhooks): `whsec_` and Base64, or any other text; then none is taken unsigned",
            ),
            Key::text("secret", "correct-horse-battery", "the secret itself, in place of a file"),
        ],
    );
    [zone("the time zone of events that name none")]
        .into_iter()
        .chain(settings(schedule::Settings::SETTINGS))
        .chain([calendars, webhook, kinds])
        .collect()
}

fn cluster() -> [Key; 3] {
    let fixed = vec![
        Key::text(
            "service",
            "shop/stock",
            "`NAME`, `NAMESPACE/NAME` or `CLUSTER/NAMESPACE/NAME`, as its spans have it",
        ),
        Key::text("instances", "\"stock-0, stock-1\"", "its pods or hosts, as its spans name them"),
    ];
    let fixed = Key {
        shape: Shape::List(fixed),
        ..Key::section(
            "services",
            "services whose traffic may be shaped; those in a Kubernetes say so in their ServiceObjective",
            [],
        )
    };
    [
        Key::section(
            "embedded",
            "the simulator's cluster",
            [Key::text("url", "\"http://127.0.0.1:9090\"", "where it listens")],
        ),
        Key::section(
            "kubernetes",
            "a Kubernetes API server; `{}` where all is as usual, see kubernetes.md",
            [
                Key::text(
                    "context",
                    "staging",
                    "of a kubeconfig; without it the pod's service account, else the current context",
                ),
                Key::text("namespace", "headroom", "where the Lease lies; without it the client's own"),
                Key {
                    default: Some("headroom".into()),
                    ..Key::text("lease", "", "the Lease by which one of several replicas acts")
                },
                Key::text("identity", "headroom-0", "unique among replicas; without it the host's name"),
                Key::value(
                    "scaler",
                    Written::Kind(Kind::Address),
                    "0.0.0.0:8081",
                    "address of KEDA's external scaler (gRPC); without it there is none",
                ),
                Key::choice(
                    "nodes",
                    &["fixed", "grow"],
                    "`fixed`: what finds no room on the nodes is not scaled out; `grow`: nodes come for it",
                ),
            ],
        ),
        Key::section(
            "fixed",
            "services that nothing scales: requests to them are turned away at a gateway that asks, see shaping.md",
            [fixed],
        ),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_documented_in_one_line_and_shows_what_to_write() {
        fn check(path: &str, keys: &[Key]) {
            for key in keys {
                let path = format!("{path}.{}", key.name);
                assert!(!key.doc.is_empty() && !key.doc.contains('\n') && !key.doc.ends_with('.'), "{path}");
                let is_value = matches!(key.shape, Shape::Value(_));
                assert!(!is_value || key.default.is_some() || !key.example.is_empty(), "{path}");
                check(&path, key.keys());
            }
        }
        check("", &ROOT);
    }
}
