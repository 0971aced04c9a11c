//! The `decisions` table: one row for each decision of the guard.

use std::sync::{Arc, LazyLock};

use arrow::array::{ArrayRef, RecordBatch, StringBuilder, TimestampNanosecondArray, UInt32Builder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use arrow::error::ArrowError;

use crate::action::Action;
use crate::guard::{Decision, Outcome};

static SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let text = |name: &str, nullable| Field::new(name, DataType::Utf8, nullable);
    Arc::new(Schema::new(vec![
        text("id", false),
        Field::new("at", DataType::Timestamp(TimeUnit::Nanosecond, Some("UTC".into())), false),
        text("rule", false),
        text("service", false),
        text("action", false),
        text("verdict", false),
        text("because", false),
        text("outcome", false),
        Field::new("replicas_from", DataType::UInt32, true),
        Field::new("replicas_to", DataType::UInt32, true),
        text("gate", true),
        text("reason", true),
        text("message", true),
    ]))
});

/// `action` is named as rules call it, or `raise_floor`; `outcome` is `permitted`, `observed`, `notified` or `refused`;
/// `gate` is the one that refused, or of what is only observed the first that would; `reason` says why (of all that would
/// refuse), or where a gate cut the step down; `message` is what a notification tells people.
pub fn schema() -> SchemaRef {
    SCHEMA.clone()
}

/// One row a decision, in their order.
pub fn table<'a>(decisions: impl IntoIterator<Item = &'a Decision>) -> Result<RecordBatch, ArrowError> {
    let mut at = Vec::new();
    let mut text: [StringBuilder; 10] = Default::default();
    let [id, rule, service, action, verdict, because, outcome, gate, reason, message] = &mut text;
    let (mut from, mut to) = (UInt32Builder::new(), UInt32Builder::new());
    for decision in decisions {
        let proposal = &decision.proposal;
        id.append_value(decision.id.to_string());
        at.push(decision.at.0);
        rule.append_value(proposal.origin.to_string());
        service.append_value(proposal.service().as_str());
        action.append_value(proposal.action.name());
        verdict.append_value(&proposal.verdict);
        because.append_value(&proposal.because);
        let notes = (!decision.notes.is_empty()).then(|| decision.notes.join("; "));
        let (name, step, refused_by, why) = match &decision.outcome {
            Outcome::Permitted { from, to } => ("permitted", Some((*from, *to)), None, notes),
            Outcome::Observed { from, to, refused_by } => {
                let all = refused_by.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
                let first = refused_by.first().map(|refusal| refusal.gate.as_str());
                ("observed", Some((*from, *to)), first, if all.is_empty() { notes } else { Some(all) })
            }
            Outcome::Notified => ("notified", None, None, notes),
            Outcome::Refused { gate, reason } => ("refused", None, Some(gate.as_str()), Some(reason.clone())),
        };
        outcome.append_value(name);
        from.append_option(step.map(|(from, _)| from));
        to.append_option(step.map(|(_, to)| to));
        gate.append_option(refused_by);
        reason.append_option(why);
        message.append_option(match &proposal.action {
            Action::Notify(notify) => Some(notify.message.as_str()),
            _ => None,
        });
    }
    let [id, rule, service, action, verdict, because, outcome, gate, reason, message] =
        text.each_mut().map(|column| Arc::new(column.finish()) as ArrayRef);
    let at = Arc::new(TimestampNanosecondArray::from(at).with_timezone("UTC"));
    let (from, to) = (Arc::new(from.finish()), Arc::new(to.finish()));
    let columns = vec![
        id,
        at as ArrayRef,
        rule,
        service,
        action,
        verdict,
        because,
        outcome,
        from,
        to as ArrayRef,
        gate,
        reason,
        message,
    ];
    RecordBatch::try_new(schema(), columns)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::action::{Action, ScaleOut};
    use crate::decide::Proposal;
    use crate::guard::{Gate, Refusal};
    use crate::model::Time;

    #[test]
    fn each_outcome_fills_its_columns() {
        let proposal = Proposal {
            origin: "out".into(),
            action: Action::ScaleOut(ScaleOut { service: "a".into(), to: 9, cooldown_s: None }),
            because: "it saturates".into(),
            verdict: "saturated".into(),
        };
        let decision = |id: &str, outcome, notes| Decision {
            id: id.parse().unwrap(),
            at: Time::from_secs(1),
            proposal: proposal.clone(),
            outcome,
            notes,
        };
        let full = Refusal { gate: Gate::Bounds, reason: "at its maximum".into() };
        let decisions = [
            decision("d-1-1", Outcome::Permitted { from: 4, to: 8 }, vec!["cut to 8".into()]),
            decision("d-1-2", Outcome::Refused { gate: Gate::Bounds, reason: "at its maximum".into() }, vec![]),
            decision("d-1-3", Outcome::Notified, vec![]),
            decision("d-1-4", Outcome::Observed { from: 4, to: 9, refused_by: vec![full] }, vec![]),
        ];
        let table = table(&decisions).unwrap();
        let text = arrow::util::pretty::pretty_format_batches(&[table]).unwrap().to_string();
        insta::assert_snapshot!(text);
    }

    #[test]
    fn none_is_an_empty_table() {
        assert_eq!(table([]).unwrap().num_rows(), 0);
    }
}
