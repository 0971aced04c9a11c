//! What was decided is decided again from the kept spans and the journal, and a difference is seen.

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use headroom::commands::demo::course;
use headroom::decide::shipped;
use headroom::guard::Floor;
use headroom::journal::{Entry, What};
use headroom::model::Origin;
use headroom::receive::files::OtlpJsonLines;
use headroom::simulate::Scenario;
use serde_json::Value;

use crate::process::run;

/// A login storm in little: it begins after 12 s rather than a minute, and auth is scaled within 28.
fn short_storm() -> Scenario {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/scenarios/login-storm.yaml");
    let mut text = std::fs::read_to_string(shipped).unwrap();
    for (long, short) in [
        ("at_s: 60, rise_s: 20", "at_s: 12, rise_s: 4"),
        ("onset_s: 60", "onset_s: 12\n  window_s: 15"),
        ("horizon_s: 305", "horizon_s: 28"),
    ] {
        assert!(text.contains(long), "{long}");
        text = text.replace(long, short);
    }
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("short-storm.yaml");
    std::fs::write(&file, text).unwrap();
    Scenario::from_path(&file).unwrap()
}

/// One course, kept: its spans a request a line, and its journal.
struct Kept {
    spans: Vec<String>,
    journal: Vec<String>,
}

/// Played once for all tests.
fn kept() -> &'static Kept {
    static KEPT: OnceLock<Kept> = OnceLock::new();
    KEPT.get_or_init(|| {
        let mut spans = OtlpJsonLines::new(Vec::new());
        let mut journal = Vec::new();
        let keep = |entries: &[Entry]| entries.iter().map(|e| serde_json::to_string(e).unwrap()).collect::<Vec<_>>();
        course::run(
            &short_storm(),
            1,
            &shipped(),
            None,
            |request| {
                spans.write(request).unwrap();
                Ok(())
            },
            |moment| {
                journal.extend(keep(moment.entries));
                Ok(())
            },
        )
        .unwrap();
        let spans = String::from_utf8(spans.into_inner()).unwrap().lines().map(str::to_owned).collect();
        Kept { spans, journal }
    })
}

fn write(directory: &Path, name: &str, lines: &[String]) {
    std::fs::write(directory.join(name), lines.join("\n") + "\n").unwrap();
}

/// `headroom replay --json` over these spans and this journal: exit code, the decisions' lines, the summary.
fn replay(spans: &[String], journal: &[String], more: &[&str]) -> (i32, Vec<Value>, Value) {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "spans.jsonl", spans);
    write(directory.path(), "journal.jsonl", journal);
    let args = [&["replay", "spans.jsonl", "--journal", "journal.jsonl", "--json"], more].concat();
    let (code, out, error) = run(directory.path(), &args);
    let mut lines: Vec<Value> = out.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let summary = lines.pop().unwrap_or_else(|| panic!("no summary: {error}"));
    (code, lines, summary)
}

fn decided(journal: &[String]) -> usize {
    journal.iter().filter(|line| line.contains(r#""what":"decided""#)).count()
}

#[test]
fn the_decisions_of_kept_spans_are_made_again() {
    let Kept { spans, journal } = kept();
    let decisions = decided(journal);
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "journal.jsonl", journal);
    // However the spans were put into files: here in two, a third of the batches in one line, compressed.
    let (before, after) = spans.split_at(spans.len() / 3);
    let joined: Vec<Value> = before
        .iter()
        .flat_map(|line| serde_json::from_str::<Value>(line).unwrap()["resourceSpans"].as_array().unwrap().clone())
        .collect();
    write(directory.path(), "a.jsonl", &[serde_json::json!({"resourceSpans": joined}).to_string()]);
    std::fs::write(directory.path().join("b"), zstd::encode_all(after.join("\n").as_bytes(), 1).unwrap()).unwrap();
    let (code, out, error) = run(directory.path(), &["replay", "a.jsonl", "b", "--journal", "journal.jsonl"]);
    assert_eq!((code, out), (0, format!("{decisions} decisions, all reproduced\n")), "{error}");
    assert!(journal.iter().any(|line| line.contains(r#""outcome":"permitted""#)), "auth was to be scaled");
    assert!(journal.iter().any(|line| line.contains(r#""what":"cluster_unchanged""#)), "each reading is an input");
}

#[test]
fn two_runs_in_one_journal_are_two_engines() {
    let Kept { spans, journal } = kept();
    let (code, lines, summary) = replay(&[&spans[..], spans].concat(), &[&journal[..], journal].concat(), &[]);
    assert_eq!((code, lines.len()), (0, 2 * decided(journal)), "{summary}");
}

#[test]
fn spans_that_were_changed_are_noticed() {
    let Kept { spans, journal } = kept();
    let renamed: Vec<String> = spans.iter().map(|line| line.replace("\"auth\"", "\"other\"")).collect();
    let (code, lines, summary) = replay(&renamed, journal, &[]);
    assert_eq!(code, 1, "{summary}");
    assert!(lines.iter().any(|line| line["standing"] == "missing"), "{lines:?}");

    let (code, _, summary) = replay(&spans[..spans.len() - 1], journal, &[]);
    assert!(code == 1 && summary["spans_missing"].as_u64() > Some(0), "{summary}");
    assert!(summary["notes"][0].as_str().unwrap().contains("name all files"), "{summary}");
}

#[test]
fn a_journal_that_was_changed_is_noticed() {
    let Kept { spans, journal } = kept();
    let at = journal.iter().position(|line| line.contains(r#""outcome":"permitted""#)).unwrap();
    let mut changed = journal.clone();
    changed[at] = changed[at].replace(r#""outcome":"permitted","from":2"#, r#""outcome":"permitted","from":1"#);
    assert_ne!(changed[at], journal[at]);
    let (code, lines, summary) = replay(spans, &changed, &[]);
    let differing: Vec<&Value> = lines.iter().filter(|line| line["standing"] == "differs").collect();
    assert_eq!((code, differing.len()), (1, 1), "{summary}");
    assert_eq!((&differing[0]["then"]["from"], &differing[0]["now"]["from"]), (&1.into(), &2.into()));

    changed.remove(at);
    let (code, lines, summary) = replay(spans, &changed, &[]);
    assert!(code == 1 && lines.iter().any(|line| line["standing"] == "new"), "{summary}");
}

#[test]
fn a_journal_cut_short_by_a_kill_is_replayed_as_far_as_it_goes() {
    let Kept { spans, journal } = kept();
    let at = journal.iter().position(|line| line.contains(r#""what":"decided""#)).unwrap();
    let mut cut = journal[..=at].to_vec();
    cut[at].truncate(40);
    let (code, lines, summary) = replay(spans, &cut, &[]);
    assert_eq!(code, 0, "{summary}");
    assert!(lines.iter().all(|line| line["standing"] == "unwritten") && !lines.is_empty(), "{lines:?}");
    let notes = summary["notes"].to_string();
    assert!(notes.contains("is cut short") && notes.contains("that the journal does not count"), "{notes}");
}

#[test]
fn a_gap_and_a_missing_beginning_are_said() {
    let Kept { spans, journal } = kept();
    let mut gapped = journal.clone();
    gapped.push(serde_json::to_string(&Entry { at: course::START, what: What::Gap { dropped: 3 } }).unwrap());
    let (_, _, summary) = replay(spans, &gapped, &[]);
    assert!(summary["notes"].to_string().contains("3 entries were lost"), "{summary}");

    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "spans.jsonl", spans);
    write(directory.path(), "journal.jsonl", &journal[1..]);
    let (code, _, error) = run(directory.path(), &["replay", "spans.jsonl", "--journal", "journal.jsonl"]);
    assert_eq!((code, error.lines().count()), (2, 1), "{error}");
    assert!(error.contains("no run starts in this journal; name the journal before it"), "{error}");
}

#[test]
fn other_rules_decide_otherwise() {
    let Kept { spans, journal } = kept();
    let directory = tempfile::tempdir().unwrap();
    let rule =
        "fn evaluate(now) { now.bottlenecks.map(|b| scale_out(b.service).to(b.replicas + 1).because(\"one more\")) }\n";
    std::fs::write(directory.path().join("one_more.rhai"), rule).unwrap();
    let (code, lines, summary) = replay(spans, journal, &["--rules", directory.path().to_str().unwrap()]);
    assert_eq!((code, &summary["exact"]), (0, &Value::Bool(false)), "{summary}");
    let now = |line: &&Value| line["now"]["proposal"]["because"] == "one more";
    assert!(lines.iter().any(|line| now(&line)), "{lines:?}");
    assert!(lines.iter().any(|line| line["then"]["proposal"]["rule"] == "scale_out_bottleneck"), "{lines:?}");
}

/// A schedule's floor is an input like any other: what the guard decided because of it is decided again.
#[test]
fn a_floor_in_the_journal_is_held_again() {
    let Kept { spans, journal } = kept();
    let at = journal.iter().position(|line| line.contains(r#""what":"ticked""#)).unwrap();
    let begins = serde_json::from_str::<Entry>(&journal[at]).unwrap().at;
    let floor = Floor {
        service: "content-api".into(),
        origin: Origin::Schedule("exams".into()),
        replicas: 9,
        from: begins,
        until: begins + Duration::from_secs(3_600),
    };
    let floors = Entry { at: begins, what: What::Floors { floors: vec![floor] } };
    let mut with_floor = journal.clone();
    with_floor.insert(at, serde_json::to_string(&floors).unwrap());

    let (code, lines, summary) = replay(spans, &with_floor, &[]);
    let raised = lines.iter().find(|line| line["now"]["proposal"]["rule"] == "schedule:exams");
    let raised = raised.unwrap_or_else(|| panic!("no floor is raised: {summary}"));
    assert_eq!((code, &raised["standing"]), (1, &"new".into()), "the journal has no decision of this floor");
    let action = &raised["now"]["proposal"]["action"];
    assert_eq!((&action["service"], &raised["now"]["to"]), (&"content-api".into(), &9.into()), "{raised}");
}

#[test]
fn spans_alone_say_what_had_to_be_assumed() {
    let directory = tempfile::tempdir().unwrap();
    write(directory.path(), "spans.jsonl", &kept().spans);
    let (code, out, error) = run(directory.path(), &["replay", "spans.jsonl"]);
    assert_eq!(code, 0, "{error}");
    let notes: Vec<&str> = out.lines().filter(|line| line.starts_with("note: ")).collect();
    for word in
        ["no journal", "received 2 s after", "below 500 ms", "replicas are the pods", "rules are the shipped ones"]
    {
        assert!(notes.iter().any(|note| note.contains(word)), "{word}: {out}");
    }
    assert_eq!(run(directory.path(), &["replay", "spans.jsonl"]).1, out, "twice the same");
}

/// What its end cuts is no fault of who sent it.
#[test]
fn a_recording_that_ends_in_mid_stream_is_whole_to_the_doctor() {
    let directory = tempfile::tempdir().unwrap();
    let play = ["demo", "--scenario", "calm", "--speed", "max", "--json", "--until", "40", "--spans", "spans.jsonl"];
    let (code, _, error) = run(directory.path(), &play);
    assert_eq!(code, 0, "{error}");
    let (code, said, error) = run(directory.path(), &["doctor", "spans.jsonl"]);
    assert_eq!((code, error.as_str()), (0, ""), "{said}");
    assert!(said.contains("verdict healthy") && said.ends_with("nothing hinders\n"), "{said}");
}
