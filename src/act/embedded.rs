//! The embedded cluster's client: a simulated cluster in a process of its own, asked over HTTP on loopback.
//! What goes over the wire is defined here; `headroom cluster` serves it.

use std::time::Duration;

use reqwest::{Client, Method, Url};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{ActError, Cluster};
use crate::action::Change;
use crate::guard::Permit;
use crate::model::{ClusterState, DecisionId};
use crate::net::https::root_cause;
use crate::shape::{EntryTraffic, Limits};

/// It runs on this machine and answers from memory; a step of its simulation may hold it up for a moment.
const ANSWER_MAX: Duration = Duration::from_secs(2);

/// Body of `POST /apply`: what the cluster needs of a permit.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Write {
    pub decision: DecisionId,
    pub change: Change,
    pub resource_version: u64,
}

/// Answer of `GET /clock`: `virtual = origin_virtual + (wall - origin_wall) * speed`, in nanoseconds since the
/// Unix epoch.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct ClockReading {
    pub origin_wall_ns: i64,
    pub origin_virtual_ns: i64,
    pub speed: f64,
}

#[derive(Clone, Debug)]
pub struct Embedded {
    client: Client,
    url: Url,
}

impl Embedded {
    /// # Errors
    /// `Unreachable` for a URL that is none.
    pub fn new(url: &str) -> Result<Embedded, ActError> {
        let unreachable = |cause: String| ActError::Unreachable { cause };
        let client = Client::builder()
            .timeout(ANSWER_MAX)
            .no_proxy() // it is on this machine
            .build()
            .map_err(|error| unreachable(root_cause(&error)))?;
        let url = Url::parse(url).map_err(|error| unreachable(format!("{url}: {error}")))?;
        Ok(Embedded { client, url })
    }

    /// The cluster's clock, for headroom to keep.
    pub async fn clock(&self) -> Result<ClockReading, ActError> {
        self.get("clock").await
    }

    pub async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ActError> {
        self.ask(Method::GET, path, None::<&()>).await
    }

    pub async fn post(&self, path: &str, body: &impl Serialize) -> Result<(), ActError> {
        self.ask::<serde::de::IgnoredAny>(Method::POST, path, Some(body)).await.map(|_| ())
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<&impl Serialize>,
    ) -> Result<T, ActError> {
        let unreachable = |error: reqwest::Error| ActError::Unreachable { cause: root_cause(&error) };
        let mut url = self.url.clone();
        url.set_path(path);
        let mut request = self.client.request(method, url);
        if let Some(body) = body {
            request = request.json(body);
        }
        let response = request.send().await.map_err(unreachable)?;
        match response.status() {
            status if status.is_success() => response.json().await.map_err(unreachable),
            _ => Err(response.json::<ActError>().await.map_err(unreachable)?),
        }
    }
}

impl Cluster for Embedded {
    async fn state(&mut self) -> Result<ClusterState, ActError> {
        self.get("state").await
    }

    async fn apply(&mut self, permit: &Permit) -> Result<(), ActError> {
        let write = Write {
            decision: permit.decision(),
            change: permit.change().clone(),
            resource_version: permit.resource_version(),
        };
        self.post("apply", &write).await
    }

    async fn traffic(&mut self) -> Result<Option<Vec<EntryTraffic>>, ActError> {
        self.ask(Method::POST, "traffic", None::<&()>).await
    }

    async fn limit(&mut self, limits: &Limits) -> Result<(), ActError> {
        self.post("limits", limits).await
    }
}
