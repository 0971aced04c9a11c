//! Drawn systems are sound: they pass the check, repeat by their seed, and have room where nothing is wrong.

use super::*;

const SEEDS: std::ops::Range<u64> = 1..40;

#[test]
fn every_kind_can_be_drawn_and_passes_the_check() {
    for kind in Kind::FAULTS.into_iter().chain([Kind::None]) {
        for seed in SEEDS {
            let (scenario, text) = draw(kind, seed, Terms::default()).expect("valid");
            assert_eq!(text, draw(kind, seed, Terms::default()).expect("valid").1);
            assert_eq!(scenario.truth.places.is_empty(), kind == Kind::None, "{}", scenario.name);
        }
    }
}

#[test]
fn nobody_is_short_of_pods_before_the_onset() {
    for kind in Kind::FAULTS {
        for seed in SEEDS {
            let (scenario, text) = draw(kind, seed, Terms::default()).expect("valid");
            let busiest = scenario.utilisation(1.0).into_iter().fold(0.0, f64::max);
            assert!(busiest < 0.75, "{}: {busiest}\n{text}", scenario.name);
        }
    }
}

#[test]
fn what_is_lost_is_added_to_what_is_drawn() {
    let (_, text) = draw(Kind::Failing, 3, Terms { lost: Some(0.5) }).expect("valid");
    let (_, without) = draw(Kind::Failing, 3, Terms::default()).expect("valid");
    assert!(text.contains("lost_spans") && text.contains("share: 0.5"), "{text}");
    assert_eq!(without.lines().next(), text.lines().next());
}

#[test]
fn a_burst_is_more_than_its_target_can_serve_and_less_than_all_others_can() {
    for seed in SEEDS {
        let (scenario, text) = draw(Kind::Saturated, seed, Terms::default()).expect("valid");
        let target = scenario.truth.targets[0];
        for (service, busy) in scenario.utilisation(ONSET_S + 60.0).into_iter().enumerate() {
            let name = &scenario.services[service].name;
            assert_eq!(busy > 1.0, service == target, "{} {name}: {busy}\n{text}", scenario.name);
        }
    }
}
