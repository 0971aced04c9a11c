//! What is written from the declared keys: the reference file, the table of the documentation, and a JSON Schema for
//! editors.

use std::fmt::Write;

use serde_json::{Map, Value, json};

use super::keys::{Key, ROOT, Shape, Written};
use super::units::{HumanBytes, HumanDuration};
use crate::model::setting::Kind;

/// Lines of the reference are no longer than this, where words allow it.
const WIDTH: usize = 120;

const HEAD: &str = "\
# headroom's configuration: every key, with its default.
#
# A line that begins with `#: ` is not in force: it needs something of yours (a name, a file, an address), or holds
# without being written. Remove the `#: ` to use it. `headroom check-config FILE` reports all problems at once.
# Durations are written 300ms, 10s, 5m, 1h30m; sizes 64KiB, 512MiB, 1GiB; shares 1% or 0.01.
# Paths are relative to the directory this file lies in.
# This file is written by `headroom config-schema --as reference`.
";

/// A configuration file with every key.
pub fn reference() -> String {
    let mut out = HEAD.to_owned();
    for key in ROOT.iter() {
        out.push('\n');
        add(&mut out, key, 0, false);
    }
    out
}

fn add(out: &mut String, key: &Key, depth: usize, is_off: bool) {
    let indent = "  ".repeat(depth);
    // Sections that change what headroom does by being there are the operator's to add.
    let is_off = is_off
        || matches!(
            key.name,
            "journal"
                | "learnt"
                | "cluster"
                | "tls"
                | "oidc"
                | "token_review"
                | "receivers"
                | "calendars"
                | "priorities"
                | "webhook"
                | "kinds"
                | "objectives"
                | "operations"
                | "services"
        );
    let prefix = if is_off { "#: " } else { "" };
    comment(out, &indent, &described(key));
    let line = |out: &mut String, text: String| out.push_str(&format!("{prefix}{indent}{text}\n"));
    match &key.shape {
        Shape::Value(_) => match (&key.default, is_off) {
            (Some(default), _) => line(out, format!("{}: {default}", key.name)),
            (None, true) => line(out, format!("{}: {}", key.name, key.example)),
            (None, false) => out.push_str(&format!("{indent}#: {}: {}\n", key.name, key.example)),
        },
        Shape::Section(keys) => {
            line(out, format!("{}:", key.name));
            keys.iter().for_each(|key| add(out, key, depth + 1, is_off));
        }
        Shape::Named(keys) => {
            line(out, format!("{}:", key.name));
            let name = if key.name == "kinds" { "exam" } else { "auth" };
            line(out, format!("  {name}:"));
            keys.iter().for_each(|key| add(out, key, depth + 2, is_off));
        }
        Shape::List(keys) => {
            line(out, format!("{}:", key.name));
            let written =
                keys.iter().map(|key| format!("{}: {}", key.name, key.default.as_deref().unwrap_or(key.example)));
            line(out, format!("  - {{{}}}", written.collect::<Vec<_>>().join(", ")));
            keys.iter()
                .for_each(|key| comment(out, &format!("{indent}  "), &format!("{}: {}", key.name, described(key))));
        }
    }
}

fn comment(out: &mut String, indent: &str, text: &str) {
    let mut line = format!("{indent}#");
    for word in text.split(' ') {
        if line.len() + 1 + word.len() > WIDTH {
            out.push_str(&line);
            out.push('\n');
            line = format!("{indent}#");
        }
        line.push(' ');
        line.push_str(word);
    }
    out.push_str(&line);
    out.push('\n');
}

/// The line of a key, with what may be written for it.
fn described(key: &Key) -> String {
    match range(key) {
        Some(range) => format!("{} ({range})", key.doc),
        None => key.doc.to_owned(),
    }
}

/// What may be written, where the kind alone does not say it.
fn range(key: &Key) -> Option<String> {
    let Shape::Value(written) = &key.shape else { return None };
    match written {
        Written::Kind(Kind::Duration { least, most }) => {
            Some(format!("{} to {}", HumanDuration(*least), HumanDuration(*most)))
        }
        Written::Kind(Kind::Bytes { least, most }) => Some(format!("{} to {}", HumanBytes(*least), HumanBytes(*most))),
        Written::Kind(Kind::Count { least, most }) => Some(format!("{least} to {most}")),
        Written::Kind(Kind::Number { least, most }) => Some(format!("{least} to {most}")),
        Written::Kind(Kind::Share | Kind::Address) | Written::Choice(_) | Written::Text | Written::Path => None,
    }
}

/// The keys as a table of Markdown.
pub fn table() -> String {
    fn rows(out: &mut String, path: &str, keys: &[Key]) {
        for key in keys {
            let at = format!("{path}{}", key.name);
            let (at, below) = match &key.shape {
                Shape::Value(_) => (at, String::new()),
                Shape::Section(_) => (at.clone(), format!("{at}.")),
                Shape::List(_) => (format!("{at}[]"), format!("{at}[].")),
                Shape::Named(_) => (format!("{at}.NAME"), format!("{at}.NAME.")),
            };
            let default = key.default.as_ref().map(|default| format!("`{default}`")).unwrap_or_default();
            let range = range(key).unwrap_or_default();
            // Writing into a text cannot fail.
            let _ = writeln!(out, "| `{at}` | {default} | {range} | {} |", key.doc);
            rows(out, &below, key.keys());
        }
    }
    let mut out = "| key | default | range | meaning |\n|---|---|---|---|\n".to_owned();
    rows(&mut out, "", &ROOT);
    out
}

/// A JSON Schema of the file (draft 2020-12).
pub fn json_schema() -> Value {
    let mut schema = section(&ROOT);
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    schema["title"] = "headroom".into();
    schema
}

fn section(keys: &[Key]) -> Value {
    let properties: Map<String, Value> = keys.iter().map(|key| (key.name.to_owned(), property(key))).collect();
    // What is left empty reads as left out.
    json!({"type": ["object", "null"], "properties": properties, "additionalProperties": false})
}

fn property(key: &Key) -> Value {
    let mut property = match &key.shape {
        Shape::Section(keys) => section(keys),
        Shape::List(keys) => json!({"type": ["array", "null"], "items": section(keys)}),
        Shape::Named(keys) => json!({"type": ["object", "null"], "additionalProperties": section(keys)}),
        Shape::Value(written) => value(*written),
    };
    property["description"] = described(key).into();
    if let Some(default) = &key.default {
        property["default"] = default.as_str().into();
    }
    property
}

fn value(written: Written) -> Value {
    match written {
        Written::Kind(Kind::Duration { .. }) => {
            json!({"type": ["string", "null"], "pattern": r"^([0-9]+(\.[0-9]+)?(d|h|m|s|ms|us|ns))+$"})
        }
        Written::Kind(Kind::Bytes { .. }) => {
            let sizes = r"^[0-9]+(\.[0-9]+)? ?([KMGTkmgt]?[iI]?[bB])?$";
            json!({"type": ["string", "integer", "null"], "pattern": sizes})
        }
        Written::Kind(Kind::Count { least, most }) => {
            json!({"type": ["integer", "null"], "minimum": least, "maximum": most})
        }
        Written::Kind(Kind::Number { least, most }) => {
            json!({"type": ["number", "null"], "minimum": least, "maximum": most})
        }
        Written::Kind(Kind::Share) => {
            json!({"type": ["string", "number", "null"], "pattern": r"^[0-9]+(\.[0-9]+)? ?%?$", "minimum": 0, "maximum": 1})
        }
        Written::Kind(Kind::Address) => json!({"type": ["string", "null"], "pattern": "^.+:[0-9]+$"}),
        // YAML 1.1 reads `on` and `off` as booleans, and editors do too.
        Written::Choice(choices) if choices.contains(&"on") => json!({"enum": ["on", "off", true, false, null]}),
        Written::Choice(choices) => {
            let choices: Vec<Value> = choices.iter().map(|choice| json!(choice)).chain([Value::Null]).collect();
            json!({"enum": choices})
        }
        Written::Text | Written::Path => json!({"type": ["string", "null"]}),
    }
}
