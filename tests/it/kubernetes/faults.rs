//! A proxy in front of the API server that answers in its place what an API server in trouble answers.

use std::net::SocketAddr;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::serve::Listener;
use futures::StreamExt;
use http::{Method, Request, StatusCode, Uri, header};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use serde_json::json;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::server::TlsStream;
use tokio_rustls::{TlsAcceptor, TlsConnector};

use headroom::clock::Clock;

use super::control_plane::ControlPlane;

/// One call of the API server.
pub struct Call {
    pub method: Method,
    pub uri: Uri,
    pub body: Bytes,
}

/// What happens to a call.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This status with the API's own error object; 429 and 503 with `Retry-After: 1`.
    Status(u16),
    /// A watch is told that what it asks for is too old, in the stream as an API server says it: `ERROR`, code 410.
    Expired,
    /// The answer comes this much later.
    Late(Duration),
    /// The API server does it, and the answer is lost.
    Lost,
    /// It never comes to the API server, nor is it answered. Whoever waits for it is told when it is here.
    HeldBefore(SyncSender<()>),
    /// The API server does it and the answer is kept; whoever waits for it is told when it is done.
    HeldAfter(SyncSender<()>),
}

/// Far above what anybody here sends.
const BODY_BYTES_MAX: usize = 4 << 20;

struct Rule {
    fault: Fault,
    left: usize,
    matches: Box<dyn Fn(&Call) -> bool + Send>,
}

/// Has the API server's certificate, passes on the caller's token, and has no rights of its own.
pub struct Proxy {
    /// `https://127.0.0.1:PORT`
    pub server: String,
    shared: Arc<Shared>,
    /// Ends the proxy when it drops.
    _runtime: tokio::runtime::Runtime,
}

struct Shared {
    upstream: String,
    tls: TlsConnector,
    rules: Mutex<Vec<Rule>>,
    /// Changes when all open answers are to end.
    cut: watch::Sender<()>,
}

impl Proxy {
    /// In front of a cluster's API server. [`ControlPlane::kubeconfig_of`] makes its clients.
    pub fn start(cluster: &ControlPlane) -> Proxy {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(cluster.file("ca.crt")).unwrap()).unwrap();
        let client =
            rustls::ClientConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions();
        let client = client.unwrap().with_root_certificates(roots).with_no_client_auth();
        let certificate = CertificateDer::from_pem_file(cluster.file("apiserver.crt")).unwrap();
        let key = PrivateKeyDer::from_pem_file(cluster.file("apiserver.key")).unwrap();
        let server = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let server = server.unwrap().with_no_client_auth().with_single_cert(vec![certificate], key).unwrap();

        let shared = Arc::new(Shared {
            upstream: cluster.server().strip_prefix("https://").unwrap().to_owned(),
            tls: TlsConnector::from(Arc::new(client)),
            rules: Mutex::default(),
            cut: watch::Sender::new(()),
        });
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let tcp = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = tcp.local_addr().unwrap();
        let listener = TlsListener { tcp, tls: TlsAcceptor::from(Arc::new(server)) };
        let router = Router::new().fallback(answer).with_state(shared.clone());
        runtime.spawn(async { axum::serve(listener, router).await });
        Proxy { server: format!("https://{address}"), shared, _runtime: runtime }
    }

    /// The next `times` calls for which `matches` holds meet `fault`.
    pub fn inject(&self, fault: Fault, times: usize, matches: impl Fn(&Call) -> bool + Send + 'static) {
        self.shared.rules.lock().unwrap().push(Rule { fault, left: times, matches: Box::new(matches) });
    }

    /// How many of the injected faults nobody has met yet.
    pub fn left(&self) -> usize {
        self.shared.rules.lock().unwrap().iter().map(|rule| rule.left).sum()
    }

    pub fn clear(&self) {
        self.shared.rules.lock().unwrap().clear();
    }

    /// Ends every open answer, so every watch.
    pub fn cut(&self) {
        self.shared.cut.send_replace(());
    }
}

/// Also for the stand-in of a metrics server.
pub struct TlsListener {
    pub tcp: TcpListener,
    pub tls: TlsAcceptor,
}

impl Listener for TlsListener {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, Self::Addr) {
        loop {
            let (stream, from) = Listener::accept(&mut self.tcp).await;
            if let Ok(stream) = self.tls.accept(stream).await {
                return (stream, from);
            }
        }
    }

    fn local_addr(&self) -> std::io::Result<Self::Addr> {
        self.tcp.local_addr()
    }
}

/// For [`Proxy::inject`]: whatever changes something.
pub fn writes(call: &Call) -> bool {
    !call.method.is_safe()
}

/// For [`Proxy::inject`]: a watch that begins.
pub fn watches(call: &Call) -> bool {
    call.has("watch=true") || call.has("watch=1")
}

impl Call {
    /// Whether the query has this.
    fn has(&self, pair: &str) -> bool {
        self.uri.query().is_some_and(|query| query.split('&').any(|of| of == pair))
    }

    fn patches(&self, suffix: &str) -> bool {
        self.method == Method::PATCH
            && self.uri.path().starts_with("/apis/apps/v1/")
            && self.uri.path().ends_with(suffix)
    }

    /// The dry run of a change of a Deployment, or of its `scale` subresource.
    pub fn tries(&self, subresource: bool) -> bool {
        self.has("dryRun=All") && self.patches("/scale") == subresource && self.patches("")
    }

    /// What begins an intervention on a Deployment.
    pub fn begins(&self) -> bool {
        self.patches("") && !self.has("dryRun=All") && self.operates("add")
    }

    /// What takes its record away.
    pub fn closes(&self) -> bool {
        self.patches("") && !self.has("dryRun=All") && self.operates("remove")
    }

    pub fn tells(&self) -> bool {
        self.method == Method::POST && self.uri.path().ends_with("/events")
    }

    fn operates(&self, op: &str) -> bool {
        let patch: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let record = "/metadata/annotations/headroom.dev~1intervention";
        patch.as_array().into_iter().flatten().any(|of| of["op"] == op && of["path"] == record)
    }
}

async fn answer(State(shared): State<Arc<Shared>>, request: Request<Body>) -> Response {
    let (parts, body) = request.into_parts();
    let Ok(body) = axum::body::to_bytes(body, BODY_BYTES_MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let call = Call { method: parts.method.clone(), uri: parts.uri.clone(), body: body.clone() };
    let fault = shared.next_fault(&call);
    let request = Request::from_parts(parts, Body::from(body));
    match fault {
        Some(Fault::Status(code)) => refusal(StatusCode::from_u16(code).unwrap()),
        Some(Fault::Expired) => {
            let event = json!({ "type": "ERROR", "object": status_object(StatusCode::GONE) });
            ([(header::CONTENT_TYPE, "application/json")], format!("{event}\n")).into_response()
        }
        Some(Fault::Late(by)) => {
            Clock::system().sleep(by).await;
            shared.forward(request).await
        }
        Some(Fault::Lost) => match shared.forward(request).await {
            done if done.status().is_success() => refusal(StatusCode::GATEWAY_TIMEOUT),
            refused => refused,
        },
        Some(Fault::HeldBefore(here)) => {
            let _ = here.send(());
            std::future::pending().await
        }
        Some(Fault::HeldAfter(here)) => {
            shared.forward(request).await;
            let _ = here.send(());
            std::future::pending().await
        }
        None => shared.forward(request).await,
    }
}

impl Shared {
    fn next_fault(&self, call: &Call) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        let rule = rules.iter_mut().find(|rule| rule.left > 0 && (rule.matches)(call))?;
        rule.left -= 1;
        Some(rule.fault.clone())
    }

    async fn forward(&self, request: Request<Body>) -> Response {
        match self.exchange(request).await {
            Ok(response) => response,
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }

    /// On a connection of its own, which is slower than a pool and has no state to be wrong.
    async fn exchange(&self, mut request: Request<Body>) -> Result<Response, Box<dyn std::error::Error + Send + Sync>> {
        let stream = TcpStream::connect(&self.upstream).await?;
        let stream = self.tls.connect(ServerName::try_from("localhost")?, stream).await?;
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        tokio::spawn(connection);
        request.headers_mut().insert(header::HOST, self.upstream.parse()?);
        let (parts, body) = sender.send_request(request).await?.into_parts();
        let mut cut = self.cut.subscribe();
        let until = Box::pin(async move { cut.changed().await });
        Ok(Response::from_parts(parts, Body::from_stream(Body::new(body).into_data_stream().take_until(until))))
    }
}

fn refusal(status: StatusCode) -> Response {
    let mut response = (status, axum::Json(status_object(status))).into_response();
    if matches!(status.as_u16(), 429 | 503) {
        response.headers_mut().insert(header::RETRY_AFTER, 1.into());
    }
    response
}

/// `meta/v1` Status, as in the API reference.
fn status_object(status: StatusCode) -> serde_json::Value {
    let reason = match status.as_u16() {
        409 => "Conflict",
        410 => "Expired",
        429 => "TooManyRequests",
        500 => "InternalError",
        503 => "ServiceUnavailable",
        504 => "Timeout",
        _ => "",
    };
    json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure",
        "code": status.as_u16(), "reason": reason, "message": format!("injected: {status}"),
    })
}
