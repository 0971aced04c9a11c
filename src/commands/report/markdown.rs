//! A report as Markdown.

use std::io::{self, Write};

use super::words;
use crate::journal::hindsight::{Hindsight, Incident, Judged};

pub fn write(report: &Hindsight, out: &mut dyn Write) -> io::Result<()> {
    writeln!(out, "# {}\n", text(&words::title(report)))?;
    words::summary(report).iter().try_for_each(|line| writeln!(out, "- {}", text(line)))?;
    for (n, incident) in report.incidents.iter().enumerate() {
        writeln!(out, "\n## {}. {}\n", n + 1, text(&words::heading(incident, report.to)))?;
        writeln!(out, "`{}`\n", course(incident))?;
        words::facts(incident).iter().try_for_each(|fact| writeln!(out, "- {}", text(fact)))?;
        table(out, &incident.decisions, |judged| words::after(judged, incident))?;
    }
    if !report.planned.is_empty() {
        writeln!(out, "\n## Raised ahead of planned events\n")?;
        report.planned.iter().try_for_each(|planned| writeln!(out, "- {}", text(&planned.in_words())))?;
    }
    if !report.others.is_empty() {
        writeln!(out, "\n## Outside of outages")?;
        table(out, &report.others, |judged| words::clock(judged.of.at))?;
    }
    Ok(())
}

fn table(out: &mut dyn Write, decisions: &[Judged], when: impl Fn(&Judged) -> String) -> io::Result<()> {
    if decisions.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n| when | step | rule | in hindsight | why | replica-minutes |\n|---|---|---|---|---|---|")?;
    for judged in decisions {
        let cells = [
            when(judged),
            words::step(judged),
            judged.of.rule.clone(),
            judged.judgement.in_words().to_owned(),
            judged.why.clone(),
            format!("{:.0}", judged.replica_minutes),
        ];
        writeln!(out, "| {} |", cells.map(|cell| text(&cell)).join(" | "))?;
    }
    Ok(())
}

/// Names come from spans: what would be markup is shown as it is.
fn text(raw: &str) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in crate::model::printable(raw).chars() {
        if matches!(c, '|' | '*' | '_' | '`' | '<' | '[' | ']' | '\\' | '#') {
            shown.push('\\');
        }
        shown.push(c);
    }
    shown
}

/// The share that missed over the outage, in eighths of a line.
fn course(incident: &Incident) -> String {
    const COLUMNS: usize = 60;
    const EIGHTHS: [char; 9] = [' ', '▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    let (Some(first), Some(last)) = (incident.points.first(), incident.points.last()) else { return String::new() };
    let span = last.at.seconds_since(first.at).max(1.0);
    let share = |column: usize| {
        let until = span * (column + 1) as f64 / COLUMNS as f64;
        let from = span * column as f64 / COLUMNS as f64;
        let begun = |after: f64| incident.points.iter().rfind(|point| point.at.seconds_since(first.at) <= after);
        let within = incident.points.iter().filter(|point| (from..until).contains(&point.at.seconds_since(first.at)));
        within.chain(begun(from)).map(|point| point.missed_share).fold(0.0, f64::max)
    };
    (0..COLUMNS).map(|column| EIGHTHS[((share(column) * 8.0).ceil() as usize).min(8)]).collect()
}
