//! The pictures of a report, as SVG that stands in the page.

use std::fmt::Write;

use super::words;
use crate::journal::hindsight::{Ending, Hindsight, Incident, Means};
use crate::model::Time;

const WIDTH: f64 = 900.0;
/// Left of it stands what the height means.
const LEFT: f64 = 50.0;

/// Where an instant lies.
struct Axis {
    from: Time,
    span_s: f64,
}

impl Axis {
    fn new(from: Time, to: Time) -> Axis {
        Axis { from, span_s: to.seconds_since(from).max(1.0) }
    }

    fn x(&self, at: Time) -> f64 {
        LEFT + (WIDTH - LEFT - 10.0) * (at.seconds_since(self.from) / self.span_s).clamp(0.0, 1.0)
    }
}

/// Told apart by a word in the tooltip too, and by how dark they print.
const fn colour(ending: Ending) -> &'static str {
    match ending {
        Ending::Headroom => "#1b7f4b",
        Ending::SomebodyElse => "#2f6fde",
        Ending::ByItself => "#d98e04",
        Ending::Unfinished => "#b3261e",
    }
}

/// All outages on one line, with what each colour means.
pub fn overview(report: &Hindsight) -> String {
    let axis = Axis::new(report.from, report.to);
    let mut svg = open(70.0, "All outages of the time, coloured by how they ended");
    line(&mut svg, (LEFT, 30.0), (WIDTH - 10.0, 30.0), "#999");
    for (n, incident) in report.incidents.iter().enumerate() {
        let (from, to) = (axis.x(incident.from), axis.x(incident.to.unwrap_or(report.to)));
        let width = (to - from).max(4.0);
        let title = escape(&format!("{}. {}", n + 1, words::heading(incident, report.to)));
        add(
            &mut svg,
            format_args!(
                "<rect x=\"{from:.1}\" y=\"16\" width=\"{width:.1}\" height=\"28\" fill=\"{}\"><title>{title}</title></rect>",
                colour(incident.ending)
            ),
        );
    }
    label(&mut svg, (LEFT, 60.0), &words::clock(report.from));
    add(
        &mut svg,
        format_args!(
            "<text x=\"{:.1}\" y=\"60\" text-anchor=\"end\">{}</text>",
            WIDTH - 10.0,
            escape(&words::clock(report.to))
        ),
    );
    for (n, ending) in Ending::ALL.into_iter().enumerate() {
        let x = LEFT + 200.0 + 140.0 * n as f64;
        add(
            &mut svg,
            format_args!("<rect x=\"{x:.0}\" y=\"52\" width=\"10\" height=\"10\" fill=\"{}\"/>", colour(ending)),
        );
        label(&mut svg, (x + 14.0, 61.0), ending.in_words());
    }
    svg + "</svg>"
}

/// The share that missed over one outage, its steps, and what others changed.
pub fn course(incident: &Incident, now: Time) -> String {
    const TOP: f64 = 20.0;
    const BOTTOM: f64 = 120.0;
    let last = incident.points.last().map_or(now, |point| point.at).max(incident.to.unwrap_or(now));
    let axis = Axis::new(incident.from, last);
    let y = |share: f64| BOTTOM - (BOTTOM - TOP) * share.clamp(0.0, 1.0);
    let mut svg = open(150.0, "Share of requests that missed, with the steps and what others changed");
    for share in [0.0, 0.5, 1.0] {
        line(&mut svg, (LEFT, y(share)), (WIDTH - 10.0, y(share)), "#ddd");
        label(&mut svg, (4.0, y(share) + 4.0), &format!("{:.0} %", share * 100.0));
    }
    let mut path = String::new();
    let mut before = None;
    for point in &incident.points {
        let x = axis.x(point.at);
        // It holds until the next was found.
        match before {
            None => add(&mut path, format_args!("M{x:.1} {:.1}", y(point.missed_share))),
            Some(_) => add(&mut path, format_args!("H{x:.1}V{:.1}", y(point.missed_share))),
        }
        before = Some(point);
    }
    if incident.to.is_none() {
        add(&mut path, format_args!("H{:.1}", axis.x(now)));
    }
    add(&mut svg, format_args!("<path d=\"{path}\" fill=\"none\" stroke=\"#b3261e\" stroke-width=\"2\"/>"));
    for judged in incident.decisions.iter().filter(|judged| judged.of.means != Means::Refused) {
        let dashes = if judged.of.means == Means::Done { "" } else { " stroke-dasharray=\"4 3\"" };
        mark(&mut svg, axis.x(judged.of.at), "#1b7f4b", dashes, &words::step(judged));
    }
    for change in &incident.changes {
        mark(&mut svg, axis.x(change.at), "#2f6fde", "", &format!("{}, not by headroom", change.in_words()));
    }
    label(&mut svg, (LEFT, 142.0), &words::clock(incident.from));
    label(&mut svg, (LEFT + 180.0, 142.0), "green: headroom (dashed: only said); blue: somebody else");
    svg + "</svg>"
}

fn mark(svg: &mut String, x: f64, colour: &str, dashes: &str, title: &str) {
    let title = escape(title);
    add(
        svg,
        format_args!(
            "<line x1=\"{x:.1}\" y1=\"12\" x2=\"{x:.1}\" y2=\"120\" stroke=\"{colour}\" stroke-width=\"2\"{dashes}><title>{title}</title></line>"
        ),
    );
}

fn open(height: f64, title: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"11\"><title>{}</title>",
        escape(title)
    )
}

fn line(svg: &mut String, (x1, y1): (f64, f64), (x2, y2): (f64, f64), stroke: &str) {
    add(svg, format_args!("<line x1=\"{x1:.1}\" y1=\"{y1:.1}\" x2=\"{x2:.1}\" y2=\"{y2:.1}\" stroke=\"{stroke}\"/>"));
}

fn label(svg: &mut String, (x, y): (f64, f64), text: &str) {
    add(svg, format_args!("<text x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(text)));
}

fn add(svg: &mut String, what: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _ = svg.write_fmt(what);
}

/// Text as it may stand in HTML and SVG, in an attribute too. Names come from spans.
pub fn escape(raw: &str) -> String {
    let mut shown = String::with_capacity(raw.len());
    for c in crate::model::printable(raw).chars() {
        match c {
            '&' => shown.push_str("&amp;"),
            '<' => shown.push_str("&lt;"),
            '>' => shown.push_str("&gt;"),
            '"' => shown.push_str("&quot;"),
            '\'' => shown.push_str("&#39;"),
            c => shown.push(c),
        }
    }
    shown
}
