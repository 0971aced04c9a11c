//! Which bottleneck a proposal is about: a service may be one of several, each with a verdict of its own.

use crate::action::Action;
use crate::analyse::Bottleneck;

/// What a proposal may be about.
pub(super) struct Blamed {
    service: String,
    entry: String,
    verdict: &'static str,
    cause: String,
}

impl Blamed {
    pub(super) fn of(bottleneck: &Bottleneck) -> Blamed {
        Blamed {
            service: bottleneck.service.clone(),
            entry: bottleneck.entry.clone(),
            verdict: bottleneck.verdict.as_str(),
            cause: bottleneck.cause(),
        }
    }

    /// The verdict that an action rests on: of the bottlenecks at its service the one that its words tell of, by cause or
    /// else by entry operation; where they tell of none, the worst. Empty without any.
    pub(super) fn verdict(worst_first: &[Blamed], action: &Action, because: &str) -> &'static str {
        let at_target = || worst_first.iter().filter(|b| b.service == action.service().as_str());
        let message = if let Action::Notify(notify) = action { notify.message.as_str() } else { "" };
        let tells = |words: &str| !words.is_empty() && (message.contains(words) || because.contains(words));
        let told = at_target().find(|b| tells(&b.cause) && tells(&b.entry));
        let told = told.or_else(|| at_target().find(|b| tells(&b.cause)));
        let told = told.or_else(|| at_target().find(|b| tells(&b.entry)));
        told.or_else(|| at_target().next()).map_or("", |b| b.verdict)
    }
}
