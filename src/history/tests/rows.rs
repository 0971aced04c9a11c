//! From what ticks close to rows, and from rows to counts with their holes.

use std::sync::Arc;

use arrow::array::RecordBatch;
use tokio::sync::watch;

use super::*;
use crate::analyse::rollup::exemplars::TRACES;
use crate::analyse::rollup::{
    CrossingKey, CrossingSums, EntryKey, EntrySums, HealthKey, HealthSums, Key, Rollups, StoredKey, TABLES, batch,
};
use crate::engine::Closed;

const NS: i64 = 1_000_000_000;

/// A table's rows in place of none.
fn with<'a, K>(batches: &mut [RecordBatch; 7], rows: &'a [(K, K::Sums)])
where
    K: StoredKey<'a> + Key<Text = &'a str> + 'a,
{
    batches[K::TABLE] = batch(rows.iter(), |text| text);
}

/// So many requests of one entry operation in a second: each stands for ten, a tenth fails, and each asks twice of the store.
fn closed(second: i64, entry: &str, requests: i64) -> Closed {
    let mut batches = std::array::from_fn(|table| RecordBatch::new_empty(TABLES[table].schema.clone()));
    let entries = EntrySums {
        requests,
        errors: requests / 10,
        missed: requests / 5,
        adjusted_milli: requests * 10_000,
        duration_ns: requests * NS / 4,
        ..EntrySums::default()
    };
    let health = HealthSums {
        requests: requests * 2,
        refused: requests,
        hold_ns: requests * NS / 2,
        adjusted_milli: requests * 30_000,
        ..HealthSums::default()
    };
    let crossings = CrossingSums { calls: requests * 2, work_ns: requests * NS / 8 };
    with(&mut batches, &[(EntryKey { second, entry, bucket: 3 }, entries)]);
    with(&mut batches, &[(HealthKey { second, service: "store", pod: "a", version: "1" }, health)]);
    with(&mut batches, &[(CrossingKey { second, entry, service: "store" }, crossings)]);
    Closed { rollups: Rollups::new(batches), traces: RecordBatch::new_empty(TRACES.clone()) }
}

fn seen(now: i64, closed: Vec<Closed>) -> Seen {
    let replicas = vec![Replicas { service: "store".into(), replicas: 4, ready: 3 }];
    Seen { now: Time::from_secs(now + 1), complete_to: Some(Time::from_secs(now)), closed, replicas }
}

/// Rows as `name minute: sums`, those that are not zero.
fn shown(rows: &Rows) -> Vec<String> {
    let one = |(key, sums): (&tables::Key, &[f64])| {
        let sums: Vec<String> = sums.iter().map(f64::to_string).collect();
        format!("{} {}: {}", key.names.join(" > "), (key.second - MONDAY) / 60, sums.join(" "))
    };
    rows.iter().map(one).collect()
}

#[test]
fn ticks_become_rows_of_the_minutes_that_requests_are_of() {
    let mut minutes = Minutes::default();
    minutes.add(&seen(MONDAY + 50, vec![]));
    assert_eq!(minutes.take(Time::from_secs(MONDAY + 51)), None);
    minutes.add(&seen(MONDAY + 59, vec![closed(MONDAY + 58, "shop GET /", 20)]));
    assert_eq!(minutes.take(Time::from_secs(MONDAY + 60)), None, "the minute is not complete");
    // The tick that is complete to beyond the minute, with a trace of before it.
    let late = closed(MONDAY + 57, "shop GET /", 10);
    minutes.add(&seen(MONDAY + 62, vec![closed(MONDAY + 61, "shop GET /", 30), late]));
    let taken = minutes.take(Time::from_secs(MONDAY + 63)).unwrap();
    assert_eq!(shown(&taken[Of::Entries as usize]), ["shop GET / 0: 300 30 0 60 75", "shop GET / 1: 300 30 0 60 75"]);
    assert_eq!(
        shown(&taken[Of::Crossings as usize]),
        ["shop GET / > store 0: 600 37.5", "shop GET / > store 1: 600 37.5"]
    );
    assert_eq!(
        shown(&taken[Of::Services as usize]),
        ["store 0: 900 600 0 300 0 150 0 0 40 30", "store 1: 900 600 0 300 0 150 0 0 8 6"]
    );
    assert_eq!(shown(&taken[Of::Watch as usize]), [" 0: 10", " 1: 2"]);
    assert_eq!(minutes.take(Time::from_secs(MONDAY + 63)), None, "handed over once");
}

#[test]
fn what_nobody_saw_is_a_hole() {
    let mut minutes = Minutes::default();
    for second in 0..=20 {
        minutes.add(&seen(MONDAY + second, vec![]));
    }
    // Blind for ten seconds; a process that stood still for two minutes; a clock that was set back.
    for blind in 21..30 {
        minutes.add(&Seen { complete_to: None, ..seen(MONDAY + blind, vec![]) });
    }
    for second in [30, 31, 180, 181, 100, 101] {
        minutes.add(&seen(MONDAY + second, vec![]));
    }
    let taken = minutes.take_all().unwrap();
    assert_eq!(shown(&taken[Of::Watch as usize]), [" 0: 21", " 1: 1", " 3: 1"]);
}

#[test]
fn while_no_telemetry_comes_a_minute_is_written_all_the_same() {
    let mut minutes = Minutes::default();
    minutes.add(&seen(MONDAY + 40, vec![closed(MONDAY + 39, "shop GET /", 10)]));
    assert_eq!(minutes.take(Time::from_secs(MONDAY + 41)), None);
    for second in 42..=74 {
        minutes.add(&Seen { complete_to: None, ..seen(MONDAY + second, vec![]) });
        assert_eq!(minutes.take(Time::from_secs(MONDAY + second)), None);
    }
    assert!(minutes.take(Time::from_secs(MONDAY + 75)).is_some());
}

#[test]
fn a_request_of_another_year_makes_no_file() {
    let mut minutes = Minutes::default();
    let far = [MONDAY - 90_000, MONDAY + 90_000, 0].map(|second| closed(second, "shop GET /", 10));
    minutes.add(&seen(MONDAY, far.to_vec()));
    assert_eq!(minutes.take_all(), None);
}

#[test]
fn names_that_are_never_the_same_are_added_up_together() {
    let mut minutes = Minutes::default();
    for n in 0..2_500 {
        minutes.add(&seen(MONDAY + n % 60, vec![closed(MONDAY, &format!("shop GET /{n}"), 1)]));
    }
    let taken = minutes.take_all().unwrap();
    let entries = &taken[Of::Entries as usize];
    assert_eq!(entries.iter().count(), 2_001);
    let other = entries.iter().find(|(key, _)| &*key.names[0] == "_other").unwrap();
    assert_eq!(other.1[0], 5_000.0);
}

#[test]
fn who_follows_writes_nothing_and_begins_anew_when_it_leads() {
    block_on(async {
        let fragile = Fragile::new();
        let (store, outbox) = (fragile.store(), Arc::<Outbox>::default());
        let (leads, led) = watch::channel(false);
        let mut recorder = Recorder::new(outbox.clone(), "main", "test".into(), Some(led));
        let hear = |recorder: &mut Recorder, from: i64, until: i64| {
            for second in from..until {
                recorder.hear(&seen(MONDAY + second, vec![closed(MONDAY + second - 1, "shop GET /", 10)]));
            }
        };
        hear(&mut recorder, 0, 200);
        assert!(!outbox.leads() && outbox.oldest().is_none());
        leads.send_replace(true);
        hear(&mut recorder, 200, 310);
        assert!(outbox.leads());
        recorder.end();
        let writer = Writer::new(store.clone(), outbox, "main", Keep::default(), crate::clock::Clock::system());
        writer.run().await;
        let rows = shown(&entries(&store).await);
        // Of the third minute from when it led, the fourth whole, the fifth until it ended.
        assert_eq!(
            rows.iter().map(|row| row.split_whitespace().nth(4).unwrap()).collect::<Vec<_>>(),
            ["4100", "6000", "900"]
        );
        let counted = Reader::new(store).counts(Of::Services, "main", MINUTE_S, false).await.unwrap();
        assert_eq!(counted.columns["store"], [(MONDAY + 240, 18_000.0)], "the others are known in part");
    });
}

#[test]
fn what_a_later_version_writes_is_read_and_what_it_lacks_is_zero() {
    let mut rows = Rows::default();
    rows.add(MONDAY, MINUTE_S, &["shop GET /"], &[1.0, 2.0, 3.0, 4.0, 5.0]);
    let own = rows.batch(Of::Entries).unwrap();
    // Columns in another order, one fewer, and one more.
    let mut columns: Vec<_> =
        own.schema().fields().iter().map(|field| field.name().clone()).zip(own.columns().to_vec()).collect();
    columns.retain(|(name, _)| name != "missed");
    columns.reverse();
    columns.push(("new".into(), own.column(3).clone()));
    let other = RecordBatch::try_from_iter(columns).unwrap();
    let mut read = Vec::new();
    tables::each_row(Of::Entries, &other, |row| {
        read.push((row.second, row.step_s, row.names[0].to_owned(), row.sums.to_vec()))
    })
    .unwrap();
    assert_eq!(read, [(MONDAY, MINUTE_S, "shop GET /".to_owned(), vec![1.0, 2.0, 3.0, 0.0, 5.0])]);
}
