//! What is planned: calendars, and kinds of events with what they load.

use chrono_tz::Tz;

use super::{At, Checker, listed};
use crate::config::Schedule;
use crate::model::nearest;
use crate::schedule::{At as Place, Calendar, Kind, Load, Settings};

impl Checker<'_> {
    pub(super) fn schedule(&mut self, at: &At<'_>) -> Schedule {
        let zone = self.zone(at, Tz::UTC);
        let station = self.settings(at, Settings::SETTINGS, Settings { zone, ..Settings::default() });
        let mut calendars: Vec<Calendar> = Vec::new();
        for (index, node) in at.node.list("calendars").iter().enumerate() {
            let at = At { path: format!("{}[{index}]", at.key("calendars")), node };
            let Some(calendar) = self.calendar(&at, index, zone) else { continue };
            if calendars.iter().any(|other| other.name == calendar.name) {
                let cause = format!("`{}` is the name of two calendars", calendar.name);
                self.problem(&at.key("name"), cause, "give each a name of its own");
            }
            calendars.push(calendar);
        }
        let kinds = at.node.named("kinds").iter();
        let kinds = kinds.map(|(name, node)| {
            let at = At { path: format!("{}.{name}", at.key("kinds")), node };
            let loads = node.list("loads").iter().enumerate();
            let loads: Vec<Load> = loads
                .filter_map(|(index, node)| self.load(&At { path: format!("{}[{index}]", at.key("loads")), node }))
                .collect();
            let matches = node.text("match").map_or_else(Vec::new, listed);
            let kind = self.settings(&at, Kind::SETTINGS, Kind::default());
            Kind { name: name.clone(), matches, loads, ..kind }
        });
        let kinds = kinds.collect();
        let webhook =
            at.node.section("webhook").and_then(|node| self.signing_secret(&At { path: at.key("webhook"), node }));
        Schedule { station, kinds, calendars, webhook }
    }

    fn zone(&mut self, at: &At<'_>, default: Tz) -> Tz {
        let Some(written) = at.node.text("zone") else { return default };
        written.parse().unwrap_or_else(|_| {
            let names: Vec<&str> = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect();
            let remedy = match nearest(written, &names) {
                Some(near) => format!("did you mean `{near}`?"),
                None => "write a name of the IANA database, such as Europe/Berlin".to_owned(),
            };
            self.problem(&at.key("zone"), format!("`{written}` is no time zone"), remedy);
            default
        })
    }

    fn calendar(&mut self, at: &At<'_>, index: usize, zone: Tz) -> Option<Calendar> {
        let place = match (at.node.text("file"), at.node.text("url")) {
            (Some(file), None) => Place::File(self.directory.join(file)),
            (None, Some(url)) if url.starts_with("https://") || url.starts_with("http://") => Place::Url(url.into()),
            (None, Some(url)) => {
                self.problem(&at.key("url"), format!("`{url}` is no address of a feed"), "write https://…");
                return None;
            }
            (Some(_), Some(_)) => {
                self.problem(&at.path, "has both file and url", "keep one of them");
                return None;
            }
            (None, None) => {
                self.problem(&at.path, "needs `file` or `url`", "add file: lectures.ics, or url: https://…");
                return None;
            }
        };
        let name = at.node.text("name").map_or_else(|| format!("calendar {}", index + 1), str::to_owned);
        let participants = at.node.text("participants").map(str::to_owned);
        Some(Calendar { name, at: place, zone: self.zone(at, zone), participants })
    }

    fn load(&mut self, at: &At<'_>) -> Option<Load> {
        let [entry, service, per_participant, per_replica] =
            ["entry", "service", "per_participant", "per_replica"].map(|key| at.node.text(key));
        match (entry, service, per_participant, per_replica) {
            (Some(entry), None, Some(per), None) => {
                let per_participant = self.positive(&at.key("per_participant"), per, 1_000.0)?;
                Some(Load::Entry { entry: entry.into(), per_participant })
            }
            (None, Some(service), None, Some(per)) => {
                let per_replica = self.positive(&at.key("per_replica"), per, 1e7)?;
                Some(Load::Service { service: service.into(), per_replica })
            }
            _ => {
                let remedy = "write {entry: \"ingress POST /login\", per_participant: 0.05}, or {service: auth, per_replica: 200}";
                self.problem(&at.path, "says neither what an endpoint nor what a service gets", remedy);
                None
            }
        }
    }

    /// A number above zero.
    fn positive(&mut self, path: &str, text: &str, most: f64) -> Option<f64> {
        let number = text.parse::<f64>().ok().filter(|number| *number > 0.0 && *number <= most);
        if number.is_none() {
            self.problem(path, format!("`{text}` is not such a number"), format!("write more than 0, up to {most}"));
        }
        number
    }
}
