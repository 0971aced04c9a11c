//! How an answer is printed: for people, or one document for programs; of tables also as CSV.

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;

use super::error::Error;
use super::table::{aligned, csv};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Text,
    /// For people, with all there is
    Wide,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
}

#[derive(clap::Args)]
pub struct Output {
    /// How to print the answer
    #[arg(long, short, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    output: Format,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

impl Output {
    pub fn format(&self) -> Format {
        if self.json { Format::Json } else { self.output }
    }

    /// Prints the document where a program reads; false: a person does.
    pub fn document(&self, document: &Value, out: &mut dyn Write) -> Result<bool, Error> {
        match self.format() {
            Format::Json => writeln!(out, "{document:#}")?,
            // What JSON holds YAML holds too.
            Format::Yaml => write!(out, "{}", serde_saphyr::to_string(document).unwrap_or_default())?,
            Format::Text | Format::Wide => return Ok(false),
        }
        Ok(true)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// For people
    Text,
    /// For people, with all there is
    Wide,
    /// One JSON document
    Json,
    /// One YAML document
    Yaml,
    /// The rows, with a head, for spreadsheets
    Csv,
}

/// As [`Output`], for an answer that is a table.
#[derive(clap::Args)]
pub struct TableOutput {
    /// How to print the answer
    #[arg(long, short, value_name = "FORMAT", value_enum)]
    output: Option<TableFormat>,
    /// The same as --output json
    #[arg(long, conflicts_with = "output")]
    json: bool,
}

/// Rows, the first of them the head.
pub struct Table(pub Vec<Vec<String>>);

impl TableOutput {
    pub fn format(&self) -> TableFormat {
        if self.json { TableFormat::Json } else { self.output.unwrap_or(TableFormat::Text) }
    }

    pub fn is_asked_for(&self) -> bool {
        self.json || self.output.is_some()
    }

    pub fn is_wide(&self) -> bool {
        matches!(self.format(), TableFormat::Wide | TableFormat::Csv)
    }

    /// Prints the document, or the tables; as CSV the last of them.
    pub fn print(&self, document: &Value, tables: &[Table], out: &mut dyn Write) -> Result<(), Error> {
        match self.format() {
            TableFormat::Json => writeln!(out, "{document:#}")?,
            TableFormat::Yaml => write!(out, "{}", serde_saphyr::to_string(document).unwrap_or_default())?,
            TableFormat::Csv => {
                if let Some(Table(rows)) = tables.last() {
                    write!(out, "{}", csv(rows))?;
                }
            }
            TableFormat::Text | TableFormat::Wide => {
                for (n, Table(rows)) in tables.iter().enumerate() {
                    if n > 0 {
                        writeln!(out)?;
                    }
                    aligned(rows).iter().try_for_each(|line| writeln!(out, "{line}"))?;
                }
            }
        }
        Ok(())
    }
}
