//! What hinders seeing, how much of the traffic it concerns, and how to mend it.

use serde::{Deserialize, Serialize};

use super::Findings;
use super::sentences::percent;
use crate::analyse::telemetry::{ClockState, HostClock, SightLevel};
use crate::analyse::thresholds::findings::hindrances::{REQUESTS_MIN, SHARE_MIN, SILENT_CALLER_MIN};
use crate::analyse::thresholds::telemetry::sight::CHOSEN_MIN;
use crate::model::Names;
use crate::model::spans::OTHER;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HindranceKind {
    NoSpans,
    NoBeginning,
    TailSampled,
    WrongUnit,
    ClockFarOff,
    SpansLost,
    LateSpans,
    Shed,
    SilentSampling,
    ClockCorrected,
    ClockVarying,
    Repeated,
    SilentCaller,
    UnnamedService,
    NamesLost,
    WithoutPod,
}

impl HindranceKind {
    pub const fn as_str(self) -> &'static str {
        match self {
            HindranceKind::NoSpans => "no_spans",
            HindranceKind::NoBeginning => "no_beginning",
            HindranceKind::TailSampled => "tail_sampled",
            HindranceKind::WrongUnit => "wrong_unit",
            HindranceKind::ClockFarOff => "clock_far_off",
            HindranceKind::SpansLost => "spans_lost",
            HindranceKind::LateSpans => "late_spans",
            HindranceKind::Shed => "shed",
            HindranceKind::SilentSampling => "silent_sampling",
            HindranceKind::ClockCorrected => "clock_corrected",
            HindranceKind::ClockVarying => "clock_varying",
            HindranceKind::Repeated => "repeated",
            HindranceKind::SilentCaller => "silent_caller",
            HindranceKind::UnnamedService => "unnamed_service",
            HindranceKind::NamesLost => "names_lost",
            HindranceKind::WithoutPod => "without_pod",
        }
    }

    /// How much of what it concerns cannot be seen, or is seen wrong: all, where nothing can be said; little, where one
    /// knows less and says nothing wrong.
    const fn effect(self) -> f64 {
        match self {
            HindranceKind::NoSpans | HindranceKind::NoBeginning | HindranceKind::WrongUnit => 1.0,
            HindranceKind::TailSampled => 0.9,
            HindranceKind::SpansLost | HindranceKind::LateSpans => 0.7,
            HindranceKind::ClockFarOff => 0.5,
            HindranceKind::Shed | HindranceKind::SilentSampling | HindranceKind::UnnamedService => 0.3,
            HindranceKind::ClockCorrected
            | HindranceKind::ClockVarying
            | HindranceKind::Repeated
            | HindranceKind::NamesLost => 0.2,
            HindranceKind::SilentCaller => 0.15,
            HindranceKind::WithoutPod => 0.02,
        }
    }
}

/// One thing that hinders seeing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Hindrance {
    pub kind: HindranceKind,
    /// The service, host or endpoint that it is about; empty for all.
    pub subject: String,
    /// Share of the traffic that it concerns, 0 to 1.
    pub share: f64,
    /// What is seen, in a sentence with its numbers.
    pub what: String,
    /// What to do about it.
    pub remedy: String,
}

impl Hindrance {
    /// By this they are ordered, the greatest first.
    pub fn effect(&self) -> f64 {
        self.kind.effect() * self.share
    }
}

/// Of traffic: requests of a service or an endpoint among those of all of its kind.
fn part(requests: u64, of: u64) -> f64 {
    requests as f64 / of.max(1) as f64
}

/// Whether a service goes by the name that SDKs give one without a name.
fn is_unnamed(service: &str) -> bool {
    let name = service.rsplit('/').next().unwrap_or(service);
    name.strip_prefix("unknown_service").is_some_and(|rest| rest.is_empty() || rest.starts_with(':'))
}

impl Findings {
    /// What hinders seeing now, by its effect.
    pub fn hindrances(&self) -> Vec<Hindrance> {
        let mut found = Vec::new();
        self.of_traces(&mut found);
        self.of_services(&mut found);
        self.of_spans(&mut found);
        found.extend(self.sight.clocks.iter().map(|clock| self.of_clock(clock)));
        found.sort_by(|a, b| {
            let by_effect = b.effect().total_cmp(&a.effect());
            by_effect.then_with(|| (a.kind, &a.subject).cmp(&(b.kind, &b.subject)))
        });
        found
    }

    fn of_traces(&self, found: &mut Vec<Hindrance>) {
        let sight = &self.sight;
        if sight.level == SightLevel::Blind && !self.spans_arrive {
            found.push(Hindrance {
                kind: HindranceKind::NoSpans,
                subject: String::new(),
                share: 1.0,
                what: "no spans are received".into(),
                remedy:
                    "export OTLP to the receiver (port 4317 for gRPC, 4318 for HTTP); `headroom_receive_spans_total` counts \
                         what arrives"
                        .into(),
            });
        }
        let all: u64 = sight.entries.iter().map(|entry| entry.requests).sum();
        let share = part(sight.traces_without_beginning, all + sight.traces_without_beginning);
        if sight.traces_without_beginning >= REQUESTS_MIN && share >= SHARE_MIN {
            found.push(Hindrance {
                kind: HindranceKind::NoBeginning,
                subject: String::new(),
                share,
                what: format!("in {} of traces no request can be followed from its beginning", percent(share)),
                remedy:
                    "export the spans of the service in which these traces begin; where a proxy or gateway begins them \
                         and sends none, they are followed from the next service on after some ten requests"
                        .into(),
            });
        }
        for entry in sight.entries.iter().filter(|entry| entry.requests >= REQUESTS_MIN) {
            let name = &entry.entry;
            let chosen = match entry.tail_sampled_above_ms {
                Some(bound) => Some(format!(
                    "traces of {name} slower than {bound:.0} ms are kept and few of the faster: a tail sampler"
                )),
                None if entry.chosen_share > CHOSEN_MIN => Some(format!(
                    "{} of the traces of {name} were chosen by a tail sampler, as it writes itself",
                    percent(entry.chosen_share)
                )),
                None => None,
            };
            if let Some(what) = chosen {
                found.push(Hindrance {
                    kind: HindranceKind::TailSampled,
                    subject: name.clone(),
                    share: part(entry.requests, all),
                    what,
                    remedy: "send headroom the spans before the tail sampler (a second exporter of the Collector), or sample \
                             at the head with `ot=th`"
                        .into(),
                });
            }
            let operation = entry.entry.split_once(' ').map_or("", |(_, operation)| operation);
            if Names::is_lost(operation) || operation == OTHER {
                found.push(Hindrance {
                    kind: HindranceKind::NamesLost,
                    subject: entry.entry.clone(),
                    share: part(entry.requests, all),
                    what: format!(
                        "no part of the names of {} of requests ({}) repeats, so they are one endpoint",
                        percent(part(entry.requests, all)),
                        entry.entry
                    ),
                    remedy:
                        "set `http.route`, give spans names without identifiers, or name them with `operations` in the \
                             configuration"
                            .into(),
                });
            }
            if entry.remote_parent_share >= SILENT_CALLER_MIN {
                found.push(Hindrance {
                    kind: HindranceKind::SilentCaller,
                    subject: entry.entry.clone(),
                    share: part(entry.requests, all) * entry.remote_parent_share,
                    what: format!(
                        "{} of the requests of {} come from a caller that sends no spans",
                        percent(entry.remote_parent_share),
                        entry.entry
                    ),
                    remedy: "trace the gateway, proxy or client before it to see its time too; without, requests are judged \
                             from this service on"
                        .into(),
                });
            }
        }
    }

    fn of_services(&self, found: &mut Vec<Hindrance>) {
        let all: u64 = self.sight.services.iter().map(|service| service.requests).sum();
        for service in self.sight.services.iter().filter(|service| service.requests >= REQUESTS_MIN) {
            let name = &service.service;
            if is_unnamed(name) {
                found.push(Hindrance {
                    kind: HindranceKind::UnnamedService,
                    subject: name.clone(),
                    share: part(service.requests, all),
                    what: format!(
                        "{} of requests are taken by services that nobody named ({name}): they are taken for one",
                        percent(part(service.requests, all))
                    ),
                    remedy: "set OTEL_SERVICE_NAME, or the resource attribute `service.name`, in each of them".into(),
                });
            }
            let lost = service.without_parent_share.max(service.unanswered_share);
            if lost >= SHARE_MIN {
                let what = if service.without_parent_share >= service.unanswered_share {
                    format!("{} of the requests of {name} lack their caller's span", percent(lost))
                } else {
                    format!("{} of the calls to {name} were answered without a span of it", percent(lost))
                };
                found.push(Hindrance {
                    kind: HindranceKind::SpansLost,
                    subject: name.clone(),
                    share: part(service.requests, all) * lost,
                    what,
                    remedy: "look for spans that an SDK drops (raise OTEL_BSP_MAX_QUEUE_SIZE), for an exporter or Collector \
                             that refuses them (`otelcol_exporter_send_failed_spans`), and for a sampler that decides for \
                             each service by itself"
                        .into(),
                });
            }
            if service.without_pod_share >= 0.5 {
                found.push(Hindrance {
                    kind: HindranceKind::WithoutPod,
                    subject: name.clone(),
                    share: part(service.requests, all) * service.without_pod_share,
                    what: format!(
                        "{} of the requests of {name} name no pod, so one bad pod cannot be told",
                        percent(service.without_pod_share)
                    ),
                    remedy: "set `k8s.pod.name` (the Collector's k8sattributes processor) or `service.instance.id`"
                        .into(),
                });
            }
        }
    }

    fn of_spans(&self, found: &mut Vec<Hindrance>) {
        let (sight, spans) = (&self.sight, &self.sight.spans);
        for misdated in sight.misdated.iter().filter(|misdated| misdated.share > 0.0) {
            let (service, unit) = (&misdated.service, misdated.unit.as_str());
            found.push(Hindrance {
                kind: HindranceKind::WrongUnit,
                subject: service.clone(),
                share: misdated.share,
                what: format!(
                    "spans of {service} have times in {unit} where nanoseconds belong; they are not analysed ({} of spans)",
                    percent(misdated.share)
                ),
                remedy: "multiply `startTimeUnixNano` and `endTimeUnixNano` to nanoseconds where they are written".into(),
            });
        }
        let mut share_of_spans = |kind, share: f64, what: String, remedy: &str| {
            if share >= SHARE_MIN {
                found.push(Hindrance { kind, subject: String::new(), share, what, remedy: remedy.into() });
            }
        };
        share_of_spans(
            HindranceKind::LateSpans,
            spans.late_share,
            format!("{} of spans come after their trace was analysed", percent(spans.late_share)),
            "shorten the batches of SDKs and Collector (OTEL_BSP_SCHEDULE_DELAY, `batch.timeout`), so that spans of one request \
             come within seconds of each other",
        );
        share_of_spans(
            HindranceKind::Shed,
            spans.shed_share,
            format!("{} of spans are left out, because more come than may be analysed", percent(spans.shed_share)),
            "raise `limits.spans_per_second`, or sample at the head with `ot=th`",
        );
        share_of_spans(
            HindranceKind::Repeated,
            spans.repeated_share,
            format!("{} of spans come twice", percent(spans.repeated_share)),
            "export to headroom from one pipeline only",
        );
        if let Some(rate) = sight.silent_sampling_rate {
            found.push(Hindrance {
                kind: HindranceKind::SilentSampling,
                subject: String::new(),
                share: 1.0 - rate,
                what: format!(
                    "about {} of traces are kept by a sampler that does not say so, so the load is not known",
                    percent(rate)
                ),
                remedy: format!(
                    "use a sampler that writes `ot=th` into tracestate, or set `receive.assume_weight` to {:.0}",
                    1.0 / rate
                ),
            });
        }
    }

    fn of_clock(&self, clock: &HostClock) -> Hindrance {
        let HostClock { service, pod, state, ahead_s } = clock;
        let host = if pod.is_empty() { service.clone() } else { format!("{service} ({pod})") };
        let all: u64 = self.sight.services.iter().map(|service| service.requests).sum();
        let of_service = self.sight.services.iter().find(|one| one.service == *service).map_or(0, |one| one.requests);
        let off = if *ahead_s < 0.0 {
            format!("{:.1} s behind its neighbours'", -ahead_s)
        } else {
            format!("{ahead_s:.1} s ahead of its neighbours'")
        };
        let keep_time = "keep the machine's clock by NTP";
        let (kind, what, remedy) = match state {
            ClockState::Corrected => (
                HindranceKind::ClockCorrected,
                format!("the clock of {host} is {off}; its spans are corrected"),
                keep_time,
            ),
            ClockState::FarOff => (
                HindranceKind::ClockFarOff,
                format!("the clock of {host} is {off}; its times are not used, its durations are"),
                keep_time,
            ),
            ClockState::Varying => (
                HindranceKind::ClockVarying,
                format!(
                    "{host} has many clocks that differ by seconds to days, as browsers and phones do; its times are not used"
                ),
                "nothing needs to be done: requests are placed by the clocks of the servers that they reach",
            ),
        };
        Hindrance { kind, subject: host, share: part(of_service.max(1), all).min(1.0), what, remedy: remedy.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::telemetry::{EntrySight, ServiceSight, Sight};

    fn seen() -> Findings {
        let entry =
            EntrySight { entry: "front GET /".into(), requests: 100, whole_share: 1.0, ..EntrySight::default() };
        let service = |name: &str| ServiceSight { service: name.into(), requests: 100, ..ServiceSight::default() };
        let sight =
            Sight { entries: vec![entry], services: vec![service("front"), service("stock")], ..Sight::default() };
        Findings { spans_arrive: true, sight, ..Findings::default() }
    }

    #[test]
    fn a_clean_stream_has_none() {
        assert_eq!(seen().hindrances(), []);
    }

    #[test]
    fn those_that_hide_most_come_first() {
        let mut findings = seen();
        findings.sight.traces_without_beginning = 60;
        findings.sight.services[1].without_parent_share = 0.4;
        findings.sight.entries[0].remote_parent_share = 0.9;
        let kinds: Vec<HindranceKind> = findings.hindrances().iter().map(|one| one.kind).collect();
        assert_eq!(kinds, [HindranceKind::NoBeginning, HindranceKind::SpansLost, HindranceKind::SilentCaller]);
    }

    #[test]
    fn services_and_endpoints_without_names_are_told_with_their_share() {
        let mut findings = seen();
        findings.sight.services[1].service = "eu/unknown_service:java".into();
        findings.sight.entries[0].entry = "front {*}".into();
        let found = findings.hindrances();
        let told: Vec<(&str, f64)> = found.iter().map(|one| (one.kind.as_str(), one.share)).collect();
        assert_eq!(told, [("names_lost", 1.0), ("unnamed_service", 0.5)]);
        assert_eq!(
            found[0].what,
            "no part of the names of 100 % of requests (front {*}) repeats, so they are one endpoint"
        );
    }

    #[test]
    fn a_tail_sampler_that_says_so_is_told() {
        let mut findings = seen();
        findings.sight.entries[0].chosen_share = 0.98;
        let found = &findings.hindrances()[0];
        assert_eq!(found.kind, HindranceKind::TailSampled);
        assert_eq!(found.what, "98 % of the traces of front GET / were chosen by a tail sampler, as it writes itself");
    }

    #[test]
    fn each_says_what_is_seen_and_what_to_do() {
        let mut findings = seen();
        findings.sight.clocks = vec![HostClock {
            service: "stock".into(),
            pod: "stock-1".into(),
            state: ClockState::Corrected,
            ahead_s: -42.0,
        }];
        let found = &findings.hindrances()[0];
        assert_eq!(
            found.what,
            "the clock of stock (stock-1) is 42.0 s behind its neighbours'; its spans are corrected"
        );
        assert_eq!((found.share, &*found.remedy), (0.5, "keep the machine's clock by NTP"));
    }
}
