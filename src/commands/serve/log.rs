//! The daemon's log, on standard error: for people on a terminal, JSON lines otherwise.

use std::io::{self, IsTerminal};

use tracing::{debug, error, info, warn};
use tracing_subscriber::EnvFilter;

use crate::action::Action;
use crate::analyse::Verdict;
use crate::commands::error::Error;
use crate::guard::Outcome;
use crate::journal::{Entry, What};

pub fn start(filter: &str) -> Result<(), Error> {
    let wrong = |cause: String| Error::Log { filter: filter.to_owned(), cause };
    let parsed = EnvFilter::try_new(with_quiet(filter)).map_err(|error| wrong(error.to_string()))?;
    let builder = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(io::stderr);
    let started = if io::stderr().is_terminal() {
        builder.with_target(false).try_init()
    } else {
        builder.json().flatten_event(true).with_current_span(false).with_span_list(false).try_init()
    };
    started.map_err(|error| wrong(error.to_string()))
}

/// What people are told; empty for another action.
fn told(action: &Action) -> &str {
    match action {
        Action::Notify(notify) => &notify.message,
        _ => "",
    }
}

/// Libraries that warn of each connection whose sender breaks their protocol, as often as one does. What comes of it is
/// counted and said by `net`.
const QUIET: [&str; 3] = ["h2", "hyper", "rustls"];

/// A filter in which these say nothing, unless it names them.
fn with_quiet(filter: &str) -> String {
    let quiet = QUIET.iter().filter(|name| !filter.contains(**name)).map(|name| format!("{name}=off,"));
    quiet.chain([filter.to_owned()]).collect()
}

/// Logs what people follow as it happens; the rest at debug level.
pub fn entry(entry: &Entry) {
    match &entry.what {
        What::Found { findings } => match findings.bottlenecks.first() {
            Some(b) => {
                info!(
                    entry = b.entry,
                    service = b.service,
                    verdict = b.verdict.as_str(),
                    summary = b.summary(),
                    "bottleneck"
                );
            }
            None if findings.blind => {
                warn!("{}; scaled-out replicas stay, and no further change is made", findings.summary());
            }
            None if findings.verdict() == Verdict::Partial => warn!("{}", findings.summary()),
            None => info!("no bottleneck"),
        },
        What::Decided { decision } => {
            let (id, rule) = (decision.id.to_string(), decision.proposal.origin.to_string());
            let (service, because) = (decision.proposal.service(), &decision.proposal.because);
            match &decision.outcome {
                Outcome::Permitted { from, to } => info!(id, rule, %service, from, to, because, "permitted"),
                Outcome::Observed { from, to, refused_by } => {
                    let would = decision.would();
                    info!(id, rule, %service, from, to, would, refusals = refused_by.len(), because, "would act");
                }
                Outcome::Notified => {
                    let message = told(&decision.proposal.action);
                    warn!(id, rule, %service, notice = message, because, "notification");
                }
                Outcome::Refused { gate, reason } => info!(id, rule, %service, ?gate, reason, "refused"),
            }
        }
        What::Acted { decision, error: Some(error), .. } => warn!(%decision, %error, "change failed"),
        What::Acted { decision, error: None, .. } => info!(%decision, "change applied"),
        What::AnalysisFailed { error } => error!(error, "a query of the tick failed, no decision was made"),
        What::RuleStopped { rule, .. } => {
            error!(rule, "a rule took longer than rules may and is switched off until its text changes")
        }
        What::RuleFailed { rule, error } => warn!(rule, error, "rule failed and was skipped"),
        What::RuleSkipped { rule, service, reason } => info!(rule, %service, reason, "proposal dropped"),
        What::RulePrinted { rule, text } => info!(rule, text, "rule printed"),
        What::Intervention { report } => {
            info!(id = %report.id, service = %report.service, stage = ?report.stage, reason = report.reason, "intervention");
        }
        What::Paused { by, service, until } => {
            warn!(by, service, until = until.map(|until| until.to_string()), "paused");
        }
        What::Resumed { by, service } => warn!(by, service, "resumed"),
        What::PauseEnded { by, service } => warn!(by, service, "a pause came to its end; headroom acts again"),
        What::Floors { floors } => info!(floors = floors.len(), "floors set"),
        What::Learnt { learnt } => debug!(written_at = %learnt.at, "learnt state restored"),
        What::Rules { rules } => info!(rules = rules.len(), "rules reloaded"),
        What::Queries { queries } if queries.is_empty() => info!("queries reloaded: all as shipped"),
        What::Queries { queries } => {
            let names = queries.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
            info!(overridden = names, "queries reloaded");
        }
        What::ClockStepped { seconds } => warn!(
            seconds = seconds.seconds,
            "all senders' clocks stepped together; headroom followed, so windows, cooldowns and deadlines keep their age"
        ),
        What::Gap { dropped } => error!(dropped, "journal entries lost: a replay across this point is not exact"),
        What::Started { .. }
        | What::Ingested { .. }
        | What::Traffic { .. }
        | What::Ticked
        | What::Cluster { .. }
        | What::ClusterUnchanged { .. } => {
            debug!(entry = ?entry.what, "recorded");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_quiet_unless_they_are_named() {
        assert_eq!(with_quiet("info"), "h2=off,hyper=off,rustls=off,info");
        assert_eq!(with_quiet("warn,h2=debug"), "hyper=off,rustls=off,warn,h2=debug");
        assert!(EnvFilter::try_new(with_quiet("headroom=debug")).is_ok());
    }
}
