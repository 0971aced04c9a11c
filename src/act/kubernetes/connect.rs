//! The way to the API server: in the cluster by its service account, outside by a kubeconfig.

use std::time::Duration;

use kube::config::KubeConfigOptions;
use kube::{Client, Config};

use crate::guard::ActError;

/// A handshake beyond this is a server that is down; every caller has a deadline of its own above it.
const CONNECT_MAX: Duration = Duration::from_secs(3);

/// The longest a request may be written; what is written is small.
const WRITE_MAX: Duration = Duration::from_secs(3);

/// A client, and the namespace it is at home in. `context` names one of a kubeconfig; without it the service
/// account of the pod goes first and the kubeconfig's current context second. Tokens and the authority's certificate
/// are read again as the cluster rotates them.
///
/// # Errors
/// `Unreachable` where there is neither, or what there is cannot be used. The server is not asked yet.
pub async fn connect(context: Option<&str>) -> Result<Client, ActError> {
    let unreachable = |cause: String| ActError::Unreachable { cause };
    let kubeconfig = async |context: Option<&str>| {
        let options = KubeConfigOptions { context: context.map(str::to_owned), ..KubeConfigOptions::default() };
        Config::from_kubeconfig(&options).await.map_err(|error| unreachable(format!("kubeconfig: {error}")))
    };
    let mut config = match (context, Config::incluster()) {
        (Some(context), _) => kubeconfig(Some(context)).await?,
        (None, Ok(config)) => config,
        (None, Err(_)) => kubeconfig(None).await?,
    };
    config.connect_timeout = Some(CONNECT_MAX);
    config.write_timeout = Some(WRITE_MAX);
    // Retried here, where the budget is known, and not below as well.
    config.default_retry = false;
    Client::try_from(config).map_err(|error| unreachable(error.to_string()))
}
