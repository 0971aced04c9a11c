//! `headroom sql`: ask spans in files, a history, or the tables of a running server.

use std::io::Write;
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};
use serde_json::{Value, json};
use tokio::runtime::Builder as Runtime;

use super::answer::Answer;
use super::client::Server;
use super::error::Error;
use super::table::{aligned, csv};
use crate::history::{Of, Reader, Store};
use crate::model::{printable, spans};
use crate::receive::decode::Options;
use crate::receive::files::{self, Damage};
use crate::sql::described::{DESCRIBED, Described};
use crate::sql::{self, Builder, Limits, Program, QueryError};

/// Half of a small machine.
const MEMORY_BYTES: u64 = 4 << 30;

/// Ask with SQL: over files of spans (table `spans`), over a history, or over the tables of a running server.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom sql 'select service, count(*) from spans group by 1' --file a.jsonl.zst
  headroom sql --describe spans
  headroom sql \"select * from spans where trace_id = '4bf92f3577b34da6a3ce929d0e0e4736'\"
  headroom sql 'select * from spans limit 5' --server http://127.0.0.1:8080 --json
  headroom sql 'select service, replicas from services' --csv > services.csv
  headroom sql 'select entry, sum(requests) from entries group by 1' --history history/

Files are OTLP JSON lines (plain, gzip, zstd), the Collector's length-prefixed
form, headroom's Parquet, or - for standard input.

Exit codes: 0 answered; 2 usage or input error.")]
pub struct Args {
    /// One read-only statement
    #[arg(required_unless_present = "describe")]
    query: Option<String>,
    /// Say what each table and column holds, of all tables or of one
    #[arg(long, value_name = "TABLE", num_args = 0..=1, conflicts_with_all = ["query", "file"])]
    describe: Option<Option<String>>,
    /// Files of spans; without it a running server is asked
    #[arg(long, value_name = "FILE", num_args = 1..)]
    file: Vec<String>,
    /// The folder of a history: tables entries, services, crossings and watch, each with its cluster
    #[arg(long, value_name = "FOLDER", conflicts_with_all = ["file", "describe"])]
    history: Option<String>,
    /// Print one JSON object a row
    #[arg(long)]
    json: bool,
    /// Print comma-separated values, the names of the columns first
    #[arg(long, conflicts_with = "json")]
    csv: bool,
    #[command(flatten)]
    server: Server,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    match (&args.describe, &args.query) {
        (Some(table), _) => describe(table.as_deref(), args.json, out),
        (None, Some(query)) if args.history.is_some() => ask_history(&args, query, out),
        (None, Some(query)) if args.file.is_empty() => ask_server(&args, query, out),
        (None, query) => ask_files(&args, query.as_deref().unwrap_or_default(), out),
    }
}

/// Tables and columns in words, without a server: they are the same everywhere.
fn describe(wanted: Option<&str>, as_json: bool, out: &mut dyn Write) -> Result<Answer, Error> {
    let tables: Vec<_> = DESCRIBED.iter().filter(|table| wanted.is_none_or(|name| table.name == name)).collect();
    if let (Some(name), []) = (wanted, tables.as_slice()) {
        let known = DESCRIBED.iter().map(|table| table.name).collect::<Vec<_>>().join(", ");
        return Err(Error::NoTable { name: name.to_owned(), known });
    }
    if as_json {
        let column =
            |(name, kind, meaning): (&str, String, &str)| json!({"name": name, "type": kind, "meaning": meaning});
        let table = |table: &&Described| json!({"name": table.name, "row": table.row, "columns": table.columns().map(column).collect::<Vec<_>>()});
        writeln!(out, "{:#}", Value::Array(tables.iter().map(table).collect()))?;
        return Ok(Answer::Yes);
    }
    for (n, table) in tables.iter().enumerate() {
        if n > 0 {
            writeln!(out)?;
        }
        writeln!(out, "{}: {}", table.name, table.row)?;
        let rows: Vec<Vec<String>> =
            table.columns().map(|(name, kind, meaning)| vec![format!("  {name}"), kind, meaning.to_owned()]).collect();
        aligned(&rows).iter().try_for_each(|line| writeln!(out, "{line}"))?;
    }
    Ok(Answer::Yes)
}

fn ask_files(args: &Args, query: &str, out: &mut dyn Write) -> Result<Answer, Error> {
    let failed = |error: std::io::Error| QueryError::Process { cause: error.to_string() };
    let mut table = Builder::new(&spans::schema()).map_err(failed)?;
    for file in &args.file {
        let mut spans = files::open(file, Options { rescale: true, ..Options::default() }, Damage::Refuse)?;
        for batch in spans.by_ref() {
            table.push(batch?.record_batch()).map_err(failed)?;
        }
        // Beside the answer, which programs read.
        spans.notes().iter().try_for_each(|note| writeln!(std::io::stderr(), "headroom: {note}"))?;
    }
    ask_tables(args, &[("spans", &table)], query, out)
}

/// Tables of a history, each row as often as a part of its sum was written.
fn ask_history(args: &Args, query: &str, out: &mut dyn Write) -> Result<Answer, Error> {
    let failed = |error: std::io::Error| QueryError::Process { cause: error.to_string() };
    let mut reader = Reader::new(Store::open(args.history.as_deref().unwrap_or_default())?);
    let runtime = Runtime::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
    let mut tables: Vec<(&str, Builder)> = Vec::new();
    for of in Of::ALL {
        let schema = with_cluster(&of.schema());
        let beside = tables.first().map(|(_, first)| first.beside(&schema));
        let mut table = beside.unwrap_or_else(|| Builder::new(&schema)).map_err(failed)?;
        // A table can be named in no other way.
        if query.to_ascii_lowercase().contains(of.name()) {
            runtime.block_on(reader.each_batch(of, |cluster, batch| {
                let clusters: ArrayRef = Arc::new(StringArray::from_iter_values(vec![cluster; batch.num_rows()]));
                let columns = [clusters].into_iter().chain(batch.columns().iter().cloned()).collect();
                let batch = RecordBatch::try_new(schema.clone(), columns).map_err(std::io::Error::other);
                Ok::<(), Error>(batch.and_then(|batch| table.push(&batch)).map_err(failed)?)
            }))?;
        }
        tables.push((of.name(), table));
    }
    if reader.broken() > 0 {
        writeln!(
            std::io::stderr(),
            "headroom: {} files are no Parquet of their table; what was in them is missing",
            reader.broken()
        )?;
    }
    let tables: Vec<(&str, &Builder)> = tables.iter().map(|(name, table)| (*name, table)).collect();
    ask_tables(args, &tables, query, out)
}

fn with_cluster(schema: &Schema) -> Arc<Schema> {
    let cluster = Arc::new(Field::new("cluster", DataType::Utf8, false));
    let fields = [cluster].into_iter().chain(schema.fields().iter().cloned());
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn ask_tables(args: &Args, tables: &[(&str, &Builder)], query: &str, out: &mut dyn Write) -> Result<Answer, Error> {
    let failed = |error: std::io::Error| QueryError::Process { cause: error.to_string() };
    // The caller's own machine, and their own question; the bound ends a runaway before the machine suffers.
    let limits = Limits {
        memory_bytes: MEMORY_BYTES,
        process_bytes: MEMORY_BYTES + (1 << 30),
        cpu_s: None,
        partitions: std::thread::available_parallelism().map_or(1, usize::from),
    };
    let program = Program::own().map_err(failed)?;
    let (mut columns, mut rows) = (None, Vec::new());
    let ended = sql::ask_once(&program, tables, query, limits, |line| {
        match &columns {
            None => columns = Some(serde_json::from_str::<Vec<String>>(line)?),
            Some(_) if args.json => writeln!(out, "{line}")?,
            Some(_) => rows.push(serde_json::from_str(line)?),
        }
        Ok(())
    })?;
    ended?;
    if !args.json {
        let columns = columns.unwrap_or_default();
        let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
        write!(out, "{}", if args.csv { csv_of(&columns, &rows) } else { table_of(&columns, &rows) })?;
    }
    Ok(Answer::Yes)
}

fn ask_server(args: &Args, query: &str, out: &mut dyn Write) -> Result<Answer, Error> {
    let answer = args.server.post(&["sql"], &json!({"query": query}))?;
    let rows = answer["rows"].as_array().map(Vec::as_slice).unwrap_or_default();
    if args.json {
        for row in rows {
            writeln!(out, "{row}")?;
        }
    } else {
        let columns: Vec<&str> =
            (answer["columns"].as_array().into_iter().flatten()).filter_map(|column| column["name"].as_str()).collect();
        write!(out, "{}", if args.csv { csv_of(&columns, rows) } else { table_of(&columns, rows) })?;
    }
    if answer["truncated"] == true {
        // Beside the answer, which programs read.
        writeln!(std::io::stderr(), "headroom: the answer was cut short; add a limit, or raise api.sql_rows_max")?;
    }
    Ok(Answer::Yes)
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        // Who names a service may not write on the terminal of who asks for it.
        Value::String(text) => printable(text).into_owned(),
        other => other.to_string(),
    }
}

fn csv_of(columns: &[&str], rows: &[Value]) -> String {
    let head = columns.iter().map(|name| printable(name).into_owned()).collect();
    let line = |row: &Value| columns.iter().map(|name| cell(&row[*name])).collect();
    csv(&std::iter::once(head).chain(rows.iter().map(line)).collect::<Vec<_>>())
}

/// The frame that Arrow draws, around cells that came as JSON.
fn table_of(columns: &[&str], rows: &[Value]) -> String {
    let mut lines: Vec<Vec<String>> = vec![columns.iter().map(|name| printable(name).into_owned()).collect()];
    lines.extend(rows.iter().map(|row| columns.iter().map(|name| cell(&row[*name])).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0))
        .collect();
    let rule = format!("+{}\n", widths.iter().map(|width| format!("{}+", "-".repeat(width + 2))).collect::<String>());
    let mut text = rule.clone();
    for (index, line) in lines.iter().enumerate() {
        let cells: String = line.iter().zip(&widths).map(|(cell, width)| format!(" {cell:width$} |")).collect();
        text.push_str(&format!("|{cells}\n"));
        if index == 0 {
            text.push_str(&rule);
        }
    }
    text.push_str(&rule);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_in_a_terminal_is_shown_and_does_not_act() {
        let rows = [json!({"service": "shop\u{1b}[31m\nforged"})];
        let drawn = table_of(&["service"], &rows);
        assert!(drawn.contains(r"shop\u{1b}[31m\nforged") && !drawn.contains('\u{1b}'), "{drawn}");
    }

    #[test]
    fn cells_of_csv_are_quoted_where_they_must_be() {
        let rows = [json!({"operation": "GET /a,b \"x\"", "n": 12}), json!({"operation": null, "n": 1.5})];
        assert_eq!(csv_of(&["operation", "n"], &rows), "operation,n\r\n\"GET /a,b \"\"x\"\"\",12\r\n,1.5\r\n");
    }

    #[test]
    fn an_answer_reads_as_a_table() {
        let rows = [json!({"service": "auth", "n": 12}), json!({"service": "ingress", "n": null})];
        insta::assert_snapshot!(table_of(&["service", "n"], &rows), @"
        +---------+----+
        | service | n  |
        +---------+----+
        | auth    | 12 |
        | ingress |    |
        +---------+----+
        ");
    }
}
