//! Between the engine and the gateways that ask: what is to be kept goes to whoever answers. What came, each tick takes.

use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::watch;

use super::tasks::Tasks;
use crate::api::Snapshot;
use crate::clock::Clock;
use crate::commands::error::Error;
use crate::config::Config;
use crate::gateway::Gateway;
use crate::net::Descriptors;
use crate::shape::Limits;

/// Who answers gateways, where the configuration says that any ask.
pub fn of(config: &Config, clock: Clock) -> Option<Arc<Gateway>> {
    config.gateway.listen?;
    Some(Arc::new(Gateway::new(config.gateway.clone(), config.objectives.clone(), clock)))
}

/// Sockets that people and programs connect to: two receivers, the API, and one for gateways where they ask.
pub fn sockets(config: &Config) -> usize {
    3 + usize::from(config.gateway.listen.is_some())
}

/// Listens for them, and where; None where none asks.
#[cfg(feature = "gateway")]
pub fn listen(
    config: &Config,
    gateway: Option<&Arc<Gateway>>,
    descriptors: Descriptors,
    tasks: &mut Tasks,
) -> Result<Option<SocketAddr>, Error> {
    use std::time::Duration;

    use tokio_util::sync::CancellationToken;

    use super::tasks::Role;
    use crate::commands::stations;
    use crate::gateway::Server;
    use crate::net;

    /// Connections of gateways: one for each worker thread of each proxy, of a large fleet.
    const CONNECTIONS_MAX: usize = 4_096;

    let (Some(address), Some(gateway)) = (config.gateway.listen, gateway) else { return Ok(None) };
    let limits = net::Limits {
        connections_max: descriptors.share(CONNECTIONS_MAX, sockets(config)),
        first_request: Duration::from_secs(10),
        // A gateway keeps its connections through quiet nights.
        idle: Duration::from_secs(3_600),
    };
    let tls = config.gateway.tls.as_ref().map(stations::tls);
    let token = config.gateway.token.clone();
    let server = Server::bind(gateway.clone(), address, tls.as_ref(), token, limits)?;
    let address = server.address();
    tasks.spawn("gateway server", Role::Critical, server.serve(CancellationToken::new()));
    Ok(Some(address))
}

#[cfg(not(feature = "gateway"))]
pub fn listen(
    _: &Config,
    gateway: Option<&Arc<Gateway>>,
    _: Descriptors,
    _: &mut Tasks,
) -> Result<Option<SocketAddr>, Error> {
    if gateway.is_some() { Err(Error::NoGateways) } else { Ok(None) }
}

/// With every tick, until the engine is gone.
pub async fn follow(
    gateway: Arc<Gateway>,
    limits: watch::Receiver<Arc<Limits>>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
) {
    while snapshots.changed().await.is_ok() {
        let snapshot = snapshots.borrow_and_update().clone();
        let limits = limits.borrow().clone();
        let limited = limits.services.iter().flat_map(|limit| limit.costs.keys());
        let limited = limited.chain(limits.routes.iter().map(|limit| &limit.entry));
        let known = snapshot.findings.entries.iter().map(|entry| &entry.entry).chain(limited);
        gateway.set(&limits, known.map(String::as_str));
    }
}
