//! Where the receivers listen, who may send, and how much.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use crate::net::Tls;

/// Settings of the receivers; checked by [`Receivers::start`](super::Receivers::start).
#[derive(Clone, Debug)]
pub struct Config {
    /// OTLP/gRPC; None does not listen.
    pub grpc: Option<SocketAddr>,
    /// OTLP/HTTP; None does not listen.
    pub http: Option<SocketAddr>,
    pub tls: Option<Tls>,
    /// Senders must show it as `authorization: Bearer …`.
    pub token: Option<Token>,
    /// Bytes of one request as sent.
    pub body_bytes_max: usize,
    /// Bytes of one request once decompressed.
    pub decompressed_bytes_max: usize,
    /// Bytes of all requests that are being received or wait for the core.
    pub requests_bytes_max: usize,
    /// Bytes that one request may take beside its own while it is decoded; one of at most 512 KiB a quarter of that.
    pub decoded_bytes_max: usize,
    /// Requests of more than 512 KiB that are decoded at once; others wait.
    pub decoders: usize,
    /// Spans of one request: what the core takes is taken whole, between two ticks.
    pub request_spans_max: usize,
    /// Set by whoever watches memory: while it is true every request is told to come back.
    pub memory_is_full: Arc<AtomicBool>,
    /// Connections of each protocol; more wait to be accepted.
    pub connections_max: usize,
    /// How long one request may take to arrive; over gRPC, to arrive and be answered.
    pub request_timeout: Duration,
    /// How long the core may take to take one batch.
    pub hand_over_timeout: Duration,
    /// When an overloaded receiver asks to be tried again.
    pub retry_after: Duration,
    /// Spans that start later than this after they were received are rejected.
    pub future_max: Duration,
    /// How many spans one stands for that does not say so; see [`decode::Options`](super::decode::Options).
    pub assume_weight: Option<f64>,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            // The ports OTLP has at IANA; open to this machine alone, for without a token anyone may send.
            grpc: Some((Ipv4Addr::LOCALHOST, 4317).into()),
            http: Some((Ipv4Addr::LOCALHOST, 4318).into()),
            tls: None,
            token: None,
            // A Collector's batch of 8 192 wide spans is about 8 MiB; the Collector's own limit is 20 MiB.
            body_bytes_max: 16 << 20,
            // Spans compress to about a quarter at worst; more than that is a bomb.
            decompressed_bytes_max: 64 << 20,
            // Sixteen of the largest requests at once.
            requests_bytes_max: 256 << 20,
            // 60 000 spans of JSON, or 200 000 of protobuf: more than the next bound lets through.
            decoded_bytes_max: 64 << 20,
            // A thread decodes one at a time: as many as there are processors, of any machine.
            decoders: 1024,
            // Eight of a Collector's usual batches; of traces of one span each they keep the core for a fifth of a second.
            request_spans_max: 65_536,
            memory_is_full: Arc::default(),
            // A connection costs about 50 KiB; a cluster's agents each hold one or two.
            connections_max: 1024,
            // Exporters give up after 5 to 10 s.
            request_timeout: Duration::from_secs(10),
            // Shorter than an exporter's patience, so that it hears `overloaded` rather than nothing.
            hand_over_timeout: Duration::from_secs(4),
            retry_after: Duration::from_secs(1),
            // Past every clock that NTP has ever seen.
            future_max: Duration::from_secs(600),
            assume_weight: None,
        }
    }
}

/// A secret, never printed.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    pub fn new(secret: impl Into<String>) -> Token {
        Token(secret.into())
    }

    /// Compares every byte whatever the first difference, so that the time taken tells nothing but the length.
    pub(super) fn matches(&self, shown: &[u8]) -> bool {
        let secret = self.0.as_bytes();
        let differences = secret.iter().zip(shown).fold(0, |all, (a, b)| all | (a ^ b));
        secret.len() == shown.len() && std::hint::black_box(differences) == 0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::Token;

    #[test]
    fn a_token_matches_itself_alone_and_is_not_printed() {
        let token = Token::new("secret");
        assert!(token.matches(b"secret"));
        for wrong in ["", "secre", "secretx", "Secret", "terces"] {
            assert!(!token.matches(wrong.as_bytes()), "{wrong}");
        }
        assert!(!format!("{token:?}").contains("secret"));
    }
}
