//! Manifests of one calendar among what else stands in a file: those of other calendars, and what people wrote, stay.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::schedule::Calendar;

/// What the CapacityEvents of a calendar are known by.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Label {
    /// As people call it.
    name: String,
    /// As Kubernetes takes it.
    value: String,
}

const KEY: &str = "headroom.dev/calendar";

/// Of the value of a label.
const VALUE_MAX: usize = 63;

impl Label {
    pub(super) fn of(calendar: &Calendar) -> Label {
        let name: String = calendar.name.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        let plain = name.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' });
        let plain: String = plain.take(VALUE_MAX).collect();
        let value = plain.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        Label { value: if value.is_empty() { "calendar".into() } else { value.to_owned() }, name }
    }

    pub(super) fn labels(&self) -> Value {
        json!({ KEY: self.value })
    }

    fn begin(&self) -> String {
        format!(
            "# calendar {}, by `headroom schedule plan`: the next plan of it replaces all down to its end",
            self.name
        )
    }

    fn end(&self) -> String {
        format!("# end of calendar {}", self.name)
    }
}

/// All of one calendar, between its first line and its last.
pub(super) struct Manifests<'a> {
    label: &'a Label,
    block: String,
}

impl Manifests<'_> {
    pub(super) fn new<'a>(label: &'a Label, text: &str) -> Manifests<'a> {
        Manifests { label, block: format!("{}\n{text}{}\n", label.begin(), label.end()) }
    }

    pub(super) fn text(&self) -> &str {
        &self.block
    }

    /// A file with these in place of what stood there of the calendar, or behind all else.
    pub(super) fn merged_into(&self, before: &str) -> String {
        let ours = Documents::named(&self.block);
        let lines: Vec<&str> = before.split_inclusive('\n').collect();
        let find = |text: &str| lines.iter().position(|line| line.trim_end() == text);
        let (head, tail) = match (find(&self.label.begin()), find(&self.label.end())) {
            (Some(begin), Some(end)) if begin < end => (lines[..begin].concat(), lines[end + 1..].concat()),
            _ => (before.to_owned(), String::new()),
        };
        let (mut head, tail) = (self.without_ours(&head, &ours), self.without_ours(&tail, &ours));
        if !head.is_empty() && !head.ends_with('\n') {
            head.push('\n');
        }
        let is_open = |last: Document<'_>| last.value.is_some() && !last.text.trim_end().ends_with("\n---");
        if Documents::of(&head).last().is_some_and(is_open) {
            head.push_str("---\n");
        }
        format!("{head}{}{tail}", self.block)
    }

    /// Without what an earlier headroom wrote of it between no such lines, or a tool that keeps no comments left.
    fn without_ours(&self, text: &str, ours: &BTreeSet<(String, String)>) -> String {
        let is_ours = |of: &Document<'_>| {
            let metadata = of.value.as_ref().map(|value| &value["metadata"]);
            match metadata.map(|metadata| &metadata["labels"][KEY]) {
                Some(Value::String(label)) => *label == self.label.value,
                _ => of.name().is_some_and(|name| ours.contains(&name)),
            }
        };
        let stays = |of: &Document<'_>| of.text.contains("# end of calendar ") || !is_ours(of);
        Documents::of(text).filter(stays).map(|of| of.text).collect()
    }
}

/// A document of a stream of YAML, with the line that ends it.
struct Document<'a> {
    text: &'a str,
    /// None where it is empty, a comment, or no YAML.
    value: Option<Value>,
}

impl Document<'_> {
    /// The namespace and the name of a CapacityEvent.
    fn name(&self) -> Option<(String, String)> {
        let value = self.value.as_ref().filter(|value| value["kind"] == "CapacityEvent")?;
        let text = |key: &str| value["metadata"][key].as_str().map(str::to_owned);
        Some((text("namespace").unwrap_or_default(), text("name")?))
    }
}

struct Documents;

impl Documents {
    fn of(text: &str) -> impl Iterator<Item = Document<'_>> {
        let mut rest = text;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let mut length = 0;
            for line in rest.split_inclusive('\n') {
                length += line.len();
                if line.trim_end() == "---" {
                    break;
                }
            }
            let (text, after) = rest.split_at(length);
            rest = after;
            let body = text.trim_end().strip_suffix("---").unwrap_or(text);
            let value = serde_saphyr::from_str::<Value>(body).ok().filter(Value::is_object);
            Some(Document { text, value })
        })
    }

    fn named(text: &str) -> BTreeSet<(String, String)> {
        Documents::of(text).filter_map(|of| of.name()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::{At, Calendar};

    fn label(name: &str) -> Label {
        let (name, at) = (name.to_owned(), At::File("a.ics".into()));
        Label::of(&Calendar { name, at, zone: chrono_tz::Tz::UTC, participants: None })
    }

    fn event(name: &str, of: Option<&Label>) -> String {
        let label = of.map(|of| format!("  labels:\n    {KEY}: {}\n", of.value)).unwrap_or_default();
        format!("kind: CapacityEvent\nmetadata:\n  name: {name}\n{label}---\n")
    }

    #[test]
    fn a_label_is_one_that_kubernetes_takes() {
        assert_eq!(label("calendar 1").value, "calendar-1");
        assert_eq!(label("Prüfungen (Winter)").value, "Pr-fungen--Winter");
        assert_eq!(label("§§").value, "calendar");
        assert!(label(&"x".repeat(100)).value.len() == VALUE_MAX);
    }

    #[test]
    fn calendars_share_a_file_and_what_people_wrote_in_it_stays() {
        let (exams, labs) = (label("exams"), label("labs"));
        let by_hand = "# ours\nkind: CapacityEvent\nmetadata:\n  name: enrolment\n";
        let of = |label: &Label, name: &str, before: &str| {
            let text = event(name, Some(label));
            Manifests::new(label, &text).merged_into(before)
        };
        let one = of(&exams, "algebra", by_hand);
        assert!(one.starts_with(&format!("{by_hand}---\n# calendar exams")), "{one}");
        let both = of(&labs, "chemistry", &one);
        assert!(both.starts_with(&one) && both.contains("name: chemistry"), "{both}");
        let moved = of(&exams, "logic", &both);
        assert!(
            !moved.contains("algebra") && moved.contains("name: logic") && moved.contains("name: chemistry"),
            "{moved}"
        );
        assert!(moved.starts_with(by_hand), "{moved}");
        assert_eq!(of(&exams, "logic", &moved), moved, "nothing is left to change");
    }

    #[test]
    fn what_an_earlier_headroom_wrote_is_replaced() {
        let exams = label("exams");
        let earlier = format!("{}{}", event("algebra", None), event("enrolment", None));
        let text = event("algebra", Some(&exams));
        let after = Manifests::new(&exams, &text).merged_into(&earlier);
        assert_eq!(after.matches("name: algebra").count(), 1, "{after}");
        assert!(after.contains("name: enrolment"));
        let without_comments = format!("{}{}", event("logic", Some(&exams)), event("other", Some(&label("labs"))));
        let after = Manifests::new(&exams, &text).merged_into(&without_comments);
        assert!(!after.contains("logic") && after.contains("name: other"), "{after}");
    }
}
