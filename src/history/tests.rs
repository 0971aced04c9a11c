//! A store that dies, fails or is slow at any step, and rows that count once all the same.

mod crashes;
mod rows;
mod store;

use super::files::Partition;
use super::*;
use crate::model::Time;
use store::Fragile;

/// 2026-10-05 00:00 UTC.
const MONDAY: i64 = 1_791_158_400;
const DAY_S: i64 = 86_400;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// What one writing tells: of a minute, and of an earlier one whose trace closed late. Numbers add up exactly.
fn tables(n: i64, minute: i64, late: bool) -> [Rows; 4] {
    let mut tables: [Rows; 4] = Default::default();
    for at in [minute, minute - 60].into_iter().take(1 + usize::from(late)) {
        tables[Of::Entries as usize].add(at, MINUTE_S, &["shop GET /"], &[4.0, 1.0, 0.5, 0.25, 2.0]);
        tables[Of::Entries as usize].add(at, MINUTE_S, &[&format!("writing {n}")], &[1.0, 0.0, 0.0, 0.0, 0.0]);
    }
    tables[Of::Watch as usize].add(minute, MINUTE_S, &[], &[60.0]);
    tables
}

async fn write(store: &Store, n: i64, minute: i64, late: bool) -> Result<(), Error> {
    let writing =
        outbox::Writing::of(tables(n, minute, late), "main", n as u64, |_| format!("m-0000-test-{n:06}")).unwrap();
    writer::put(store, &writing).await
}

async fn entries(store: &Store) -> Rows {
    Reader::new(store.clone()).rows(Of::Entries, "main").await.unwrap()
}

#[test]
fn settings_are_declared_whole() {
    crate::model::setting::check(Keep::SETTINGS, &[]);
}

#[test]
fn where_rows_lie_is_read_back_from_their_path() {
    for (cluster, day, of) in [("main", 20_731, Of::Entries), ("eu-1.prod", 0, Of::Watch), ("x_y", 59, Of::Crossings)] {
        let partition = Partition { cluster: cluster.into(), day, of };
        let path = partition.file("m-1403-a-000001");
        assert_eq!(Partition::of_file(&path), Some((partition, "m-1403-a-000001".to_owned())), "{path}");
    }
    assert_eq!(
        Partition { cluster: "main".into(), day: MONDAY / DAY_S, of: Of::Services }.file("c-000001").as_ref(),
        "services/cluster=main/day=2026-10-05/c-000001.parquet"
    );
    for other in ["entries/cluster=main/day=2026-13-05/a.parquet", "entries/a.parquet", "x/cluster=m/day=2026-10-05/a"]
    {
        assert_eq!(Partition::of_file(&other.into()), None, "{other}");
    }
}

#[test]
fn a_cluster_is_named_as_a_part_of_a_path() {
    assert!(["main", "eu-1.prod_2", "A"].iter().all(|name| is_cluster_name(name)));
    let long = "x".repeat(64);
    assert!(["", "..", ".x", "a/b", "a=b", "a b", "ü", &long].iter().all(|name| !is_cluster_name(name)));
}

/// Rows of three days, the newest of which is today.
async fn three_days(store: &Store) {
    for day in 0..3 {
        for minute in 0..30 {
            write(store, day * 100 + minute, MONDAY + day * DAY_S + minute * 60, false).await.unwrap();
        }
    }
}

#[test]
fn minutes_become_quarters_of_an_hour_and_the_oldest_go() {
    block_on(async {
        let store = Fragile::new().store();
        three_days(&store).await;
        let keep = Keep { minutes: day_s(1), quarters: day_s(2) };
        let now = Time::from_secs(MONDAY + 2 * DAY_S + 7_200);
        let mut tidier = tidy::Tidier::default();
        let tidied = tidier.tidy(&store, "main", &keep, now).await.unwrap();
        // Monday's become quarters, Tuesday's one file; today has thirty.
        assert_eq!((tidied.parts, tidied.removed, tidied.broken), (120, 0, 0));
        let all = entries(&store).await;
        let steps = |of: i64| -> Vec<f64> {
            let own = all.iter().filter(|(key, _)| key.step_s == of && &*key.names[0] == "shop GET /");
            own.map(|(_, sums)| sums[0]).collect()
        };
        assert_eq!((steps(QUARTER_S), steps(MINUTE_S).len()), (vec![60.0; 2], 60));
        // A reader takes both for what they are.
        let quarters = Reader::new(store.clone()).counts(Of::Entries, "main", QUARTER_S, false).await.unwrap();
        assert_eq!(quarters.columns["shop GET /"].iter().map(|count| count.1).collect::<Vec<_>>(), [60.0; 6]);
        let minutes = Reader::new(store.clone()).counts(Of::Entries, "main", MINUTE_S, false).await.unwrap();
        assert_eq!(minutes.columns["shop GET /"].len(), 60, "a quarter of an hour tells nothing of its minutes");
        // There is nothing to do twice.
        assert_eq!(tidier.tidy(&store, "main", &keep, now).await.unwrap(), tidy::Tidied::default());
        assert_eq!(tidy::Tidier::default().tidy(&store, "main", &keep, now).await.unwrap(), tidy::Tidied::default());
        // A day later Monday goes.
        write(&store, 900, MONDAY + 3 * DAY_S, false).await.unwrap();
        let later = Time::from_secs(now.second() + DAY_S);
        assert_eq!(tidier.tidy(&store, "main", &keep, later).await.unwrap().removed, 2);
        assert!(entries(&store).await.iter().all(|(key, _)| key.second >= MONDAY + DAY_S));
    });
}

fn day_s(days: u64) -> Duration {
    Duration::from_secs(days * A_DAY_S)
}

#[test]
fn a_clock_that_is_wrong_by_years_empties_no_history() {
    block_on(async {
        let store = Fragile::new().store();
        three_days(&store).await;
        let before = entries(&store).await;
        let year_2100 = Time::from_secs(4_102_444_800);
        let tidied = tidy::Tidier::default().tidy(&store, "main", &Keep::default(), year_2100).await.unwrap();
        assert_eq!(tidied.removed, 0);
        assert_eq!(entries(&store).await, before);
    });
}

#[test]
fn another_cluster_is_left_alone() {
    block_on(async {
        let store = Fragile::new().store();
        three_days(&store).await;
        let now = Time::from_secs(MONDAY + 30 * DAY_S);
        let tidied = tidy::Tidier::default().tidy(&store, "other", &Keep::default(), now).await.unwrap();
        assert_eq!(tidied, tidy::Tidied::default());
        let reader = Reader::new(store);
        assert_eq!(reader.cluster(None).await.unwrap(), "main");
        let error = reader.cluster(Some("other")).await.unwrap_err().to_string();
        assert!(error.contains("memory has no cluster `other`; it has main"), "{error}");
    });
}

#[test]
fn a_file_that_is_broken_is_left_aside_and_counted() {
    block_on(async {
        let store = Fragile::new().store();
        three_days(&store).await;
        let before = entries(&store).await;
        let monday = Partition { cluster: "main".into(), day: MONDAY / DAY_S, of: Of::Entries };
        store.put(&monday.file("m-0000-test-999999"), "PAR1 and no more".into()).await.unwrap();
        // What was cut in its midst is no Parquet either; nor is another table's.
        let whole = store.get(&monday.file("m-0000-test-000003")).await.unwrap().unwrap();
        store.put(&monday.file("m-0000-test-999998"), whole.slice(..whole.len() / 2)).await.unwrap();
        let watch = Partition { of: Of::Watch, ..monday.clone() };
        let other = store.get(&watch.file("m-0000-test-000003")).await.unwrap().unwrap();
        store.put(&monday.file("m-0000-test-999997"), other).await.unwrap();
        let mut reader = Reader::new(store.clone());
        assert_eq!(reader.counts(Of::Entries, "main", MINUTE_S, false).await.unwrap().broken, 3);
        let now = Time::from_secs(MONDAY + DAY_S + 7_200);
        for _ in 0..2 {
            let tidied = tidy::Tidier::default().tidy(&store, "main", &Keep::default(), now).await.unwrap();
            assert_eq!(tidied.broken, 3);
            assert_eq!(entries(&store).await, before);
        }
        let left = store.list(Some(&monday.folder())).await.unwrap();
        assert_eq!(left.len(), 4, "the whole, and the three: {left:?}");
    });
}

#[test]
fn an_import_fills_holes_alone_and_does_so_once() {
    block_on(async {
        let store = Fragile::new().store();
        write(&store, 1, MONDAY + 60, false).await.unwrap();
        let minutes = || (0..4).map(|minute| (MONDAY + minute * 60, vec![("GET /", 7.0)]));
        let first = import(&store, "main", minutes()).await.unwrap();
        assert_eq!((first.minutes, first.known), (3, 1));
        let before = entries(&store).await;
        let again = import(&store, "main", minutes()).await.unwrap();
        assert_eq!((again.minutes, again.known), (0, 4));
        // More of the same log, after what was there became one file.
        tidy::Tidier::default()
            .tidy(&store, "main", &Keep::default(), Time::from_secs(MONDAY + 2 * DAY_S))
            .await
            .unwrap();
        assert_eq!(entries(&store).await, before);
        let more = (2..6).map(|minute| (MONDAY + minute * 60, vec![("GET /", 7.0)]));
        let third = import(&store, "main", more).await.unwrap();
        assert_eq!((third.minutes, third.known), (2, 2));
        let counted = Reader::new(store).counts(Of::Entries, "main", MINUTE_S, false).await.unwrap();
        let counts: Vec<f64> = counted.columns["GET /"].iter().map(|count| count.1).collect();
        assert_eq!(counts, [7.0, 0.0, 7.0, 7.0, 7.0, 7.0], "the second minute is what headroom saw");
    });
}
