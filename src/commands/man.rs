//! `headroom man`: a manual page for each command, from the same words as its help.

use std::fmt::Write as _;
use std::io::Write;
use std::path::PathBuf;

use clap::{Arg, Command, CommandFactory};

use super::Cli;
use super::answer::Answer;
use super::error::Error;

/// Write the manual pages into a directory.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  headroom man /usr/local/share/man/man1

Exit codes: 0 done; 2 usage error, or the directory cannot be written.")]
pub struct Args {
    /// A directory that exists
    directory: PathBuf,
}

pub fn run(args: Args, out: &mut dyn Write) -> Result<Answer, Error> {
    let pages = pages();
    for (name, page) in &pages {
        let path = args.directory.join(format!("{name}.1"));
        std::fs::write(&path, page).map_err(|source| Error::Write { path, source })?;
    }
    writeln!(out, "{} pages in {}", pages.len(), args.directory.display())?;
    Ok(Answer::Yes)
}

/// Names and pages: of the program, and of every command that its help lists.
fn pages() -> Vec<(String, String)> {
    let mut cli = Cli::command();
    cli.build();
    let commands = cli.get_subcommands().filter(|command| !command.is_hide_set() && command.get_name() != "help");
    let of_commands = commands.map(|command| {
        let name = format!("headroom-{}", command.get_name());
        let page = page(&name, command);
        (name, page)
    });
    [("headroom".to_owned(), page("headroom", &cli))].into_iter().chain(of_commands).collect()
}

fn page(name: &str, command: &Command) -> String {
    let mut page = String::new();
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    let usage = command.clone().render_usage().to_string();
    let mut add = |text: std::fmt::Arguments<'_>| _ = page.write_fmt(text); // writing to a String cannot fail
    add(format_args!(".TH \"{}\" 1 \"\" \"headroom {}\"\n", name.to_uppercase(), env!("CARGO_PKG_VERSION")));
    add(format_args!(".SH NAME\n{} \\- {}\n", text(name), text(&about)));
    add(format_args!(".SH SYNOPSIS\n{}\n", text(usage.trim_start_matches("Usage: "))));
    let commands: Vec<&Command> = command.get_subcommands().filter(|command| !command.is_hide_set()).collect();
    if !commands.is_empty() {
        add(format_args!(".SH COMMANDS\n"));
    }
    for command in commands {
        let about = command.get_about().map(ToString::to_string).unwrap_or_default();
        add(format_args!(".TP\n\\fB{}\\fR\n{}\n", text(command.get_name()), text(&about)));
    }
    let arguments: Vec<&Arg> = command.get_arguments().filter(|argument| !argument.is_hide_set()).collect();
    if !arguments.is_empty() {
        add(format_args!(".SH OPTIONS\n"));
    }
    for argument in arguments {
        add(format_args!(".TP\n{}\n{}\n", heading(argument), text(&described(argument))));
    }
    if let Some(after) = command.get_after_help() {
        // Laid out by hand: columns and lines stay.
        add(format_args!(".SH NOTES\n.nf\n{}\n.fi\n", text(&after.to_string())));
    }
    page
}

/// `-o, --output FORMAT`, or the name of what has no flag.
fn heading(argument: &Arg) -> String {
    let short = argument.get_short().map(|short| format!("-{short}"));
    let long = argument.get_long().map(|long| format!("--{long}"));
    let flags: Vec<String> = short.into_iter().chain(long).map(|flag| format!("\\fB{}\\fR", text(&flag))).collect();
    let takes_value = argument.get_action().takes_values();
    let names = argument.get_value_names().filter(|_| takes_value).unwrap_or_default();
    let values: Vec<String> = names.iter().map(|name| format!("\\fI{}\\fR", text(name))).collect();
    [flags.join(", "), values.join(" ")].into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join(" ")
}

/// What it is for, what it may be, and what holds without it.
fn described(argument: &Arg) -> String {
    let mut text = argument.get_help().map(ToString::to_string).unwrap_or_default();
    let choices: Vec<String> = (argument.get_possible_values().iter())
        .filter(|value| !value.is_hide_set())
        .map(|value| value.get_name().to_owned())
        .collect();
    let is_switch = !argument.get_action().takes_values();
    if !choices.is_empty() && !is_switch {
        text.push_str(&format!(" (one of {})", choices.join(", ")));
    }
    let defaults: Vec<_> = argument.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    if !defaults.is_empty() && !is_switch {
        text.push_str(&format!(" (default: {})", defaults.join(" ")));
    }
    if let Some(variable) = argument.get_env() {
        text.push_str(&format!(" (environment: {})", variable.to_string_lossy()));
    }
    text
}

/// As roff takes it: no escapes, no requests at the beginning of a line, hyphens that can be copied.
fn text(raw: &str) -> String {
    let escaped = raw.replace('\\', "\\e").replace('-', "\\-");
    let line = |line: &str| if line.starts_with(['.', '\'']) { format!("\\&{line}") } else { line.to_owned() };
    escaped.lines().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_made_of_the_words_of_the_help() {
        let pages = pages();
        let (_, page) = pages.iter().find(|(name, _)| name == "headroom-pause").unwrap();
        insta::assert_snapshot!(page);
        assert!(pages.iter().all(|(_, page)| page.contains("\n.SH SYNOPSIS\n")));
        assert!(pages.iter().all(|(name, _)| !name.contains("sql-child") && !name.contains("man")));
    }

    #[test]
    fn what_roff_would_act_on_is_text() {
        assert_eq!(text(".TH x\na\\b --c"), "\\&.TH x\na\\eb \\-\\-c");
    }
}
