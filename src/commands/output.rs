//! How an answer is printed: for people, or one document for programs.

use std::io::Write;

use clap::ValueEnum;
use serde_json::Value;

use super::error::Error;

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

    pub fn is_wide(&self) -> bool {
        self.format() == Format::Wide
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
