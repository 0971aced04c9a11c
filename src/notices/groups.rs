//! Causes that belong together, by rule and verdict: a hundred at once are one message.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Serialize, Serializer};

use crate::engine::Notice;
use crate::model::{ServiceId, Time, printable};

/// Causes that one message holds; more of a group make further messages.
const CAUSES_MAX: usize = 200;

/// Causes that a text for people names; it counts the others.
pub const NAMED_MAX: usize = 20;

/// What stands after a tick.
#[derive(Clone, Debug)]
pub struct Standing {
    pub notices: Vec<Notice>,
    /// Another replica of headroom leads, and tells people.
    pub follows: bool,
    pub at: Time,
}

/// A rule and a verdict.
type Group = (String, String);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Something of the group stands.
    Firing,
    /// The last of it is over.
    Resolved,
}

impl State {
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Firing => "firing",
            State::Resolved => "resolved",
        }
    }
}

/// What a receiver is told at once.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Message {
    /// Unique; the same each time that it is sent, so that a receiver knows one that it has already.
    pub id: String,
    #[serde(serialize_with = "as_text")]
    pub at: Time,
    pub state: State,
    pub rule: String,
    /// Empty where the rule named none.
    pub verdict: String,
    /// New, or told again while they last.
    pub firing: Vec<Notice>,
    pub resolved: Vec<Notice>,
    /// Causes of the group that stand, those told earlier included.
    pub standing: usize,
}

fn as_text<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(time)
}

impl Message {
    pub fn group(&self) -> String {
        if self.verdict.is_empty() { self.rule.clone() } else { format!("{}/{}", self.rule, self.verdict) }
    }

    /// One line: `slow_dependency: checkout waits for postgres; …`.
    pub fn title(&self) -> String {
        let what = if self.verdict.is_empty() { &self.rule } else { &self.verdict };
        let one = |notice: &Notice| printable(&notice.message).into_owned();
        match (self.state, self.firing.as_slice(), self.resolved.as_slice()) {
            (State::Firing, [only], _) => format!("{what}: {}", one(only)),
            (State::Firing, [], resolved) => format!("{what}: over at {}", services(resolved)),
            (State::Firing, firing, _) => format!("{what} at {} services: {}", firing.len(), services(firing)),
            (State::Resolved, _, resolved) => format!("{what}: over at {}", services(resolved)),
        }
    }

    /// One line a cause, for people.
    pub fn lines(&self) -> Vec<String> {
        let firing = self.firing.iter().take(NAMED_MAX).map(|notice| {
            let Notice { service, message, because, since, .. } = notice;
            printable(&format!("{service}: {message} ({because}; since {since})")).into_owned()
        });
        let resolved = self.resolved.iter().take(NAMED_MAX).map(|notice| {
            let lasted = (self.at.seconds_since(notice.since)).max(0.0).round();
            printable(&format!("{}: over, after {lasted} s", notice.service)).into_owned()
        });
        let left_out = self.firing.len().saturating_sub(NAMED_MAX) + self.resolved.len().saturating_sub(NAMED_MAX);
        let more = (left_out > 0).then(|| format!("and {left_out} more"));
        firing.chain(resolved).chain(more).collect()
    }
}

/// The services, as far as a line has room.
fn services(notices: &[Notice]) -> String {
    let names: BTreeSet<&ServiceId> = notices.iter().map(|notice| &notice.service).collect();
    let shown: Vec<&str> = names.iter().take(3).map(|service| service.as_str()).collect();
    let more = names.len().saturating_sub(shown.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    printable(&format!("{}{more}", shown.join(", "))).into_owned()
}

/// What was told, and what is to be told.
#[derive(Debug, Default)]
pub struct Groups {
    told: BTreeMap<Group, BTreeMap<ServiceId, Notice>>,
    now: BTreeMap<Group, BTreeMap<ServiceId, Notice>>,
    at: Time,
    /// Counts messages: two of one instant differ.
    messages: u64,
}

impl Groups {
    /// Takes in what stands. While another replica leads, it is taken as told: that one tells it.
    pub fn see(&mut self, standing: Standing) {
        let Standing { notices, follows, at } = standing;
        self.at = at;
        self.now.clear();
        for notice in notices {
            let group = (notice.rule.kind_or_rule().to_owned(), notice.verdict.clone());
            self.now.entry(group).or_default().insert(notice.service.clone(), notice);
        }
        if follows {
            self.told.clone_from(&self.now);
        }
    }

    pub fn has_news(&self) -> bool {
        // Another decision on the same cause tells it again.
        let same = |a: &BTreeMap<ServiceId, Notice>, b: &BTreeMap<ServiceId, Notice>| {
            a.len() == b.len() && a.iter().zip(b).all(|((s, a), (t, b))| s == t && a.decision == b.decision)
        };
        self.told.len() != self.now.len()
            || self.told.iter().zip(&self.now).any(|((a, told), (b, now))| a != b || !same(told, now))
    }

    /// What is new or over since the last call, a message a group; of very many causes several.
    pub fn take_news(&mut self) -> Vec<Message> {
        let groups: BTreeSet<Group> = self.told.keys().chain(self.now.keys()).cloned().collect();
        let none = BTreeMap::new();
        let mut news = Vec::new();
        for group in groups {
            let (told, now) = (self.told.get(&group).unwrap_or(&none), self.now.get(&group).unwrap_or(&none));
            let is_news =
                |notice: &&Notice| told.get(&notice.service).is_none_or(|known| known.decision != notice.decision);
            let firing: Vec<Notice> = now.values().filter(is_news).cloned().collect();
            let is_over = |notice: &&Notice| !now.contains_key(&notice.service);
            let resolved: Vec<Notice> = told.values().filter(is_over).cloned().collect();
            news.push((group, firing, resolved, now.len()));
        }
        self.told = self.now.clone();
        news.into_iter()
            .flat_map(|(group, firing, resolved, standing)| self.messages(&group, firing, resolved, standing))
            .collect()
    }

    /// Everything that was told and stands, for receivers that forget.
    pub fn standing(&mut self) -> Vec<Message> {
        let told: Vec<(Group, Vec<Notice>)> =
            self.told.iter().map(|(group, notices)| (group.clone(), notices.values().cloned().collect())).collect();
        told.into_iter()
            .flat_map(|(group, firing)| {
                let standing = firing.len();
                self.messages(&group, firing, Vec::new(), standing)
            })
            .collect()
    }

    fn messages(&mut self, group: &Group, firing: Vec<Notice>, resolved: Vec<Notice>, standing: usize) -> Vec<Message> {
        let state = if standing > 0 { State::Firing } else { State::Resolved };
        let parts = firing.len().max(resolved.len()).div_ceil(CAUSES_MAX);
        let part =
            |notices: &[Notice], n: usize| notices.iter().skip(n * CAUSES_MAX).take(CAUSES_MAX).cloned().collect();
        (0..parts)
            .map(|n| {
                self.messages += 1;
                let (rule, verdict) = group.clone();
                let millis = self.at.0.div_euclid(1_000_000);
                let id = format!("{rule}.{verdict}.{}.{millis}.{}", state.as_str(), self.messages);
                let (firing, resolved) = (part(&firing, n), part(&resolved, n));
                Message { id, at: self.at, state, rule, verdict, firing, resolved, standing }
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::DecisionId;

    fn notice(service: &str, verdict: &str, n: u32) -> Notice {
        Notice {
            decision: DecisionId::new(10, n),
            rule: "notify_slow_dependency".into(),
            service: service.into(),
            verdict: verdict.into(),
            message: format!("{service} waits; check it"),
            because: "web GET /: p99 900 ms".into(),
            since: Time::from_secs(10),
        }
    }

    fn see(groups: &mut Groups, notices: Vec<Notice>) -> Vec<Message> {
        groups.see(Standing { notices, follows: false, at: Time::from_secs(100) });
        if groups.has_news() { groups.take_news() } else { Vec::new() }
    }

    #[test]
    fn a_hundred_causes_at_once_are_a_message_a_verdict() {
        let mut groups = Groups::default();
        let verdicts = ["slow_dependency", "failing"];
        let notices = (0..100).map(|n| notice(&format!("s{n:02}"), verdicts[n % 2], n as u32)).collect();
        let messages = see(&mut groups, notices);
        assert_eq!(messages.iter().map(|message| message.firing.len()).collect::<Vec<_>>(), [50, 50]);
        assert_eq!(messages[0].title(), "failing at 50 services: s01, s03, s05 and 47 more");
        assert_eq!(messages[0].lines().len(), NAMED_MAX + 1);
        assert_eq!(messages[0].lines().last().unwrap(), "and 30 more");
    }

    #[test]
    fn a_cause_is_told_once_while_it_lasts_and_again_when_it_came_back() {
        let mut groups = Groups::default();
        assert_eq!(see(&mut groups, vec![notice("auth", "failing", 1)]).len(), 1);
        assert!(see(&mut groups, vec![notice("auth", "failing", 1)]).is_empty());
        let over = see(&mut groups, Vec::new());
        assert_eq!(
            (over.len(), over[0].state, over[0].title().as_str()),
            (1, State::Resolved, "failing: over at auth")
        );
        assert_eq!(over[0].lines(), ["auth: over, after 90 s"]);
        assert_eq!(see(&mut groups, vec![notice("auth", "failing", 2)])[0].state, State::Firing);
    }

    /// After `guard.notify_again` the guard decides anew to tell it.
    #[test]
    fn another_decision_on_the_same_cause_tells_it_again() {
        let mut groups = Groups::default();
        see(&mut groups, vec![notice("auth", "failing", 1), notice("cart", "failing", 2)]);
        let again = see(&mut groups, vec![notice("auth", "failing", 3), notice("cart", "failing", 2)]);
        assert_eq!((again.len(), again[0].firing.len(), again[0].standing), (1, 1, 2));
    }

    #[test]
    fn while_one_of_a_group_stands_the_group_fires() {
        let mut groups = Groups::default();
        see(&mut groups, vec![notice("auth", "failing", 1), notice("cart", "failing", 2)]);
        let messages = see(&mut groups, vec![notice("cart", "failing", 2)]);
        assert_eq!((messages.len(), messages[0].state, messages[0].resolved.len()), (1, State::Firing, 1));
    }

    #[test]
    fn who_follows_tells_nothing_and_knows_it_when_it_leads() {
        let mut groups = Groups::default();
        groups.see(Standing { notices: vec![notice("auth", "failing", 1)], follows: true, at: Time(1) });
        assert!(!groups.has_news());
        assert!(see(&mut groups, vec![notice("auth", "failing", 1)]).is_empty());
        assert_eq!(see(&mut groups, Vec::new()).len(), 1, "the end is told by who leads then");
    }

    #[test]
    fn ids_of_messages_differ() {
        let mut groups = Groups::default();
        let notices = (0..450).map(|n| notice(&format!("s{n:03}"), "failing", n)).collect();
        let messages = see(&mut groups, notices);
        let ids: BTreeSet<&str> = messages.iter().map(|message| message.id.as_str()).collect();
        assert_eq!((messages.len(), ids.len()), (3, 3));
    }
}
