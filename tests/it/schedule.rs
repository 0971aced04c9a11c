//! What is planned, from a calendar's text to the floors that the guard holds.

use headroom::commands::demo::course;
use headroom::journal::{Entry, What};
use headroom::simulate::Scenario;
use reqwest::Method;
use serde_json::{Value, json};

use crate::process::{Daemon, http, pause, run};

const CONFIG: &str = r#"
tick: 100ms
receive: {grpc: "127.0.0.1:0", http: "127.0.0.1:0"}
api: {listen: "127.0.0.1:0"}
schedule:
  zone: Europe/Berlin
  kinds:
    exam:
      match: "exam, *klausur*"
      loads:
        - {service: auth, per_replica: 100}
        - {service: content-api, per_replica: 80}
      lasts: 15m
"#;

#[cfg(feature = "calendar")]
const CALENDARS: &str = "  calendars: [{name: exams, file: exams.ics}]\n";

#[cfg(feature = "calendar")]
const EXAMS: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n\
BEGIN:VEVENT\r\nUID:algebra@campus\r\nSUMMARY:Algebra\r\nCATEGORIES:exam\r\nX-HEADROOM-PARTICIPANTS:400\r\n\
DTSTART;TZID=Europe/Berlin:20261130T100000\r\nDTEND;TZID=Europe/Berlin:20261130T113000\r\n\
RRULE:FREQ=WEEKLY;COUNT=2\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:logic@campus\r\nSUMMARY:Logikklausur\r\nSTATUS:CANCELLED\r\n\
DTSTART;TZID=Europe/Berlin:20261130T140000\r\nDURATION:PT1H\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:party@campus\r\nSUMMARY:Party\r\nX-HEADROOM-PARTICIPANTS:-1\r\n\
DTSTART:20261130T200000Z\r\nDURATION:PT5H\r\nEND:VEVENT\r\n\
END:VCALENDAR\r\n";

#[cfg(feature = "calendar")]
fn directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("headroom.yaml"), format!("{CONFIG}{CALENDARS}")).unwrap();
    std::fs::write(directory.path().join("exams.ics"), EXAMS).unwrap();
    directory
}

#[cfg(feature = "calendar")]
#[test]
fn a_calendar_is_shown_with_what_it_raises_and_what_was_left_out() {
    let directory = directory();
    let asked = ["--config", "headroom.yaml", "--from", "2026-11-30T00:00"];
    let (code, out, error) = run(directory.path(), &[&["schedule"][..], &asked].concat());
    assert_eq!((code, error.as_str()), (1, ""), "one event was left out");
    insta::assert_snapshot!("schedule", out);
    let (code, out, _) = run(directory.path(), &[&["schedule", "--json", "--ahead", "1d"][..], &asked].concat());
    let document: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, document["events"].as_array().unwrap().len()), (1, 2));
    assert_eq!(document["events"][0]["raises"][0]["service"], "auth");
    assert_eq!(document["problems"][0]["event"], "Party");
}

#[cfg(feature = "calendar")]
#[test]
fn a_calendar_is_planned_as_manifests_and_as_a_patch_that_git_takes() {
    let directory = directory();
    let asked = ["--config", "headroom.yaml", "--from", "2026-11-30T00:00", "--namespace", "shop"];
    let plan =
        |more: &[&str]| run(directory.path(), &[&["schedule", "plan", "exams.ics"][..], &asked, more].concat()).1;
    let manifests = plan(&[]);
    insta::assert_snapshot!("schedule_plan", manifests);
    let by_hand = "# written by hand\n";
    std::fs::write(directory.path().join("events.yaml"), by_hand).unwrap();
    let patch = plan(&["--into", "events.yaml"]);
    assert!(patch.starts_with("--- a/events.yaml\n+++ b/events.yaml\n"), "{patch}");
    std::fs::write(directory.path().join("a.patch"), &patch).unwrap();
    let git = std::process::Command::new("git").current_dir(&directory).args(["apply", "a.patch"]).status();
    assert!(git.unwrap().success(), "{patch}");
    let written = std::fs::read_to_string(directory.path().join("events.yaml")).unwrap();
    assert_eq!(written, format!("{by_hand}{manifests}"));
    let all = [&["schedule", "plan", "exams.ics", "--into", "events.yaml"][..], &asked].concat();
    let (code, out, error) = run(directory.path(), &all);
    assert_eq!((code, out.as_str()), (1, ""), "nothing is left to change, and one event is left out as before");
    assert!(error.contains("events.yaml says so already"), "{error}");
}

/// Two exams at once, of a calendar that says in its own property how many come.
#[cfg(feature = "calendar")]
const OVERLAP: &str = "BEGIN:VCALENDAR\r\nVERSION:2.0\r\n\
BEGIN:VEVENT\r\nUID:big\r\nSUMMARY:Big exam\r\nCATEGORIES:exam\r\nX-SEATS:900\r\n\
DTSTART:20261201T100000\r\nDTEND:20261201T120000\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:algebra\r\nSUMMARY:Algebra exam II\r\nCATEGORIES:exam\r\nX-SEATS:400\r\n\
DTSTART:20261201T113000\r\nDTEND:20261201T150000\r\nEND:VEVENT\r\n\
BEGIN:VEVENT\r\nUID:quiz\r\nSUMMARY:Quiz 7 opens\r\nCATEGORIES:quiz\r\n\
DTSTART:20261202T180000\r\nDTEND:20261202T180000\r\nEND:VEVENT\r\n\
END:VCALENDAR\r\n";

#[cfg(feature = "calendar")]
const OVERLAP_CONFIG: &str = r#"
schedule:
  zone: Europe/Berlin
  calendars: [{name: exams, file: small.ics, participants: X-SEATS}]
  kinds:
    exam:
      early: 20m
      loads:
        - {entry: "ingress POST /login", per_participant: 0.05}
        - {service: exam-api, per_replica: 80}
    quiz:
      participants: 120
      loads: [{service: exam-api, per_replica: 80}]
"#;

#[cfg(feature = "calendar")]
#[test]
fn events_that_overlap_are_shown_each_for_itself_and_planned_as_they_are_held() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("small.ics"), OVERLAP).unwrap();
    let bounded = OVERLAP_CONFIG.replace("  kinds:", "  replica_hours_a_day: 36\n  kinds:");
    std::fs::write(directory.path().join("free.yaml"), OVERLAP_CONFIG).unwrap();
    std::fs::write(directory.path().join("bounded.yaml"), bounded).unwrap();
    let run = |command: &[&str], config: &str| {
        let asked = ["--config", config, "--from", "2026-12-01T00:00", "--ahead", "2d"];
        let (code, out, error) = run(directory.path(), &[command, &asked].concat());
        assert_eq!((code, error.as_str()), (0, ""), "{out}");
        out
    };
    insta::assert_snapshot!("schedule_overlap", run(&["schedule"], "free.yaml"));
    insta::assert_snapshot!("schedule_overlap_bounded", run(&["schedule", "-o", "wide"], "bounded.yaml"));
    insta::assert_snapshot!("schedule_overlap_plan", run(&["schedule", "plan", "small.ics"], "bounded.yaml"));
    assert_eq!(
        run(&["schedule", "plan", "exams"], "bounded.yaml"),
        run(&["schedule", "plan", "small.ics"], "bounded.yaml")
    );
    let document: Value = serde_json::from_str(&run(&["schedule", "--json"], "free.yaml")).unwrap();
    let floors: Vec<(&Value, &Value)> =
        document["floors"].as_array().unwrap().iter().map(|step| (&step["replicas"], &step["until"])).collect();
    assert_eq!(floors[1], (&json!(17), &json!("2026-12-01T11:00:00.000Z")), "{floors:?}");
}

#[cfg(feature = "calendar")]
#[test]
fn a_configuration_is_checked_with_its_calendars() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("headroom.yaml"), OVERLAP_CONFIG).unwrap();
    let check = || run(directory.path(), &["check-config", "headroom.yaml"]);
    let (code, out, _) = check();
    assert_eq!(code, 1);
    assert!(out.starts_with("schedule.calendars: exams: cannot be read: "), "{out}");
    let soon = chrono::DateTime::from_timestamp(headroom::clock::Clock::system().now().second() + 86_400, 0).unwrap();
    let calendar = format!(
        "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:q\r\nSUMMARY:Quiz 7 opens\r\nCATEGORIES:quiz\r\nDTSTART:{0}\r\nDTEND:{0}\r\n\
         END:VEVENT\r\nEND:VCALENDAR\r\n",
        soon.format("%Y%m%dT%H%M%SZ")
    );
    std::fs::write(directory.path().join("small.ics"), calendar).unwrap();
    let (code, out, _) = check();
    let note =
        "note: exams: Quiz 7 opens: it has no length: its load is taken to last 30 min; schedule.kinds.quiz.lasts";
    assert!(code == 0 && out.contains(note), "{out}");
}

fn planned(api: &str) -> Vec<Value> {
    let (status, body) = http(Method::GET, &format!("{api}/api/v1/schedule"), None);
    assert_eq!(status, 200, "{body}");
    let body: Value = serde_json::from_str(&body).unwrap();
    body["schedule"]["events"].as_array().unwrap().clone()
}

/// Until it is so; the harness of the daemon bounds how long its test may take.
fn until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..300 {
        if is_so() {
            return;
        }
        pause(std::time::Duration::from_millis(100));
    }
    panic!("{what}");
}

/// An event in some minutes, as a registrar tells it.
fn told(id: &str, minutes: i64, cancelled: bool, said_s: i64) -> Value {
    let now = chrono::DateTime::from_timestamp(headroom::clock::Clock::system().now().second(), 0).unwrap();
    let at = |minutes: i64| (now + chrono::TimeDelta::minutes(minutes)).to_rfc3339();
    json!({
        "specversion": "1.0", "id": id, "source": "/registrar", "type": "dev.headroom.schedule.changed",
        "time": (now + chrono::TimeDelta::seconds(said_s)).to_rfc3339(),
        "data": {
            "id": "algebra@campus", "title": "Algebra", "kind": "exam", "participants": 400, "cancelled": cancelled,
            "starts": at(minutes), "ends": at(minutes + 90),
        },
    })
}

#[test]
fn a_registrars_change_is_planned_and_taken_back_and_late_or_repeated_words_change_nothing() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("headroom.yaml"), CONFIG).unwrap();
    let daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    let send = |message: &Value| {
        let (status, body) = http(Method::POST, &format!("{}/api/v1/schedule/changes", daemon.api), Some(message));
        (status, serde_json::from_str::<Value>(&body).unwrap())
    };
    let raises = || planned(&daemon.api).first().map_or(0, |event| event["raises"].as_array().unwrap().len());
    let announced = told("1", 30, false, 0);
    assert_eq!(send(&announced), (202, json!({"taken": 1, "again": false})));
    until("it is planned", || raises() == 2);
    assert_eq!(send(&announced), (202, json!({"taken": 0, "again": true})));
    assert_eq!(send(&told("2", 30, true, 60)).0, 202);
    until("it is taken back", || raises() == 0);
    // Sent before the cancellation, and on its way for longer.
    assert_eq!(send(&told("3", 30, false, 30)).0, 202);
    pause(std::time::Duration::from_millis(500));
    assert_eq!((raises(), planned(&daemon.api)[0]["cancelled"].as_bool()), (0, Some(true)));
    assert_eq!(send(&json!({"specversion": "1.0"})).0, 400);
    // What is planned could be read by programs alone.
    let (code, out, error) = run(directory.path(), &["schedule", "--server", &daemon.api]);
    assert!(code == 0 && out.contains("Algebra CANCELLED (exam, 400 participants, from /registrar)"), "{out}{error}");
    let (_, out, _) = run(directory.path(), &["schedule", "--json", "--server", &daemon.api]);
    let document: Value = serde_json::from_str(&out).unwrap();
    assert!(document["events"][0]["starts"].as_str().is_some_and(|starts| starts.ends_with('Z')), "{out}");
    assert_eq!(daemon.terminate(), 0);
}

#[cfg(feature = "calendar")]
#[test]
fn a_calendars_file_is_followed_and_one_that_breaks_takes_nothing_back() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("headroom.yaml"), format!("{CONFIG}{CALENDARS}")).unwrap();
    let now = chrono::DateTime::from_timestamp(headroom::clock::Clock::system().now().second(), 0).unwrap();
    let starts = (now + chrono::TimeDelta::minutes(30)).format("%Y%m%dT%H%M%SZ");
    let of = |participants: u32| {
        format!(
            "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\nUID:a\r\nSUMMARY:Algebra\r\nCATEGORIES:exam\r\nDTSTART:{starts}\r\n\
             DURATION:PT1H\r\nX-HEADROOM-PARTICIPANTS:{participants}\r\nEND:VEVENT\r\nEND:VCALENDAR\r\n"
        )
    };
    let path = directory.path().join("exams.ics");
    std::fs::write(&path, of(400)).unwrap();
    let daemon = Daemon::start(directory.path(), &["--config", "headroom.yaml"]);
    let participants = || planned(&daemon.api).first().and_then(|event| event["participants"].as_u64());
    until("it is read", || participants() == Some(400));
    std::fs::write(&path, of(90)).unwrap();
    until("it is read again", || participants() == Some(90));
    std::fs::write(&path, "<html>moved</html>").unwrap();
    let problems = || http(Method::GET, &format!("{}/api/v1/schedule", daemon.api), None).1;
    until("it is told", || problems().contains("no whole iCalendar"));
    assert_eq!(participants(), Some(90), "what it said last holds");
    std::fs::remove_file(&path).unwrap();
    until("it is told", || problems().contains("No such file"));
    assert_eq!(participants(), Some(90));
    assert_eq!(daemon.terminate(), 0);
}

/// Half an hour of the school day: one lecture that is announced, and one that is cancelled.
fn small_day() -> Scenario {
    let day = include_str!("../../examples/scenarios/school-day.yaml");
    let (system, _) = day.split_once("  events:\n").unwrap();
    let events = "  events:
    - { title: Algebra, kind: lecture, at_s: 300, lasts_s: 600, participants: 300 }
    - { title: Greek, kind: lecture, at_s: 390, lasts_s: 600, participants: 900, cancelled_s: 330 }
";
    let short = system.replace("horizon_s: 28810", "horizon_s: 400").replace("window_s: 28800", "window_s: 390");
    Scenario::from_yaml("small-day", &format!("{short}{events}")).unwrap()
}

#[test]
fn in_the_simulator_a_lecture_is_raised_before_its_bell_and_a_cancelled_one_is_not() {
    let mut raised: Vec<(f64, String, u32)> = Vec::new();
    let mut floors: Vec<(f64, Vec<String>)> = Vec::new();
    let watch = |moment: &course::Moment<'_>| {
        for Entry { at, what } in moment.entries {
            let t_s = at.seconds_since(course::START);
            match what {
                What::Floors { floors: told } => {
                    floors.push((t_s, told.iter().map(|floor| floor.origin.to_string()).collect()));
                }
                What::Decided { decision } if decision.proposal.origin.to_string().starts_with("schedule:") => {
                    let replicas = decision.proposal.action.replicas_asked().unwrap_or(0);
                    raised.push((t_s, decision.proposal.service().to_string(), replicas));
                }
                _ => {}
            }
        }
        Ok(())
    };
    let (_, learnt) = course::run(&small_day(), 1, &[], None, |_| Ok(()), watch).unwrap();
    let before: Vec<&(f64, String, u32)> = raised.iter().filter(|(t_s, _, _)| *t_s < 300.0).collect();
    assert!(before.iter().any(|(_, service, _)| service.ends_with("auth")), "{raised:?}");
    let last = floors.iter().rev().find(|(t_s, _)| *t_s < 345.0).unwrap();
    assert!(last.1.iter().all(|origin| !origin.contains("Greek")), "cancelled at 330: {floors:?}");
    assert!(
        floors.iter().any(|(t_s, of)| *t_s < 330.0 && of.iter().any(|origin| origin.contains("Greek"))),
        "{floors:?}"
    );
    assert!(!learnt.planned.is_null(), "what pods carried is kept");
}

/// A page of errors in place of a calendar was a patch that took every floor back, and `git apply` took it.
#[test]
fn of_what_is_no_whole_calendar_no_plan_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    std::fs::write(path.join("events.yaml"), "apiVersion: headroom.dev/v1alpha1\n").unwrap();
    for text in ["<html>sign in</html>", "", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT\r\n"] {
        std::fs::write(path.join("exams.ics"), text).unwrap();
        let (code, out, error) = run(path, &["schedule", "plan", "exams.ics", "--into", "events.yaml"]);
        assert_eq!((code, out.as_str(), error.lines().count()), (2, "", 1), "{text:?}: {error}");
        assert!(error.contains("exams.ics: it is no iCalendar, or not the whole of one"), "{error}");
    }
}
