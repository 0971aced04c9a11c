//! What a calendar may ask for at most: whatever stands in a feed, its effect is bounded and what was left out is said.

use std::time::Duration;

/// Of one calendar. A faculty's year has some thousand events of a kilobyte each; a feed a hundred times that is another
/// file, or one that nobody should hold in memory.
pub const FEED_BYTES_MAX: u64 = 16 << 20;

/// Components of one calendar: far more than a university announces in a year.
pub const COMPONENTS_MAX: usize = 50_000;

/// Instants that are looked at of one recurrence. A daily lecture since 1900 has 46 000; one every second has no end.
pub const STEPS_MAX: usize = 100_000;

/// Instants that are looked at of all recurrences of one calendar, so that a thousand endless ones take no more than some.
pub const STEPS_IN_ALL_MAX: usize = 1_000_000;

/// Occurrences of one calendar in the time that is looked at.
pub const OCCURRENCES_MAX: usize = 10_000;

/// Problems that are told one by one; more are counted.
pub const PROBLEMS_MAX: usize = 100;

/// An event that lasts longer is no burst but a minimum, which has a setting of its own. Its floor ends after this.
pub const LASTS_MAX: Duration = Duration::from_secs(24 * 3_600);

/// Titles and names are shown and journalled: what is longer is cut.
pub const TEXT_MAX: usize = 200;

/// A text of somebody else, as it is shown: one line, printable, of a bounded length.
pub fn shown(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    let line = line.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(TEXT_MAX) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

/// Whether a text is a calendar from its first line to its last: what is cut off, or another page, is none.
pub fn is_whole_calendar(text: &str) -> bool {
    let text = text.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
    let is = |part: Option<&str>, word: &str| part.is_some_and(|part| part.eq_ignore_ascii_case(word));
    let (begin, end) = ("BEGIN:VCALENDAR", "END:VCALENDAR");
    let tail = text.len().checked_sub(end.len()).and_then(|from| text.get(from..));
    is(text.get(..begin.len()), begin) && is(tail, end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_cut_off_or_another_page_is_no_calendar() {
        assert!(is_whole_calendar("\u{feff}BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"));
        for text in
            ["", "<html>", "BEGIN:VCALENDAR\r\nBEGIN:VEVENT", "é", "END:VCALENDAR", "BEGIN:VCALENDAR\nEND:VCALENDÄR"]
        {
            assert!(!is_whole_calendar(text), "{text}");
        }
    }

    #[test]
    fn texts_of_others_are_one_printable_line_of_a_bounded_length() {
        assert_eq!(shown(" a\u{7}b\n c "), "a b c");
        assert_eq!(shown(&"é".repeat(TEXT_MAX + 1)).chars().count(), TEXT_MAX + 1);
    }
}
