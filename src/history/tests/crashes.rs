//! Whatever a writer is stopped at, what it wrote is there once.

use std::collections::BTreeMap;
use std::sync::Arc;

use proptest::prelude::*;

use super::super::tidy::Tidier;
use super::*;
use crate::clock::Clock;

/// What a life does, one after the other.
#[derive(Clone, Copy, Debug)]
enum Step {
    Write { late: bool },
    Tidy { old: bool },
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        6 => any::<bool>().prop_map(|late| Step::Write { late }),
        1 => any::<bool>().prop_map(|old| Step::Tidy { old }),
    ];
    prop::collection::vec(step, 1..60)
}

/// Of each writing whether it was answered, and whether it tells of two minutes.
type Written = BTreeMap<i64, (bool, bool)>;

/// Each writing that was answered counts once, another at most once, and what they share adds up.
fn check(rows: &Rows, written: &Written) {
    let (mut wanted, mut shop) = (BTreeMap::<(i64, i64), f64>::new(), BTreeMap::<(i64, i64), f64>::new());
    let mut seen: BTreeMap<i64, f64> = BTreeMap::new();
    for (key, sums) in rows.iter() {
        let at = (key.second, key.step_s);
        match key.names[0].strip_prefix("writing ") {
            Some(n) => {
                *seen.entry(n.parse().unwrap()).or_default() += sums[0];
                *wanted.entry(at).or_default() += 4.0 * sums[0];
            }
            None => *shop.entry(at).or_default() += sums[0],
        }
    }
    assert_eq!(shop, wanted);
    for (n, (is_answered, late)) in written {
        let (whole, seen) = (1.0 + f64::from(u8::from(*late)), seen.get(n).copied().unwrap_or(0.0));
        assert!(seen == whole || !is_answered && seen < whole, "writing {n} counts {seen}: {written:?}");
    }
    assert!(seen.keys().all(|n| written.contains_key(n)));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_it_is_killed_at_nothing_written_is_lost_and_nothing_counts_twice(
        steps in steps(),
        lives in prop::collection::vec((0..40_i64, any::<bool>()), 0..8),
    ) {
        block_on(async {
            let fragile = Fragile::new();
            let store = fragile.store();
            // Late in the evening of Monday, and on into Tuesday.
            let first = MONDAY + DAY_S - 10 * 60;
            let mut lives = lives.into_iter().chain([(i64::MAX, false)]);
            let (changes, does_the_last) = lives.next().unwrap();
            fragile.revive(changes, does_the_last);
            let (mut written, mut tidier) = (Written::new(), Tidier::default());
            for (n, step) in steps.into_iter().enumerate() {
                let n = n as i64;
                let outcome = match step {
                    Step::Write { late } => {
                        let outcome = write(&store, n, first + n * 60, late).await;
                        written.insert(n, (outcome.is_ok(), late));
                        outcome
                    }
                    Step::Tidy { old } => {
                        let keep = Keep { minutes: day_s(u64::from(!old) * 9), quarters: day_s(90) };
                        tidier.tidy(&store, "main", &keep, Time::from_secs(MONDAY + 3 * DAY_S)).await.map(|_| ())
                    }
                };
                if outcome.is_err() {
                    // Killed: the next life knows nothing but the store.
                    let (changes, does_the_last) = lives.next().unwrap();
                    fragile.revive(changes, does_the_last);
                    tidier = Tidier::default();
                }
            }
            fragile.revive(i64::MAX, false);
            check(&entries(&store).await, &written);
            // What is left is put in order by whoever comes next, and stays what it is.
            let keep = Keep { minutes: day_s(9), quarters: day_s(90) };
            let now = Time::from_secs(MONDAY + 3 * DAY_S);
            Tidier::default().tidy(&store, "main", &keep, now).await.unwrap();
            check(&entries(&store).await, &written);
            let files = store.list(None).await.unwrap();
            assert!(files.len() <= 2 * 2, "one a table and a day: {files:?}");
        });
    }

    #[test]
    fn two_that_tidy_up_at_once_and_one_that_writes_lose_nothing(seed in any::<u64>(), writings in 4..30_i64) {
        block_on(async {
            let fragile = Fragile::new();
            let store = fragile.store();
            let mut written = Written::new();
            for n in 0..writings / 2 {
                write(&store, n, MONDAY + n * 60, false).await.unwrap();
            }
            fragile.give_way_by(seed);
            let tidy = async || {
                for _ in 0..4 {
                    let now = Time::from_secs(MONDAY + 3 * DAY_S);
                    Tidier::default().tidy(&store, "main", &Keep::default(), now).await.unwrap();
                }
            };
            let more = async {
                for n in writings / 2..writings {
                    write(&store, n, MONDAY + n * 60, true).await.unwrap();
                }
            };
            // Meanwhile a reader sees each row once, or is told to come again.
            let read = async {
                for _ in 0..4 {
                    if let Ok(rows) = Reader::new(store.clone()).rows(Of::Entries, "main").await {
                        for n in 0..writings / 2 {
                            let name = format!("writing {n}");
                            let seen: f64 = rows.iter().filter(|row| *row.0.names[0] == *name).map(|row| row.1[0]).sum();
                            assert_eq!(seen, 1.0, "{name}");
                        }
                    }
                }
            };
            tokio::join!(tidy(), tidy(), more, read);
            for n in 0..writings {
                written.insert(n, (true, n >= writings / 2));
            }
            check(&entries(&store).await, &written);
        });
    }
}

#[test]
fn a_store_that_fails_now_and_then_loses_nothing() {
    block_on(async {
        let fragile = Fragile::new();
        let (store, outbox) = (fragile.store(), Arc::<Outbox>::default());
        let mut writer = Writer::new(store.clone(), outbox.clone(), "main", Keep::default(), Clock::system());
        fragile.fail_every(3);
        let mut written = Written::new();
        for n in 0..50 {
            outbox.push(writing(n, MONDAY + n * 60));
            written.insert(n, (true, false));
            // Whether it fails this time or not.
            let _ = writer.step().await;
        }
        fragile.fail_every(0);
        writer.step().await.unwrap();
        let counts = outbox.counts();
        assert_eq!((counts.written, counts.dropped, counts.waiting), (50, 0, 0));
        check(&entries(&store).await, &written);
    });
}

fn writing(n: i64, minute: i64) -> outbox::Writing {
    outbox::Writing::of(tables(n, minute, false), "main", n as u64, |_| format!("m-0000-test-{n:06}")).unwrap()
}

#[test]
fn a_store_that_is_away_for_long_loses_the_oldest_and_says_how_many() {
    block_on(async {
        let fragile = Fragile::new();
        let (store, outbox) = (fragile.store(), Arc::<Outbox>::default());
        let mut writer = Writer::new(store.clone(), outbox.clone(), "main", Keep::default(), Clock::system());
        fragile.revive(-1, false);
        for n in 0..300 {
            outbox.push(writing(n, MONDAY + n * 60));
        }
        let error = writer.step().await.unwrap_err().to_string();
        assert!(error.contains("memory refuses to write a file: ") && error.contains("dead"), "{error}");
        assert_eq!((outbox.counts().waiting, outbox.counts().dropped), (240, 60));
        fragile.revive(i64::MAX, false);
        writer.step().await.unwrap();
        let written = (60..300).map(|n| (n, (true, false))).collect();
        check(&entries(&store).await, &written);
    });
}

#[test]
fn what_is_left_at_the_end_is_written_and_a_dead_store_holds_nobody_up() {
    for is_dead in [false, true] {
        block_on(async {
            let fragile = Fragile::new();
            let (store, outbox) = (fragile.store(), Arc::<Outbox>::default());
            let writer = Writer::new(store.clone(), outbox.clone(), "main", Keep::default(), Clock::system());
            outbox.push(writing(1, MONDAY));
            outbox.close();
            if is_dead {
                fragile.revive(-1, false);
            }
            writer.run().await;
            let counts = outbox.counts();
            assert_eq!((counts.written, counts.dropped, counts.waiting), if is_dead { (0, 1, 0) } else { (1, 0, 0) });
        });
    }
}
