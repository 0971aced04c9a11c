use super::compare::{Comparison, Standing};
use super::supply::Supply;
use crate::action::{Action, ScaleOut};
use crate::decide::Proposal;
use crate::guard::{Decision, Outcome};
use crate::model::{DecisionId, Time};

fn decision(n: i64, to: u32) -> Decision {
    Decision {
        id: DecisionId::new(n, 1),
        at: Time::from_secs(n),
        proposal: Proposal {
            origin: "out".into(),
            action: Action::ScaleOut(ScaleOut { service: "auth".into(), to, cooldown_s: Some(0.1 + 0.2) }),
            because: "auth is saturated".into(),
            verdict: "saturated".into(),
        },
        outcome: Outcome::Permitted { from: 2, to },
        notes: vec![],
    }
}

#[test]
fn decisions_are_compared_by_id_and_in_every_word() {
    let mut comparison = Comparison::default();
    let then = vec![decision(1, 4), decision(2, 4), decision(3, 4)];
    let now = vec![decision(1, 4), decision(2, 5), decision(4, 4), decision(5, 4)];
    comparison.add_exact(then, now, Time::from_secs(5));
    let standings: Vec<Standing> = comparison.pairs.iter().map(|pair| pair.standing).collect();
    use Standing::*;
    assert_eq!(standings, [Reproduced, Differs, Missing, New, Unwritten]);
    assert!(!comparison.is_reproduced());
    let text: String = comparison.pairs.iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(text, @"
    same  1970-01-01T00:00:01.000Z d-1-1 out: auth from 2 to 4 replicas; auth is saturated
    then  1970-01-01T00:00:02.000Z d-2-1 out: auth from 2 to 4 replicas; auth is saturated
    now   1970-01-01T00:00:02.000Z d-2-1 out: auth from 2 to 5 replicas; auth is saturated
    then  1970-01-01T00:00:03.000Z d-3-1 out: auth from 2 to 4 replicas; auth is saturated
    now   nothing
    then  nothing
    now   1970-01-01T00:00:04.000Z d-4-1 out: auth from 2 to 4 replicas; auth is saturated
    now   1970-01-01T00:00:05.000Z d-5-1 out: auth from 2 to 4 replicas; auth is saturated (the journal ends before it)
    ");
}

#[test]
fn under_other_rules_decisions_meet_by_tick_and_service() {
    let mut comparison = Comparison::default();
    let observed = Decision {
        id: DecisionId::new(9, 9),
        outcome: Outcome::Observed { from: 2, to: 4, refused_by: vec![] },
        ..decision(1, 4)
    };
    comparison.add_other(vec![decision(1, 4), decision(2, 4)], vec![observed, decision(3, 4)]);
    let standings: Vec<Standing> = comparison.pairs.iter().map(|pair| pair.standing).collect();
    assert_eq!(standings, [Standing::Reproduced, Standing::Missing, Standing::New]);
}

#[test]
fn batches_have_the_sizes_asked_for_whatever_the_files_have() {
    let line = |name: &str, n: usize| {
        let span = format!(
            r#"{{"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"{name}","startTimeUnixNano":"5","endTimeUnixNano":"9"}}"#
        );
        format!(r#"{{"resourceSpans":[{{"scopeSpans":[{{"spans":[{}]}}]}}]}}"#, vec![span; n].join(","))
    };
    let directory = tempfile::tempdir().unwrap();
    let files =
        [("a", format!("{}\n{}", line("one", 3), line("two", 2))), ("b", line("three", 4))].map(|(name, text)| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        });
    let mut supply = Supply::new(files.to_vec(), Some(1.0));
    let mut take = |n| {
        let batch = supply.take(n).unwrap();
        let names = batch.iter().map(|span| span.operation.to_owned()).collect::<Vec<_>>().join(" ");
        assert!(batch.iter().all(|span| span.sampled_weight == Some(1.0)));
        names
    };
    assert_eq!(take(3), "one one one");
    assert_eq!(take(0), "");
    assert_eq!(take(1), "two");
    assert_eq!(take(3), "two three three");
    assert_eq!(take(9), "three three", "the files end");
    assert_eq!(supply.count_rest().unwrap(), 0);
}
