//! Keys of the terminal as they are pressed, without Enter and without an echo.

use std::io::{self, Read};
use std::os::fd::AsFd;

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};

/// A key that means something.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key {
    Up,
    Down,
    Enter,
    /// `q`, Escape, Ctrl-C, or the end of the input.
    Quit,
    Letter(u8),
}

/// The terminal is as it was when this is dropped.
pub struct Keys {
    before: Termios,
    read: Vec<u8>,
}

/// Tenths of a second that one look at the keyboard waits.
const PATIENCE_TENTHS: u8 = 1;

impl Keys {
    pub fn read() -> io::Result<Keys> {
        let stdin = io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut raw = before.clone();
        // Ctrl-C comes as a key, so that the screen is left as it was.
        raw.local_modes -= LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG;
        raw.special_codes[SpecialCodeIndex::VMIN] = 0;
        raw.special_codes[SpecialCodeIndex::VTIME] = PATIENCE_TENTHS;
        tcsetattr(stdin.as_fd(), OptionalActions::Now, &raw)?;
        Ok(Keys { before, read: Vec::new() })
    }

    /// The next key; None where none is pressed for a moment.
    pub fn next(&mut self) -> io::Result<Option<Key>> {
        if self.read.is_empty() {
            let mut buffer = [0; 32];
            let bytes = io::stdin().lock().read(&mut buffer)?;
            self.read.extend(&buffer[..bytes]);
        }
        Ok(take(&mut self.read))
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        // A terminal that has gone needs no restoring.
        let _ = tcsetattr(io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}

/// Takes the first key of what was read.
fn take(read: &mut Vec<u8>) -> Option<Key> {
    let (key, bytes) = match read.as_slice() {
        [] => return None,
        [0x1b, b'[' | b'O', b'A', ..] => (Key::Up, 3),
        [0x1b, b'[' | b'O', b'B', ..] => (Key::Down, 3),
        // Another key of several bytes means nothing here.
        [0x1b, b'[' | b'O', _, ..] => (Key::Letter(0), read.len()),
        [0x1b | 0x03 | 0x04 | b'q', ..] => (Key::Quit, 1),
        [b'\r' | b'\n', ..] => (Key::Enter, 1),
        [b'k', ..] => (Key::Up, 1),
        [b'j', ..] => (Key::Down, 1),
        [letter, ..] => (Key::Letter(letter.to_ascii_lowercase()), 1),
    };
    read.drain(..bytes);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart() {
        let mut read = b"\x1b[A\x1bOBL\rk\x1b[5~".to_vec();
        let keys: Vec<Key> = std::iter::from_fn(|| take(&mut read)).collect();
        assert_eq!(keys, [Key::Up, Key::Down, Key::Letter(b'l'), Key::Enter, Key::Up, Key::Letter(0)]);
        assert_eq!(take(&mut vec![0x1b]), Some(Key::Quit));
        assert_eq!(take(&mut vec![0x03]), Some(Key::Quit));
    }
}
