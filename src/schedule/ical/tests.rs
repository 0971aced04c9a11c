//! Calendars as universities publish them, and as nobody should.

use proptest::prelude::*;

use super::*;
use crate::schedule::bounds::{FEED_BYTES_MAX, PROBLEMS_MAX};

fn time(text: &str) -> Time {
    Time::parse(text).expect("a time")
}

/// The winter term of 2026, in Berlin.
fn asked() -> Asked<'static> {
    Asked {
        source: "lectures",
        zone: chrono_tz::Europe::Berlin,
        participants: None,
        participants_max: 100_000,
        from: time("2026-10-12T00:00"),
        until: time("2027-02-12T00:00"),
    }
}

fn calendar(events: &str) -> String {
    format!("BEGIN:VCALENDAR\r\nVERSION:2.0\r\nPRODID:-//campus//1\r\n{events}END:VCALENDAR\r\n")
}

fn event(lines: &str) -> String {
    let lines: String = lines.lines().map(|line| format!("{}\r\n", line.trim())).collect();
    format!("BEGIN:VEVENT\r\n{lines}END:VEVENT\r\n")
}

fn read_events(events: &str, asked: &Asked<'_>) -> (Vec<Planned>, Vec<String>) {
    let mut problems = Problems::default();
    let mut read = read(&calendar(events), asked, &mut problems);
    read.sort_by(|a, b| a.starts.cmp(&b.starts).then_with(|| a.id.cmp(&b.id)));
    (read, problems.told().iter().map(ToString::to_string).collect())
}

fn starts(events: &[Planned]) -> Vec<String> {
    events.iter().map(|event| event.starts.to_string()[..16].to_owned()).collect()
}

#[test]
fn a_weekly_lecture_keeps_the_clock_on_the_wall_over_the_end_of_summer_time() {
    let weekly = event(
        "UID:algebra@campus
         SUMMARY:Algebra
         CATEGORIES:lecture,mathematics
         X-HEADROOM-PARTICIPANTS:400
         DTSTART;TZID=Europe/Berlin:20261012T101500
         DTEND;TZID=Europe/Berlin:20261012T114500
         RRULE:FREQ=WEEKLY;UNTIL=20261109T091500Z
         EXDATE;TZID=Europe/Berlin:20261102T101500",
    );
    let (events, problems) = read_events(&weekly, &asked());
    assert_eq!(problems, [""; 0]);
    // From the 26th on it is winter: an hour later by the sun, the same by the clock. The last is the one that UNTIL names.
    assert_eq!(starts(&events), ["2026-10-12T08:15", "2026-10-19T08:15", "2026-10-26T09:15", "2026-11-09T09:15"]);
    assert_eq!(events[0].ends, time("2026-10-12T09:45"));
    assert_eq!(
        (events[0].participants, &*events[0].categories),
        (Some(400), &["lecture".into(), "mathematics".into()][..])
    );
    assert_eq!(events[2].id, "algebra@campus#2026-10-26T09:15:00.000Z");
}

#[test]
fn an_occurrence_that_is_moved_or_cancelled_is_known_by_the_instant_it_was_planned_for() {
    let series = event(
        "UID:algebra
         SUMMARY:Algebra
         DTSTART;TZID=Europe/Berlin:20261013T090000
         DURATION:PT1H30M
         RRULE:FREQ=WEEKLY;COUNT=4",
    );
    let moved = event(
        "UID:algebra
         SEQUENCE:1
         RECURRENCE-ID;TZID=Europe/Berlin:20261020T090000
         SUMMARY:Algebra (moved)
         DTSTART;TZID=Europe/Berlin:20261022T140000
         DTEND;TZID=Europe/Berlin:20261022T153000",
    );
    let cancelled = event(
        "UID:algebra
         RECURRENCE-ID:20261027T080000Z
         STATUS:CANCELLED
         DTSTART;TZID=Europe/Berlin:20261027T090000",
    );
    let (events, problems) = read_events(&[series, moved, cancelled].concat(), &asked());
    assert_eq!(problems, [""; 0]);
    assert_eq!(starts(&events), ["2026-10-13T07:00", "2026-10-22T12:00", "2026-10-27T08:00", "2026-11-03T08:00"]);
    assert_eq!(events.iter().map(|event| event.cancelled).collect::<Vec<_>>(), [false, false, true, false]);
    assert_eq!(events[1].id, "algebra#2026-10-20T07:00:00.000Z");
    assert_eq!((events[1].title.as_str(), events[1].revision), ("Algebra (moved)", 1));
}

#[test]
fn from_one_occurrence_on_all_may_move() {
    let series = event(
        "UID:algebra
         SUMMARY:Algebra
         DTSTART:20261013T090000
         DURATION:PT90M
         RRULE:FREQ=WEEKLY;COUNT=4",
    );
    let from_then_on = event(
        "UID:algebra
         RECURRENCE-ID;RANGE=THISANDFUTURE:20261027T090000
         SUMMARY:Algebra in the afternoon
         DTSTART:20261028T130000
         DURATION:PT90M",
    );
    let (events, _) = read_events(&[series, from_then_on].concat(), &asked());
    assert_eq!(starts(&events), ["2026-10-13T07:00", "2026-10-20T07:00", "2026-10-28T12:00", "2026-11-04T12:00"]);
    assert_eq!(events[3].title, "Algebra in the afternoon");
}

#[test]
fn zones_go_by_their_names_of_windows_and_of_vendors_too_and_an_unknown_one_is_an_error() {
    let of =
        |zone: &str| event(&format!("UID:{zone}\nSUMMARY:{zone}\nDTSTART;TZID={zone}:20261201T090000\nDURATION:PT1H"));
    let zones = ["W. Europe Standard Time", "America/New_York", "/softwarestudio.org/Olson_20011030_5/America/Chicago"];
    let (events, problems) = read_events(&[zones.map(of).concat(), of("Mars/Olympus")].concat(), &asked());
    assert_eq!(starts(&events), ["2026-12-01T08:00", "2026-12-01T14:00", "2026-12-01T15:00"]);
    assert_eq!(
        problems,
        ["lectures: Mars/Olympus: its time zone `Mars/Olympus` is not known; write a name such as Europe/Berlin"]
    );
    let day = event("UID:d\nSUMMARY:Open day\nDTSTART;VALUE=DATE:20261205");
    let (events, _) = read_events(&day, &asked());
    assert_eq!((starts(&events)[0].as_str(), events[0].ends), ("2026-12-04T23:00", time("2026-12-05T23:00")));
}

#[test]
fn an_hour_that_the_clocks_pass_over_is_the_one_before_and_one_that_comes_twice_is_the_first() {
    let of = |uid: &str, local: &str| event(&format!("UID:{uid}\nDTSTART;TZID=Europe/Berlin:{local}\nDURATION:PT1H"));
    let year = Asked { from: time("2026-01-01T00:00"), until: time("2027-01-01T00:00"), ..asked() };
    let (events, problems) =
        read_events(&[of("spring", "20260329T023000"), of("autumn", "20261025T023000")].concat(), &year);
    assert_eq!((starts(&events), problems), (vec!["2026-03-29T01:30".to_owned(), "2026-10-25T00:30".into()], vec![]));
}

#[test]
fn who_comes_is_counted_by_the_property_that_is_named_else_by_invitations_and_within_reason() {
    let of = |uid: &str, line: &str| event(&format!("UID:{uid}\nSUMMARY:{uid}\nDTSTART:20261201T090000\n{line}"));
    let own = Asked { participants: Some("X-SEATS"), ..asked() };
    let told = [
        of("named", "X-SEATS: 250 "),
        of("ours", "X-HEADROOM-PARTICIPANTS:30"),
        of("invited", "ATTENDEE:mailto:a@campus\nATTENDEE:mailto:b@campus"),
        of("nobody says", "ATTENDEE:mailto:a@campus"),
        of("a million", "X-SEATS:1000000"),
        of("minus one", "X-HEADROOM-PARTICIPANTS:-1"),
        of("many", "X-SEATS:many"),
        of("beyond", "X-SEATS:99999999999999"),
    ];
    let (events, problems) = read_events(&told.concat(), &own);
    let counted: BTreeMap<&str, Option<u32>> = events.iter().map(|of| (of.title.as_str(), of.participants)).collect();
    let expected = [("named", Some(250)), ("ours", Some(30)), ("invited", Some(2)), ("nobody says", None)];
    assert_eq!(counted, expected.into());
    assert_eq!(
        problems,
        [
            "lectures: a million: 1000000 participants are more than schedule.participants_max, 100000; correct the event, or raise that",
            "lectures: minus one: -1 participants cannot come; write none or more",
            "lectures: many: `many` participants cannot be counted; write a whole number",
            "lectures: beyond: 99999999999999 participants are more than there are people to come; correct the event",
        ]
    );
}

#[test]
fn of_the_same_event_a_thousand_times_the_highest_revision_is_left() {
    let of = |n: usize| {
        event(&format!("UID:one\nSEQUENCE:{}\nSUMMARY:{n}\nDTSTART:20261201T{:02}0000\nDURATION:PT1H", n % 500, n % 24))
    };
    let (events, problems) = read_events(&(0..1000).map(of).collect::<String>(), &asked());
    assert_eq!((events.len(), events[0].title.as_str(), problems.len()), (1, "999", 0));
}

#[test]
fn an_endless_recurrence_is_followed_as_far_as_is_asked_and_one_since_1900_too() {
    let endless = event("UID:a\nSUMMARY:Breakfast\nDTSTART:19000101T080000\nDURATION:PT1H\nRRULE:FREQ=DAILY");
    let (events, problems) = read_events(&endless, &asked());
    assert_eq!((events.len(), problems), (123, vec![]), "the days of the term");
    assert_eq!(starts(&events)[0], "2026-10-12T06:00");
    let once = event("UID:b\nSUMMARY:Foundation\nDTSTART:19000101T080000\nDURATION:PT1H");
    assert_eq!(read_events(&once, &asked()), (vec![], vec![]));
}

#[test]
fn what_recurs_too_often_to_be_followed_or_never_is_said_and_ends() {
    let of = |rule: &str| event(&format!("UID:{rule}\nSUMMARY:Odd\nDTSTART:20261012T080000\nRRULE:{rule}"));
    for (rule, told) in [
        ("FREQ=SECONDLY", "recurs every hour or oftener"),
        ("FREQ=HOURLY;BYMONTH=1", "recurs every hour or oftener"),
        ("FREQ=DAILY;BYHOUR=77", "cannot be followed"),
        ("FREQ=YEARLY;BYHOUR=1,2,3,4,5,6;BYMINUTE=0,15,30,45", "recurs every hour or oftener"),
        ("NONSENSE", "is no recurrence"),
    ] {
        let (events, problems) = read_events(&of(rule), &asked());
        assert!(problems.iter().all(|problem| problem.contains(told)), "{rule}: {problems:?}");
        assert!(events.len() + problems.len() >= 1 && events.len() <= 1, "{rule}: {events:?} {problems:?}");
    }
    // None of many that never come takes the time of all.
    let never: String = (0..200).map(|n| of(&format!("FREQ=YEARLY;BYMONTH=2;BYMONTHDAY=30;COUNT={}", n + 1))).collect();
    let (events, problems) = read_events(&never, &asked());
    assert!(events.len() <= 200, "{}", events.len());
    assert!(problems.iter().any(|problem| problem.contains("recurs too often")), "{problems:?}");
}

#[test]
fn one_bad_event_leaves_the_others() {
    let good = event("UID:good\nSUMMARY:Good\nDTSTART:20261201T090000\nDURATION:PT1H");
    let bad = [
        event("UID:no start\nSUMMARY:No start"),
        event("UID:no date\nSUMMARY:No date\nDTSTART:20261350T990000"),
        event("UID:backwards\nSUMMARY:Backwards\nDTSTART:20261201T090000\nDTEND:20261201T080000"),
        event("UID:eon\nSUMMARY:Before the flood\nDTSTART:00010101T090000"),
    ];
    let (events, problems) = read_events(&[&bad.concat(), "garbage\r\n", &good].concat(), &asked());
    assert_eq!(events.iter().map(|event| event.title.as_str()).collect::<Vec<_>>(), ["Good"]);
    assert_eq!(
        problems.iter().filter(|problem| !problem.contains("lines cannot be read")).count(),
        bad.len(),
        "{problems:?}"
    );
}

#[test]
fn what_is_no_calendar_or_cut_off_or_too_large_is_said() {
    let told = |text: &str| {
        let mut problems = Problems::default();
        let events = read(text, &asked(), &mut problems);
        (events.len(), problems.told().iter().map(|problem| problem.cause.clone()).collect::<Vec<_>>().join("; "))
    };
    assert!(told("<html>Not found</html>").1.contains("no BEGIN:VCALENDAR"));
    assert!(told("").1.contains("no BEGIN:VCALENDAR"));
    let whole = calendar(&event("UID:a\nDTSTART:20261201T090000"));
    let (_, cut) = told(&whole[..whole.len() - 20]);
    assert!(cut.contains("cut off"), "{cut}");
    let many = calendar(&"BEGIN:VEVENT\r\nEND:VEVENT\r\n".repeat(COMPONENTS_MAX + 1));
    assert!((many.len() as u64) < FEED_BYTES_MAX);
    let (events, cause) = told(&many);
    assert!(events == 0 && cause.contains("components"), "{}", &cause[..200.min(cause.len())]);
    let mut problems = Problems::default();
    read(&calendar(&event("UID:a\nSUMMARY:a").repeat(1_000)), &asked(), &mut problems);
    assert_eq!((problems.told().len(), problems.more()), (PROBLEMS_MAX, 900));
}

proptest! {
    /// Whatever a feed holds, reading it ends, within its bounds, and names no time outside of what was asked.
    #[test]
    fn any_text_is_read_within_bounds(
        lines in prop::collection::vec(
            prop_oneof![
                Just("BEGIN:VEVENT".to_owned()), Just("END:VEVENT".into()), Just("BEGIN:VCALENDAR".into()),
                Just("END:VCALENDAR".into()), Just("UID:a".into()), Just("RRULE:FREQ=DAILY".into()),
                "DTSTART:20261[0-9]{3}T[0-2][0-9]0000Z?", "RRULE:FREQ=(WEEKLY|MONTHLY);BYDAY=(MO|-1FR|9SU);INTERVAL=[0-9]{1,5}",
                "RECURRENCE-ID:2026110[0-9]T080000", "DURATION:-?P[0-9]{1,9}D", "[A-Z]{1,8}(;[A-Z]{1,4}=[a-z]{0,3})?:.{0,20}", ".{0,30}",
            ],
            0..60,
        )
    ) {
        let mut problems = Problems::default();
        let text = format!("BEGIN:VCALENDAR\r\n{}", lines.join("\r\n"));
        let events = read(&text, &asked(), &mut problems);
        prop_assert!(events.len() <= OCCURRENCES_MAX);
        for event in events {
            prop_assert!(event.meets(asked().from, asked().until), "{event:?}");
            prop_assert!(event.ends >= event.starts);
        }
    }
}
