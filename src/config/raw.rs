//! The configuration as it is written: every key optional, every value still text. `check` makes a
//! [`Config`](super::Config) of it; nothing else reads these types.

use std::collections::BTreeMap;

use indexmap::IndexMap;
use serde::Deserialize;
use serde::de::IgnoredAny;

/// Defines a section: its keys, and a place where keys it does not know are kept, so that all of them are
/// reported at once (`deny_unknown_fields` would stop at the first, and could not say 'did you mean').
macro_rules! section {
    ($(#[$doc:meta])* $name:ident { $($(#[$key_doc:meta])* $key:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(default)]
        pub struct $name {
            $($(#[$key_doc])* pub $key: $type,)*
            #[serde(flatten)]
            pub unknown: BTreeMap<String, IgnoredAny>,
        }

        impl Section for $name {
            const KEYS: &'static [&'static str] = &[$(stringify!($key)),*];

            fn unknown(&self) -> impl Iterator<Item = &str> {
                self.unknown.keys().map(String::as_str)
            }
        }
    };
}

/// What the check of unknown keys needs of a section.
pub trait Section {
    const KEYS: &'static [&'static str];
    fn unknown(&self) -> impl Iterator<Item = &str>;
}

section!(
    /// The whole file.
    Root {
        /// `observe` (say what would be done) or `enforce` (do it).
        mode: Option<String>,
        /// `on`, or `off`: receive and keep spans only.
        analysis: Option<String>,
        /// How often the engine looks at what it has: a duration.
        tick: Option<String>,
        /// What holds for entry operations that no objective names.
        default_objective: Option<Bounds>,
        /// The first that matches an entry operation holds for it.
        objectives: Option<Vec<Objective>>,
        /// What differs for one service, by its name.
        services: Option<IndexMap<String, Service>>,
        receive: Option<Receive>,
        api: Option<Api>,
        window: Option<Window>,
        limits: Option<Limits>,
        rules: Option<Rules>,
        guard: Option<Guard>,
        journal: Option<Journal>,
        learnt: Option<Learnt>,
        cluster: Option<Cluster>,
    }
);

section!(
    /// An objective without what it applies to.
    Bounds {
        /// The duration that `quantile` of the requests stay under.
        latency: Option<String>,
        /// Between 0 and 1, for example 0.99.
        quantile: Option<String>,
        /// The share of requests that may fail: `1%`.
        errors: Option<String>,
    }
);

section!(
    /// An objective: `entry` or `service` says what it applies to.
    Objective {
        /// `service operation` of the root span; `*` stands for any text.
        entry: Option<String>,
        /// All entry operations of this service.
        service: Option<String>,
        latency: Option<String>,
        quantile: Option<String>,
        errors: Option<String>,
    }
);

section!(
    /// Bounds of one service, within those that its workload states at opt-in.
    Service {
        min_replicas: Option<String>,
        max_replicas: Option<String>,
    }
);

section!(
    /// OTLP receivers.
    Receive {
        /// Address for OTLP/gRPC.
        grpc: Option<String>,
        /// Address for OTLP/HTTP (`/v1/traces`).
        http: Option<String>,
        tls: Option<Tls>,
        /// Bearer token that senders present.
        token: Option<String>,
        /// A file that holds the token.
        token_file: Option<String>,
        /// Largest request as it is sent.
        body_max: Option<String>,
        /// Largest request once decompressed.
        decompressed_max: Option<String>,
        /// Spans that wait for the engine before senders are told to come back.
        queue_spans: Option<String>,
        /// Memory that those may take.
        queue_memory: Option<String>,
        /// Connections open at once.
        connections_max: Option<String>,
    }
);

section!(
    /// Certificate files (PEM).
    Tls {
        cert: Option<String>,
        key: Option<String>,
        /// Senders must present a certificate signed by this authority (mTLS).
        client_ca: Option<String>,
    }
);

section!(
    /// HTTP API, metrics and health.
    Api {
        listen: Option<String>,
        token: Option<String>,
        token_file: Option<String>,
        /// What one SQL query may take.
        sql_timeout: Option<String>,
        sql_memory: Option<String>,
        sql_rows_max: Option<String>,
    }
);

section!(
    /// What the window keeps.
    Window {
        duration: Option<String>,
        memory: Option<String>,
    }
);

section!(
    /// What headroom as a whole may take.
    Limits {
        /// Resident memory of the process.
        memory: Option<String>,
        /// Spans a second that are analysed; of more, whole traces are shed.
        spans_per_second: Option<String>,
    }
);

section!(
    /// Rules and what one evaluation may take.
    Rules {
        /// Directory of `*.rhai` files; without it the shipped rules run.
        directory: Option<String>,
        operations_max: Option<String>,
        call_levels_max: Option<String>,
        string_bytes_max: Option<String>,
        array_elements_max: Option<String>,
    }
);

section!(
    /// Bounds of every action.
    Guard {
        /// One step multiplies the replicas by this at most.
        step_factor_max: Option<String>,
        /// Between two scale-outs of one service, where the rule gives none.
        scale_out_cooldown: Option<String>,
        scale_in_cooldown: Option<String>,
        /// No scale-in so soon after a scale-out of the same service.
        scale_in_after_scale_out: Option<String>,
        /// No scale-in so soon after the load needed more than twice the ready pods.
        panic_hold: Option<String>,
        /// A scale-in goes no lower than the highest need of this window.
        stabilisation: Option<String>,
        /// Replicas headroom may have added at once, over all services.
        added_replicas_max: Option<String>,
        actions_per_minute: Option<String>,
    }
);

section!(
    /// The JSON-lines file that `explain` and `replay` read.
    Journal {
        path: Option<String>,
        /// Past this size the file is rotated; one older file is kept.
        size_max: Option<String>,
    }
);

section!(
    /// Where what was learnt is kept over restarts.
    Learnt {
        path: Option<String>,
    }
);

section!(
    /// Where workloads run.
    Cluster {
        embedded: Option<Embedded>,
        kubernetes: Option<Kubernetes>,
    }
);

section!(
    /// A Kubernetes API server; `{}` where all is as usual.
    Kubernetes {
        /// Of a kubeconfig; without it the pod's service account, else the current context.
        context: Option<String>,
        /// Where the Lease lies.
        namespace: Option<String>,
        lease: Option<String>,
        /// Unique among replicas; without it the host's name.
        identity: Option<String>,
        /// Address of KEDA's external scaler (gRPC).
        scaler: Option<String>,
        /// `fixed`: what finds no room on the nodes is not scaled out. `grow`: nodes come for pods that find none.
        nodes: Option<String>,
    }
);

section!(
    /// The simulator's cluster, over loopback.
    Embedded {
        url: Option<String>,
    }
);

/// The keys of every section, for the test that the reference file names them all.
#[cfg(test)]
pub const ALL_KEYS: &[&[&str]] = &[
    Root::KEYS,
    Bounds::KEYS,
    Objective::KEYS,
    Service::KEYS,
    Receive::KEYS,
    Tls::KEYS,
    Api::KEYS,
    Window::KEYS,
    Limits::KEYS,
    Rules::KEYS,
    Guard::KEYS,
    Journal::KEYS,
    Learnt::KEYS,
    Cluster::KEYS,
    Embedded::KEYS,
    Kubernetes::KEYS,
];
