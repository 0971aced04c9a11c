//! The ConfigMap in which the leader keeps a document over restarts and hands it to the next: written by server-side
//! apply for the one key that is headroom's, and never by force.

use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;
use tokio::sync::watch;

use super::record::MANAGER;
use super::retry::retried;

/// The key in the ConfigMap.
const KEY: &str = "learnt.json";

pub struct Shelf {
    maps: Api<ConfigMap>,
    name: String,
    leads: watch::Receiver<bool>,
}

impl Shelf {
    pub fn new(client: Client, namespace: &str, name: String, leads: watch::Receiver<bool>) -> Shelf {
        Shelf { maps: Api::namespaced(client, namespace), name, leads }
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    /// Whether this replica is the one that writes.
    pub fn leads(&self) -> bool {
        *self.leads.borrow()
    }

    /// Returns when this replica begins to lead; never once it has left the election.
    pub async fn begins_to_lead(&mut self) {
        while self.leads.changed().await.is_ok() {
            if *self.leads.borrow_and_update() {
                return;
            }
        }
        std::future::pending().await
    }

    /// What lies there; None where nothing does.
    ///
    /// # Errors
    /// Where the API server has not answered well within the budget of tries.
    pub async fn get(&self) -> Result<Option<String>, kube::Error> {
        let map = retried(|| self.maps.get_opt(&self.name)).await?;
        Ok(map.and_then(|map| map.data).and_then(|mut data| data.remove(KEY)))
    }

    /// # Errors
    /// As [`Shelf::get`], and where another manager owns the key.
    pub async fn put(&self, document: &str) -> Result<(), kube::Error> {
        let map = json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": self.name},
            "data": {KEY: document},
        });
        let (by, map) = (PatchParams::apply(MANAGER), Patch::Apply(map));
        retried(|| self.maps.patch(&self.name, &by, &map)).await.map(|_| ())
    }
}
