//! `headroom completion`: the completion script of a shell.

use std::io::Write;

use clap::builder::PossibleValuesParser;
use clap::{Command, CommandFactory, ValueEnum};

use super::Cli;
use super::answer::Answer;
use super::error::Error;
use crate::simulate::Scenario;

/// Print the completion script of a shell.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom completion bash > /etc/bash_completion.d/headroom
  headroom completion zsh > ~/.zfunc/_headroom
  headroom completion fish > ~/.config/fish/completions/headroom.fish

Names of shipped scenarios and queries are completed too.

Exit codes: 0 done; 2 usage error.")]
pub struct Args {
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

/// Arguments that take a name or a file: a shell completes the names of what is shipped.
fn with_names(cli: Command) -> Command {
    let scenarios = || PossibleValuesParser::new(Scenario::shipped());
    ["demo", "cluster"].into_iter().fold(cli, |cli, name| {
        cli.mut_subcommand(name, |command| command.mut_arg("scenario", |argument| argument.value_parser(scenarios())))
    })
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Into memory first: the generator panics where a pipe closes.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut with_names(Cli::command()), "headroom", &mut script);
    out.write_all(&script)?;
    Ok(Answer::Yes)
}
