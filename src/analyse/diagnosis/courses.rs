//! What is believed of each endpoint's trouble, from tick to tick, until it has recovered.

use std::collections::BTreeMap;

use super::belief::{Course, Told};
use super::causes::{Cause, Scene};
use super::judgement::Judgement;
use super::observe::Window;
use crate::analyse::rollup::window_totals::BlameAnswer;
use crate::analyse::thresholds::belief::RECOVERED;
use crate::model::{ClockStep, Text, Time};

/// By entry operation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Courses(BTreeMap<Text, Followed>);

/// The trouble of one endpoint.
#[derive(Clone, Debug, PartialEq)]
pub struct Followed {
    course: Course,
    /// Event time up to which it was looked at.
    to: Time,
    /// What was told last, by cause.
    told: Vec<(Cause, Judgement)>,
}

impl Courses {
    /// What an endpoint's trouble is believed to be once the window up to `to` is looked at too, which is so many seconds long.
    pub fn follow(&self, entry: &Text, scene: &Scene<'_>, window: &Window<'_>, (to, seconds): (Time, f64)) -> Followed {
        let known = self.0.get(entry).filter(|known| known.to + RECOVERED >= to);
        // As long as nothing is believed there is nothing to keep: then all of the window speaks, and not its newest second.
        let course = match known.filter(|known| known.course.is_known()) {
            None => Course::default().after(scene, 1.0),
            // Windows overlap: what was seen in the last one is not news.
            Some(known) if to > known.to => {
                known.course.after(scene, (to.seconds_since(known.to) / seconds.max(1.0)).min(1.0))
            }
            Some(known) => known.course.clone(),
        };
        let rows: Vec<&BlameAnswer> = window.answers.blame.iter().filter(|row| *row.entry == **entry).collect();
        let before = |told: &Told| {
            let all = known.iter().flat_map(|known| &known.told);
            all.filter(|(cause, _)| *cause == told.cause).map(|(_, judgement)| judgement).next()
        };
        let told = course.told(scene).into_iter().enumerate().map(|(index, told)| {
            let judgement = Judgement::of(&told, scene, window, &rows, before(&told));
            let second = course.runner_up(&told.cause).filter(|_| index == 0);
            (told.cause.clone(), judgement.before(second, &told.cause, scene))
        });
        Followed { told: told.collect(), course, to }
    }

    /// Some cause of an endpoint's trouble is believed already.
    pub fn is_known(&self, entry: &Text) -> bool {
        self.0.get(entry).is_some_and(|followed| followed.course.is_known())
    }

    /// Takes over what a tick found.
    pub fn learn(&mut self, followed: BTreeMap<Text, Followed>, to: Time) {
        self.0.extend(followed);
        self.0.retain(|_, followed| followed.to + RECOVERED >= to);
    }

    pub fn step_clock(&mut self, step: ClockStep) {
        step.move_all(self.0.values_mut().map(|followed| &mut followed.to));
    }
}

impl Followed {
    /// The first cause first; none where it is not known.
    pub fn judgements(&self) -> impl Iterator<Item = &Judgement> {
        self.told.iter().map(|(_, judgement)| judgement)
    }
}
