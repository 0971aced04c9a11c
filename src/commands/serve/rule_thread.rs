//! The rules' own thread: a stack that nothing overflows, and a deadline. A rule that does not end at its deadline is told to
//! stop; one that does not even then is left behind with its thread, and the next ones get another.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use tracing::error;

use crate::clock::Stopwatch;
use crate::decide::{Job, Progress, Stage};

/// Arrays in arrays are at most as deep as `rules.array_elements_max`, and take some hundred bytes a level to copy, compare
/// and drop. Only what is touched is taken from the machine.
const STACK_BYTES: usize = 64 << 20;

/// What all rules of a tick may take of a processor. An unoptimised build needs more for the same.
const DEADLINE: Duration = Duration::from_millis(if cfg!(debug_assertions) { 100 } else { 20 });
/// Time that passes while others have the processor is not the rules' fault; but a tick cannot wait for ever.
const DEADLINE_ON_THE_WALL: Duration = Duration::from_secs(1);
/// From being told to stop to the end of the one native call that a rule may be in.
const GRACE: Duration = Duration::from_millis(200);

#[derive(Default)]
pub struct RuleThread {
    worker: Option<Worker>,
    left_behind: u32,
}

/// Threads that never ended: each holds a core. A machine that has lost so many is better off without rules.
const LEFT_BEHIND_MAX: u32 = 2;

struct Worker {
    jobs: SyncSender<Job>,
    ended: Receiver<()>,
    /// Of procfs, to read what it used of a processor; None where there is none.
    statistics: Option<String>,
}

impl Worker {
    fn start() -> std::io::Result<Worker> {
        let (jobs, jobs_out) = sync_channel::<Job>(1);
        let (ended_in, ended) = sync_channel(1);
        let (name_in, name) = sync_channel(1);
        let work = move || {
            let own = std::fs::read_link("/proc/thread-self").ok();
            let _ = name_in.send(own.map(|own| format!("/proc/{}/schedstat", own.display())));
            while let Ok(job) = jobs_out.recv() {
                job();
                if ended_in.send(()).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("headroom-rules".into()).stack_size(STACK_BYTES).spawn(work)?;
        Ok(Worker { jobs, ended, statistics: name.recv().ok().flatten() })
    }

    /// What it used of a processor so far: nanoseconds come first there (kernel, scheduler statistics).
    fn on_processor(&self) -> Option<Duration> {
        let text = std::fs::read_to_string(self.statistics.as_ref()?).ok()?;
        Some(Duration::from_nanos(text.split_whitespace().next()?.parse().ok()?))
    }

    /// Waits for the job's end, until it has used up its time.
    fn ends_in_time(&self, before: Option<Duration>) -> Result<(), RecvTimeoutError> {
        let stopwatch = Stopwatch::start();
        loop {
            match self.ended.recv_timeout(DEADLINE) {
                Err(RecvTimeoutError::Timeout) => {}
                ended => return ended,
            }
            let used = self.on_processor().zip(before).map(|(now, before)| now.saturating_sub(before));
            if used.is_none_or(|used| used >= DEADLINE) || stopwatch.elapsed() > DEADLINE_ON_THE_WALL {
                return Err(RecvTimeoutError::Timeout);
            }
        }
    }
}

impl Stage for RuleThread {
    fn run(&mut self, job: Job, progress: &Arc<Progress>) -> bool {
        if self.left_behind >= LEFT_BEHIND_MAX {
            return false;
        }
        let worker = match self.worker.take().map_or_else(Worker::start, Ok) {
            Ok(worker) => worker,
            Err(cause) => {
                error!("rules cannot run: {cause}; raise the limits of threads and of memory");
                return false;
            }
        };
        let before = worker.on_processor();
        if worker.jobs.send(job).is_err() {
            return false;
        }
        let ended = worker.ends_in_time(before).or_else(|error| {
            progress.stop();
            match error {
                RecvTimeoutError::Timeout => worker.ended.recv_timeout(GRACE),
                // The job panicked, and its thread is gone.
                RecvTimeoutError::Disconnected => Err(error),
            }
        });
        match ended {
            Ok(()) => {
                self.worker = Some(worker);
                true
            }
            Err(RecvTimeoutError::Timeout) => {
                self.left_behind += 1;
                error!(
                    threads = self.left_behind,
                    "a rule does not end though it was told to; its thread is left behind"
                );
                false
            }
            Err(RecvTimeoutError::Disconnected) => {
                error!("a rule's evaluation panicked; report this as a bug");
                false
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::Findings;
    use crate::decide::{Limits, RuleSource, Rules};
    use crate::model::ClusterState;

    fn rules(texts: &[(&str, &str)]) -> (Rules, RuleThread) {
        let sources: Vec<RuleSource> = texts.iter().map(|(name, text)| RuleSource::new(*name, *text)).collect();
        let (mut rules, mut stage) = (Rules::none(Limits::default()), RuleThread::default());
        let (errors, stopped) = rules.replace(&sources, &mut stage, None);
        assert_eq!((errors, stopped), (vec![], vec![]));
        (rules, stage)
    }

    /// Their operations are few, each of them is long, deep or large.
    #[test]
    fn a_rule_whose_operations_are_long_is_given_up_and_run_no_more() {
        for hostile in [
            "let a = []; a.pad(2000, 0); loop { let b = a; }",
            "let a = []; a.pad(2000, 0); loop { 1 in a; }",
            "let a = []; a.pad(1900, 0); let n = 0; loop { n += a.index_of(1); }",
            "let a = []; a.pad(1900, 0); let b = a; loop { if a == b { } }",
            "let a = []; loop { a = [a]; }",
            "let a = []; a.pad(900, 0); loop { let b = a + a; }",
            "let a = []; a.pad(1900, 1); loop { a.sort(|x, y| y - x); }",
            "let s = \"\"; s.pad(4000, \"x\"); loop { s.replace(\"x\", \"x\"); }",
            "let n = 0; loop { n += 1; }",
        ] {
            let honest = "fn evaluate(now) { print(\"here\"); }";
            let hostile_text = format!("fn evaluate(now) {{ {hostile} }}");
            let (mut rules, mut stage) = rules(&[("a_honest", honest), ("b_hostile", &hostile_text)]);
            let stopwatch = Stopwatch::start();
            let first = rules.evaluate_on(&mut stage, None, &Findings::default(), &ClusterState::default());
            rules.learn(&first);
            assert!(stopwatch.elapsed() < Duration::from_secs(3), "{hostile}: {:?}", stopwatch.elapsed());
            assert_eq!(first.errors.len(), 1, "{hostile}: {:?}", first.errors);
            assert_eq!(first.errors[0].rule, "b_hostile");
            assert_eq!(first.printed.len(), 1, "the honest rule ran");
            let second = rules.evaluate_on(&mut stage, None, &Findings::default(), &ClusterState::default());
            let said = second.errors[0].to_string();
            let is_data_limit = said.contains("past its limit");
            assert!(is_data_limit || said.contains("switched off until its text changes"), "{hostile}: {said}");
            assert_eq!(second.printed.len(), 1);
        }
    }

    #[test]
    fn what_was_given_up_because_of_time_is_given_up_again_when_it_is_told() {
        let text = "fn evaluate(now) { print(\"here\"); }";
        let (rules, mut stage) = rules(&[("a", text), ("b", text), ("c", text)]);
        let told = rules.evaluate_on(&mut stage, Some("b"), &Findings::default(), &ClusterState::default());
        assert_eq!(told.stopped.as_deref(), Some("b"));
        let printed: Vec<&str> = told.printed.iter().map(|printed| printed.rule.as_str()).collect();
        assert_eq!(printed, ["a"], "those after it were left out then, and are now");
    }

    #[test]
    fn many_rules_within_their_limits_do_not_add_up() {
        let text = "fn evaluate(now) { let n = 0; loop { n += 1; } }";
        let names: Vec<String> = (0..256).map(|n| format!("r{n:03}")).collect();
        let texts: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), text)).collect();
        let (rules, mut stage) = rules(&texts);
        let evaluated = rules.evaluate_on(&mut stage, None, &Findings::default(), &ClusterState::default());
        assert!(evaluated.stopped.is_some() || evaluated.errors.len() == 256, "{}", evaluated.errors.len());
    }

    #[test]
    fn a_rule_may_not_fold_a_function_into_itself() {
        let text = "fn evaluate(now) { let f = Fn(\"evaluate\"); loop { f = f.curry(f); } }";
        let (errors, _) =
            Rules::none(Limits::default()).replace(&[RuleSource::new("curry", text)], &mut RuleThread::default(), None);
        assert!(errors[0].to_string().contains("curry"), "{errors:?}");
        let captured = "fn evaluate(now) { let n = 3; [1, 5].filter(|x| x > n); }";
        let (mut rules, mut stage) = (Rules::none(Limits::default()), RuleThread::default());
        let (errors, _) = rules.replace(&[RuleSource::new("captures", captured)], &mut stage, None);
        assert_eq!(errors, []);
    }

    #[test]
    fn a_text_that_loops_as_it_is_loaded_is_left_out() {
        let text = "let a = []; a.pad(2000, 0); loop { let b = a; }\nfn evaluate(now) { }";
        let (mut rules, mut stage) = (Rules::none(Limits::default()), RuleThread::default());
        let sources = [RuleSource::new("loads", text)];
        let (errors, stopped) = rules.replace(&sources, &mut stage, None);
        assert!(errors.len() == 1 && rules.sources().is_empty(), "{errors:?}");
        let stopwatch = Stopwatch::start();
        let (again, none) = rules.replace(&sources, &mut stage, None);
        assert_eq!((again, none), (errors, vec![]), "the same text is not tried again");
        assert!(stopped.len() <= 1 && stopwatch.elapsed() < DEADLINE);
    }
}
