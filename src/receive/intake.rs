//! What happens to a request once it has arrived, by whichever protocol: authorise, decode, hand over, count.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::HeaderMap;
use http::header::{AUTHORIZATION, ORIGIN};
use hyper::body::Body;
use tokio::sync::Semaphore;

use super::body::{Budget, Charge, Compression, Metered, SMALL_BYTES};
use super::config::{Config, Token};
use super::counters::Counters;
use super::decode::{DecodeError, Encoding, Limits, Options, Rejected, decode};
use super::queue::Inlet;
use super::refusal::Refusal;
use crate::model::Time;

/// Says what time it is; the receivers are the only station before the engine that needs to know.
pub type Clock = Arc<dyn Fn() -> Stamp + Send + Sync>;

/// The time of a receipt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub received_at: Time,
    /// The latest time that it may be by any clock of this machine: later than `received_at` while the system's clock
    /// was set forward and headroom's own has not followed yet.
    pub latest: Time,
}

impl From<Time> for Stamp {
    fn from(received_at: Time) -> Stamp {
        Stamp { received_at, latest: received_at }
    }
}

/// Called with every request the core has taken, for keeping what was received.
pub type Tap = Arc<dyn Fn(&Tapped) + Send + Sync>;

/// A request as it was received, decompressed.
#[derive(Clone, Debug)]
pub struct Tapped {
    pub received_at: Time,
    pub encoding: Encoding,
    pub request: Bytes,
}

/// Of what a request may take while it is decoded, the part of a small one: these do not wait for each other.
const SMALL_PART: usize = 4;

/// Shared by all connections of all protocols.
pub(super) struct Intake {
    inlet: Inlet,
    clock: Clock,
    tap: Option<Tap>,
    token: Option<Token>,
    budget: Arc<Budget>,
    pub counters: Arc<Counters>,
    pub body_bytes_max: usize,
    pub decompressed_bytes_max: usize,
    decode_limits: Limits,
    decoding: Semaphore,
    memory_is_full: Arc<AtomicBool>,
    pub request_timeout: Duration,
    hand_over_timeout: Duration,
    retry_after: Duration,
    future_max: Duration,
    assume_weight: Option<f64>,
}

impl Intake {
    pub fn new(config: &Config, inlet: Inlet, clock: Clock, tap: Option<Tap>) -> Intake {
        Intake {
            inlet,
            clock,
            tap,
            token: config.token.clone(),
            budget: Budget::new(config.requests_bytes_max),
            counters: Arc::default(),
            body_bytes_max: config.body_bytes_max,
            decompressed_bytes_max: config.decompressed_bytes_max,
            decode_limits: Limits { memory_bytes: config.decoded_bytes_max, spans: config.request_spans_max },
            decoding: Semaphore::new(config.decoders.clamp(1, Semaphore::MAX_PERMITS)),
            memory_is_full: config.memory_is_full.clone(),
            request_timeout: config.request_timeout,
            hand_over_timeout: config.hand_over_timeout,
            retry_after: config.retry_after,
            future_max: config.future_max,
            assume_weight: config.assume_weight,
        }
    }

    /// Before anything of the body is read.
    pub fn authorise(&self, headers: &HeaderMap) -> Result<(), Refusal> {
        // Browsers say which page a request comes from; senders are no pages. Without a token, or with a page's own name
        // made to mean this machine, nothing else tells them apart.
        if headers.contains_key(ORIGIN) {
            return Err(Refusal::Page);
        }
        let Some(token) = &self.token else { return Ok(()) };
        let shown = headers.get(AUTHORIZATION).and_then(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            scheme.eq_ignore_ascii_case(b"bearer ").then_some(token)
        });
        if shown.is_some_and(|shown| token.matches(shown)) { Ok(()) } else { Err(Refusal::Unauthenticated) }
    }

    fn overloaded(&self) -> Refusal {
        Refusal::Overloaded { retry_after: self.retry_after }
    }

    /// While memory is full only what is small is taken; the rest is told to come back.
    fn bytes_max(&self, usual: usize) -> usize {
        if self.memory_is_full.load(Ordering::Relaxed) { usual.min(SMALL_BYTES) } else { usual }
    }

    /// A request that is larger than is taken now.
    fn too_large(&self, bytes_max: usize, usual: usize, refusal: Refusal) -> Refusal {
        if bytes_max < usual { self.overloaded() } else { refusal }
    }

    /// The content of a body, paid for while it is decompressed.
    pub fn decompress(&self, compression: Compression, body: Bytes, charge: &Charge) -> Result<Bytes, Refusal> {
        let pay = |bytes| if charge.add(bytes) { Ok(()) } else { Err(self.overloaded()) };
        let (usual, bytes_max) = (self.decompressed_bytes_max, self.bytes_max(self.decompressed_bytes_max));
        if body.len() > bytes_max {
            return Err(self.too_large(bytes_max, usual, Refusal::TooLargeDecompressed { limit_bytes: bytes_max }));
        }
        compression.decompress(body, bytes_max, &pay).map_err(|refusal| match refusal {
            Refusal::TooLargeDecompressed { .. } => self.too_large(bytes_max, usual, refusal),
            refusal => refusal,
        })
    }

    /// The share of the memory for requests that one request will use.
    pub fn charge(&self) -> Arc<Charge> {
        Charge::new(&self.budget)
    }

    /// Puts a body under the limits.
    pub fn meter<B: Body>(&self, body: B, charge: &Arc<Charge>) -> Result<Metered<B>, Refusal> {
        let (usual, limit_bytes) = (self.body_bytes_max, self.bytes_max(self.body_bytes_max));
        if body.size_hint().lower() > limit_bytes as u64 {
            return Err(self.too_large(limit_bytes, usual, Refusal::TooLarge { limit_bytes }));
        }
        Ok(Metered::new(body, charge.clone(), limit_bytes, self.retry_after))
    }

    /// Decodes a whole request and waits until the core has taken it. The spans that were rejected are the
    /// answer's partial success.
    pub async fn take(&self, encoding: Encoding, request: Bytes) -> Result<Rejected, Refusal> {
        let Stamp { received_at, latest } = (self.clock)();
        let is_small = request.len() <= SMALL_BYTES;
        // Never closed.
        let turn = if is_small { None } else { self.decoding.acquire().await.ok() };
        let memory_bytes = self.decode_limits.memory_bytes / if is_small { SMALL_PART } else { 1 };
        let options = Options {
            assume_weight: self.assume_weight,
            start_max: Some(latest + self.future_max),
            limits: Some(Limits { memory_bytes, ..self.decode_limits }),
            rescale: false,
        };
        let decoded = decode(encoding, &request, &options).map_err(|error| match error {
            DecodeError::TooManySpans { .. } | DecodeError::TooMuchMemory { .. } => Refusal::TooLargeDecoded(error),
            DecodeError::Foreign { .. } => Refusal::Foreign(error),
            DecodeError::Protobuf(_) | DecodeError::Json(_) => Refusal::Undecodable(error),
        })?;
        drop(turn);
        let (bytes, spans) = (request.len(), decoded.batch.len());
        // Without a tap the request's memory is not needed while the core is waited for.
        let tapped = self.tap.as_ref().map(|tap| (tap, Tapped { received_at, encoding, request }));
        if spans > 0 {
            let answer = self.inlet.offer(received_at, decoded.batch).map_err(|_| self.overloaded())?;
            match tokio::time::timeout(self.hand_over_timeout, answer).await {
                Ok(Ok(())) => {}
                Ok(Err(_)) | Err(_) => return Err(self.overloaded()),
            }
        }
        self.counters.accept(bytes, spans, &decoded.rejected, decoded.mended);
        if let Some((tap, tapped)) = tapped {
            tap(&tapped);
        }
        Ok(decoded.rejected)
    }
}
