//! What a calendar would mean, as CapacityEvents for people who keep their cluster in Git.

use std::io::Write;

use serde_json::{Map, Value, json};

use super::{Known, PlanArgs, answer, sources};
use crate::commands::answer::Answer;
use crate::commands::error::Error;
use crate::disk;
use crate::schedule::{Problems, Raised, agreed};

/// A file of manifests is written by hand or by us.
const FILE_BYTES_MAX: u64 = 16 << 20;

pub(super) fn run(args: &PlanArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    let known = Known::of(&args.asked)?;
    let mut problems = Problems::default();
    let settings = &known.config.schedule.station;
    let events = sources::read_file(&args.calendar, settings, known.from, known.until, &mut problems)?;
    let plan = known.plan(&agreed(vec![events], &mut problems));
    let mut text = String::new();
    for raised in plan.events.iter().filter(|raised| !raised.event.cancelled) {
        text.push_str(&manifest(raised, args.namespace.as_deref())?);
    }
    for problem in problems.told() {
        text.push_str(&format!("# left out: {problem}\n"));
    }
    match &args.into {
        None => write!(out, "{text}")?,
        Some(path) => {
            let before = match path.exists() {
                true => disk::read_text(path, FILE_BYTES_MAX)
                    .map_err(|unfit| Error::Read { path: path.clone(), source: unfit.into() })?,
                false => String::new(),
            };
            let name = path.to_string_lossy();
            let old = if path.exists() { format!("a/{name}") } else { "/dev/null".to_owned() };
            write!(out, "{}", difference(&before, &text, &old, &format!("b/{name}")))?;
        }
    }
    Ok(answer(&problems))
}

/// One document of YAML; of what raises nothing a comment that says why.
fn manifest(raised: &Raised, namespace: Option<&str>) -> Result<String, Error> {
    let Raised { event, raises, notes, .. } = raised;
    let notes: String = notes.iter().map(|note| format!("# {note}\n")).collect();
    let heading = format!("# {}: {} to {}\n{notes}", event.title, event.starts, event.ends);
    if raises.is_empty() {
        return Ok(format!("{heading}# it raises nothing\n"));
    }
    let because: String = raises.iter().map(|raise| format!("# {}: {}\n", raise.service, raise.because)).collect();
    let mut metadata = Map::new();
    metadata.insert("name".into(), json!(name(raised)));
    metadata.extend(namespace.map(|namespace| ("namespace".to_owned(), json!(namespace))));
    let floors: Vec<Value> =
        (raises.iter()).map(|raise| json!({"service": raise.service, "replicas": raise.replicas})).collect();
    // Its load may last less than the event does.
    let ends = raises.iter().map(|raise| raise.until).max().unwrap_or(event.ends);
    let document = json!({
        "apiVersion": "headroom.dev/v1alpha1", "kind": "CapacityEvent", "metadata": metadata,
        "spec": {
            "title": event.title, "starts": event.starts.to_string(), "ends": ends.to_string(), "floors": floors
        },
    });
    let yaml = serde_saphyr::to_string(&document).map_err(|error| Error::Output(std::io::Error::other(error)))?;
    Ok(format!("{heading}{because}{yaml}---\n"))
}

/// A name that Kubernetes takes, the same for the same occurrence.
fn name(raised: &Raised) -> String {
    let event = &raised.event;
    let plain = |text: &str| -> String {
        let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
        plain.collect::<String>().split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
    };
    let title: String = plain(&event.title).chars().take(40).collect();
    let title = if title.is_empty() { "event" } else { title.trim_end_matches('-') };
    // Two events of one title may begin together.
    let hash = event.id.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3) // FNV-1a
    });
    format!("{title}-{}-{:08x}", plain(&event.starts.to_string()[..16]), hash as u32)
}

#[cfg(feature = "calendar")]
fn difference(before: &str, after: &str, old: &str, new: &str) -> String {
    let difference = similar::TextDiff::from_lines(before, after);
    difference.unified_diff().context_radius(3).header(old, new).to_string()
}

#[cfg(not(feature = "calendar"))]
fn difference(_: &str, after: &str, _: &str, _: &str) -> String {
    after.to_owned()
}
