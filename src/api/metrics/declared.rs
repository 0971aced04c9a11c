//! Every metric, declared once: its name, kind, labels and meaning. What is exposed, the documentation and its test all go
//! by this list.
//!
//! Names are `headroom_<what>_<measure>_<unit>`, in base units. Labels that name a service are those of OpenTelemetry's
//! semantic conventions as Prometheus writes them: none of them is one that a scraper puts on its targets.

/// How a metric behaves, and so how each format writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Counter,
    Gauge,
    /// Classic buckets, and native ones where the format has them.
    Histogram,
    /// A sum and a count, without quantiles.
    Summary,
    /// A gauge for each state, 1 for the one that holds. Not the state set of OpenMetrics, which would have a label called as
    /// the metric: see decision 0070.
    States,
    /// Always 1; its labels are what it tells.
    Info,
}

impl Kind {
    /// For the documentation.
    pub const fn as_str(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
            Kind::Summary => "summary",
            Kind::States => "states",
            Kind::Info => "info",
        }
    }
}

/// What a metric has a series of, and so what bounds their number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Per {
    Process,
    Entry,
    Service,
    Pod,
    Operation,
    /// Whose time an endpoint's requests spend.
    Path,
    Call,
    Bottleneck,
    /// A service of which something is said now: an open breaker, a pause, an intervention.
    Noted,
    Rule,
    Receiver,
    Dimension,
}

/// Cluster, namespace and name of a service.
const SERVICE: &[&str] = &["k8s_cluster_name", "service_namespace", "service_name"];

impl Per {
    /// Labels that name what the series is of, in this order.
    pub const fn labels(self) -> [&'static [&'static str]; 2] {
        match self {
            Per::Process | Per::Rule | Per::Receiver | Per::Dimension => [&[], &[]],
            Per::Entry => [SERVICE, &["entry"]],
            Per::Service | Per::Noted => [SERVICE, &[]],
            Per::Pod => [SERVICE, &["k8s_pod_name", "service_version"]],
            Per::Operation => [SERVICE, &["operation"]],
            Per::Path => [SERVICE, &["entry", "path_service", "peer", "kind"]],
            Per::Call => [SERVICE, &["callee"]],
            Per::Bottleneck => [SERVICE, &["entry", "verdict"]],
        }
    }

    /// What bounds the series of one metric, for the documentation.
    pub const fn bound(self) -> &'static str {
        match self {
            Per::Process => "",
            Per::Entry => "`metrics.entries_max`",
            Per::Service => "`metrics.services_max`",
            Per::Pod => "`metrics.pods_max`",
            Per::Operation => "`metrics.operations_max`",
            Per::Path | Per::Call => "`metrics.paths_max`",
            Per::Bottleneck => "bottlenecks now",
            Per::Noted => "those of which it is so",
            Per::Rule => "rules",
            Per::Receiver => "receivers of notices",
            Per::Dimension => "bounds",
        }
    }
}

/// One metric.
#[derive(Debug)]
pub struct Metric {
    /// Of a counter and of an info without their endings `_total` and `_info`.
    pub name: &'static str,
    pub kind: Kind,
    pub per: Per,
    /// Labels beside those that name what the series is of.
    pub labels: &'static [&'static str],
    pub help: &'static str,
}

impl Metric {
    /// The unit that its name ends with; None for counts.
    pub fn unit(&self) -> Option<&'static str> {
        ["seconds", "bytes", "ratio"].into_iter().find(|unit| self.name.ends_with(&format!("_{unit}")))
    }

    /// Every label that its series may have; those without a value are left out.
    pub fn all_labels(&self) -> impl Iterator<Item = &'static str> + use<> {
        let [of, more] = self.per.labels();
        of.iter().chain(more).chain(self.labels).copied()
    }

    /// As queries name it.
    pub fn sample_name(&self) -> String {
        let ending = match self.kind {
            Kind::Counter => "_total",
            Kind::Info => "_info",
            Kind::Gauge | Kind::Histogram | Kind::Summary | Kind::States => "",
        };
        format!("{}{ending}", self.name)
    }
}

macro_rules! declare {
    ($($name:ident: $kind:ident $per:ident [$($label:literal),*] $text:literal, $help:literal;)+) => {
        /// A metric of the list, by which code names it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Name { $($name),+ }

        /// In the order of [`Name`].
        pub static DECLARED: &[Metric] = &[$(Metric {
            name: concat!("headroom_", $text),
            kind: Kind::$kind,
            per: Per::$per,
            labels: &[$($label),*],
            help: $help,
        }),+];

        /// The names of [`Name`], in its order.
        #[cfg(test)]
        pub fn name(place: usize) -> &'static str {
            [$(stringify!($name)),+][place]
        }
    };
}

declare! {
    // Endpoints.
    EntryRequests: Counter Entry [] "entry_requests", "Requests of an endpoint (root span), as seen";
    EntryAdjusted: Counter Entry [] "entry_adjusted_requests", "Requests that those seen stand for, where a sampler left some out";
    EntryErrors: Counter Entry [] "entry_errors", "Requests of an endpoint that failed";
    EntrySlow: Counter Entry [] "entry_slow_requests", "Requests of an endpoint that took longer than its objective";
    EntryMissed: Counter Entry [] "entry_missed_requests", "Requests of an endpoint that were too slow or failed";
    EntryDuration: Histogram Entry [] "entry_request_duration_seconds", "Duration of an endpoint's requests; a value within a sixteenth above a bound may count as above";
    EntryPath: Counter Path [] "entry_critical_path_seconds", "Time on the critical path of an endpoint's requests, by the service whose it is: own, queue (waiting to be taken) or peer (a callee without spans)";
    EntryFailures: Counter Path [] "entry_failures", "Failed requests of an endpoint, by the service where the failure starts: error, refused or gave_up";
    EntryRate: Gauge Entry [] "entry_requests_per_second", "Requests a second over the last seconds, corrected for sampling";
    EntryP50: Gauge Entry [] "entry_p50_seconds", "Median duration over the last seconds";
    EntryP99: Gauge Entry [] "entry_p99_seconds", "99th percentile of the duration over the last seconds";
    EntryLatency: Gauge Entry [] "entry_latency_seconds", "Duration at the quantile of the objective over the last seconds";
    EntryErrorRatio: Gauge Entry [] "entry_error_ratio", "Share of requests that failed over the last seconds";
    EntryMissedRatio: Gauge Entry [] "entry_missed_ratio", "Share of requests that were too slow or failed over the last seconds";
    ObjectiveLatency: Gauge Entry [] "entry_objective_latency_seconds", "Latency that the objective of an endpoint allows";
    ObjectiveSlowAllowed: Gauge Entry [] "entry_objective_slow_allowed_ratio", "Share of requests that may be slower (1 less the quantile)";
    ObjectiveErrorsAllowed: Gauge Entry [] "entry_objective_errors_allowed_ratio", "Share of requests that may fail";
    ObjectiveBurn: Gauge Entry ["part"] "entry_objective_burn_ratio", "Share of requests that were too slow (latency) or failed (errors) over the share allowed, of the last seconds; above 1 the objective is not kept";
    ObjectiveStatus: States Entry ["part", "status"] "entry_objective_status", "How each part of the objective stands: met, at_risk (too few requests to be sure) or missed";
    ObjectiveMissed: Gauge Entry [] "entry_objective_missed", "1 while the endpoint misses its objective";
    EntrySeen: Gauge Entry [] "entry_seen_ratio", "Share of the endpoint's requests whose trace is whole; of the 50 with most requests";

    // Services.
    ServiceRequests: Counter Service [] "service_requests", "Requests taken and answered by a service, as seen";
    ServiceAdjusted: Counter Service [] "service_adjusted_requests", "Requests of a service that those seen stand for, refused and abandoned ones included";
    ServiceErrors: Counter Service [] "service_errors", "Requests of a service that failed";
    ServiceRefused: Counter Service [] "service_refused_requests", "Requests that a service turned away at once (503, 429)";
    ServiceAbandoned: Counter Service [] "service_abandoned_requests", "Calls of a service that their callers gave up without an answer";
    ServiceDuration: Histogram Service [] "service_request_duration_seconds", "Waiting and service of a service's requests; a value within a sixteenth above a bound may count as above";
    ServiceBusy: Counter Service [] "service_busy_seconds", "Time for which requests were in service; its rate is the concurrency";
    ServiceOwn: Counter Service [] "service_own_seconds", "Of that, time that the service spent itself";
    ServiceWaiting: Counter Service [] "service_waiting_seconds", "Time that requests waited to be taken (queue, network)";
    ServiceThroughput: Gauge Service [] "service_throughput_per_second", "Requests served a second over the last seconds";
    ServiceArrivals: Gauge Service [] "service_arrivals_per_second", "Estimated arrivals a second: throughput corrected for growing waiting, with refused and abandoned requests";
    ServiceErrorRatio: Gauge Service [] "service_error_ratio", "Share of the service's requests that failed over the last seconds";
    ServiceP99: Gauge Service [] "service_p99_seconds", "99th percentile of waiting and service over the last seconds";
    ServiceMeanWaiting: Gauge Service [] "service_mean_waiting_seconds", "Mean time that a request waits to be taken";
    ServiceMeanOwn: Gauge Service [] "service_mean_own_seconds", "Mean time that the service spends itself on a request";
    ServiceConcurrency: Gauge Service [] "service_concurrency_per_pod", "Requests in service at once for each ready pod";
    ServicePodCapacity: Gauge Service [] "service_capacity_per_pod_per_second", "Requests a second that one pod sustained at its limit; absent until that was seen";
    ServiceCapacity: Gauge Service [] "service_capacity_per_second", "Requests a second that the ready pods sustain; absent until the capacity of one is learnt";
    ServiceHeadroom: Gauge Service [] "service_headroom_ratio", "1 less arrivals over capacity; below 0 more arrives than the ready pods sustain";
    ServiceReplicas: Gauge Service [] "service_replicas", "Replicas that the workload asks for; without a cluster the pods that send spans";
    ServiceReady: Gauge Service [] "service_replicas_ready", "Ready pods";
    ServiceNeeded: Gauge Service [] "service_replicas_needed", "Replicas that the load needs; absent while that is not known";
    ServiceWanted: Gauge Service [] "service_replicas_wanted", "Replicas that the last scaling decision asked for, permitted or observed; absent before the first";
    ServiceMin: Gauge Service [] "service_replicas_min", "Least replicas that the workload's owner allows";
    ServiceMax: Gauge Service [] "service_replicas_max", "Most replicas that the workload's owner allows";
    ServicePodStart: Gauge Service [] "service_pod_start_seconds", "Time within which 95 of 100 pods were Ready after they were created; absent until one was seen to start";
    ServicePodsSeen: Gauge Service [] "service_pods_seen", "Pods that spans came from in the last seconds";
    ServiceMissed: Gauge Service [] "service_objective_missed", "1 while an endpoint that crosses the service misses its objective";
    ServiceLowTraffic: Gauge Service [] "service_low_traffic", "1 while the service has fewer requests than a judgement needs";
    ServiceVerdict: States Service ["verdict"] "service_verdict", "What holds for the service: the verdict of the worst bottleneck or silent failure that lies there, else healthy or partial";
    ServiceSeen: Gauge Service [] "service_seen_ratio", "Share of the service's requests whose caller's span came; of the 50 with most requests";
    ServiceLastAction: Gauge Service ["action", "outcome", "rule", "verdict", "from", "to", "k8s_pod_name"] "service_last_action_timestamp_seconds", "When headroom last took this action at the service, in Unix time: done, failed, observed (it would have been taken) or notified; from and to are replicas";
    ServiceOpen: Gauge Noted ["action"] "service_intervention_open", "1 while an intervention at the service is open";

    // Their pods, operations and calls.
    PodRequests: Counter Pod [] "pod_requests", "Requests taken and answered by a pod, as seen";
    PodErrors: Counter Pod [] "pod_errors", "Requests of a pod that failed";
    PodBusy: Counter Pod [] "pod_busy_seconds", "Time for which requests were in service at a pod; its rate is the pod's concurrency";
    PodOwn: Counter Pod [] "pod_own_seconds", "Of that, time that the pod spent itself";
    PodWaiting: Counter Pod [] "pod_waiting_seconds", "Time that a pod's requests waited to be taken";
    OperationDuration: Summary Operation [] "operation_request_duration_seconds", "Waiting and service of an operation's requests";
    OperationErrors: Counter Operation [] "operation_errors", "Requests of an operation that failed";
    OperationOwn: Counter Operation [] "operation_own_seconds", "Time that the service spent itself on an operation";
    OperationWaiting: Counter Operation [] "operation_waiting_seconds", "Time that an operation's requests waited to be taken";
    CallRequests: Counter Call [] "call_requests", "Calls that a service made, by callee: a service, or the name of a peer without spans";
    CallErrors: Counter Call [] "call_errors", "Calls that failed, by callee";
    CallSeconds: Counter Call [] "call_seconds", "Time that the caller spent in its calls, by callee";

    // What is found.
    Bottleneck: Gauge Bottleneck ["operation", "k8s_pod_name", "peer", "caller", "service_version"] "bottleneck", "1 for each endpoint that misses its objective and the service to blame; there while it is so";
    BottleneckProbability: Gauge Bottleneck [] "bottleneck_probability_ratio", "Probability that it is this cause; of verdict unknown the service's share of the blame";
    BottleneckBlame: Gauge Bottleneck [] "bottleneck_blame_seconds", "Critical-path time above healthy time in the requests that missed, over the last seconds";
    SilentFailure: Gauge Noted ["verdict"] "silent_failure_probability_ratio", "Probability that a service fails while no objective is missed; there while it is high";
    Verdict: States Process ["verdict"] "verdict", "The verdict of the worst bottleneck, else healthy, partial or blind";
    Sight: States Process ["level"] "sight", "How much of what happens is seen: blind, partial or clear";
    SeenShare: Gauge Process [] "analyse_seen_share", "Share of traces that are seen whole; 0 while blind";
    Blind: Gauge Process [] "analyse_blind", "1 while no spans arrive, or none in which a request can be followed, so that nothing is known of now";
    Partial: Gauge Process [] "analyse_partial", "1 while a part of what happens is not seen";
    Bottlenecks: Gauge Process [] "analyse_bottlenecks", "Endpoints (root spans) with a bottleneck now";
    EntriesMissed: Gauge Process [] "analyse_entries_missed", "Endpoints (root spans) that miss their objective now";
    SilentFailures: Gauge Process [] "analyse_silent_failures", "Services that fail with high probability while no objective is missed";
    IncompleteServices: Gauge Process [] "analyse_incomplete_services", "Services with incomplete telemetry";
    WithoutParent: Counter Process [] "analyse_spans_without_parent", "Spans whose parent never came: a sender lost it";
    FindingsDelay: Histogram Process [] "findings_delay_seconds", "From the receipt of a request to the findings that know all of its spans";

    // What is decided and done.
    RuleEvaluations: Counter Rule ["rule"] "decide_rule_evaluations", "Evaluations of a rule, once at each tick";
    RuleErrors: Counter Rule ["rule"] "decide_rule_errors", "Evaluations and loads of a rule that failed";
    RuleFailures: Counter Process [] "decide_rule_failures", "Rules that failed to load or, once at each tick, to run, and were skipped";
    RuleLoads: Counter Process [] "decide_rule_loads", "Reloads of the rules";
    Proposals: Counter Rule ["rule", "action"] "decide_proposals", "Proposals, by who proposed and the action; one that is repeated at each tick counts each time";
    Decisions: Counter Rule ["rule", "action", "outcome"] "guard_decisions", "Decisions by their outcome: permitted, observed, notified or refused; one that repeats itself counts once";
    Refusals: Counter Rule ["gate", "action"] "guard_refusals", "Refusals by gate; in observe mode those that enforce mode would have met";
    BreakerOpen: Gauge Noted ["rule"] "guard_breaker_open", "1 while a breaker keeps the rule from a further step at the service";
    Mode: States Process ["mode"] "guard_mode", "Whether permits are made: observe or enforce";
    Paused: Gauge Process [] "guard_paused", "1 while paused";
    ServicePaused: Gauge Noted [] "guard_service_paused", "1 while the service is paused";
    Changes: Counter Rule ["action", "outcome"] "act_changes", "Permitted changes by their outcome in the cluster: done or failed";
    Polls: Counter Process ["outcome"] "act_polls", "Readings of the cluster's state: answered or failed";
    ApiAttempts: Counter Process ["reason", "outcome"] "act_api_attempts", "Calls of the Kubernetes API server and watches taken up again, by why each was made and how it ended";
    Leader: Gauge Process [] "act_leader", "0 while another replica of headroom leads and this one watches, else 1";
    Interventions: Counter Rule ["rule", "action", "stage"] "verify_interventions", "Interventions by the stage that they reached: applied, judging, verified, no_effect, given_back or superseded";
    InterventionsOpen: Gauge Process [] "verify_interventions_open", "Interventions that have not ended";

    // Gateways.
    GatewayAnswers: Counter Process ["answer"] "gateway_answers", "Requests that a gateway asked about: admitted, or shed";
    GatewayUnknown: Counter Process ["what"] "gateway_unknown", "Questions that were not understood, and so let in: unknown_domain, unknown_descriptor or unknown_entry";

    // Notices.
    NotifyCauses: Gauge Process [] "notify_causes", "Causes that people were told of, by any means, and that last";
    NotifyMessages: Counter Receiver ["receiver", "outcome"] "notify_messages", "Messages to a receiver by what became of them: delivered, or dead (given up)";
    NotifyAttempts: Counter Receiver ["receiver", "outcome"] "notify_attempts", "Requests to a receiver by how they ended: ok, refused, unavailable (429, 5xx), unreachable or timed_out";
    NotifySuppressed: Counter Receiver ["reason"] "notify_suppressed", "Causes that needed no message of their own: grouped with others";
    NotifyQueued: Gauge Receiver ["receiver"] "notify_queued_messages", "Messages that wait for a receiver";
    NotifyOldest: Gauge Receiver ["receiver"] "notify_oldest_seconds", "How long the oldest message has waited for a receiver; 0 without any";

    // The history.
    HistoryWrites: Counter Process ["outcome"] "history_writes", "Writings of the history, one a minute: written, failed (an attempt; it is tried again) or dropped (lost, as too much waited)";
    HistoryWaiting: Gauge Process [] "history_waiting", "Writings that wait for the store of the history";

    // headroom itself.
    Build: Info Process ["version", "commit"] "build", "Version of headroom";
    Ticks: Counter Process [] "engine_ticks", "Ticks of the engine";
    TicksSkipped: Counter Process [] "engine_ticks_skipped", "Ticks skipped because the one before took too long";
    TickDuration: Histogram Process [] "engine_tick_duration_seconds", "How long a tick takes";
    TickAge: Gauge Process [] "engine_tick_age_seconds", "Time since the last tick";
    Watermark: Gauge Process [] "window_watermark_lag_seconds", "How far the time up to which telemetry is complete lies behind now";
    AdmittedShare: Gauge Process [] "window_admitted_share", "Share of the spans received lately that was admitted; 1 while nothing is shed";
    AdmittedSpans: Counter Process [] "window_admitted_spans", "Spans admitted";
    ShedSpans: Counter Process [] "window_shed_spans", "Spans of whole traces that were shed because more came than may be analysed";
    LateSpans: Counter Process [] "window_late_spans", "Spans that came after their trace was closed";
    DuplicateSpans: Counter Process [] "window_duplicate_spans", "Spans that came twice";
    SurplusSpans: Counter Process [] "window_surplus_spans", "Spans past what one trace may have";
    EvictedSpans: Counter Process [] "window_evicted_spans", "Spans that were analysed and are no longer in the table";
    PartialTraces: Counter Process [] "window_partial_traces", "Traces closed without a root: a sender lost it, or it never came";
    WindowSpans: Gauge Process [] "window_spans", "Spans in the table";
    WindowBytes: Gauge Process [] "window_bytes", "Arrow memory of the table";
    OpenTraces: Gauge Process [] "window_open_traces", "Traces that are not closed yet";
    ReceiveSpans: Counter Process [] "receive_spans", "Spans taken into the window";
    ReceiveBatches: Counter Process [] "receive_batches", "Batches of spans taken into the window";
    ReceiveRequests: Counter Process [] "receive_requests", "Requests acknowledged";
    ReceiveAcknowledged: Counter Process [] "receive_acknowledged_spans", "Spans acknowledged to their senders";
    ReceiveBytes: Counter Process [] "receive_decompressed_bytes", "Bytes of acknowledged requests, decompressed";
    ReceiveOverflowed: Counter Process [] "receive_overflowed_texts", "Texts that became _other: a column of one batch had too many";
    ReceiveCut: Counter Process [] "receive_cut_texts", "Texts that were longer than 1024 bytes and were cut";
    ReceiveBroken: Counter Process [] "receive_broken_texts", "Texts that were not UTF-8 and became U+FFFD";
    ReceiveLeftOut: Counter Process [] "receive_left_out_fields", "Attributes, events, links and fields that could not be read and were left out of spans that could";
    ReceiveUnnamed: Counter Process [] "receive_unnamed_spans", "Spans of services without service.name (unknown_service): set OTEL_SERVICE_NAME there";
    ReceiveRejected: Counter Process ["reason"] "receive_rejected_spans", "Spans rejected out of acknowledged requests";
    ReceiveRefused: Counter Process ["reason"] "receive_refused_requests", "Requests refused whole";
    JournalWaiting: Gauge Process [] "journal_waiting", "Entries that wait because the journal cannot be written";
    JournalDropped: Gauge Process [] "journal_dropped", "Entries lost since the start because the journal could not be written";
    Panics: Counter Process [] "process_panics", "Panics that were caught; each is in the log, and worth a report";
    SqlStatements: Counter Process ["outcome"] "api_sql_statements", "SQL statements of people, by how they ended";
    SqlProcesses: Counter Process [] "api_sql_processes_started", "Processes started to answer SQL";
    SqlShelf: Gauge Process [] "api_sql_shelf_bytes", "Memory that holds tables for these processes to read";
    Resident: Gauge Process [] "process_resident_bytes", "Resident memory of the process";
    Cpu: Counter Process [] "process_cpu_seconds", "Processor time of the process, user and system";
    Start: Gauge Process [] "process_start_time_seconds", "When the process started, in Unix time";
    Limit: Gauge Dimension ["dimension"] "metrics_limit", "Names of services, entries, operations, pods, paths or calls that have series of their own, at most";
    Names: Gauge Dimension ["dimension"] "metrics_names", "Names that have series of their own now";
    OtherRows: Counter Dimension ["dimension"] "metrics_other_rows", "Rollup rows of names past the bound, counted in _other";
    Scrapes: Counter Process ["format"] "metrics_scrapes", "Answers of /metrics, by format";
    ScrapeSeconds: Gauge Process [] "metrics_scrape_seconds", "What the last answer of /metrics took to write";
}

impl Name {
    pub fn metric(self) -> &'static Metric {
        &DECLARED[self as usize]
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_follow_the_conventions_of_prometheus() {
        let names: BTreeSet<&str> = DECLARED.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), DECLARED.len(), "each is declared once");
        for metric in DECLARED {
            let Metric { name, kind, help, .. } = metric;
            assert!(
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_'),
                "{name}"
            );
            let endings = ["_total", "_info", "_count", "_sum", "_bucket"];
            assert!(!endings.iter().any(|ending| name.ends_with(ending)), "{name} has the ending of a sample");
            assert!(!name.contains("milliseconds") && !name.ends_with("_ms"), "{name} is not in a base unit");
            assert!(!help.ends_with('.') && !help.contains(['\n', '"', '\\']), "{name}: {help}");
            let is_timed = matches!(kind, Kind::Histogram | Kind::Summary);
            assert!(!is_timed || metric.unit() == Some("seconds"), "{name}");
            let labels: Vec<&str> = metric.all_labels().collect();
            assert_eq!(BTreeSet::from_iter(&labels).len(), labels.len(), "{name}: {labels:?}");
            assert!(!labels.contains(&"le") && !labels.contains(&"quantile"), "{name}: labels of the formats");
        }
    }
}
