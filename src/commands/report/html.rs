//! A report as one page: styles and pictures stand in it, and nothing is loaded from elsewhere.

use std::io::{self, Write};

use super::picture::{self, escape};
use super::words;
use crate::journal::hindsight::{Hindsight, Judged, Planned};

const STYLE: &str = "body{font:15px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color:#222}\
h1{font-size:1.5rem}h2{font-size:1.15rem;margin-top:2rem}svg{width:100%;height:auto}\
table{border-collapse:collapse;width:100%;font-size:.9rem}td,th{border-bottom:1px solid #ddd;padding:.25rem .5rem;text-align:left;vertical-align:top}\
.right{color:#1b7f4b}.wrong{color:#b3261e}.needless{color:#9a6700}\
@media print{h2{break-after:avoid}table,svg{break-inside:avoid}}";

pub fn write(report: &Hindsight, out: &mut dyn Write) -> io::Result<()> {
    let title = escape(&words::title(report));
    writeln!(
        out,
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\
         <title>{title}</title><style>{STYLE}</style></head><body>\n<h1>{title}</h1>"
    )?;
    list(out, &words::summary(report))?;
    if !report.incidents.is_empty() {
        writeln!(out, "{}", picture::overview(report))?;
    }
    for (n, incident) in report.incidents.iter().enumerate() {
        writeln!(out, "<h2>{}. {}</h2>", n + 1, escape(&words::heading(incident, report.to)))?;
        writeln!(out, "{}", picture::course(incident, report.to))?;
        list(out, &words::facts(incident))?;
        table(out, &incident.decisions, |judged| words::after(judged, incident))?;
    }
    if !report.planned.is_empty() {
        writeln!(out, "<h2>Raised ahead of planned events</h2>")?;
        list(out, &report.planned.iter().map(Planned::in_words).collect::<Vec<_>>())?;
    }
    if !report.others.is_empty() {
        writeln!(out, "<h2>Outside of outages</h2>")?;
        table(out, &report.others, |judged| words::clock(judged.of.at))?;
    }
    writeln!(out, "</body></html>")
}

fn list(out: &mut dyn Write, lines: &[String]) -> io::Result<()> {
    writeln!(out, "<ul>")?;
    lines.iter().try_for_each(|line| writeln!(out, "<li>{}</li>", escape(line)))?;
    writeln!(out, "</ul>")
}

fn table(out: &mut dyn Write, decisions: &[Judged], when: impl Fn(&Judged) -> String) -> io::Result<()> {
    if decisions.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "<table><tr><th>when</th><th>step</th><th>rule</th><th>in hindsight</th><th>why</th><th>replica-minutes</th></tr>"
    )?;
    for judged in decisions {
        let word = judged.judgement.in_words();
        let [when, step, rule, why] =
            [when(judged), words::step(judged), judged.of.rule.clone(), judged.why.clone()].map(|cell| escape(&cell));
        writeln!(
            out,
            "<tr><td>{when}</td><td>{step}</td><td>{rule}</td><td class=\"{word}\">{word}</td><td>{why}</td><td>{:.0}</td></tr>",
            judged.replica_minutes
        )?;
    }
    writeln!(out, "</table>")
}
