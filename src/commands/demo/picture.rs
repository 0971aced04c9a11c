//! The picture: load, latency against the objective, replicas, the bottleneck and the actions, as lines of a given width.
//! No clock and no terminal in here.

use std::collections::VecDeque;

use super::story::{Story, Told, Tone};
use crate::analyse::sentences::BLIND;
use crate::simulate::{Live, LiveEntry, LiveService};

/// As wide as a sparkline can get, one second a column.
const HISTORY: usize = 60;

const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Pods drawn one by one; past them the numbers speak.
const DOTS_MAX: usize = 24;

/// How a piece of text is shown where there is colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Paint {
    Plain,
    Bold,
    Dim,
    Red,
    Green,
    Yellow,
    Cyan,
}

impl Paint {
    /// Select Graphic Rendition parameter (ECMA-48).
    const fn sgr(self) -> &'static str {
        match self {
            Paint::Plain => "0",
            Paint::Bold => "1",
            Paint::Dim => "2",
            Paint::Red => "31",
            Paint::Green => "32",
            Paint::Yellow => "33",
            Paint::Cyan => "36",
        }
    }
}

#[derive(Default)]
struct Line(Vec<(Paint, String)>);

impl Line {
    fn of(paint: Paint, text: impl Into<String>) -> Line {
        Line::default().and(paint, text)
    }

    fn and(mut self, paint: Paint, text: impl Into<String>) -> Line {
        self.0.push((paint, text.into()));
        self
    }

    /// Cut to the width; every character used here takes one column.
    fn render(&self, width: usize, colour: bool) -> String {
        let (mut out, mut left) = (String::new(), width);
        for (paint, text) in &self.0 {
            let part: String = text.chars().take(left).collect();
            left -= part.chars().count();
            match paint {
                _ if part.is_empty() => {}
                Paint::Plain => out.push_str(&part),
                paint if colour => out.push_str(&format!("\x1b[{}m{part}\x1b[0m", paint.sgr())),
                _ => out.push_str(&part),
            }
        }
        out.truncate(out.trim_end().len());
        out
    }
}

/// The last seconds of one endpoint.
#[derive(Default)]
struct Track {
    load_per_s: VecDeque<f64>,
    p99_ms: VecDeque<f64>,
}

/// What stays the same throughout.
pub struct Title {
    pub scenario: String,
    pub seed: u64,
    pub speed: f64,
    pub horizon_s: f64,
    /// When the burst or fault begins; 0 where there is none.
    pub onset_s: f64,
}

pub struct Picture {
    title: Title,
    tracks: Vec<Track>,
    second: Option<i64>,
}

impl Picture {
    pub fn new(title: Title) -> Picture {
        Picture { title, tracks: Vec::new(), second: None }
    }

    /// Remembers a second once.
    pub fn observe(&mut self, live: &Live) {
        let second = live.at_s as i64;
        if self.second.replace(second) == Some(second) {
            return;
        }
        self.tracks.resize_with(live.entries.len(), Track::default);
        for (track, entry) in self.tracks.iter_mut().zip(&live.entries) {
            keep(&mut track.load_per_s, entry.load_per_s as f64);
            keep(&mut track.p99_ms, entry.p99_ms.unwrap_or(0.0));
        }
    }

    /// At most `height` lines of at most `width` columns.
    pub fn frame(&self, live: &Live, story: &Story, size: (usize, usize), colour: bool) -> Vec<String> {
        let (width, height) = size;
        let Title { scenario, seed, speed, horizon_s, onset_s } = &self.title;
        let title = format!("headroom demo  {scenario}, seed {seed}, {speed} times real time");
        let time = format!("{:.0} of {horizon_s:.0} s", live.at_s);
        let awaited = match (onset_s - live.at_s).ceil() {
            left if left > 0.0 => format!("  it begins in {left:.0} s"),
            _ => String::new(),
        };
        let mut lines = vec![
            Line::of(Paint::Bold, title),
            Line::of(Paint::Dim, time).and(Paint::Yellow, awaited).and(Paint::Dim, "  q quits"),
            Line::default(),
        ];
        lines.extend(self.entries(live, width));
        lines.push(Line::default());
        lines.extend(services(&live.services, story));
        lines.push(Line::default());
        lines.extend(bottlenecks(story, width));
        lines.push(Line::default());
        // What happened takes the room that is left, the newest last.
        let room = height.saturating_sub(lines.len() + 1);
        let told: Vec<Line> = story.told.iter().flat_map(|told| wrapped(told, width)).collect();
        lines.extend(told.into_iter().rev().take(room).rev().collect::<Vec<_>>());
        lines.iter().take(height).map(|line| line.render(width, colour)).collect()
    }

    fn entries(&self, live: &Live, width: usize) -> Vec<Line> {
        let name = |e: &LiveEntry| format!("{} {}", e.service, e.operation);
        let name_width = live.entries.iter().map(|e| name(e).chars().count()).max().unwrap_or(0).clamp(15, 34);
        // Two sparklines share what names and numbers leave.
        let spark_width = (width.saturating_sub(name_width + 31) / 2).min(HISTORY);
        let head = format!(
            "{:name_width$}  {:>6} {:spark_width$}  {:>7} {:spark_width$}  {:>9}",
            "endpoint", "load/s", "", "p99 ms", "", "objective"
        );
        let entry = |(e, track): (&LiveEntry, &Track)| {
            let name: String = name(e).chars().take(name_width).collect();
            let p99 = e.p99_ms.map_or("-".into(), |ms| format!("{ms:.0}"));
            let paint = match e.p99_ms {
                Some(ms) if ms > e.objective_ms => Paint::Red,
                _ => Paint::Green,
            };
            let load_top = track.load_per_s.iter().copied().fold(1.0, f64::max);
            let p99_top = track.p99_ms.iter().copied().fold(e.objective_ms, f64::max);
            Line::of(Paint::Plain, format!("{name:name_width$}  {:>6} ", e.load_per_s))
                .and(Paint::Cyan, sparkline(&track.load_per_s, load_top, spark_width))
                .and(paint, format!("  {p99:>7} "))
                .and(paint, sparkline(&track.p99_ms, p99_top, spark_width))
                .and(Paint::Dim, format!("  {:>9.0}", e.objective_ms))
        };
        let mut lines = vec![Line::of(Paint::Dim, head)];
        lines.extend(live.entries.iter().zip(&self.tracks).map(entry));
        lines
    }
}

fn keep(track: &mut VecDeque<f64>, value: f64) {
    if track.len() == HISTORY {
        track.pop_front();
    }
    track.push_back(value);
}

/// The newest values, right-aligned, `top` as a full block.
fn sparkline(values: &VecDeque<f64>, top: f64, width: usize) -> String {
    let block = |value: &f64| BLOCKS[((value / top * 7.0).round() as usize).min(7)];
    let drawn: String = values.iter().skip(values.len().saturating_sub(width)).map(block).collect();
    format!("{drawn:>width$}")
}

fn services(services: &[LiveService], story: &Story) -> Vec<Line> {
    let name_width = services.iter().map(|s| s.service.chars().count()).max().unwrap_or(0).max(15);
    let mut lines = vec![Line::of(Paint::Dim, format!("{:name_width$}   ready", "service"))];
    lines.extend(services.iter().map(|s| {
        let held = story.bottlenecks.iter().any(|b| b.service.rsplit('/').next() == Some(&s.service));
        let ready = "●".repeat((s.ready as usize).min(DOTS_MAX));
        let coming = "○".repeat((s.wanted.saturating_sub(s.ready) as usize).min(DOTS_MAX));
        Line::of(if held { Paint::Red } else { Paint::Plain }, format!("{:name_width$}", s.service))
            .and(Paint::Plain, format!("  {:>2}/{:<2} ", s.ready, s.wanted))
            .and(Paint::Green, ready)
            .and(Paint::Yellow, coming)
    }));
    lines
}

/// The whole of each, over as many lines as it needs: the verdict comes last.
fn bottlenecks(story: &Story, width: usize) -> Vec<Line> {
    if !story.sighted {
        return vec![Line::of(Paint::Yellow, BLIND)];
    }
    if story.bottlenecks.is_empty() {
        return vec![match &story.unseen {
            Some(partial) => Line::of(Paint::Yellow, partial),
            None => Line::of(Paint::Green, "no bottleneck"),
        }];
    }
    let rows = story.bottlenecks.iter().flat_map(|b| folded(&b.summary(), width));
    rows.map(|row| Line::of(Paint::Red, row)).collect()
}

/// The words of a text in rows of a width; a word that is longer is a row of its own.
fn folded(text: &str, width: usize) -> Vec<String> {
    let mut rows = vec![String::new()];
    for word in text.split_whitespace() {
        // There is always a last row: the first is there from the start.
        let last = rows.len() - 1;
        if rows[last].is_empty() {
            rows[last].push_str(word);
        } else if rows[last].chars().count() + 1 + word.chars().count() <= width {
            rows[last].push(' ');
            rows[last].push_str(word);
        } else {
            rows.push(word.to_owned());
        }
    }
    rows
}

/// A told line over as many lines as it needs, the later ones indented.
fn wrapped(told: &Told, width: usize) -> Vec<Line> {
    const INDENT: usize = 10;
    let paint = match told.tone {
        Tone::Trouble => Paint::Red,
        Tone::Done => Paint::Bold,
        Tone::Good => Paint::Green,
        Tone::Aside => Paint::Dim,
    };
    let room = width.saturating_sub(INDENT).max(20);
    let rows = folded(&told.text, room);
    let head = format!("{:6.1} s  ", told.t_s);
    let row = |(index, row): (usize, String)| {
        let margin = if index == 0 { head.clone() } else { " ".repeat(INDENT) };
        Line::of(Paint::Dim, margin).and(paint, row)
    };
    rows.into_iter().enumerate().map(row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::{Bottleneck, Verdict};

    fn live(second: u32) -> Live {
        let entry = |operation: &str, load: u32, p99: f64| LiveEntry {
            service: "ingress".into(),
            operation: operation.into(),
            load_per_s: load.into(),
            p99_ms: Some(p99),
            objective_ms: 300.0,
            violations: 0,
        };
        let service = |name: &str, ready, wanted| LiveService { service: name.into(), ready, wanted };
        Live {
            at_s: second.into(),
            entries: vec![
                entry("POST /login", 20 * second, 90.0 * f64::from(second)),
                entry("GET /video/{id}", 20, 35.0),
            ],
            services: vec![service("ingress", 2, 2), service("auth", 2, 7)],
        }
    }

    fn story() -> Story {
        let told = |t_s, tone, text: &str| Told { t_s, tone, text: text.into() };
        let mut story = Story::default();
        story.sighted = true;
        story.bottlenecks = vec![Bottleneck {
            entry: "ingress POST /login".into(),
            service: "auth".into(),
            verdict: Verdict::Saturated,
            p99_ms: 720.0,
            objective_ms: 300.0,
            ..Bottleneck::default()
        }];
        let long = "scale out auth 2 → 7: a reason that is long enough to need a second line, one of its own";
        story.told = vec![told(7.0, Tone::Trouble, &story.bottlenecks[0].summary()), told(8.0, Tone::Done, long)];
        story
    }

    fn drawn(size: (usize, usize), colour: bool) -> Vec<String> {
        let title = Title { scenario: "login-storm".into(), seed: 1, speed: 4.0, horizon_s: 305.0, onset_s: 20.0 };
        let mut picture = Picture::new(title);
        (1..=8).for_each(|second| picture.observe(&live(second)));
        picture.observe(&live(8));
        picture.frame(&live(8), &story(), size, colour)
    }

    #[test]
    fn it_shows_load_latency_replicas_and_reasons() {
        insta::assert_snapshot!(drawn((90, 24), false).join("\n"));
    }

    /// 60, 80 and 120 columns, as most terminals are: nothing that matters is cut.
    #[test]
    fn the_verdict_is_whole_at_any_usual_width() {
        for width in [60, 80, 120] {
            let lines = drawn((width, 24), false);
            insta::assert_snapshot!(format!("{width}_columns"), lines.join("\n"));
            let text = lines.join(" ");
            assert!(text.contains("ingress POST /login") && text.contains("auth is saturated"), "{width}");
            assert!(lines[1].contains("it begins in 12 s"), "{width}: {}", lines[1]);
        }
    }

    #[test]
    fn before_the_first_span_it_is_blind() {
        assert_eq!(bottlenecks(&Story::default(), 90)[0].render(90, false), BLIND);
    }

    #[test]
    fn it_fits_whatever_the_size() {
        for (width, height) in [(200, 50), (80, 24), (40, 10), (1, 1)] {
            let lines = drawn((width, height), false);
            assert!(lines.len() <= height, "{height}");
            assert!(lines.iter().all(|line| line.chars().count() <= width), "{width}");
        }
    }

    #[test]
    fn colour_changes_no_text() {
        let coloured = drawn((90, 24), true).join("\n");
        let mut plain = String::new();
        let mut rest = coloured.as_str();
        while let Some((before, after)) = rest.split_once('\x1b') {
            plain.push_str(before);
            rest = after.split_once('m').expect("ends").1;
        }
        plain.push_str(rest);
        assert_eq!(plain.split('\n').map(str::trim_end).collect::<Vec<_>>(), drawn((90, 24), false));
    }

    #[test]
    fn what_is_new_is_seen_when_room_is_short() {
        assert!(drawn((90, 15), false).last().expect("lines").ends_with("own"));
    }
}
