//! `headroom config-schema`: what a configuration may hold, for editors, for people and for the documentation.

use std::io::Write;

use super::answer::Answer;
use super::error::Error;
use crate::api::metrics;
use crate::config::reference;

/// Print what a configuration may hold: a JSON Schema for editors, or the reference file.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom config-schema > headroom.schema.json
  headroom config-schema --as reference > headroom.yaml

An editor with a YAML language server completes and checks a file that begins with
  # yaml-language-server: $schema=headroom.schema.json

Exit codes: 0 printed; 2 usage or input error.")]
pub struct Args {
    /// What to print
    #[arg(long = "as", value_enum, default_value = "json-schema")]
    form: Form,
}

#[derive(Clone, Copy, clap::ValueEnum)]
enum Form {
    /// JSON Schema, draft 2020-12
    JsonSchema,
    /// A configuration with every key, its default and what it means
    Reference,
    /// The table of the documentation
    Markdown,
    /// The tables of metrics in the documentation
    Metrics,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    match args.form {
        Form::JsonSchema => writeln!(out, "{:#}", reference::json_schema())?,
        Form::Reference => write!(out, "{}", reference::reference())?,
        Form::Metrics => write!(out, "{}", metrics::table())?,
        Form::Markdown => write!(out, "{}", reference::table())?,
    }
    Ok(Answer::Yes)
}
