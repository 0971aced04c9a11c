//! Asking others over HTTPS, by the client that talks to Kubernetes: it is here already, with the system's authorities and the
//! cryptography of the servers. No proxy, no redirect, and answers of a bounded length.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::{BodyExt, Limited};
use kube::client::Body;
use kube::{Client, Config};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// A handshake beyond this is a server that is down.
const CONNECT_MAX: Duration = Duration::from_secs(5);

/// The answer to a request for an absolute address. `authority` is the PEM of one that the system does not know.
pub async fn ask(
    request: Request<Vec<u8>>,
    authority: Option<&str>,
    limit: Duration,
    bytes_max: usize,
) -> Result<Response<Bytes>, String> {
    let client = client(request.uri(), authority)?;
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    parts.uri = path.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let asking = async {
        let answer =
            client.send(Request::from_parts(parts, Body::from(body))).await.map_err(|error| root_cause(&error))?;
        let (parts, body) = answer.into_parts();
        // The error is of the length or of the connection, and its source says which.
        let body = Limited::new(body, bytes_max).collect().await.map_err(|error| root_cause(&*error))?;
        Ok(Response::from_parts(parts, body.to_bytes()))
    };
    tokio::time::timeout(limit, asking).await.unwrap_or_else(|_| Err(format!("no answer within {} s", limit.as_secs())))
}

fn client(address: &Uri, authority: Option<&str>) -> Result<Client, String> {
    let (Some(scheme), Some(host)) = (address.scheme_str(), address.authority()) else {
        return Err(format!("`{address}` is no address of a server"));
    };
    let base = format!("{scheme}://{host}").parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
    let mut config = Config::new(base);
    config.connect_timeout = Some(CONNECT_MAX);
    // Once: whoever asks knows when to ask again.
    config.default_retry = false;
    if let Some(pem) = authority {
        let certificates: Vec<Vec<u8>> = CertificateDer::pem_slice_iter(pem.as_bytes())
            .map(|certificate| certificate.map(|certificate| certificate.to_vec()))
            .collect::<Result<_, _>>()
            .map_err(|error| format!("the authority's file is not PEM: {error}"))?;
        if certificates.is_empty() {
            return Err("the authority's file has no certificate".into());
        }
        config.root_cert = Some(certificates);
    }
    Client::try_from(config).map_err(|error| root_cause(&error))
}

/// The innermost reason, such as `connection refused`: the layers above say only that there was one.
pub fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}
