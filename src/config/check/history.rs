//! Where what was seen is kept, and for how long.

use super::{At, Checker};
use crate::config::{History, HumanDuration};
use crate::history::{Keep, is_cluster_name};

impl Checker<'_> {
    pub(super) fn history(&mut self, at: &At<'_>) -> History {
        let keep = self.settings(at, Keep::SETTINGS, Keep::default());
        if keep.quarters < keep.minutes {
            let cause = format!("is less than minutes, {}", HumanDuration(keep.minutes));
            self.problem(&at.key("quarters"), cause, "it counts from the same day: set it to as much, or to more");
        }
        let mut history = History { keep, ..History::default() };
        if let Some(cluster) = at.node.text("cluster") {
            if is_cluster_name(cluster) {
                history.cluster = cluster.to_owned();
            } else {
                let cause = format!("`{cluster}` cannot be a part of a path");
                self.problem(&at.key("cluster"), cause, "write letters, digits, `-`, `_` and `.`, 63 at most");
            }
        }
        history.store = at.node.text("store").and_then(|store| {
            if store.contains("://") {
                let remedy = "this build keeps a history in a folder alone: mount the bucket, and name the folder";
                self.problem(&at.key("store"), format!("`{store}` is no folder"), remedy);
                return None;
            }
            Some(self.directory.join(store).to_string_lossy().into_owned())
        });
        history
    }
}
