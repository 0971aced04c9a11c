//! The server's side of TLS: its certificate, and whose clients it lets in.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ServerConfig, WebPkiClientVerifier};
use tokio_rustls::TlsAcceptor;

/// PEM files of the server, and of those who may connect.
#[derive(Clone, Debug)]
pub struct Tls {
    /// The certificate and the chain that signed it.
    pub cert: PathBuf,
    pub key: PathBuf,
    /// With it, clients must show a certificate that it signed (mTLS).
    pub client_ca: Option<PathBuf>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    #[error("cannot read {what} {}: {cause}; it must be a PEM file that headroom may read", path.display())]
    File { what: &'static str, path: PathBuf, cause: String },
    #[error("certificate {} and key {} cannot be used: {cause}", cert.display(), key.display())]
    Certificate { cert: PathBuf, key: PathBuf, cause: rustls::Error },
    #[error("client CA {} cannot be used: {cause}", path.display())]
    ClientCa { path: PathBuf, cause: String },
}

/// Reads the files and prepares to accept connections that speak one of `protocols` (ALPN).
pub fn acceptor(tls: &Tls, protocols: &[&[u8]]) -> Result<TlsAcceptor, TlsError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let chain = certificates("certificate", &tls.cert)?;
    let key = PrivateKeyDer::from_pem_file(&tls.key).map_err(|error| TlsError::File {
        what: "key",
        path: tls.key.clone(),
        cause: error.to_string(),
    })?;
    let unusable = |cause| TlsError::Certificate { cert: tls.cert.clone(), key: tls.key.clone(), cause };
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(unusable)?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let refused = |cause: String| TlsError::ClientCa { path: path.clone(), cause };
            let mut roots = RootCertStore::empty();
            for certificate in certificates("client CA", path)? {
                roots.add(certificate).map_err(|error| refused(error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                .build()
                .map_err(|error| refused(error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder.with_single_cert(chain, key).map_err(unusable)?;
    config.alpn_protocols = protocols.iter().map(|protocol| protocol.to_vec()).collect();
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// Whether TLS could be served with these files.
pub fn check_tls(tls: &Tls) -> Result<(), TlsError> {
    acceptor(tls, &[]).map(drop)
}

fn certificates(what: &'static str, path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let failed = |cause: String| TlsError::File { what, path: path.to_owned(), cause };
    let certificates: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| failed(error.to_string()))?;
    if certificates.is_empty() { Err(failed("no certificate in it".to_owned())) } else { Ok(certificates) }
}
