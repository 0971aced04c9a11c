//! How a rule writes a proposal: `scale_out(service).to(n).because(text)` and its sisters, which `action` declares, and
//! the durations `seconds(60)` and `minutes(5)`.

use std::fmt;

use rhai::{CustomType, Engine, EvalAltResult, ImmutableString, TypeBuilder};

use crate::action::{Action, Argument, CALLS, Call, Request};
use crate::model::ServiceId;

pub(super) fn register(engine: &mut Engine) {
    engine.build_type::<RuleDuration>().build_type::<Draft>();
    for call in CALLS {
        match call.argument {
            Argument::Nothing => {
                engine.register_fn(call.name, move |service: ImmutableString| Draft::new(call, &service));
            }
            Argument::Text => register_text(engine, call),
            Argument::TextOrUnit => {
                register_text(engine, call);
                engine.register_fn(call.name, move |service: ImmutableString, (): ()| Draft::new(call, &service));
            }
            Argument::Number => {
                engine.register_fn(call.name, move |service: ImmutableString, number: f64| Draft {
                    number: Some(number),
                    ..Draft::new(call, &service)
                });
            }
        }
    }
    engine
        .register_fn("to", Draft::to)
        .register_fn("to", |draft: Draft, (): ()| Draft { says_to: true, ..draft })
        .register_fn("to", |_: Draft, n: f64| -> Result<Draft, Box<EvalAltResult>> {
            Err(format!(".to({n:?}) is a number with a fraction; write .to((…).ceiling().to_int())").into())
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

fn register_text(engine: &mut Engine, call: &'static Call) {
    engine.register_fn(call.name, move |service: ImmutableString, text: ImmutableString| Draft {
        text: Some(text.to_string()),
        ..Draft::new(call, &service)
    });
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

/// A proposal being written.
#[derive(Clone)]
pub(super) struct Draft {
    call: &'static Call,
    service: ServiceId,
    text: Option<String>,
    number: Option<f64>,
    to: Option<u32>,
    /// `.to(…)` was written, be it with `()`.
    says_to: bool,
    because: String,
    cooldown: Option<RuleDuration>,
    stabilisation: Option<RuleDuration>,
    lasting: Option<RuleDuration>,
}

/// The durations a rule gives for all its proposals, with `const COOLDOWN` and `const STABILISATION`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Defaults {
    pub(super) cooldown: Option<RuleDuration>,
    pub(super) stabilisation: Option<RuleDuration>,
}

impl Draft {
    fn new(call: &'static Call, service: &str) -> Draft {
        Draft {
            call,
            service: ServiceId::from(service),
            text: None,
            number: None,
            to: None,
            says_to: false,
            because: String::new(),
            cooldown: None,
            stabilisation: None,
            lasting: None,
        }
    }

    fn to(self, n: i64) -> Result<Draft, Box<EvalAltResult>> {
        match u32::try_from(n) {
            Ok(_) if !self.call.takes_replicas => {
                Err(format!("{}(…) takes no .to(…): it changes no replicas", self.call.name).into())
            }
            Ok(n) => Ok(Draft { to: Some(n), says_to: true, ..self }),
            Err(_) => Err(format!(".to({n}) is not a number of replicas; use 0 to {}", u32::MAX).into()),
        }
    }

    pub(super) fn service(&self) -> &ServiceId {
        &self.service
    }

    /// The action and the rule's words, or why there is nothing to ask for.
    pub(super) fn finish(self, defaults: Defaults) -> Result<(Action, String), String> {
        let Draft { call, service, text, number, to, says_to, because, cooldown, stabilisation, lasting } = self;
        if service.as_str().is_empty() {
            return Err("it names no service: there is no bottleneck".into());
        }
        if call.takes_replicas && !says_to {
            return Err(format!("{}(\"{service}\") without .to(n); say how many replicas", call.name));
        }
        let action = (call.build)(Request {
            service,
            text,
            number,
            to,
            cooldown_s: cooldown.or(defaults.cooldown).map(RuleDuration::seconds),
            stabilisation_s: stabilisation.or(defaults.stabilisation).map(RuleDuration::seconds),
            lasting_s: lasting.map(RuleDuration::seconds),
        })?;
        Ok((action, because))
    }
}

impl CustomType for Draft {
    fn build(mut builder: TypeBuilder<Self>) {
        builder.with_name("proposal").on_print(|draft| format!("proposal for {}", draft.service));
    }
}
