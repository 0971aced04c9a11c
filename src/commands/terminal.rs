//! The terminal that a picture is drawn on: how large it is, whether it takes colour, and that it is left as it was.

use std::io::{self, IsTerminal, Write};

/// Alternate screen, cursor hidden.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
/// Cursor shown, the screen as it was before.
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";
const HOME: &str = "\x1b[H";
const CLEAR_BELOW: &str = "\x1b[J";

/// Left as it was when dropped, whatever the reason.
pub struct Terminal {
    pub colour: bool,
}

impl Terminal {
    /// None where standard output is no terminal, or one that cannot move its cursor.
    pub fn enter(out: &mut dyn Write) -> io::Result<Option<Terminal>> {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb" || term.is_empty());
        if dumb || !io::stdout().is_terminal() {
            return Ok(None);
        }
        out.write_all(ENTER.as_bytes())?;
        out.flush()?;
        // By the convention of no-color.org: set and not empty.
        let colour = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
        Ok(Some(Terminal { colour }))
    }

    /// Columns and rows as they are now: a window may be resized at any time.
    pub fn size() -> (usize, usize) {
        let size = terminal_size::terminal_size();
        size.map_or((80, 24), |(width, height)| (usize::from(width.0), usize::from(height.0)))
    }

    /// Draws over what was there, so that nothing flickers.
    pub fn draw(&self, lines: &[String], out: &mut dyn Write) -> io::Result<()> {
        let mut frame = HOME.to_owned();
        for (index, line) in lines.iter().enumerate() {
            if index > 0 {
                frame.push_str("\r\n");
            }
            frame.push_str(line);
            frame.push_str("\x1b[K");
        }
        frame.push_str(CLEAR_BELOW);
        out.write_all(frame.as_bytes())?;
        out.flush()
    }

    /// What comes after is written on the screen as it was before.
    pub fn leave(self, out: &mut dyn Write) -> io::Result<()> {
        out.flush()
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let mut out = io::stdout();
        // A terminal that has gone needs no restoring.
        let _ = out.write_all(LEAVE.as_bytes()).and_then(|()| out.flush());
    }
}
