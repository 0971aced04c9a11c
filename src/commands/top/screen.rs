//! The live table: asked anew every few seconds, drawn again at each key.

use std::io::Write;

use super::board::{Board, Sort};
use super::{Args, ask};
use crate::clock::Stopwatch;
use crate::commands::error::Error;
use crate::commands::keys::{Key, Keys};
use crate::commands::table::aligned;
use crate::commands::terminal::Terminal;
use crate::model::printable;

/// Endpoints take this part of the screen at most.
const ENTRIES_PART: usize = 3;
/// On a screen with fewer lines than these for both, services alone are shown.
const ENTRIES_FROM: usize = 6;

/// What is shown beside the board.
struct View {
    sort: Sort,
    chosen: usize,
    /// The explanation of the chosen service, in lines, and the first that is shown.
    explained: Option<(Vec<String>, usize)>,
    /// Why the last question was not answered.
    failure: Option<String>,
}

/// Until a key ends it.
pub fn show(args: &Args, terminal: Terminal, mut board: Board, out: &mut dyn Write) -> Result<(), Error> {
    let mut keys = Keys::read()?;
    let mut view = View { sort: args.sort, chosen: 0, explained: None, failure: None };
    let mut asked = Stopwatch::start();
    loop {
        let (width, height) = Terminal::size();
        terminal.draw(&lines(&board, &view, width, height, terminal.colour), out)?;
        match keys.next()? {
            Some(Key::Quit) if view.explained.is_some() => view.explained = None,
            Some(Key::Quit) => return Ok(terminal.leave(out)?),
            Some(key) => press(&mut view, &mut board, key, args, height),
            None if asked.elapsed() < args.every => {}
            None => {
                match ask(&args.server) {
                    Ok(fresh) => {
                        board = fresh;
                        board.sort(view.sort);
                        view.failure = None;
                    }
                    Err(error) => view.failure = Some(error.to_string()),
                }
                asked = Stopwatch::start();
            }
        }
    }
}

fn press(view: &mut View, board: &mut Board, key: Key, args: &Args, height: usize) {
    match (key, &mut view.explained) {
        (Key::Up, Some((_, first))) => *first = first.saturating_sub(1),
        (Key::Down, Some((lines, first))) => *first = (*first + 1).min(lines.len().saturating_sub(height / 2)),
        (Key::Up, None) => view.chosen = view.chosen.saturating_sub(1),
        (Key::Down, None) => view.chosen = (view.chosen + 1).min(board.services.len().saturating_sub(1)),
        (Key::Enter | Key::Letter(b'e'), None) => {
            let Some(service) = board.services.get(view.chosen) else { return };
            let told = match args.server.get(&["explain", &service.service]) {
                Ok(explanation) => explanation["text"].as_str().unwrap_or_default().to_owned(),
                Err(error) => error.to_string(),
            };
            view.explained = Some((told.lines().map(|line| printable(line).into_owned()).collect(), 0));
        }
        (Key::Letter(letter), None) => {
            if let Some(sort) = Sort::by_key(letter) {
                view.sort = sort;
                board.sort(sort);
            }
        }
        (Key::Quit | Key::Enter | Key::Letter(_), _) => {}
    }
}

/// The screen, line by line, within its size.
fn lines(board: &Board, view: &View, width: usize, height: usize, colour: bool) -> Vec<String> {
    let cut = |line: &str| line.chars().take(width).collect::<String>();
    let paused = if board.paused { ", paused" } else { "" };
    let head = format!("headroom top  {}  {}{paused}  {}", board.at, board.mode, printable(&board.summary));
    let foot = match (&view.failure, &view.explained) {
        (Some(failure), _) => failure.clone(),
        (None, Some(_)) => "up, down: scroll   q: back".to_owned(),
        (None, None) => {
            "v n l h w: sort by verdict, name, load, headroom, waiting   up, down, Enter: explain   q: quit".to_owned()
        }
    };
    let room = height.saturating_sub(3);
    let mut lines = vec![cut(&head), String::new()];
    if let Some((explained, first)) = &view.explained {
        lines.extend(explained.iter().skip(*first).take(room).map(|line| cut(line)));
    } else {
        if room >= ENTRIES_FROM {
            let entries = aligned(&board.entry_rows());
            lines.extend(entries.iter().take(room / ENTRIES_PART).map(|line| cut(line)));
            lines.push(String::new());
        }
        let left = height.saturating_sub(lines.len() + 1);
        let services = aligned(&board.service_rows(width >= 140));
        // The head stays; below it the chosen one is always seen.
        let below = left.saturating_sub(1).max(1);
        let first = (view.chosen + 1).saturating_sub(below);
        lines.extend(services.first().map(|line| cut(line)));
        for (n, line) in services.iter().skip(1).enumerate().skip(first).take(below) {
            let line = cut(line);
            let marked = n == view.chosen;
            lines.push(if marked && colour {
                format!("\x1b[7m{line}\x1b[0m")
            } else if marked {
                format!("> {line}")
            } else {
                line
            });
        }
    }
    lines.resize(height.saturating_sub(1), String::new());
    lines.push(cut(&foot));
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_is_kept_to_and_the_chosen_service_is_seen() {
        let service = |n: usize| super::super::board::Service {
            service: format!("service-with-a-long-name-{n:02}"),
            verdict: "healthy".into(),
            arrivals_per_s: 1.0,
            capacity_per_s: None,
            headroom: None,
            waiting_ms: 0.0,
            p99_ms: 1.0,
            error_share: 0.0,
            replicas: 1,
            ready: 1,
            needed: None,
            last_action: None,
        };
        let board = Board { services: (0..50).map(service).collect(), ..Board::default() };
        for (width, height) in [(80, 24), (40, 10), (20, 5)] {
            let view = View { sort: Sort::Name, chosen: 40, explained: None, failure: None };
            let lines = lines(&board, &view, width, height, false);
            assert_eq!(lines.len(), height);
            let fits = |line: &String| line.chars().count() <= width + 2; // with its mark
            assert!(lines.iter().all(fits), "{width}x{height}: {lines:#?}");
            assert!(lines.iter().any(|line| line.starts_with("> service-with-a-lo")), "{lines:#?}");
        }
    }
}
