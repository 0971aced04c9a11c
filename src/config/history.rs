//! What was seen, kept by the minute.

use serde_json::{Value, json};

use super::keys::{self, Key};
use super::written::{settings, with};
use crate::history::Keep;

/// The section `history`.
#[derive(Clone, Debug, PartialEq)]
pub struct History {
    /// A folder, from the directory of the configuration on; None: none is kept.
    pub store: Option<String>,
    /// Whose history it is: several may lie in one store.
    pub cluster: String,
    pub keep: Keep,
}

impl Default for History {
    fn default() -> History {
        History { store: None, cluster: "main".into(), keep: Keep::default() }
    }
}

impl History {
    /// As it is printed.
    pub(super) fn written(&self) -> Value {
        with(settings(Keep::SETTINGS, &self.keep), [("store", json!(self.store)), ("cluster", json!(self.cluster))])
    }
}

pub(super) fn keys() -> Vec<Key> {
    let store =
        Key::text("store", "history", "the folder it is kept in, a mounted one where no disk outlives headroom");
    let cluster = Key {
        default: Some(History::default().cluster),
        ..Key::text(
            "cluster",
            "",
            "whose it is, where several keep theirs in one store: letters, digits, `-`, `_`, `.`",
        )
    };
    [store, cluster].into_iter().chain(keys::settings(Keep::SETTINGS)).collect()
}
