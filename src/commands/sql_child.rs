//! `headroom sql-child`: runs the statements of the program that started it. Nobody else has a use for it.

use super::answer::Answer;
use super::error::Error;
use crate::sql::child;

/// Answer the SQL of the headroom that started this process.
#[derive(clap::Args)]
pub struct Args {}

pub fn run(_: Args) -> Result<Answer, Error> {
    child::serve()?;
    Ok(Answer::Yes)
}
