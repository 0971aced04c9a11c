//! What a rule says: `scale_out(service).to(n).because(text)` and its sisters, and the durations
//! `seconds(60)` and `minutes(5)`.

use std::fmt;

use rhai::{CustomType, Engine, EvalAltResult, ImmutableString, TypeBuilder};

use super::proposal::Wish;
use crate::model::ServiceId;

pub(super) fn register(engine: &mut Engine) {
    engine.build_type::<RuleDuration>().build_type::<Draft>();
    engine
        .register_fn("scale_out", |service: ImmutableString| Draft::new(Kind::ScaleOut, &service))
        .register_fn("scale_in", |service: ImmutableString| Draft::new(Kind::ScaleIn, &service))
        .register_fn("restart_pod", |service: ImmutableString, pod: ImmutableString| {
            Draft::new(Kind::RestartPod(Some(pod.to_string())), &service)
        })
        .register_fn("restart_pod", |service: ImmutableString, (): ()| Draft::new(Kind::RestartPod(None), &service))
        .register_fn("resize_cpu", |service: ImmutableString, factor: f64| {
            Draft::new(Kind::ResizeCpu(factor), &service)
        })
        .register_fn("notify", |service: ImmutableString, message: ImmutableString| {
            Draft::new(Kind::Notify(message.to_string()), &service)
        })
        .register_fn("to", Draft::to)
        .register_fn("to", |draft: Draft, (): ()| draft)
        .register_fn("to", |_: Draft, n: f64| -> Result<Draft, Box<EvalAltResult>> {
            Err(format!(".to({n}) is not a whole number of replicas; write .to((…).ceiling().to_int())").into())
        })
        .register_fn("because", |draft: Draft, text: ImmutableString| Draft { because: text.to_string(), ..draft })
        .register_fn("cooldown", |draft: Draft, lapse: RuleDuration| Draft { cooldown: Some(lapse), ..draft })
        .register_fn("for_duration", |draft: Draft, lapse: RuleDuration| Draft { lasting: Some(lapse), ..draft })
        .register_fn("stabilisation", |draft: Draft, lapse: RuleDuration| Draft {
            stabilisation: Some(lapse),
            ..draft
        });
    engine
        .register_fn("milliseconds", |n: i64| RuleDuration::of(n as f64, 1.0))
        .register_fn("milliseconds", |n: f64| RuleDuration::of(n, 1.0))
        .register_fn("seconds", |n: i64| RuleDuration::of(n as f64, MS_PER_SECOND))
        .register_fn("seconds", |n: f64| RuleDuration::of(n, MS_PER_SECOND))
        .register_fn("minutes", |n: i64| RuleDuration::of(n as f64, 60.0 * MS_PER_SECOND))
        .register_fn("minutes", |n: f64| RuleDuration::of(n, 60.0 * MS_PER_SECOND))
        .register_fn("<", |a: RuleDuration, b: RuleDuration| a < b)
        .register_fn("<=", |a: RuleDuration, b: RuleDuration| a <= b)
        .register_fn(">", |a: RuleDuration, b: RuleDuration| a > b)
        .register_fn(">=", |a: RuleDuration, b: RuleDuration| a >= b)
        .register_fn("==", |a: RuleDuration, b: RuleDuration| a == b)
        .register_fn("!=", |a: RuleDuration, b: RuleDuration| a != b)
        .register_fn("+", |a: RuleDuration, b: RuleDuration| RuleDuration(a.0 + b.0))
        .register_fn("-", |a: RuleDuration, b: RuleDuration| RuleDuration(a.0 - b.0))
        .register_fn("*", |a: RuleDuration, n: i64| RuleDuration(a.0 * n as f64))
        .register_fn("*", |a: RuleDuration, n: f64| RuleDuration(a.0 * n))
        .register_fn("/", |a: RuleDuration, b: RuleDuration| a.0 / b.0);
    // Left to itself rhai answers `b.p99 > 300` with false; nobody means that.
    for operator in ["<", "<=", ">", ">=", "==", "!="] {
        engine
            .register_fn(operator, |a: RuleDuration, b: i64| unitless(a, &b))
            .register_fn(operator, |a: RuleDuration, b: f64| unitless(a, &b))
            .register_fn(operator, |a: i64, b: RuleDuration| unitless(b, &a))
            .register_fn(operator, |a: f64, b: RuleDuration| unitless(b, &a));
    }
}

fn unitless(lapse: RuleDuration, number: &dyn fmt::Display) -> Result<bool, Box<EvalAltResult>> {
    Err(format!("{lapse} is a duration and {number} a number; write seconds(…), or compare the field that ends in _ms")
        .into())
}

const MS_PER_SECOND: f64 = 1000.0;

/// Longest duration a rule may name, a day: past it a window would never close.
const LAPSE_MAX_MS: f64 = 24.0 * 3600.0 * MS_PER_SECOND;

/// A duration as scripts hold it, in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, PartialOrd)]
pub(super) struct RuleDuration(f64);

impl RuleDuration {
    pub(super) fn from_ms(ms: f64) -> RuleDuration {
        RuleDuration(ms)
    }

    fn of(n: f64, unit_ms: f64) -> Result<RuleDuration, Box<EvalAltResult>> {
        let ms = n * unit_ms;
        if (0.0..=LAPSE_MAX_MS).contains(&ms) {
            return Ok(RuleDuration(ms));
        }
        Err(format!(
            "a duration of {} s is out of range; use 0 to {} s",
            ms / MS_PER_SECOND,
            LAPSE_MAX_MS / MS_PER_SECOND
        )
        .into())
    }

    pub(super) fn seconds(self) -> f64 {
        self.0 / MS_PER_SECOND
    }
}

impl fmt::Display for RuleDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            ms if ms.abs() < 10.0 => write!(f, "{ms:.1} ms"),
            ms if ms.abs() < MS_PER_SECOND => write!(f, "{ms:.0} ms"),
            ms if ms.abs() < 120.0 * MS_PER_SECOND => write!(f, "{:.1} s", ms / MS_PER_SECOND),
            ms => write!(f, "{:.1} min", ms / MS_PER_SECOND / 60.0),
        }
    }
}

impl CustomType for RuleDuration {
    fn build(mut builder: TypeBuilder<Self>) {
        builder
            .with_name("duration")
            .on_print(|lapse| lapse.to_string())
            .on_debug(|lapse| lapse.to_string())
            .with_get("ms", |lapse: &mut RuleDuration| lapse.0)
            .with_get("seconds", |lapse: &mut RuleDuration| lapse.seconds());
    }
}

#[derive(Clone, Debug)]
enum Kind {
    ScaleOut,
    ScaleIn,
    /// None where the verdict names no pod.
    RestartPod(Option<String>),
    ResizeCpu(f64),
    Notify(String),
}

impl Kind {
    fn call(&self) -> &'static str {
        match self {
            Kind::ScaleOut => "scale_out(…)",
            Kind::ScaleIn => "scale_in(…)",
            Kind::RestartPod(_) => "restart_pod(…)",
            Kind::ResizeCpu(_) => "resize_cpu(…)",
            Kind::Notify(_) => "notify(…)",
        }
    }
}

/// A proposal being written.
#[derive(Clone, Debug)]
pub(super) struct Draft {
    kind: Kind,
    service: ServiceId,
    to: Option<u32>,
    because: String,
    cooldown: Option<RuleDuration>,
    stabilisation: Option<RuleDuration>,
    lasting: Option<RuleDuration>,
}

/// How long pods keep the CPU that a rule lends without a word of how long: as long as a burst mostly lasts.
const LASTING_S: f64 = 300.0;

/// The durations a rule gives for all its proposals, with `const COOLDOWN` and `const STABILISATION`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Defaults {
    pub(super) cooldown: Option<RuleDuration>,
    pub(super) stabilisation: Option<RuleDuration>,
}

impl Draft {
    fn new(kind: Kind, service: &str) -> Draft {
        let (to, because, cooldown, stabilisation, lasting) = (None, String::new(), None, None, None);
        Draft { kind, service: ServiceId::from(service), to, because, cooldown, stabilisation, lasting }
    }

    fn to(self, n: i64) -> Result<Draft, Box<EvalAltResult>> {
        match u32::try_from(n) {
            Ok(_) if !matches!(self.kind, Kind::ScaleOut | Kind::ScaleIn) => {
                Err(format!("{} takes no .to(…): it changes no replicas", self.kind.call()).into())
            }
            Ok(n) => Ok(Draft { to: Some(n), ..self }),
            Err(_) => Err(format!(".to({n}) is not a number of replicas; use 0 to {}", u32::MAX).into()),
        }
    }

    pub(super) fn service(&self) -> &ServiceId {
        &self.service
    }

    /// The wish and the rule's words, or why there is nothing to wish for.
    pub(super) fn finish(self, defaults: Defaults) -> Result<(Wish, String), &'static str> {
        let Draft { kind, service, to, because, cooldown, stabilisation, lasting } = self;
        if service.as_str().is_empty() {
            return Err("it names no service: nothing holds requests back");
        }
        let missing = "the replicas needed are not known (no capacity learnt yet, or the sampling weight is unknown)";
        let cooldown_s = cooldown.or(defaults.cooldown).map(RuleDuration::seconds);
        let stabilisation_s = stabilisation.or(defaults.stabilisation).map(RuleDuration::seconds);
        let wish = match kind {
            Kind::ScaleOut => Wish::ScaleOut { service, to: to.ok_or(missing)?, cooldown_s },
            Kind::ScaleIn => Wish::ScaleIn { service, to: to.ok_or(missing)?, stabilisation_s },
            Kind::RestartPod(pod) => Wish::RestartPod { service, pod: pod.ok_or("the verdict names no pod")? },
            Kind::ResizeCpu(factor) if factor.is_finite() && factor > 0.0 => {
                Wish::ResizeCpu { service, factor, lasting_s: lasting.map_or(LASTING_S, RuleDuration::seconds) }
            }
            Kind::ResizeCpu(_) => return Err("its factor is no number above 0"),
            Kind::Notify(message) => Wish::Notify { service, message },
        };
        Ok((wish, because))
    }
}

impl CustomType for Draft {
    fn build(mut builder: TypeBuilder<Self>) {
        builder.with_name("proposal").on_print(|draft| format!("proposal for {}", draft.service));
    }
}
