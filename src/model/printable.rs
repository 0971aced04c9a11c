//! Text that others wrote, as it may be shown: in a terminal a control character acts, in a log a line break forges a line.

use std::borrow::Cow;
use std::fmt::Write;

/// The same text, with control characters and those that turn the direction of reading escaped as `\u{1b}`.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(acts) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\r' => escaped.push_str("\\r"),
            '\t' => escaped.push_str("\\t"),
            _ if acts(c) => _ = write!(escaped, "\\u{{{:x}}}", u32::from(c)), // writing to a String cannot fail
            _ => escaped.push(c),
        }
    }
    Cow::Owned(escaped)
}

/// C0, DEL, C1, line and paragraph separators, and the bidirectional controls (Unicode Standard Annex 9).
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn what_acts_is_escaped_and_all_else_stays() {
        assert_eq!(printable("GET /exam/{id} — übung 日本"), "GET /exam/{id} — übung 日本");
        assert_eq!(printable("shop\x1b]0;owned\x07\nforged\u{9b}31m"), r"shop\u{1b}]0;owned\u{7}\nforged\u{9b}31m");
        assert_eq!(printable("a\u{202e}b\u{2066}c"), r"a\u{202e}b\u{2066}c");
    }
}
