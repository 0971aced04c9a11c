//! Statements to a pool of children, as people's statements go: none may end its process by its depth, none may take more
//! than its part of the memory, and each is answered with a word on what to do.

use std::collections::BTreeMap;
use std::fs;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use headroom::clock::Stopwatch;
use headroom::model::{SpanBuilder, SpanRow, spans};
use headroom::sql::{Pool, QueryError, Settings, Table};
use rand::{RngExt, SeedableRng};
use rand_pcg::Pcg64Mcg;
use serde_json::json;

use crate::Outcome;
use crate::mutate::{choose, mutate, times};

const TIMEOUT: Duration = Duration::from_secs(2);
const MEMORY_BYTES: u64 = 128 << 20;
/// Of a child: half of that (two run at once), 64 MiB of its own beside it, and what the program has before its first
/// statement.
const CHILD_RESIDENT_MAX: u64 = MEMORY_BYTES / 2 + (64 << 20) + (96 << 20);
const CALLERS: u64 = 2;
const TEXT_BYTES_MAX: usize = 40_000;

const LEAVES: &[&str] = &[
    "1",
    "-1",
    "0",
    "9223372036854775807",
    "1e308",
    "'x'",
    "''",
    "null",
    "true",
    "service",
    "operation",
    "duration_ns",
    "start",
    "trace_id",
    "kind",
    "X'00ff'",
    "interval '1 day'",
    "timestamp '2026-01-05T08:00:00Z'",
    "array[1, 2]",
    "*",
];
const WRAPS: &[(&str, &str)] = &[
    ("(", ")"),
    ("not ", ""),
    ("- ", ""),
    ("", " is null"),
    ("", "::text"),
    ("", "::bigint"),
    ("cast(", " as double)"),
    ("abs(", ")"),
    ("lower(", ")"),
    ("length(", ")"),
    ("repeat(", ", 1000000)"),
    ("coalesce(", ", 1)"),
    ("count(", ")"),
    ("array_agg(", ")"),
    ("sum(", ") over (order by 1)"),
    ("case when ", " then 1 else 2 end"),
    ("exists (select ", ")"),
    ("(select ", " limit 1)"),
    ("(select ", " from spans)"),
    ("", "[1]"),
    ("md5(", ")"),
    ("range(0, ", ")"),
    ("", " like 'a%'"),
    ("regexp_replace(", ", '(a*)*b', 'x')"),
    ("array_repeat(", ", 100000)"),
    ("string_agg(", "::text, ',')"),
    ("", " collate \"x\""),
];
const JOINTS: &[&str] = &[
    " + ",
    " or ",
    " and ",
    " = ",
    " || ",
    ", ",
    " < ",
    " % ",
    " between 1 and ",
    " is distinct from ",
    " in (1, 2) or ",
    " & ",
];
const FROMS: &[&str] = &[
    "",
    " from spans",
    " from spans a, spans b",
    " from spans a join spans b using (trace_id)",
    " from (select * from spans) t",
    " from generate_series(1, 1000000) t(n)",
    " from spans, lateral (select 1) l",
    " from information_schema.columns",
    " from spans natural join spans",
    " from unnest(array[1, 2, 3])",
];
const TAILS: &[&str] = &[
    "",
    " group by 1",
    " order by 1",
    " limit 5",
    " having count(*) > 1",
    " group by cube(1, 2, 3)",
    " union all select 1",
    " except select 1",
    " intersect select 1",
    " window w as (order by 1)",
    " offset 3",
    " fetch first 1 rows only",
];
const PIECES: &[&str] = &[
    "select ",
    " from spans",
    " where ",
    "(",
    ")",
    ",",
    "'",
    "\"",
    "::int",
    " is null",
    " union all select 1",
    " or 1 = 1",
    " + 1",
    " join spans using (trace_id)",
    " with t as (select 1) ",
    " recursive ",
    "[1]",
    ".a",
    " case when 1 then 2 end ",
    "--",
    "/*",
    "\0",
    " between 0 and 1",
    " except select 1",
    " exists (select 1)",
    " over ()",
    "; ",
    "explain analyze ",
    "$1",
    "?",
    " not ",
    "{}",
    "é",
];

/// A statement, or something like one.
fn statement(chance: &mut Pcg64Mcg) -> String {
    let mut text = match chance.random_range(0..8) {
        // A chain of one thing, of any length.
        0 => {
            let (before, after) = WRAPS[chance.random_range(0..WRAPS.len())];
            let n = times(chance);
            format!("select {}{}{}", before.repeat(n), choose(chance, LEAVES), after.repeat(n))
        }
        1 => {
            let (leaf, joint) = (choose(chance, LEAVES), choose(chance, JOINTS));
            format!("select {}", vec![leaf; times(chance)].join(joint))
        }
        2 => format!("select 1{}", choose(chance, TAILS).repeat(times(chance))),
        3 => {
            let levels = times(chance).min(400);
            let next = |n: usize| format!(", c{n} as (select x.a from c{m} x join c{m} y on x.a = y.a)", m = n - 1);
            let levels_text: String = (1..=levels).map(next).collect();
            format!("with c0 as (select 1 a){levels_text} select * from c{levels}")
        }
        _ => format!("select {}{}{}", expression(chance, 6), choose(chance, FROMS), choose(chance, TAILS)),
    }
    .into_bytes();
    if chance.random_bool(0.5) {
        mutate(&mut text, PIECES, TEXT_BYTES_MAX, chance);
    }
    String::from_utf8_lossy(&text).into_owned()
}

fn expression(chance: &mut Pcg64Mcg, depth: usize) -> String {
    if depth == 0 || chance.random_bool(0.2) {
        return choose(chance, LEAVES).to_owned();
    }
    if chance.random_bool(0.5) {
        let (before, after) = WRAPS[chance.random_range(0..WRAPS.len())];
        return format!("{before}{}{after}", expression(chance, depth - 1));
    }
    let (left, right) = (expression(chance, depth - 1), expression(chance, depth - 1));
    format!("{left}{}{right}", choose(chance, JOINTS))
}

fn tables() -> Arc<[Table]> {
    let mut builder = SpanBuilder::new();
    for n in 0..2_000 {
        let service = ["shop", "auth", "db"][n % 3];
        builder.append(&SpanRow { service, operation: "GET /", duration_ns: n as i64, ..SpanRow::default() });
    }
    let batches = vec![builder.finish().record_batch().clone()];
    Arc::from([Table { name: "spans", schema: spans::schema(), batches }])
}

#[derive(Default)]
struct Tally {
    outcomes: BTreeMap<&'static str, u64>,
    findings: Vec<String>,
}

pub fn run(duration: Duration, seed: u64) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let settings =
        Settings { timeout: TIMEOUT, memory_bytes: MEMORY_BYTES, rows_max: 10_000, answer_bytes_max: 4 << 20 };
    let pool = Pool::start(runtime.handle().clone(), settings, Arc::default()).expect("a child can be started");
    let tally = Arc::<Mutex<Tally>>::default();
    let (is_over, child_resident) = (Arc::<AtomicBool>::default(), Arc::<AtomicU64>::default());
    let watching = std::thread::spawn({
        let (is_over, most) = (is_over.clone(), child_resident.clone());
        move || {
            while !is_over.load(Ordering::Relaxed) {
                most.fetch_max(children_resident(), Ordering::Relaxed);
                std::thread::park_timeout(Duration::from_millis(5));
            }
        }
    });
    let stopwatch = Stopwatch::start();
    let tables = tables();
    runtime.block_on(async {
        let callers = (0..CALLERS).map(|caller| {
            let (pool, tables, tally, stopwatch) = (pool.clone(), tables.clone(), tally.clone(), &stopwatch);
            async move {
                let mut chance = Pcg64Mcg::seed_from_u64(seed * CALLERS + caller);
                while stopwatch.elapsed() < duration {
                    let text = statement(&mut chance);
                    let answer = pool.ask(tables.clone(), text.clone()).await;
                    tally.lock().unwrap().count(&text, &answer);
                }
            }
        });
        futures::future::join_all(callers).await;
    });
    is_over.store(true, Ordering::Relaxed);
    watching.join().unwrap();
    let Tally { outcomes, mut findings } = std::mem::take(&mut *tally.lock().unwrap());
    let resident = child_resident.load(Ordering::Relaxed);
    if resident > CHILD_RESIDENT_MAX {
        findings.push(format!("a child had {resident} bytes resident, {CHILD_RESIDENT_MAX} are the most"));
    }
    let statements: u64 = outcomes.values().sum();
    Outcome {
        report: json!({"statements": statements, "outcomes": outcomes, "child_resident_max": resident}),
        findings,
    }
}

impl Tally {
    fn count(&mut self, text: &str, answer: &Result<Vec<u8>, QueryError>) {
        let outcome = match answer {
            Ok(_) => "answered",
            Err(QueryError::Invalid { .. }) => "invalid",
            Err(QueryError::TooLarge { .. }) => "too_large",
            Err(QueryError::Memory) => "memory",
            Err(QueryError::TimedOut { .. }) => "timed_out",
            Err(QueryError::GaveWay { .. } | QueryError::Busy { .. }) => "busy",
            Err(QueryError::Failed { .. }) => "failed",
            Err(QueryError::Stack) => "stack",
            Err(QueryError::Process { .. }) => "process",
        };
        *self.outcomes.entry(outcome).or_default() += 1;
        let error = answer.as_ref().err().map(ToString::to_string).unwrap_or_default();
        let died = error.contains("its process ended") || error.contains("DataFusion failed");
        if matches!(outcome, "stack" | "process") || died {
            let shown: String = text.chars().take(300).collect();
            self.findings.push(format!("{outcome}: {error}: {} bytes: {shown}", text.len()));
        }
    }
}

/// The most that one child of this process has resident now, in bytes (proc(5)); 0 where there is no procfs.
fn children_resident() -> u64 {
    let threads = fs::read_dir("/proc/self/task").into_iter().flatten().filter_map(Result::ok);
    let children = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let resident = |pid: &str| {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
        line.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
    };
    let pids: Vec<String> =
        children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    pids.iter().filter_map(|pid| resident(pid)).max().unwrap_or(0)
}
