//! What `score` prints.

use std::io::Write;

use serde_json::{Value, json};

use super::Scored;
use super::measures::{Score, by, calibration, felt_by_fault, overall};
use crate::analyse::change::Parameters;
use crate::commands::error::Error;

pub fn document(scored: &Scored) -> Value {
    let results = &scored.results;
    let mut document = json!(overall(results));
    let more = json!({
        "by_fault": by(results, |r| r.fault.clone()),
        "felt_by_fault": felt_by_fault(results),
        "by_system": by(results, |r| r.system.clone()),
        "calibration": calibration(results),
        "seconds_per_case": scored.seconds_per_case,
        "fitted": scored.fitted.as_ref().map(|(on, parameters)| json!({"on": on, "parameters": parameters})),
        "results": results,
    });
    if let (Value::Object(document), Value::Object(more)) = (&mut document, more) {
        document.extend(more);
    }
    document
}

pub fn write_tables(out: &mut dyn Write, scored: &Scored) -> Result<(), Error> {
    let results = &scored.results;
    writeln!(out, "{:<24} {:<16} {:>4} {:>6}  first suspect", "case", "fault", "rank", "score")?;
    for r in results {
        let rank = r.rank.map_or_else(|| "-".to_owned(), |rank| rank.to_string());
        let truth = if r.is_within(1) { String::new() } else { format!("  (it was {})", r.service) };
        writeln!(out, "{:<24} {:<16} {rank:>4} {:>6.3}  {}{truth}", r.case, r.fault, r.score, r.first)?;
    }
    writeln!(
        out,
        "\n{:<16} {:<16} {:>5} {:>6} {:>6} {:>6} {:>6} {:>8} {:>7}",
        "system", "fault", "cases", "AC@1", "AC@3", "Avg@5", "Brier", "log loss", "verdict"
    )?;
    let told = overall(results);
    let groups = by(results, |r| (r.system.clone(), r.fault.clone()));
    let felt = told.felt.map(|felt| (("felt".to_owned(), String::new()), felt));
    let total = (("all".to_owned(), String::new()), told.all);
    for ((system, fault), s) in groups.into_iter().chain([total]).chain(felt) {
        let Score { cases, ac1, ac3, avg5, brier, log_loss, verdict } = s;
        let verdict = verdict.map_or_else(|| "-".to_owned(), |share| format!("{share:.3}"));
        writeln!(
            out,
            "{system:<16} {fault:<16} {cases:>5} {ac1:>6.3} {ac3:>6.3} {avg5:>6.3} {brier:>6.3} {log_loss:>8.3} {verdict:>7}"
        )?;
    }
    writeln!(out, "\n{:<16} {:>10} {:>11}  99 % of such groups", "cases by score", "mean score", "share right")?;
    for group in calibration(results) {
        let (low, high) = group.interval;
        let outside = if group.is_within { "" } else { "  outside" };
        let (mean, right) = (group.mean_score, group.share_right);
        writeln!(out, "{:<16} {mean:>10.3} {right:>11.3}  {low:.3} to {high:.3}{outside}", group.cases)?;
    }
    let (brier, log_loss) = (told.all.brier, told.all.log_loss);
    let right = told.all.ac1;
    writeln!(out, "\nBrier {brier:.4}; {:.4} for always saying the share right ({right:.3})", told.brier_constant)?;
    writeln!(out, "log loss {log_loss:.4}; {:.4} for the same", told.log_loss_constant)?;
    writeln!(out, "score and share right are {:.4} apart (ten groups, mean)", told.calibration_error)?;
    let sure_right = told.sure.share_right.map_or_else(|| "none".to_owned(), |share| format!("{share:.3}"));
    writeln!(out, "{:.3} of the answers score 0.9 or more, {sure_right} of these are right", told.sure.share)?;
    if let Some((_, Parameters { sharpness, prior, knee, .. })) = &scored.fitted {
        writeln!(out, "chosen: sharpness {sharpness:.2}, prior {prior:.2}, knee {knee:.2}")?;
    }
    writeln!(out, "{:.2} s a case", scored.seconds_per_case)?;
    Ok(())
}
