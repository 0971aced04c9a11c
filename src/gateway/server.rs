//! The socket on which gateways ask, bounded as all are, with TLS and a token where they are configured.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use envoy_types::pb::envoy::service::auth::v3::authorization_server::AuthorizationServer;
use envoy_types::pb::envoy::service::ratelimit::v3::rate_limit_service_server::RateLimitServiceServer;
use http::header::AUTHORIZATION;
use http::{Request, Response};
use hyper::body::Incoming;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tonic::body::Body;
use tonic::codegen::Service;
use tonic::service::Routes;

use super::Gateway;
use super::authorization::Authorizations;
use super::ratelimit::RateLimits;
use crate::config::Token;
use crate::net::{Http, Limits, Listener, Receipt, Tls, TlsError, acceptor, listen};

/// A question is a few hundred bytes; one of more than this is none.
const QUESTION_BYTES_MAX: usize = 256 << 10;

const HTTP: Http = Http {
    name: "gateways",
    http2_only: true,
    stream_window_bytes: 256 << 10,
    connection_window_bytes: 4 << 20,
    frame_bytes_max: 64 << 10,
    // A gateway has one connection for each worker, with a stream for each request that waits.
    streams_max: 1024,
};

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("cannot listen on {address} for gateways: {cause}; free the port or configure another gateway.listen")]
    Listen { address: SocketAddr, cause: std::io::Error },
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// A socket that is bound, not yet served.
pub struct Server {
    listener: Listener,
    address: SocketAddr,
    routes: Routes,
    token: Option<Token>,
}

impl Server {
    pub fn bind(
        gateway: Arc<Gateway>,
        address: SocketAddr,
        tls: Option<&Tls>,
        token: Option<Token>,
        limits: Limits,
    ) -> Result<Server, Error> {
        let tls = tls.map(|tls| acceptor(tls, &[b"h2"])).transpose()?;
        let failed = |cause| Error::Listen { address, cause };
        let socket = listen(address).map_err(failed)?;
        let address = socket.local_addr().map_err(failed)?;
        let limited = RateLimitServiceServer::new(RateLimits(gateway.clone()));
        let authorized = AuthorizationServer::new(Authorizations(gateway));
        let routes = Routes::new(limited.max_decoding_message_size(QUESTION_BYTES_MAX))
            .add_service(authorized.max_decoding_message_size(QUESTION_BYTES_MAX))
            .prepare();
        Ok(Server { listener: Listener { socket, http: HTTP, tls, limits }, address, routes, token })
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Until `stop`; then what was asked is answered.
    pub async fn serve(self, stop: CancellationToken) {
        let Server { listener, routes, token, .. } = self;
        let token = Arc::new(token);
        let answer = move |_: IpAddr, request: Request<Incoming>| {
            let (mut routes, token) = (routes.clone(), token.clone());
            async move {
                if let Some(receipt) = request.extensions().get::<Receipt>() {
                    receipt.received();
                }
                if !is_allowed(token.as_ref().as_ref(), &request) {
                    let status = Status::unauthenticated(
                        "no valid bearer token: give the gateway the one of gateway.token_file",
                    );
                    return status.into_http();
                }
                let answered: Result<Response<Body>, std::convert::Infallible> = routes.call(request).await;
                match answered {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
        };
        listener.serve(answer, stop).await;
    }
}

fn is_allowed(token: Option<&Token>, request: &Request<Incoming>) -> bool {
    let Some(token) = token else { return true };
    let shown = request.headers().get(AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.to_str().ok()?.split_at_checked(7)?;
        scheme.eq_ignore_ascii_case("bearer ").then_some(token)
    });
    shown.is_some_and(|shown| token.matches(shown))
}
