//! What headroom writes on the objects it changes: the open intervention, and what its floor stood at before.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::InterventionRecord;

/// The open intervention as JSON, an [`InterventionRecord`].
pub const INTERVENTION: &str = "headroom.dev/intervention";

/// On an autoscaler whose minimum headroom has raised: what it was, as JSON, so that it is given back whatever
/// becomes of headroom.
pub const FLOOR: &str = "headroom.dev/floor";

/// Owner of every field that headroom writes (`metadata.managedFields`).
pub const MANAGER: &str = "headroom";

/// The owner's minimum before headroom raised it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Floor {
    /// None where the owner had set none.
    pub before: Option<u32>,
    /// What headroom wants. An external scaler is told this; elsewhere it is the autoscaler's minimum itself.
    pub wanted: u32,
}

type Annotations = BTreeMap<String, String>;

/// The open intervention; an annotation that cannot be read is none, and is overwritten by the next.
pub fn intervention(annotations: Option<&Annotations>) -> Option<InterventionRecord> {
    read(annotations, INTERVENTION)
}

pub fn floor(annotations: Option<&Annotations>) -> Option<Floor> {
    read(annotations, FLOOR)
}

fn read<T: serde::de::DeserializeOwned>(annotations: Option<&Annotations>, key: &str) -> Option<T> {
    serde_json::from_str(annotations?.get(key)?).ok()
}

/// An annotation's place in a JSON Patch (RFC 6901).
pub fn pointer(key: &str) -> String {
    format!("/metadata/annotations/{}", key.replace('~', "~0").replace('/', "~1"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Time;

    #[test]
    fn a_record_survives_its_annotation_and_nonsense_is_none() {
        let record = InterventionRecord {
            id: "i-1-1".into(),
            rule: "scale_out".into(),
            reason: "auth saturates".into(),
            applied_at: Time(1),
            deadline: Time(2),
            replicas_before: 2,
            replicas_after: 9,
            waiting_ns_before: 3,
            deed: Default::default(),
        };
        let written = serde_json::to_string(&record).unwrap();
        let annotations = BTreeMap::from([(INTERVENTION.to_owned(), written)]);
        assert_eq!(intervention(Some(&annotations)), Some(record));
        let annotations = BTreeMap::from([(INTERVENTION.to_owned(), "{".to_owned())]);
        assert_eq!(intervention(Some(&annotations)), None);
        assert_eq!(pointer(INTERVENTION), "/metadata/annotations/headroom.dev~1intervention");
    }
}
