//! The command line: parse, dispatch, and the one place where an answer becomes an exit code.

use std::io::{self, BufWriter, Write};
use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;
use headroom::commands::{Answer, Cli, Error};

/// The system's allocator contends between the threads of the receivers and keeps memory it does not need.
#[cfg(feature = "mimalloc")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The answer is no.
const NO: u8 = 1;
/// Usage or input error.
const USAGE: u8 = 2;

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return unparsed(&error),
    };
    let mut out = BufWriter::new(io::stdout().lock());
    let answer = cli.command.run(&mut out).and_then(|answer| {
        out.flush()?;
        Ok(answer)
    });
    match answer {
        Ok(Answer::Yes) => ExitCode::SUCCESS,
        Ok(Answer::No) => ExitCode::from(NO),
        Err(error) if error.is_closed_pipe() => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &Error) -> ExitCode {
    // Where nobody reads the error there is nobody to tell that either.
    let _ = writeln!(io::stderr(), "headroom: {error}");
    ExitCode::from(USAGE)
}

/// Help and version were asked for; anything else is a usage error, told in one line.
fn unparsed(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            ExitCode::SUCCESS
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            let _ = error.print();
            ExitCode::from(USAGE)
        }
        _ => {
            let text = error.to_string();
            let lines = (text.lines().map(str::trim))
                .take_while(|line| !line.starts_with("Usage:") && !line.starts_with("For more information"))
                .filter(|line| !line.is_empty());
            let mut cause = String::new();
            for line in lines {
                // A tip is a sentence of its own.
                match line.strip_prefix("tip: ") {
                    Some(tip) => cause.push_str(&format!("; {tip}")),
                    None if cause.is_empty() => cause.push_str(line.strip_prefix("error: ").unwrap_or(line)),
                    None => cause.push_str(&format!(" {line}")),
                }
            }
            let _ = writeln!(io::stderr(), "headroom: {cause}; see `headroom --help`");
            ExitCode::from(USAGE)
        }
    }
}
