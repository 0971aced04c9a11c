//! `headroom queries`: the SQL that finds the bottleneck.

use std::io::Write;

use arrow::datatypes::SchemaRef;
use clap::builder::PossibleValuesParser;
use serde_json::{Value, json};

use super::answer::Answer;
use super::error::Error;
use crate::analyse::Overrides;
use crate::analyse::rollup::sql::{INPUTS, Query, SHIPPED, Sql, names, query, sql_type};
use crate::engine;

/// Print the queries that find the bottleneck: all names, or the shipped text of one with its schema.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom queries                         the names, and what each answers
  headroom queries blame                   its text, the tables it may read, its columns
  headroom queries blame --text > queries/blame.sql
  headroom queries blame --json | jq -r .text

A file of the same name in the directory `analyse.queries` of the configuration
replaces the shipped text. It is checked at the start and when it changes.

Exit codes: 0 printed; 2 usage or input error.")]
pub struct Args {
    /// One of the names; without it all are listed
    #[arg(value_parser = PossibleValuesParser::new(SHIPPED.map(|query| query.name)))]
    name: Option<String>,
    /// Print the text alone, as a start for a query of your own
    #[arg(long, requires = "name")]
    text: bool,
    /// Print one JSON document
    #[arg(long, conflicts_with = "text")]
    json: bool,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let Some(name) = &args.name else {
        list(args.json, out)?;
        return Ok(Answer::Yes);
    };
    let query = query(name).ok_or_else(|| Error::NoQuery { name: name.clone(), known: names() })?;
    if args.text {
        write!(out, "{}", query.text)?;
        return Ok(Answer::Yes);
    }
    let sql = Sql::plan(&Overrides::new()).map_err(engine::Error::from)?;
    let answer = sql.answer_schema(query.name).ok_or_else(|| Error::NoQuery { name: name.clone(), known: names() })?;
    if args.json {
        writeln!(out, "{:#}", document(query, &answer))?;
    } else {
        page(query, &answer, out)?;
    }
    Ok(Answer::Yes)
}

fn list(json: bool, out: &mut dyn Write) -> Result<(), Error> {
    if json {
        let all = SHIPPED.iter().map(|query| json!({"name": query.name, "answers": query.answers}));
        writeln!(out, "{:#}", json!({"queries": all.collect::<Vec<_>>()}))?;
        return Ok(());
    }
    for query in &SHIPPED {
        writeln!(out, "{:<10} {}", query.name, query.answers)?;
    }
    Ok(())
}

fn document(query: &Query, answer: &SchemaRef) -> Value {
    let column = |(name, kind, meaning): (&str, String, &str)| json!({"name": name, "type": kind, "meaning": meaning});
    let inputs: Vec<Value> = (INPUTS.iter())
        .map(|input| {
            json!({"table": input.name, "row": input.row, "columns": input.columns().map(column).collect::<Vec<_>>()})
        })
        .collect();
    let output: Vec<Value> = columns(query, answer).map(column).collect();
    let order: Vec<String> = query.order.iter().map(|order| order.sql()).collect();
    json!({
        "name": query.name, "answers": query.answers, "text": query.text,
        "inputs": inputs, "output": output, "order": order,
    })
}

fn page(query: &Query, answer: &SchemaRef, out: &mut dyn Write) -> Result<(), Error> {
    writeln!(out, "{}: {}\n", query.name, query.answers)?;
    writeln!(out, "{}", query.text)?;
    let order: Vec<String> = query.order.iter().map(|order| order.sql()).collect();
    writeln!(out, "OUTPUT, ordered by {}", order.join(", "))?;
    rows(columns(query, answer), out)?;
    writeln!(out, "\nINPUT")?;
    for input in INPUTS.iter() {
        writeln!(out, "\n{}: {}", input.name, input.row)?;
        rows(input.columns(), out)?;
    }
    Ok(())
}

/// Name, type and meaning of each column of an answer.
fn columns<'a>(query: &'a Query, answer: &'a SchemaRef) -> impl Iterator<Item = (&'a str, String, &'static str)> {
    let kind = |name: &str| answer.field_with_name(name).map(|field| sql_type(field.data_type())).unwrap_or_default();
    query.columns.iter().map(move |(name, meaning)| (*name, kind(name), *meaning))
}

fn rows<'a>(columns: impl Iterator<Item = (&'a str, String, &'static str)>, out: &mut dyn Write) -> Result<(), Error> {
    for (name, kind, meaning) in columns {
        writeln!(out, "  {name:<20} {kind:<16} {meaning}")?;
    }
    Ok(())
}
