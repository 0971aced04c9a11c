//! From the answers of a stretch of time to the objectives that are missed and who is to blame. Nothing changes here: the
//! result is a value, with what is to be learned from it.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};

use super::{Judge, Lessons, PodsWithSpans, Seen, tick_row};
use crate::analyse::diagnosis::causes::Scene;
use crate::analyse::diagnosis::courses::Followed;
use crate::analyse::diagnosis::judgement::Judgement;
use crate::analyse::diagnosis::observe::{Shown, Window};
use crate::analyse::diagnosis::service_state::ServiceState;
use crate::analyse::findings::{Bottleneck, Compliance, EntryFinding, Findings, LeftAside, ObjectiveStatus, Verdict};
use crate::analyse::learned::capacity::{AtLimit, Capacities};
use crate::analyse::objective::Objective;
use crate::analyse::rollup::sql;
use crate::analyse::rollup::window_totals::{Answers, EntryAnswer, PodAnswer};
use crate::analyse::statistics::significance::{LIKELY, SURELY, exceeds};
use crate::analyse::telemetry::{Sight, SightLevel};
use crate::analyse::thresholds::judging::{FEW_LONG, FEW_REQUESTS, LONG_EXTRA};
use crate::analyse::thresholds::memory::{ASIDE_TOLD_MAX, EXEMPLARS};
use crate::model::{ClusterState, ServiceId, Text, Time, Work};

/// Complete event time that is judged as one.
#[derive(Clone, Copy)]
pub(super) struct Stretch {
    pub from: Time,
    pub to: Time,
}

impl Stretch {
    pub fn seconds(self) -> f64 {
        self.to.seconds_since(self.from)
    }
}

/// The grounds on which an objective that is not surely missed is looked into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Grounds {
    /// It is likely missed.
    Likely,
    /// More requests miss, or are at risk, than may, be it by chance: where requests are few, a reason to look whether
    /// other evidence is strong.
    AnyExcess,
}

impl Grounds {
    fn exceeds(self, bad: i64, all: i64, allowed: f64) -> bool {
        match self {
            Grounds::Likely => exceeds(bad, all, allowed, LIKELY),
            Grounds::AnyExcess => bad > 0 && bad as f64 > all as f64 * allowed,
        }
    }
}

/// The answers for a stretch.
struct View<'a> {
    stretch: Stretch,
    answers: &'a Answers,
    services: &'a BTreeMap<Text, ServiceState<'a>>,
    grounds: Grounds,
}

/// An entry operation, judged in one view.
struct Judged {
    entry: EntryFinding,
    /// Where it is missed: the services that it crosses.
    crossed: BTreeSet<Text>,
    /// Where it was looked into: what is believed, and what is told of it.
    followed: Option<Followed>,
    judgements: Vec<Judgement>,
}

impl Judge {
    /// The findings of a tick, and what is to be learned from them.
    pub(super) fn judge(
        &self,
        now: Time,
        seen: Seen,
        cluster: &ClusterState,
    ) -> Result<(Findings, Lessons), sql::Error> {
        let complete_to = seen.complete_to;
        // Without spans nothing is known, and where no request can be followed, nothing of what users meet.
        let is_silent = seen.last_received.is_none_or(|last| last + self.config.blind_after < now);
        let blind = is_silent || self.watch.is_blind(now, self.config.blind_after);
        let mut findings = Findings {
            at: now,
            complete_to,
            blind,
            spans_arrive: !is_silent,
            aside: self.aside(),
            sight: Sight { clocks: self.learned.reference.clocks.told(), ..self.watch.sight(blind) },
            missing_parents: self.lost_spans.find(),
            sampling_changed_at: self.sampling.changed_at(),
            ..Findings::default()
        };
        if is_silent {
            return Ok((findings, Lessons::default()));
        }
        let fast = Stretch { from: complete_to - self.config.fast, to: complete_to };
        let long = Stretch { from: fast.from - LONG_EXTRA, to: complete_to };
        self.fill_tables(long);
        let answers = self.ask(fast, 0)?;
        let services = self.service_states(&answers, fast, cluster);
        let view = View { stretch: fast, answers: &answers, services: &services, grounds: Grounds::Likely };
        let in_fast = self.judge_entries(&view, answers.entries.iter());
        let open = self.open_entries(&answers, &in_fast);
        let in_long = if open.is_empty() { Vec::new() } else { self.judge_long(long, &open, cluster)? };
        let mut lessons = Lessons { complete_to, ..Lessons::default() };
        self.settle(in_fast, in_long, &view, &mut findings, &mut lessons);
        let capacities = self.capacities_after(&lessons);
        findings.services = self.service_findings(&findings, &answers, &services, cluster, &capacities);
        findings.loads = self.service_loads(&answers, fast, cluster);
        complete_bottlenecks(&mut findings, cluster);
        let missed = findings.entries.iter().any(|entry| entry.missed);
        let changes = self.learned.changes.find(now, missed);
        findings.suspects.clone_from(&changes.suspects);
        // Where spans are missing, calls seem to have stopped.
        if findings.sight.level == SightLevel::Clear {
            findings.silent_failures.clone_from(&changes.silent_failures);
        }
        lessons.changes = Some(changes);
        lessons.pods = Some(pods_with_spans(&answers));
        Ok((findings, lessons))
    }

    /// What is left aside, most first.
    fn aside(&self) -> Vec<LeftAside> {
        let one = |(entry, (work, requests)): (&Text, &(Work, u64))| LeftAside {
            entry: entry.to_string(),
            work: *work,
            requests: *requests,
        };
        let mut aside: Vec<LeftAside> = self.aside.iter().map(one).collect();
        aside.sort_by(|a, b| b.requests.cmp(&a.requests).then_with(|| a.entry.cmp(&b.entry)));
        aside.truncate(ASIDE_TOLD_MAX);
        aside
    }

    fn fill_tables(&self, long: Stretch) {
        for (index, table) in super::TABLES.iter().enumerate() {
            self.sql.set(table.name, self.store.batches(index, long.from.second()));
        }
        self.sql.set("baseline_paths", vec![self.learned.baseline.paths_table()]);
    }

    /// Of entry operations with fewer requests than `at_risk_below`, those at risk of missing are blamed too.
    fn ask(&self, stretch: Stretch, at_risk_below: i64) -> Result<Answers, sql::Error> {
        let slow_from = stretch.to - self.config.fast - LONG_EXTRA;
        self.sql.set("tick", vec![tick_row([slow_from, stretch.from, stretch.to], at_risk_below)]);
        Answers::ask(&self.sql)
    }

    /// The same question of a longer stretch, for entry operations that the fast one leaves open.
    fn judge_long(
        &self,
        long: Stretch,
        open: &BTreeSet<Text>,
        cluster: &ClusterState,
    ) -> Result<Vec<Judged>, sql::Error> {
        let answers = self.ask(long, FEW_LONG)?;
        let services = self.service_states(&answers, long, cluster);
        let view = View { stretch: long, answers: &answers, services: &services, grounds: Grounds::AnyExcess };
        Ok(self.judge_entries(&view, answers.entries.iter().filter(|answer| open.contains(&answer.entry))))
    }

    /// Entry operations that a longer stretch may tell more of: some of few requests missed the objective; or they miss, and
    /// nothing is believed of it yet. Once something is, the newest seconds of many requests decide alone: what they have begun to
    /// contradict, older ones would still hold up.
    fn open_entries(&self, answers: &Answers, judged: &[Judged]) -> BTreeSet<Text> {
        let is_open = |(answer, judged): &(&EntryAnswer, &Judged)| {
            let is_unknown = judged.judgements.iter().all(|judgement| judgement.verdict == Verdict::Unknown);
            let is_few = answer.requests < FEW_REQUESTS;
            let is_missed = judged.entry.missed && (is_few || !self.learned.courses.is_known(&answer.entry));
            is_unknown && (is_missed || is_few && answer.missed + answer.at_risk > 0)
        };
        answers.entries.iter().zip(judged).filter(is_open).map(|(answer, _)| answer.entry.clone()).collect()
    }

    fn objective(&self, entry: &str) -> Option<&Objective> {
        self.learned.reference.objectives.of(entry)
    }

    fn entry_finding(&self, answer: &EntryAnswer, stretch: Stretch, grounds: Grounds) -> EntryFinding {
        let objective = self.objective(&answer.entry);
        let share = |count: i64| count as f64 / answer.requests.max(1) as f64;
        EntryFinding {
            compliance: objective.map(|o| self.compliance(answer, o, grounds)).unwrap_or_default(),
            entry: answer.entry.to_string(),
            requests: answer.requests as u64,
            requests_per_s: answer.adjusted() / stretch.seconds(),
            p50_ms: answer.quantile_ms(0.5),
            p99_ms: answer.quantile_ms(0.99),
            objective_ms: objective.map_or(0.0, |o| o.latency_ns as f64 / 1e6),
            missed_share: share(answer.missed),
            error_share: share(answer.errors),
            remote_parent_share: self.watch.remote_parent_share(&answer.entry),
            work: self.learned.reference.objectives.work(&answer.entry),
            missed: self.misses(answer, |bad, all, allowed| exceeds(bad, all, allowed, SURELY)),
        }
    }

    /// Both parts of the objective: missed beyond doubt, or at risk on these grounds.
    fn compliance(&self, answer: &EntryAnswer, objective: &Objective, grounds: Grounds) -> Compliance {
        let status = |bad: i64, allowed: f64| {
            if answer.requests < self.config.requests_min {
                ObjectiveStatus::Met
            } else if exceeds(bad, answer.requests, allowed, SURELY) {
                ObjectiveStatus::Missed
            } else if grounds.exceeds(bad, answer.requests, allowed) {
                ObjectiveStatus::AtRisk
            } else {
                ObjectiveStatus::Met
            }
        };
        let share = |part: i64| part as f64 / answer.requests.max(1) as f64;
        let nearly_missed = grounds == Grounds::AnyExcess && self.is_at_risk(answer);
        let latency = match status(answer.slow, 1.0 - objective.quantile) {
            ObjectiveStatus::Met if nearly_missed => ObjectiveStatus::AtRisk,
            status => status,
        };
        Compliance {
            latency,
            errors: status(answer.errors, objective.errors),
            quantile: objective.quantile,
            latency_ms: answer.quantile_ms(objective.quantile),
            objective_ms: objective.latency_ns as f64 / 1e6,
            slow_share: share(answer.slow),
            error_share: share(answer.errors),
            errors_allowed: objective.errors,
        }
    }

    /// Whether an entry operation misses its objective, by a test of (bad, all, allowed share).
    fn misses(&self, answer: &EntryAnswer, exceeds: impl Fn(i64, i64, f64) -> bool) -> bool {
        let missed = |o: &Objective| {
            exceeds(answer.slow, answer.requests, 1.0 - o.quantile) || exceeds(answer.errors, answer.requests, o.errors)
        };
        answer.requests >= self.config.requests_min && self.objective(&answer.entry).is_some_and(missed)
    }

    /// Whether an entry operation of few requests is at risk of missing its objective: with more of them beyond half of it
    /// than healthy time has and than may miss. By how much it will miss is not seen yet, where one request in a hundred
    /// is.
    fn is_at_risk(&self, answer: &EntryAnswer) -> bool {
        let healthy = self.learned.baseline.at_risk_share(&answer.entry);
        let (Some(objective), Some(healthy)) = (self.objective(&answer.entry), healthy) else {
            return false;
        };
        let allowed = healthy.max(1.0 - objective.quantile);
        let is_few = (self.config.requests_min..FEW_LONG).contains(&answer.requests);
        is_few && exceeds(answer.missed + answer.at_risk, answer.requests, allowed, LIKELY)
    }

    fn judge_entries<'a>(&self, view: &View<'_>, entries: impl Iterator<Item = &'a EntryAnswer>) -> Vec<Judged> {
        let window = Window {
            answers: view.answers,
            states: view.services,
            baseline: &self.learned.baseline,
            operations: &self.learned.reference.operations,
        };
        let shown = OnceCell::new();
        entries.map(|answer| self.judge_entry(view, &window, &shown, answer)).collect()
    }

    fn judge_entry(
        &self,
        view: &View<'_>,
        window: &Window<'_>,
        shown: &OnceCell<Shown>,
        answer: &EntryAnswer,
    ) -> Judged {
        let entry = self.entry_finding(answer, view.stretch, view.grounds);
        let mut judged = Judged { entry, crossed: BTreeSet::new(), followed: None, judgements: Vec::new() };
        let is_worth_a_look = judged.entry.missed
            || self.misses(answer, |bad, all, allowed| view.grounds.exceeds(bad, all, allowed))
            || view.grounds == Grounds::AnyExcess && self.is_at_risk(answer);
        // Where slow traces were chosen and fast ones left out, how many miss is not known, and nobody is to blame for it.
        if self.watch.is_tail_sampled(&answer.entry) {
            judged.entry.missed = false;
            return judged;
        }
        if !is_worth_a_look {
            return judged;
        }
        let crossed = self.crossed(view.answers, &judged.entry.entry);
        let bad = answer.missed + if view.grounds == Grounds::AnyExcess { answer.at_risk } else { 0 };
        let endpoint = window.endpoint(&answer.entry, bad as f64, crossed.clone());
        let shown = shown.get_or_init(|| window.shown());
        let scene = Scene::new(shown, &endpoint);
        let stretch = (view.stretch.to, view.stretch.seconds());
        let followed = self.learned.courses.follow(&answer.entry, &scene, window, stretch);
        // What is only likely counts when all requests of a service bear it out, not just those that missed. One slow
        // request makes its pod look slow by itself.
        let is_one_request = |j: &Judgement| j.verdict == Verdict::BadInstance && answer.missed + answer.at_risk < 2;
        judged.entry.missed |= followed.judgements().any(|j| j.borne_out && !is_one_request(j));
        if judged.entry.missed {
            judged.crossed = crossed;
            judged.judgements = followed.judgements().cloned().collect();
            if judged.judgements.is_empty() {
                judged.judgements.extend(Judgement::unknown(window, &answer.entry));
            }
        }
        judged.followed = Some(followed);
        judged
    }

    /// Settles what both views found: the longer speaks where it found a missed objective, and leaves alone what the shorter
    /// found where it does not know the cause either.
    fn settle(
        &self,
        in_fast: Vec<Judged>,
        in_long: Vec<Judged>,
        view: &View<'_>,
        findings: &mut Findings,
        lessons: &mut Lessons,
    ) {
        let mut settled: BTreeMap<String, Judged> = BTreeMap::new();
        for judged in in_fast.into_iter().chain(in_long) {
            let is_known = |judged: &Judged| judged.judgements.iter().any(|j| j.verdict != Verdict::Unknown);
            let name = judged.entry.entry.clone();
            match settled.get_mut(&name) {
                Some(known) if known.entry.missed && !known.judgements.is_empty() && !is_known(&judged) => {}
                Some(known) if !judged.entry.missed => known.followed = known.followed.take().or(judged.followed),
                _ => {
                    settled.insert(name, judged);
                }
            }
        }
        // Of several entry operations that a service at its limit holds back, the one with the most blame tells.
        let mut at_limit: BTreeMap<Text, (i64, AtLimit)> = BTreeMap::new();
        for (name, Judged { entry, crossed, followed, judgements }) in settled {
            lessons.courses.extend(followed.map(|followed| (name.as_str().into(), followed)));
            if entry.missed {
                lessons.missed.extend(crossed);
                lessons.missed.insert(name.as_str().into());
                for told in judgements {
                    let service = view.services.get(&told.service).filter(|_| told.at_limit);
                    if let Some(service) = service {
                        let limit = at_limit_of(service, told.undisturbed_share, view.stretch.seconds());
                        let most = at_limit.entry(told.service.clone()).or_insert((i64::MIN, limit));
                        if told.blame_ns > most.0 {
                            *most = (told.blame_ns, limit);
                        }
                    }
                    findings.bottlenecks.push(self.bottleneck(&entry, told));
                }
            }
            findings.entries.push(entry);
        }
        lessons.at_limit.extend(at_limit.into_iter().map(|(service, (_, limit))| (service, limit)));
        findings.bottlenecks.sort_by(|a, b| b.blame_ms.total_cmp(&a.blame_ms).then_with(|| a.entry.cmp(&b.entry)));
    }

    /// Capacities with what this tick shows of them: a service that reaches its limit now has its need told now.
    fn capacities_after(&self, lessons: &Lessons) -> Cow<'_, Capacities> {
        let mut capacities = Cow::Borrowed(&self.learned.capacities);
        for (service, at_limit) in &lessons.at_limit {
            capacities.to_mut().learn(service, *at_limit);
        }
        capacities
    }

    /// The services an entry operation crosses. Just after a start the baseline knows no paths yet; those of the
    /// missed traces themselves do.
    pub(super) fn crossed(&self, answers: &Answers, entry: &str) -> BTreeSet<Text> {
        let blamed = answers.blame.iter().filter(|b| *b.entry == *entry).map(|b| b.service.clone());
        self.learned.baseline.crossed_by(entry).into_iter().chain(blamed).collect()
    }

    fn bottleneck(&self, entry: &EntryFinding, judgement: Judgement) -> Bottleneck {
        let text = |text: Option<Text>| text.map(|text| text.to_string());
        Bottleneck {
            entry: entry.entry.clone(),
            service: judgement.service.to_string(),
            operation: judgement.operation.to_string(),
            pod: text(judgement.pod),
            peer: text(judgement.peer),
            caller: text(judgement.caller),
            version: text(judgement.version),
            verdict: judgement.verdict,
            score: judgement.score,
            blame_ms: judgement.blame_ns as f64 / 1e6,
            p99_ms: entry.p99_ms,
            objective_ms: entry.objective_ms,
            missed_share: entry.missed_share,
            compliance: entry.compliance.clone(),
            runner_up: judgement.runner_up,
            replicas: 0,
            replicas_needed: None,
            evidence: judgement.evidence,
            exemplars: self.exemplars.slowest(&entry.entry, EXEMPLARS),
        }
    }
}

/// What pods of a saturated service do that are warm and were there before the load: new ones have no queue yet, and beside them
/// the mean of all is no limit.
fn at_limit_of(service: &ServiceState<'_>, undisturbed_share: f64, seconds: f64) -> AtLimit {
    let (pods, requests) = service.settled_pods().fold((0, 0), |sum, pod| (sum.0 + 1, sum.1 + pod.sums.requests));
    let requests = requests as f64 * service.sums.weight();
    let at_least = service.is_settling && service.arrivals.waiting_grows;
    AtLimit { pods, requests, seconds, hold_s: service.hold_s(), work_s: service.work_s(), undisturbed_share, at_least }
}

fn complete_bottlenecks(findings: &mut Findings, cluster: &ClusterState) {
    let services = &findings.services;
    for bottleneck in &mut findings.bottlenecks {
        let service = services.iter().find(|s| s.service.as_str() == bottleneck.service);
        bottleneck.replicas = service.map_or(0, |s| s.replicas);
        bottleneck.replicas_needed = service.and_then(|s| s.replicas_needed);
        let at_maximum = cluster.workload(&bottleneck.service).is_some_and(|w| w.replicas >= w.max_replicas);
        if bottleneck.verdict == Verdict::Saturated && at_maximum {
            bottleneck.verdict = Verdict::Exhausted;
        }
    }
}

fn pods_with_spans(answers: &Answers) -> PodsWithSpans {
    let pods = |(service, pods): (&Text, &Vec<PodAnswer>)| {
        (ServiceId::from(&**service), pods.iter().map(|p| p.pod.to_string()).collect())
    };
    answers.pods.iter().map(pods).collect()
}
