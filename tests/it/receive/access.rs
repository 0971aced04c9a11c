//! Who may send: TLS, client certificates, tokens; and who may not even start.

use std::path::PathBuf;

use headroom::receive::{Tls, Token};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_client::TraceServiceClient;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};

use super::*;

/// A certificate authority, what it signed, and the files of the server.
struct Certificates {
    directory: TempDir,
    ca: CertificateDer<'static>,
    client: (CertificateDer<'static>, PrivatePkcs8KeyDer<'static>),
}

impl Certificates {
    fn new() -> Certificates {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let ca = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let signed = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
            (params.signed_by(&key, &ca).unwrap(), key)
        };
        let ((server, server_key), (client, client_key)) = (signed("localhost"), signed("collector"));
        let directory = TempDir::new().unwrap();
        let files = [("cert.pem", server.pem()), ("key.pem", server_key.serialize_pem()), ("ca.pem", ca.pem())];
        for (name, pem) in files {
            std::fs::write(directory.path().join(name), pem).unwrap();
        }
        let client = (client.der().clone(), PrivatePkcs8KeyDer::from(client_key.serialize_der()));
        Certificates { directory, ca: ca.der().clone(), client }
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn server(&self, mutual: bool) -> Option<Tls> {
        let client_ca = mutual.then(|| self.file("ca.pem"));
        Some(Tls { cert: self.file("cert.pem"), key: self.file("key.pem"), client_ca })
    }

    async fn connect(&self, address: SocketAddr, protocol: &[u8], with_certificate: bool) -> TlsStream<TcpStream> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.ca.clone()).unwrap();
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = if with_certificate {
            let (certificate, key) = &self.client;
            let key = PrivateKeyDer::Pkcs8(key.clone_key());
            builder.with_client_auth_cert(vec![certificate.clone()], key).unwrap()
        } else {
            builder.with_no_client_auth()
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    /// tonic's client over a connection of ours: the transport has no TLS of its own here.
    async fn grpc(&self, address: SocketAddr, with_certificate: bool) -> Result<Channel, tonic::transport::Error> {
        let stream = Arc::new(std::sync::Mutex::new(Some(self.connect(address, b"h2", with_certificate).await)));
        let connect = tower::service_fn(move |_| {
            let stream = stream.lock().unwrap().take();
            std::future::ready(
                stream.map(hyper_util::rt::TokioIo::new).ok_or_else(|| std::io::Error::other("connected once")),
            )
        });
        Endpoint::from_static("http://localhost").connect_with_connector(connect).await
    }
}

#[tokio::test]
async fn grpc_over_tls() {
    let certificates = Certificates::new();
    let (receivers, outlet) = start(Config { tls: certificates.server(false), ..config() }, Limits::default()).await;
    let core = core(outlet);
    let channel = certificates.grpc(receivers.grpc().unwrap(), false).await.unwrap();
    TraceServiceClient::new(channel).export(request(vec![span("secret")])).await.unwrap();
    assert_eq!(operations(receivers, core).await, ["secret"]);
}

#[tokio::test]
async fn mutual_tls_lets_in_whom_the_client_ca_signed() {
    let certificates = Certificates::new();
    let (receivers, outlet) = start(Config { tls: certificates.server(true), ..config() }, Limits::default()).await;
    let core = core(outlet);
    let address = receivers.grpc().unwrap();
    let known = certificates.grpc(address, true).await.unwrap();
    TraceServiceClient::new(known).export(request(vec![span("known")])).await.unwrap();
    // With TLS 1.3 a client learns that it was refused only after its side of the handshake.
    if let Ok(unknown) = certificates.grpc(address, false).await {
        TraceServiceClient::new(unknown).export(request(vec![span("unknown")])).await.unwrap_err();
    }
    assert_eq!(operations(receivers, core).await, ["known"]);
}

#[tokio::test]
async fn http_over_tls() {
    let certificates = Certificates::new();
    let (receivers, outlet) = start(Config { tls: certificates.server(false), ..config() }, Limits::default()).await;
    let core = core(outlet);
    let mut stream = certificates.connect(receivers.http().unwrap(), b"http/1.1", false).await;
    let body = request(vec![span("secret")]).encode_to_vec();
    let head = format!(
        "POST /v1/traces HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: application/x-protobuf\r\n\
         content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), &body].concat()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    drop(stream);
    assert_eq!(operations(receivers, core).await, ["secret"]);
}

#[tokio::test]
async fn without_the_token_nothing_enters() {
    let (receivers, outlet) = start(Config { token: Some(Token::new("s3cret")), ..config() }, Limits::default()).await;
    let core = core(outlet);
    let mut grpc = TraceServiceClient::connect(format!("http://{}", receivers.grpc().unwrap())).await.unwrap();
    let url = format!("http://{}/v1/traces", receivers.http().unwrap());
    let shown =
        [None, Some("Bearer wrong"), Some("Basic s3cret"), Some("s3cret"), Some("Bearer "), Some("Bearer s3cret")];
    for authorization in shown {
        let good = authorization == Some("Bearer s3cret");
        let mut call = Request::new(request(vec![span("grpc")]));
        let mut post = reqwest::Client::new().post(&url).header("content-type", "application/x-protobuf");
        if let Some(authorization) = authorization {
            call.metadata_mut().insert("authorization", authorization.parse().unwrap());
            post = post.header("authorization", authorization);
        }
        let code = grpc.export(call).await.err().map(|status| status.code());
        assert_eq!(code, (!good).then_some(Code::Unauthenticated), "{authorization:?}");
        let response = post.body(request(vec![span("http")]).encode_to_vec()).send().await.unwrap();
        assert_eq!(response.status(), if good { 200 } else { 401 }, "{authorization:?}");
        if !good {
            assert_eq!(response.headers()["www-authenticate"], "Bearer");
            assert_eq!(rpc::Status::decode(response.bytes().await.unwrap()).unwrap().code, 16);
        }
    }
    drop(grpc);
    assert_eq!(operations(receivers, core).await, ["grpc", "http"]);
}

#[tokio::test]
async fn what_cannot_be_served_is_not_started() {
    async fn refused(config: Config) -> String {
        let (inlet, _outlet) = queue(Limits::default());
        Receivers::start(config, inlet, Arc::new(|| NOW.into()), None).await.unwrap_err().to_string()
    }
    let everywhere: SocketAddr = ([0, 0, 0, 0], 0).into();
    assert_eq!(
        refused(Config { http: Some(everywhere), ..config() }).await,
        "0.0.0.0:0 is open to other machines, but anyone may send: set a token or a client CA, or listen on 127.0.0.1"
    );
    let certificates = Certificates::new();
    let open = Config { grpc: Some(everywhere), tls: certificates.server(false), ..config() };
    assert!(refused(open).await.contains("open to other machines"), "TLS alone keeps nobody out");
    let (inlet, _outlet) = queue(Limits::default());
    let mutual = Config { grpc: Some(everywhere), tls: certificates.server(true), ..config() };
    Receivers::start(mutual, inlet, Arc::new(|| NOW.into()), None).await.unwrap();

    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let message = refused(Config { grpc: Some(taken.local_addr().unwrap()), ..config() }).await;
    assert!(message.starts_with("cannot listen on 127.0.0.1:"), "{message}");
    assert_eq!(
        refused(Config { token: Some(Token::new("")), ..config() }).await,
        "the token is empty: set one or remove it"
    );

    let mut tls = certificates.server(false).unwrap();
    tls.key = certificates.file("cert.pem");
    let message = refused(Config { tls: Some(tls), ..config() }).await;
    assert!(message.starts_with("cannot read key ") && message.contains("cert.pem"), "{message}");
}
