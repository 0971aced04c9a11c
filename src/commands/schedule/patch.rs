//! What a calendar would mean, as CapacityEvents for people who keep their cluster in Git.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::{Map, Value, json};

use super::manifests::{Label, Manifests};
use super::{Known, PlanArgs, answer, sources};
use crate::commands::answer::Answer;
use crate::commands::error::Error;
use crate::disk;
use crate::model::{Origin, Time};
use crate::schedule::bounds::LASTS_MAX;
use crate::schedule::plan::lead;
use crate::schedule::{Kind, Plan, Planned, Problems, Raised, Step, agreed};

/// A file of manifests is written by hand or by us.
const FILE_BYTES_MAX: u64 = 16 << 20;

pub(super) fn run(args: &PlanArgs, out: &mut dyn Write) -> Result<Answer, Error> {
    let known = Known::of(&args.asked)?;
    let mut problems = Problems::default();
    let schedule = &known.config.schedule;
    let (calendar, is_listed) = sources::named(&args.calendar, schedule)?;
    let events = sources::read_one(&calendar, &schedule.station, known.from, known.until, &mut problems)?;
    let plan = known.plan(&agreed(vec![events], &mut problems));
    let mut text = String::new();
    if !is_listed && !schedule.calendars.is_empty() {
        text.push_str("# schedule.calendars does not list it: zone and participants are read as of any calendar\n");
    }
    let label = Label::of(&calendar);
    let written = Written { plan: &plan, known: &known, label: &label, namespace: args.namespace.as_deref() };
    text.push_str(&written.text()?);
    for problem in problems.told() {
        text.push_str(&format!("# left out: {problem}\n"));
    }
    let manifests = Manifests::new(&label, &text);
    match &args.into {
        None => write!(out, "{}", manifests.text())?,
        Some(path) => into(path, &manifests, out)?,
    }
    Ok(answer(problems.told()))
}

/// The patch of a file, or a word that it needs none.
fn into(path: &Path, manifests: &Manifests<'_>, out: &mut dyn Write) -> Result<(), Error> {
    let before = match path.exists() {
        true => disk::read_text(path, FILE_BYTES_MAX)
            .map_err(|unfit| Error::Read { path: path.to_owned(), source: unfit.into() })?,
        false => String::new(),
    };
    let after = manifests.merged_into(&before);
    let name = path.to_string_lossy();
    if before == after {
        writeln!(std::io::stderr(), "headroom: {name} says so already, so that there is no patch")?;
        return Ok(());
    }
    let old = if path.exists() { format!("a/{name}") } else { "/dev/null".to_owned() };
    write!(out, "{}", difference(&before, &after, &old, &format!("b/{name}")))?;
    Ok(())
}

/// A plan on its way to YAML.
struct Written<'a> {
    plan: &'a Plan,
    known: &'a Known,
    label: &'a Label,
    namespace: Option<&'a str>,
}

/// One CapacityEvent to be: floors of the same time and the same events.
struct Group<'a> {
    /// When its first participants come: each service is raised by its own start-up time before.
    starts: Time,
    ends: Time,
    steps: Vec<&'a Step>,
}

impl Written<'_> {
    /// Event by event, each with its reasons and the floors that it is the first to ask for.
    fn text(&self) -> Result<String, Error> {
        let mut text = String::new();
        let mut names: BTreeMap<String, u32> = BTreeMap::new();
        for raised in self.plan.events.iter().filter(|raised| !raised.event.cancelled) {
            text.push_str(&self.heading(raised));
            for group in self.groups(raised) {
                text.push_str(&self.manifest(&group, &mut names)?);
            }
        }
        Ok(text)
    }

    /// What is said of an event before its floors.
    fn heading(&self, raised: &Raised) -> String {
        let Raised { event, kind, raises, notes, .. } = raised;
        let mut lines = vec![format!("{}: {} to {}", event.title, event.starts, event.ends)];
        lines.extend(notes.iter().cloned());
        let asks = |step: &&Step| step.events.contains(&event.id);
        match self.plan.floors.iter().find(asks) {
            None => lines.push("it raises nothing".into()),
            Some(step) => {
                let overlaps = self.plan.floors.iter().filter(asks).any(|step| step.events.len() > 1);
                lines.extend(raises.iter().map(|raise| {
                    let alone =
                        if overlaps { format!(", {} replicas by itself", raise.replicas) } else { String::new() };
                    format!("{}: {}{alone}", raise.service, raise.because)
                }));
                let kind = kind.as_ref().and_then(|name| self.kind(name)).filter(|kind| !kind.early.is_zero());
                lines.extend(kind.map(|kind| {
                    let Kind { name, early, .. } = kind;
                    format!("its first participants come {} s before it (schedule.kinds.{name}.early)", early.as_secs())
                }));
                let first = step.events.first().filter(|first| **first != event.id).and_then(|id| self.event(id));
                lines.extend(
                    first.map(|first| format!("while both go on, its floors are those of {} above", first.title)),
                );
            }
        }
        lines.iter().map(|line| format!("# {line}\n")).collect()
    }

    fn kind(&self, name: &str) -> Option<&Kind> {
        self.known.config.schedule.kinds.iter().find(|kind| kind.name == name)
    }

    fn event(&self, id: &str) -> Option<&Planned> {
        self.plan.events.iter().map(|raised| &raised.event).find(|event| event.id == id)
    }

    /// The steps that this event is the first to ask for, those of one time together, in their order.
    fn groups(&self, raised: &Raised) -> Vec<Group<'_>> {
        let first = |step: &&Step| step.events.first() == Some(&raised.event.id);
        let mut groups: BTreeMap<(Time, Time, &[String]), Vec<&Step>> = BTreeMap::new();
        for step in self.plan.floors.iter().filter(first) {
            // Whoever reads it raises each service that much earlier. One that is over before its pods are there is raised at
            // its end all the same.
            let lead = self.known.lead(step.service.as_str());
            let mut starts = (step.from + lead).min(step.until - Duration::from_secs(1));
            // A CapacityEvent of more than a day is cut off there.
            while step.until.nanos_since(starts) > 0 {
                let ends = step.until.min(starts + LASTS_MAX);
                groups.entry((starts, ends, step.events.as_slice())).or_default().push(step);
                starts = ends;
            }
        }
        groups.into_iter().map(|((starts, ends, _), steps)| Group { starts, ends, steps }).collect()
    }

    /// One document of YAML.
    fn manifest(&self, group: &Group<'_>, names: &mut BTreeMap<String, u32>) -> Result<String, Error> {
        let Some(step) = group.steps.first() else { return Ok(String::new()) };
        let title = match &step.origin {
            Origin::Schedule(title) => title.clone(),
            other => other.in_words(),
        };
        let mut name = self.name(step, &title);
        let taken = names.entry(name.clone()).or_default();
        *taken += 1;
        if *taken > 1 {
            name.push_str(&format!("-{taken}"));
        }
        let mut metadata = Map::new();
        metadata.insert("name".into(), json!(name));
        metadata.extend(self.namespace.map(|namespace| ("namespace".to_owned(), json!(namespace))));
        metadata.insert("labels".into(), self.label.labels());
        let floors: Vec<Value> =
            group.steps.iter().map(|step| json!({"service": step.service, "replicas": step.replicas})).collect();
        let document = json!({
            "apiVersion": "headroom.dev/v1alpha1", "kind": "CapacityEvent", "metadata": metadata,
            "spec": {
                "title": title, "starts": group.starts.to_string(), "ends": group.ends.to_string(), "floors": floors
            },
        });
        let yaml = serde_saphyr::to_string(&document).map_err(|error| Error::Output(std::io::Error::other(error)))?;
        Ok(format!("{yaml}---\n"))
    }

    /// A name that Kubernetes takes, the same for the same occurrence.
    fn name(&self, step: &Step, title: &str) -> String {
        let plain = |text: &str| -> String {
            let plain = text.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' });
            plain.collect::<String>().split('-').filter(|part| !part.is_empty()).collect::<Vec<_>>().join("-")
        };
        let title: String = plain(title).chars().take(40).collect();
        let title = if title.is_empty() { "event" } else { title.trim_end_matches('-') };
        // Of several events the last one makes them overlap.
        let starts = step.events.iter().filter_map(|id| self.event(id)).map(|event| event.starts).max();
        let starts = plain(&starts.unwrap_or(step.from).to_string()[..16]);
        // Two events of one title may begin together.
        let hash = step.events.join(" ").bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3) // FNV-1a
        });
        format!("{title}-{starts}-{:08x}", hash as u32)
    }
}

impl Known {
    /// How long before it is needed a service is raised.
    fn lead(&self, service: &str) -> Duration {
        lead(service, &self.inputs(&[], &BTreeMap::new()))
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::analyse::{Carries, Demand, ServiceDemand};
    use crate::config::Config;
    use crate::model::ServiceId;
    use crate::schedule::{At, Calendar, Kept};

    const NINE: Time = Time::from_secs(1_796_029_200); // 2026-11-30T09:00Z

    const CONFIG: &str = "
schedule:
  replica_hours_a_day: 82
  kinds:
    exam:
      early: 10m
      loads: [{service: auth, per_replica: 100}, {service: exam-api, per_replica: 80}]
";

    fn known() -> Known {
        let auth = ServiceDemand { usual: 2.0, carries: Some(Carries::AtLimit(4.0)), start_s: Some(20.0) };
        let demand =
            Demand { services: [("auth".to_owned(), auth)].into(), entries: BTreeMap::new(), utilisation: 0.8 };
        let config = Config::parse(CONFIG, Path::new("headroom.yaml")).unwrap();
        let until = NINE + Duration::from_secs(86_400);
        Known { config, demand, kept: Kept::default(), from: NINE - Duration::from_secs(7_200), until }
    }

    fn exam(id: &str, from_min: u64, lasts_min: u64, participants: u32) -> Planned {
        let starts = NINE + Duration::from_secs(from_min * 60);
        Planned {
            id: id.into(),
            title: id.into(),
            categories: vec!["exam".into()],
            starts,
            ends: starts + Duration::from_secs(lasts_min * 60),
            participants: Some(participants),
            ..Planned::default()
        }
    }

    /// Each event had the sum's peak for its whole length, those cut down too, and `early` was lost.
    #[test]
    fn whoever_applies_the_capacity_events_holds_what_serve_holds() {
        let known = known();
        let events = [exam("big", 0, 120, 900), exam("algebra", 90, 210, 400), exam("logic", 330, 60, 500)];
        let plan = known.plan(&events);
        assert!(plan.events.iter().any(|raised| !raised.notes.is_empty()), "something is cut: {plan:?}");
        let at = At::File("exams.ics".into());
        let label = Label::of(&Calendar { name: "exams".into(), at, zone: chrono_tz::Tz::UTC, participants: None });
        let written = Written { plan: &plan, known: &known, label: &label, namespace: None };
        let groups = plan.events.iter().flat_map(|raised| written.groups(raised)).enumerate();
        let applied: Vec<Planned> = groups
            .map(|(n, Group { starts, ends, steps })| {
                let floors = steps.iter().map(|step| (step.service.to_string(), step.replicas)).collect();
                Planned { id: n.to_string(), starts, ends, floors, ..Planned::default() }
            })
            .collect();
        let again = known.plan(&applied);
        let held = |plan: &Plan, service: &str, at: Time| {
            let service = ServiceId::from(service);
            let steps = plan.floors.iter().filter(|step| step.service == service && step.holds(at));
            steps.map(|step| step.replicas).max().unwrap_or(0)
        };
        let mut seen = std::collections::BTreeSet::new();
        for second in (-7_200..36_000).step_by(10) {
            let at = Time::from_secs(NINE.second() + second);
            for service in ["auth", "exam-api"] {
                assert_eq!(held(&again, service, at), held(&plan, service, at), "{service} at {at}");
                seen.insert(held(&plan, service, at));
            }
        }
        assert!(seen.len() > 4, "{seen:?}");
        let names: Vec<String> =
            written.text().unwrap().lines().filter(|line| line.starts_with("  name: ")).map(str::to_owned).collect();
        let distinct: std::collections::BTreeSet<&String> = names.iter().collect();
        assert_eq!((names.len(), distinct.len()), (applied.len(), applied.len()), "{names:?}");
    }
}
