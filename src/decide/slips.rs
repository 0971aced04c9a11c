//! Slips in a rule's text that no run of it shows: a verdict that does not exist is compared with in vain.
//!
//! Found in the text rather than in the compiled rule, whose closures and switches show nothing of it.

use crate::analyse::Verdict;
use crate::model::nearest;

/// Texts that a `….verdict` is compared with and that are none: their places in the text, and what is wrong.
pub(super) fn verdicts(source: &str) -> Vec<(usize, String)> {
    let tokens = tokens(source);
    let known = Verdict::ALL.map(Verdict::as_str);
    let mut slips = Vec::new();
    for place in 1..tokens.len() {
        if tokens[place].1 != Token::Name("verdict") || tokens[place - 1].1 != Token::Sign(".") {
            continue;
        }
        for (at, text) in compared(&tokens, place).into_iter().filter(|(_, text)| !known.contains(text)) {
            let hint = match nearest(text, &known) {
                Some(verdict) => format!("did you mean `{verdict}`?"),
                None => format!("the verdicts are {}", known.join(", ")),
            };
            slips.push((at, format!("no verdict is called `{text}`; {hint}")));
        }
    }
    slips
}

/// The texts that the verdict at this place is compared with: `== "…"`, `"…" ==`, `in ["…"]`, `switch … { "…" => }`.
fn compared<'a>(tokens: &[(usize, Token<'a>)], place: usize) -> Vec<(usize, &'a str)> {
    let token = |place: usize| tokens.get(place).map(|(_, token)| *token);
    let text = |place: usize| match tokens.get(place) {
        Some((at, Token::Text(text))) => Some((*at, *text)),
        _ => None,
    };
    let is_equality = |token: Option<Token<'_>>| matches!(token, Some(Token::Sign("==" | "!=")));
    if is_equality(token(place + 1)) {
        return text(place + 2).into_iter().collect();
    }
    if (token(place + 1), token(place + 2)) == (Some(Token::Name("in")), Some(Token::Sign("["))) {
        let end = (place + 3..tokens.len()).find(|place| token(*place) == Some(Token::Sign("]")));
        return (place + 3..end.unwrap_or(place + 3)).filter_map(text).collect();
    }
    // The beginning of `now.bottleneck.verdict`.
    let mut first = place;
    while first >= 2 && token(first - 1) == Some(Token::Sign(".")) && matches!(token(first - 2), Some(Token::Name(_))) {
        first -= 2;
    }
    let before = |n: usize| first.checked_sub(n).and_then(token);
    if is_equality(before(1)) {
        return first.checked_sub(2).and_then(text).into_iter().collect();
    }
    if before(1) == Some(Token::Name("switch")) && token(place + 1) == Some(Token::Sign("{")) {
        return cases(tokens, place + 2);
    }
    Vec::new()
}

/// The texts of a switch's cases, whose first token this is.
fn cases<'a>(tokens: &[(usize, Token<'a>)], first: usize) -> Vec<(usize, &'a str)> {
    let (mut depth, mut texts) = (1, Vec::new());
    for (place, (at, token)) in tokens.iter().enumerate().skip(first) {
        match token {
            Token::Sign("{" | "(" | "[") => depth += 1,
            Token::Sign("}" | ")" | "]") => depth -= 1,
            Token::Text(text) if depth == 1 => {
                let is_case = matches!(tokens.get(place + 1), Some((_, Token::Sign("=>" | "|"))));
                texts.extend(is_case.then_some((*at, *text)));
            }
            Token::Text(_) | Token::Name(_) | Token::Sign(_) => {}
        }
        if depth == 0 {
            break;
        }
    }
    texts
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Token<'a> {
    Name(&'a str),
    /// What stands between double quotes.
    Text(&'a str),
    Sign(&'a str),
}

/// The tokens of a text with their places. Comments are left out; a text with insertions is one sign.
fn tokens(source: &str) -> Vec<(usize, Token<'_>)> {
    let bytes = source.as_bytes();
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
    let mut tokens = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let rest = &source[at..];
        let length = match bytes[at] {
            byte if byte.is_ascii_whitespace() => 1,
            _ if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            _ if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            b'"' => {
                let length = quoted(rest.as_bytes(), b'"');
                tokens.push((at, Token::Text(rest[1..length].trim_end_matches('"'))));
                length
            }
            b'`' => {
                let length = quoted(rest.as_bytes(), b'`');
                tokens.push((at, Token::Sign("`")));
                length
            }
            byte if is_name(&byte) => {
                let length = rest.bytes().take_while(is_name).count();
                tokens.push((at, Token::Name(&rest[..length])));
                length
            }
            _ => {
                let two = ["==", "!=", "=>"].into_iter().find(|two| rest.starts_with(two));
                let length = two.map_or_else(|| rest.chars().next().map_or(1, char::len_utf8), str::len);
                tokens.push((at, Token::Sign(&rest[..length])));
                length
            }
        };
        at += length;
    }
    tokens
}

/// The length of a text with its quotes, insertions `${…}` and what they hold included.
fn quoted(bytes: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            byte if byte == quote => return at + 1,
            b'\\' if quote == b'"' => at += 1,
            b'$' if quote == b'`' && bytes.get(at + 1) == Some(&b'{') => {
                let mut depth = 0;
                while at < bytes.len() {
                    match bytes[at] {
                        b'{' => depth += 1,
                        b'}' => depth -= 1,
                        b'"' => at += quoted(&bytes[at..], b'"') - 1,
                        b'`' => at += quoted(&bytes[at..], b'`') - 1,
                        _ => {}
                    }
                    if depth == 0 && bytes[at] == b'}' {
                        break;
                    }
                    at += 1;
                }
            }
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn slips(source: &str) -> Vec<String> {
        verdicts(source).into_iter().map(|(at, slip)| format!("{at}: {slip}")).collect()
    }

    #[test]
    fn each_way_to_compare_is_looked_at() {
        assert_eq!(
            slips(r#"b.verdict == "saturatd""#),
            ["13: no verdict is called `saturatd`; did you mean `saturated`?"]
        );
        assert_eq!(slips(r#"if "slow" != now.bottleneck.verdict {}"#).len(), 1);
        assert_eq!(slips(r#"b.verdict in ["failing", "lost"]"#).len(), 1);
        assert_eq!(slips(r#"switch b.verdict { "failing" => { "x" }, "gone" | "lost" => "y", _ => () }"#).len(), 2);
        assert_eq!(slips(r#"`${b.verdict == "x"} "` + (b.verdict == "blind") // b.verdict == "y""#), [""; 0]);
        assert_eq!(slips(r#"b.entry == "x" && b.verdict == x && "y" == "z""#), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_looked_through(source in "[a-z.\"`${}=!\\\\/*\\[\\] é]{0,60}") {
            verdicts(&source);
        }
    }
}
