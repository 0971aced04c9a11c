//! One file a subcommand: the imperative shell around the engine.
//!
//! To add one: a file with `Args` and `run`, its `mod` line, a variant of [`Command`] and an arm of its `run`.

mod answer;
mod check_config;
mod client;
mod cluster;
mod completion;
mod config_schema;
mod crd;
pub mod demo;
mod diagnose;
mod doctor;
mod draw;
mod error;
mod explain;
#[cfg(feature = "forecast")]
mod forecast;
mod give_back;
mod import;
mod keys;
mod man;
mod notify_test;
mod output;
mod pause;
mod queries;
mod query_files;
mod recorded;
mod recording;
mod replay;
mod report;
mod rule_files;
mod scenario;
mod schedule;
mod score;
pub mod serve;
mod sql;
mod sql_child;
mod stations;
mod status;
mod table;
mod terminal;
mod top;
mod traces;
mod version;
mod watched_files;

use std::io::Write;

use clap::{Parser, Subcommand};

pub use answer::Answer;
pub use error::Error;

/// Finds the bottleneck service from OpenTelemetry traces, and acts on that service alone.
#[derive(Parser)]
#[command(name = "headroom", version, propagate_version = true, arg_required_else_help = true, max_term_width = 100)]
#[command(
    after_help = "Exit codes, of every command: 0 done; 1 it did its work, and the answer is no; 2 usage or input error."
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand)]
pub enum Command {
    Serve(serve::Args),
    Diagnose(diagnose::Args),
    Doctor(doctor::Args),
    Score(score::Args),
    Draw(draw::Args),
    Replay(replay::Args),
    Demo(demo::Args),
    #[command(hide = true)]
    Cluster(cluster::Args),
    Sql(sql::Args),
    #[command(hide = true)]
    SqlChild(sql_child::Args),
    Queries(queries::Args),
    Status(status::Args),
    Top(top::Args),
    Explain(explain::Args),
    #[cfg(feature = "forecast")]
    Forecast(forecast::ForecastArgs),
    #[cfg(feature = "forecast")]
    Backtest(forecast::BacktestArgs),
    Report(report::Args),
    Schedule(schedule::Args),
    Import(import::Args),
    Pause(pause::PauseArgs),
    Resume(pause::ResumeArgs),
    GiveBack(give_back::Args),
    CheckConfig(check_config::Args),
    NotifyTest(notify_test::Args),
    ConfigSchema(config_schema::Args),
    Crd(crd::Args),
    Completion(completion::Args),
    #[command(hide = true)]
    Man(man::Args),
    Version(version::Args),
}

impl Command {
    /// Run it; what people and programs read goes to `out`.
    pub fn run(self, out: &mut dyn Write) -> Result<Answer, Error> {
        match self {
            Command::Serve(args) => serve::run(args),
            Command::Diagnose(args) => diagnose::run(args, out),
            Command::Doctor(args) => doctor::run(args, out),
            Command::Score(args) => score::run(args, out),
            Command::Draw(args) => draw::run(args, out),
            Command::Replay(args) => replay::run(args, out),
            Command::Demo(args) => demo::run(args, out),
            Command::Cluster(args) => cluster::run(args, out),
            Command::Sql(args) => sql::run(args, out),
            Command::SqlChild(args) => sql_child::run(args),
            Command::Queries(args) => queries::run(args, out),
            Command::Status(args) => status::run(args, out),
            Command::Top(args) => top::run(args, out),
            Command::Explain(args) => explain::run(args, out),
            #[cfg(feature = "forecast")]
            Command::Forecast(args) => forecast::forecast(args, out),
            #[cfg(feature = "forecast")]
            Command::Backtest(args) => forecast::backtest(args, out),
            Command::Report(args) => report::run(args, out),
            Command::Schedule(args) => schedule::run(args, out),
            Command::Import(args) => import::run(args, out),
            Command::Pause(args) => pause::pause(args, out),
            Command::Resume(args) => pause::resume(args, out),
            Command::GiveBack(args) => give_back::run(args, out),
            Command::CheckConfig(args) => check_config::run(args, out),
            Command::NotifyTest(args) => notify_test::run(args, out),
            Command::ConfigSchema(args) => config_schema::run(args, out),
            Command::Crd(args) => crd::run(args, out),
            Command::Completion(args) => completion::run(args, out),
            Command::Man(args) => man::run(args, out),
            Command::Version(args) => version::run(args, out),
        }
    }
}
