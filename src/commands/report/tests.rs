//! A report as its readers get it.

use super::*;
use crate::analyse::{Bottleneck, EntryFinding, Findings, Verdict};
use crate::journal::What;

/// One outage of a service whose name is hostile to pages and tables.
fn entries() -> Vec<Entry> {
    let found = |second: i64, missed: bool| {
        let bottleneck = Bottleneck {
            entry: "ingress GET /<b>|x".into(),
            service: "a<script>alert(1)</script>".into(),
            verdict: Verdict::Saturated,
            p99_ms: 900.0,
            objective_ms: 300.0,
            missed_share: 0.4,
            ..Bottleneck::default()
        };
        let entry: EntryFinding = serde_json::from_value(serde_json::json!({
            "entry": "ingress GET /<b>|x", "requests": 9, "requests_per_s": 10.0, "p50_ms": 1.0, "p99_ms": 900.0,
            "objective_ms": 300.0, "missed_share": 0.4, "error_share": 0.0, "missed": missed,
        }))
        .unwrap();
        let bottlenecks = if missed { vec![bottleneck] } else { vec![] };
        let at = Time::from_secs(1_795_000_000 + second);
        let findings = Findings { at, bottlenecks, entries: vec![entry], ..Findings::default() };
        Entry { at, what: What::Found { findings } }
    };
    let end = Entry { at: Time::from_secs(1_795_000_400), what: What::Ticked };
    vec![found(0, true), found(120, false), end]
}

fn report(format: Format) -> String {
    let mut out = Vec::new();
    write_report(&hindsight::look_back(&entries(), Time::MIN), format, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn a_report_as_markdown() {
    insta::assert_snapshot!(report(Format::Markdown));
}

#[test]
fn a_page_holds_its_pictures_and_no_markup_of_others() {
    let page = report(Format::Html);
    assert_eq!(page.matches("<svg").count(), 2, "{page}");
    assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
    for foreign in ["<script", "<b>", "http://", "https://"] {
        let own = if foreign == "http://" { 2 } else { 0 }; // the names of SVG's own vocabulary
        assert_eq!(page.matches(foreign).count(), own, "{foreign}: {page}");
    }
    assert!(page.contains("a&lt;script&gt;alert(1)&lt;/script&gt; saturated"), "{page}");
}

#[test]
fn how_far_back_is_a_duration_or_a_time() {
    assert_eq!(parse_since("7d"), Ok(Since::Before(Duration::from_secs(7 * 86_400))));
    assert_eq!(parse_since("1970-01-01T00:01"), Ok(Since::At(Time::from_secs(60))));
    assert!(parse_since("yesterday").is_err());
}
