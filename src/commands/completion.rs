//! `headroom completion`: the completion script of a shell.

use std::io::Write;

use clap::{CommandFactory, ValueEnum};

use super::Cli;
use super::answer::Answer;
use super::error::Error;

/// Print the completion script of a shell.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom completion bash > /etc/bash_completion.d/headroom
  headroom completion zsh > ~/.zfunc/_headroom
  headroom completion fish > ~/.config/fish/completions/headroom.fish")]
pub struct Args {
    shell: Shell,
}

#[derive(Clone, Copy, ValueEnum)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let shell = match args.shell {
        Shell::Bash => clap_complete::Shell::Bash,
        Shell::Zsh => clap_complete::Shell::Zsh,
        Shell::Fish => clap_complete::Shell::Fish,
    };
    // Into memory first: the generator panics where a pipe closes.
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "headroom", &mut script);
    out.write_all(&script)?;
    Ok(Answer::Yes)
}
