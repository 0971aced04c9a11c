//! Callers that somebody else vouches for: an OpenID provider, or Kubernetes. Which of them may do what is this
//! configuration's to say.

use std::path::PathBuf;

use serde::{Serialize, Serializer};

use super::callers::Role;
use super::jwks::Jwks;

/// An OpenID provider.
#[derive(Clone, Debug, PartialEq)]
pub struct Oidc {
    pub issuer: String,
    pub audience: String,
    /// None: the issuer is asked for its keys.
    pub keys: Option<Jwks>,
    pub ca_file: Option<PathBuf>,
    pub name_claim: String,
    pub groups_claim: String,
    pub people: People,
}

/// Kubernetes' API server.
#[derive(Clone, Debug, PartialEq)]
pub struct TokenReview {
    pub audience: String,
    pub people: People,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct People {
    pub operators: Vec<Who>,
    pub viewers: Vec<Who>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Who {
    /// Whose token is good.
    Anyone,
    Name(String),
    Group(String),
}

impl Who {
    /// Of texts with commas between them.
    pub fn list(text: &str) -> Vec<Who> {
        text.split(',').map(str::trim).filter(|who| !who.is_empty()).map(Who::of).collect()
    }

    fn of(text: &str) -> Who {
        match text.strip_prefix("group:") {
            Some(group) => Who::Group(group.to_owned()),
            None if text == "*" => Who::Anyone,
            None => Who::Name(text.to_owned()),
        }
    }

    fn is(&self, name: &str, groups: &[String]) -> bool {
        match self {
            Who::Anyone => true,
            Who::Name(own) => own == name,
            Who::Group(group) => groups.contains(group),
        }
    }
}

impl People {
    /// What somebody may do; None: nothing.
    pub fn role(&self, name: &str, groups: &[String]) -> Option<Role> {
        let are = |people: &[Who]| people.iter().any(|who| who.is(name, groups));
        if are(&self.operators) { Some(Role::Operator) } else { are(&self.viewers).then_some(Role::Viewer) }
    }
}

impl Serialize for Who {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Who::Anyone => serializer.serialize_str("*"),
            Who::Name(name) => serializer.serialize_str(name),
            Who::Group(group) => serializer.collect_str(&format_args!("group:{group}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_groups_are_told_apart() {
        let people = People { operators: Who::list("ada, group:sre"), viewers: Who::list("group:dev") };
        let role = |name: &str, groups: &[&str]| {
            people.role(name, &groups.iter().map(|group| (*group).to_owned()).collect::<Vec<_>>())
        };
        assert_eq!(role("ada", &[]), Some(Role::Operator));
        assert_eq!(role("bob", &["dev", "sre"]), Some(Role::Operator));
        assert_eq!(role("bob", &["dev"]), Some(Role::Viewer));
        assert_eq!(
            role("group:sre", &["ada"]),
            None,
            "a name that looks like a group is none, nor the other way round"
        );
        assert_eq!(People { viewers: Who::list("*"), ..People::default() }.role("x", &[]), Some(Role::Viewer));
    }
}
