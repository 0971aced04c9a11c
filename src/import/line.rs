//! One line of an access log, in the form that a server writes.

use std::fmt;

use chrono_tz::Tz;

use super::Request;
use super::json;
use super::pattern::{Field, Pattern};
use super::stamp::Stamps;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Apache's and nginx's `combined`, and `common`; what stands behind the size is passed over.
    Combined,
    /// An object a line.
    Json,
    /// Envoy's default.
    Envoy,
    /// AWS' Application Load Balancer.
    Alb,
    Custom(Pattern),
}

impl Format {
    /// As `--format` has it; None for a pattern.
    pub fn name(&self) -> Option<&'static str> {
        match self {
            Format::Combined => Some("combined"),
            Format::Json => Some("json"),
            Format::Envoy => Some("envoy"),
            Format::Alb => Some("alb"),
            Format::Custom(_) => None,
        }
    }

    /// The one that reads most of these lines, and half of them at the least.
    pub fn guess<'l>(lines: impl Iterator<Item = &'l [u8]> + Clone) -> Option<Format> {
        let mut best = (0, None);
        // Combined last: it reads what Envoy writes too.
        for format in [Format::Json, Format::Alb, Format::Envoy, Format::Combined] {
            let mut reader = Reader::new(format.clone(), Stamps::new(Tz::UTC));
            let read = lines.clone().filter(|line| reader.read(line, |_| ()).is_ok()).count();
            if read > best.0 {
                best = (read, Some(format));
            }
        }
        best.1.filter(|_| 2 * best.0 >= lines.count())
    }
}

/// Why a line was not counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unread {
    /// Of another form than said.
    Form,
    /// An object without a time under a name that is known.
    NoTime,
    /// And without a path.
    NoPath,
    Time,
    /// There is no method and path: a connection that broke, or noise.
    Request,
    NotUtf8,
    TooLong,
}

/// What is behind `so many lines:`, whether it is one or many.
impl fmt::Display for Unread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Unread::Form => f.write_str("of another form than --format says"),
            Unread::NoTime => write!(f, "no time under a name that is known ({})", json::TIMES.join(", ")),
            Unread::NoPath => write!(f, "no path under a name that is known ({})", json::PATHS.join(", ")),
            Unread::Time => f.write_str("a time that cannot be read"),
            Unread::Request => f.write_str("no request (a broken connection, noise)"),
            Unread::NotUtf8 => f.write_str("not UTF-8"),
            Unread::TooLong => f.write_str("too long for a line of a log"),
        }
    }
}

pub struct Reader {
    format: Format,
    stamps: Stamps,
}

impl Reader {
    pub fn new(format: Format, stamps: Stamps) -> Reader {
        Reader { format, stamps }
    }

    /// Hands on what a line says of a request.
    pub fn read(&mut self, line: &[u8], take: impl FnOnce(Request<'_>)) -> Result<(), Unread> {
        let line = std::str::from_utf8(line).map_err(|_| Unread::NotUtf8)?;
        if self.format == Format::Json {
            return self.read_json(line, take);
        }
        let raw = match &self.format {
            Format::Combined => combined(line),
            Format::Envoy => envoy(line),
            Format::Alb => alb(line),
            Format::Custom(pattern) => custom(pattern, line),
            Format::Json => None,
        };
        let raw = raw.ok_or(Unread::Form)?;
        let second = self.stamps.read(raw.time.as_bytes()).ok_or(Unread::Time)?;
        let (method, path) = raw.request().ok_or(Unread::Request)?;
        take(Request { second, method, path, status: raw.status.parse().unwrap_or(0) });
        Ok(())
    }

    fn read_json(&mut self, line: &str, take: impl FnOnce(Request<'_>)) -> Result<(), Unread> {
        let line: json::Line<'_> = serde_json::from_str(line).map_err(|_| Unread::Form)?;
        let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
        let second = self.stamps.read(line.time().ok_or(Unread::NoTime)?.as_bytes()).ok_or(Unread::Time)?;
        let path = line.path().ok_or(Unread::NoPath)?;
        let (method, path, status) = (text(line.method()), path.to_owned(), text(line.status()));
        let raw = Raw { time: "", method: &method, path: &path, status: &status };
        let (method, path) = raw.request().ok_or(Unread::Request)?;
        take(Request { second, method, path, status: status.parse().unwrap_or(0) });
        Ok(())
    }
}

/// As it stands in the line.
#[derive(Default)]
struct Raw<'l> {
    time: &'l str,
    /// Empty where `path` is a whole request line, or where there is none.
    method: &'l str,
    path: &'l str,
    status: &'l str,
}

impl<'l> Raw<'l> {
    /// Method and path without scheme and host.
    fn request(&self) -> Option<(&'l str, &'l str)> {
        let (method, target) = if self.method.is_empty() {
            match self.path.split_once(' ') {
                Some((method, rest)) => (method, rest.split(' ').next().unwrap_or_default()),
                None => ("GET", self.path),
            }
        } else {
            (self.method, self.path.split(' ').next().unwrap_or_default())
        };
        let path = match target.split_once("://") {
            Some((_, rest)) => rest.find('/').map_or("/", |at| &rest[at..]),
            None => target,
        };
        let is_method =
            !method.is_empty() && method.len() <= 16 && method.bytes().all(|byte| byte.is_ascii_uppercase());
        (is_method && path.starts_with(['/', '*'])).then_some((method, path))
    }
}

/// What stands between `open` and `close`, and what follows; a `\` hides the quote behind it.
fn between(text: &str, open: char, close: u8) -> Option<(&str, &str)> {
    let text = &text[text.find(open)? + open.len_utf8()..];
    let mut hidden = false;
    let end = text.bytes().position(|byte| {
        let ends = byte == close && !hidden;
        hidden = byte == b'\\' && !hidden;
        ends
    })?;
    Some((&text[..end], &text[end + 1..]))
}

/// `host ident user [time] "request" status size …`
fn combined(line: &str) -> Option<Raw<'_>> {
    let (time, rest) = between(line, '[', b']')?;
    let (path, rest) = between(rest, '"', b'"')?;
    let status = rest.trim_start().split(' ').next()?;
    Some(Raw { time, path, status, method: "" })
}

/// `[time] "METHOD path protocol" status flags …`
fn envoy(line: &str) -> Option<Raw<'_>> {
    if line.starts_with('[') { combined(line) } else { None }
}

/// `type time elb client target times… elb_status target_status received sent "request" …`
fn alb(line: &str) -> Option<Raw<'_>> {
    let mut fields = line.splitn(10, ' ');
    let time = fields.nth(1)?;
    let status = fields.nth(6)?;
    let (path, _) = between(fields.next()?, '"', b'"')?;
    Some(Raw { time, path, status, method: "" })
}

fn custom<'l>(pattern: &Pattern, line: &'l str) -> Option<Raw<'l>> {
    let mut raw = Raw::default();
    pattern.split(line, |field, value| match field {
        Field::Time => raw.time = value,
        Field::Method => raw.method = value,
        Field::Path | Field::Request => raw.path = value,
        Field::Status => raw.status = value,
        Field::Ignored => {}
    })?;
    Some(raw)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(format: Format, line: &str) -> Result<String, Unread> {
        let mut said = String::new();
        let mut reader = Reader::new(format, Stamps::new(Tz::UTC));
        reader.read(line.as_bytes(), |r| said = format!("{} {} {} {}", r.second, r.method, r.path, r.status))?;
        Ok(said)
    }

    #[test]
    fn one_request_in_every_form() {
        let own = Pattern::parse("{_} | {time} | {method} {path} | {status}").unwrap();
        let lines = [
            (
                Format::Combined,
                r#"10.0.0.1 - anna [10/Oct/2026:13:55:36 +0200] "GET /exam/7?q=\"x\" HTTP/1.1" 200 2326 "http://a/" "Mozilla/5.0 [x]""#,
            ),
            (
                Format::Combined,
                r#"::1 - - [10/Oct/2026:11:55:36 +0000] "GET http://a.example/exam/7?q=\"x\" HTTP/1.0" 200 -"#,
            ),
            (
                Format::Json,
                r#"{"msec": 1, "time":"2026-10-10T11:55:36Z","request":"GET /exam/7?q=\\\"x\\\" HTTP/1.1","status":200,"more":{"a":[1]}}"#,
            ),
            (
                Format::Json,
                r#"{"status":"200","request_method":"GET","request_uri":"/exam/7?q=\\\"x\\\"","ts":1791633336.5}"#,
            ),
            (
                Format::Json, // Caddy
                r#"{"level":"info","ts":1791633336.25,"request":{"method":"GET","uri":"/exam/7?q=\\\"x\\\"","headers":{"path":["x"]},"time":1},"status":200}"#,
            ),
            (
                Format::Json, // ECS
                r#"{"@timestamp":"2026-10-10T11:55:36.250Z","http":{"request":{"method":"GET"},"response":{"status_code":200}},"url":{"original":"/exam/7?q=\\\"x\\\""},"user":{"path":"/no"}}"#,
            ),
            (
                Format::Json,
                r#"{"@timestamp":"2026-10-10T11:55:36Z","http.request.method":"GET","url.path":"/exam/7?q=\\\"x\\\"","http.response.status_code":200}"#,
            ),
            (
                Format::Envoy,
                r#"[2026-10-10T11:55:36.123Z] "GET /exam/7?q=\"x\" HTTP/2" 200 - 0 154 3 2 "-" "curl" "id" "a" "10.0.0.1:80""#,
            ),
            (
                Format::Alb,
                r#"https 2026-10-10T11:55:36.186641Z app/lb/1 192.168.131.39:2817 10.0.0.1:80 0.086 0.048 0.037 200 200 0 57 "GET https://a.example:443/exam/7?q=\"x\" HTTP/1.1" "curl" - -"#,
            ),
            (Format::Custom(own), r#"web-3 | 2026-10-10 11:55:36,9 | GET /exam/7?q=\"x\" | 200"#),
        ];
        for (format, line) in lines {
            assert_eq!(
                read(format.clone(), line).as_deref(),
                Ok(r#"1791633336 GET /exam/7?q=\"x\" 200"#),
                "{format:?}"
            );
        }
    }

    #[test]
    fn the_format_that_fits_is_guessed() {
        let guess =
            |lines: &[&str]| Format::guess(lines.iter().map(|line| line.as_bytes())).and_then(|format| format.name());
        let json = r#"{"time":"2026-10-10T11:55:36Z","path":"/"}"#;
        assert_eq!(guess(&[json, json, "noise"]), Some("json"));
        assert_eq!(guess(&[json, "noise", "noise"]), None);
        assert_eq!(guess(&[]), None);
        assert_eq!(guess(&[r#"[2026-10-10T11:55:36.123Z] "GET / HTTP/2" 200 - 0"#]), Some("envoy"));
        assert_eq!(guess(&[r#"a - - [10/Oct/2026:13:55:36 +0200] "GET / HTTP/1.1" 200 1"#]), Some("combined"));
        assert_eq!(guess(&["time_s,requests"]), None);
    }

    /// What the documentation lists is what is known.
    #[test]
    fn every_name_that_is_known_is_documented() {
        let page = include_str!("../../docs/forecast.md");
        for name in json::TIMES.iter().chain(&json::METHODS).chain(&json::PATHS).chain(&json::STATUSES) {
            assert!(page.contains(&format!("`{name}`")), "docs/forecast.md lists `{name}` not");
        }
    }

    #[test]
    fn a_line_that_is_none_says_why() {
        let combined = |line: &str| read(Format::Combined, line).unwrap_err();
        assert_eq!(combined("hello"), Unread::Form);
        assert_eq!(combined(r#"a - - [today] "GET / HTTP/1.1" 200 1"#), Unread::Time);
        assert_eq!(combined(r#"a - - [10/Oct/2026:13:55:36 +0200] "-" 408 0"#), Unread::Request);
        assert_eq!(combined(r#"a - - [10/Oct/2026:13:55:36 +0200] "\x16\x03\x01" 400 0"#), Unread::Request);
        assert_eq!(read(Format::Json, "[1]").unwrap_err(), Unread::Form);
        let json = |line: &str| read(Format::Json, line).unwrap_err();
        assert_eq!(json(r#"{"time":"2026-10-10T11:55:36Z"}"#), Unread::NoPath);
        assert_eq!(json(r#"{"when":1,"path":"/"}"#), Unread::NoTime);
        assert_eq!(json(r#"{"time":"2026-10-10T11:55:36Z","path":"-"}"#), Unread::Request);
        let mut reader = Reader::new(Format::Combined, Stamps::new(Tz::UTC));
        assert_eq!(reader.read(b"\xff\xfe", |_| ()), Err(Unread::NotUtf8));
    }

    proptest! {
        #[test]
        fn no_line_is_a_panic(line in ".{0,200}", which in 0_usize..4) {
            let format = [Format::Combined, Format::Json, Format::Envoy, Format::Alb][which].clone();
            let _ = read(format, &line);
            let pattern = Format::Custom(Pattern::parse("{time} {request} {_}").unwrap());
            let _ = read(pattern, &line);
        }

        #[test]
        fn what_is_cut_off_is_no_panic(length in 0_usize..160) {
            let line = r#"10.0.0.1 - anna [10/Oct/2026:13:55:36 +0200] "GET /exam/7?q=\"x\" HTTP/1.1" 200 2326 "http://a/" "é""#;
            let mut reader = Reader::new(Format::Combined, Stamps::new(Tz::UTC));
            let _ = reader.read(&line.as_bytes()[..length.min(line.len())], |_| ());
        }
    }
}
