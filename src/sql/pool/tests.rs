use arrow::array::RecordBatch;
use futures::future::join_all;
use serde_json::Value;

use super::*;
use crate::model::{SpanBuilder, SpanRow, spans};

const SETTINGS: Settings =
    Settings { timeout: Duration::from_secs(8), memory_bytes: 256 << 20, rows_max: 100, answer_bytes_max: 1 << 20 };

fn batch(rows: i64) -> RecordBatch {
    let mut builder = SpanBuilder::new();
    for n in 0..rows {
        let service = if n % 3 == 0 { "auth" } else { "ingress" };
        builder.append(&SpanRow { service, operation: "POST /login", duration_ns: n, ..SpanRow::default() });
    }
    builder.finish().record_batch().clone()
}

fn table(name: &'static str, batches: Vec<RecordBatch>) -> Table {
    Table { name, schema: spans::schema(), batches }
}

/// One small batch, and one that is handed over column by column.
fn tables() -> Arc<[Table]> {
    Arc::from([table("spans", vec![batch(10), batch(2 * 4096)]), table("other", vec![batch(1)])])
}

fn pool(settings: Settings) -> (Pool, Arc<AtomicU64>) {
    let bytes = Arc::<AtomicU64>::default();
    (Pool::start(Handle::current(), settings, bytes.clone()).unwrap(), bytes)
}

async fn ask(pool: &Pool, sql: &str) -> Result<Value, QueryError> {
    let answer = pool.ask(tables(), sql.to_owned()).await?;
    Ok(serde_json::from_slice::<Value>(&answer).unwrap()["rows"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_child_reads_whole_batches_and_single_columns() {
    let (pool, bytes) = pool(SETTINGS);
    let sql = "select service, count(*) as n, sum(duration_ns) as d from spans group by service order by service";
    let rows = ask(&pool, sql).await.unwrap();
    assert_eq!(rows[0]["service"], "auth");
    assert_eq!(rows[0]["n"].as_i64().unwrap() + rows[1]["n"].as_i64().unwrap(), 10 + 2 * 4096);
    assert_eq!(rows[0]["d"], (0..2 * 4096).filter(|n| n % 3 == 0).sum::<i64>() + 18);
    assert_eq!(ask(&pool, "select count(*) as n from spans").await.unwrap()[0]["n"], 10 + 2 * 4096);
    assert_eq!(ask(&pool, "select duration_ns as d from spans limit 12 offset 9").await.unwrap()[1]["d"], 0);
    let joined = "select count(*) as n from spans a join other b on a.duration_ns = b.duration_ns";
    assert_eq!(ask(&pool, joined).await.unwrap()[0]["n"], 2);
    assert!(bytes.load(Ordering::Relaxed) > 100_000);
    assert_eq!(pool.counters().started.load(Ordering::Relaxed), 1, "one child answered all");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shelf_gives_back_what_the_window_forgot() {
    let (pool, bytes) = pool(SETTINGS);
    let large: Arc<[Table]> = Arc::from([table("spans", vec![batch(40_000)])]);
    pool.ask(large, "select count(*) from spans".into()).await.unwrap();
    let full = bytes.load(Ordering::Relaxed);
    ask(&pool, "select count(*) from other").await.unwrap();
    let left = bytes.load(Ordering::Relaxed);
    assert!(left < full / 10, "{full} bytes, then {left}");
}

/// Each of these ended the daemon, took gibibytes of it, or never ended.
#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_statement_gets_an_error_and_the_next_one_an_answer() {
    let (pool, _) = pool(SETTINGS);
    let chain = |text: &str, n: usize| format!("select 1{}", text.repeat(n));
    let hostile = [
        chain("+1", 900),
        chain(" is null", 900),
        chain(" union all select 1", 400),
        "select length(repeat('x', 1000000000))".to_owned(),
        "select count(distinct value) from generate_series(1, 100000000)".to_owned(),
        "select array_length(array_agg(a.duration_ns)) from spans a, spans b".to_owned(),
        "select levenshtein(repeat('a', 1000000), repeat('b', 1000000))".to_owned(),
        "select count(*) from spans a, spans b, spans c where a.duration_ns + b.duration_ns + c.duration_ns = -7"
            .into(),
        format!("select * from spans t0{}", " join spans using (trace_id)".repeat(600)),
    ];
    for sql in hostile {
        let message = ask(&pool, &sql).await.expect_err(&format!("{sql:.60}")).to_string();
        assert!(message.contains("; ") && !message.contains('\n'), "{sql:.60}: {message}");
        let next = ask(&pool, "select 1 as n").await;
        assert_eq!(next.map(|rows| rows[0]["n"].clone()), Ok(1.into()), "after {sql:.60}, which said {message}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_time_are_named_as_what_ran_out() {
    let (pool, _) = pool(SETTINGS);
    let memory = ask(&pool, "select length(repeat('x', 1000000000))").await;
    assert_eq!(memory, Err(QueryError::Memory));
    let endless = "select count(*) from spans a, spans b, spans c \
        where a.duration_ns * b.duration_ns + c.duration_ns = -7";
    assert_eq!(ask(&pool, endless).await, Err(QueryError::TimedOut { limit_s: 8.0 }));
}

async fn all_places_taken(pool: &Pool) {
    let taken = async {
        while pool.0.places.available_permits() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), taken).await.expect("statements that never end take all places");
}

/// Eight statements that never end, asked again and again, and somebody who asks for little.
#[tokio::test(flavor = "multi_thread")]
async fn a_small_statement_is_answered_within_two_seconds_whatever_runs() {
    let (pool, _) = pool(Settings { timeout: Duration::from_secs(60), ..SETTINGS });
    let endless = |n: usize| {
        let pool = pool.clone();
        async move {
            for turn in 0..100 {
                let sql = format!(
                    "select count(*) from spans a, spans b, spans c \
                     where a.duration_ns * b.duration_ns + c.duration_ns = -7 -- {n} {turn}"
                );
                // Gives way while others wait; at the end nobody waits.
                assert!(ask(&pool, &sql).await.is_err());
            }
        }
    };
    let small = async {
        for _ in 0..4 {
            all_places_taken(&pool).await;
            let stopwatch = Stopwatch::start();
            // On a busy machine an unoptimised build may have to ask twice.
            while let Err(error) = ask(&pool, "select 1 as n").await {
                assert!(matches!(error, QueryError::GaveWay { .. }), "{error}");
            }
            assert!(stopwatch.elapsed() < Duration::from_secs(20), "{:?}", stopwatch.elapsed());
        }
    };
    // Enough of them that all places are taken throughout; when only as many are left as there are places, none gives way.
    let hostile = join_all((0..8).map(endless));
    tokio::select! {
        _ = hostile => panic!("the statements that never end have all ended before the small ones were answered"),
        () = small => {}
    }
    assert!(pool.counters().gave_way.load(Ordering::Relaxed) > 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_cut_at_its_rows_and_its_bytes() {
    let (pool, _) = pool(Settings { rows_max: 5, ..SETTINGS });
    let answer = |sql: &'static str| {
        let pool = pool.clone();
        async move { pool.ask(tables(), sql.to_owned()).await.unwrap() }
    };
    let cut: Value = serde_json::from_slice(&answer("select * from spans").await).unwrap();
    assert_eq!((cut["rows"].as_array().unwrap().len(), &cut["truncated"]), (5, &Value::Bool(true)));
    let wide = answer("select repeat('x', 400000) as x from spans").await;
    assert!(wide.len() < SETTINGS.answer_bytes_max + 1000, "{} bytes", wide.len());
    let cut: Value = serde_json::from_slice(&wide).unwrap();
    assert_eq!((cut["rows"].as_array().unwrap().len(), &cut["truncated"]), (2, &Value::Bool(true)));
}

/// FIELD 21: `where trace_id = '<hex>'` was 'Cannot infer common argument type'.
#[tokio::test(flavor = "multi_thread")]
async fn ids_compare_with_the_text_that_people_write() {
    let (pool, _) = pool(SETTINGS);
    let all = 10 + 2 * 4096;
    let (zeros, others) = ("0".repeat(32), "AB".repeat(16));
    for (condition, rows) in [
        (format!("trace_id = '{zeros}'"), all),
        (format!("'{zeros}' = s.trace_id"), all),
        (format!("trace_id <> '{zeros}'"), 0),
        (format!("trace_id < '{others}'"), all),
        (format!("trace_id in ('{others}', '{zeros}')"), all),
        (format!("trace_id not in ('{others}')"), all),
        (format!("trace_id in (select trace_id from spans where trace_id = '{others}')"), 0),
        (format!("case when span_id = '{}' then true else false end", "0".repeat(16)), all),
    ] {
        let sql = format!("select count(*) as n from spans s where {condition}");
        let counted = ask(&pool, &sql).await.unwrap_or_else(|error| panic!("{condition}: {error}"));
        assert_eq!(counted[0]["n"], rows, "{condition}");
    }
    let joined = "select count(*) as n from spans a join other b on a.trace_id = b.trace_id";
    assert_eq!(ask(&pool, joined).await.unwrap()[0]["n"], all);
    for wrong in ["trace_id = '4bf9'", "trace_id in ('nothing')"] {
        let error = ask(&pool, &format!("select * from spans where {wrong}")).await.unwrap_err().to_string();
        assert!(error.contains("write its 32 hexadecimal digits"), "{error}");
    }
}
