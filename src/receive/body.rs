//! Request bodies under limits: metered while they arrive, bounded while they are decompressed.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

use super::refusal::Refusal;

/// A usual batch of an SDK, with what it takes while it is decompressed.
pub(super) const SMALL_BYTES: usize = 512 << 10;
/// Of the budget, kept for those.
const RESERVED_PART: usize = 8;

/// Bytes of all requests under way, against one limit.
#[derive(Debug)]
pub(super) struct Budget {
    used: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    pub fn new(bytes_max: usize) -> Arc<Budget> {
        Arc::new(Budget { used: AtomicUsize::new(0), bytes_max })
    }
}

/// One request's share of the budget, given back when the last holder drops it.
#[derive(Debug)]
pub(super) struct Charge {
    budget: Arc<Budget>,
    bytes: AtomicUsize,
}

impl Charge {
    pub fn new(budget: &Arc<Budget>) -> Arc<Charge> {
        Arc::new(Charge { budget: budget.clone(), bytes: AtomicUsize::new(0) })
    }

    /// Adds to the share; false when the budget is spent. What is small may go past it a little: whoever fills it does so with
    /// what is large, and the others go on.
    pub(super) fn add(&self, bytes: usize) -> bool {
        let own = self.bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let used = self.budget.used.fetch_add(bytes, Ordering::Relaxed) + bytes;
        let reserve = if own <= SMALL_BYTES { self.budget.bytes_max / RESERVED_PART } else { 0 };
        used <= self.budget.bytes_max + reserve
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(*self.bytes.get_mut(), Ordering::Relaxed);
    }
}

/// A body that ends with a refusal when it grows past its own limit or the budget is spent.
#[derive(Debug)]
pub(super) struct Metered<B> {
    inner: B,
    charge: Arc<Charge>,
    read: usize,
    limit_bytes: usize,
    /// What an overloaded receiver answers.
    retry_after: Duration,
    pace: Pace,
}

impl<B> Metered<B> {
    pub fn new(inner: B, charge: Arc<Charge>, limit_bytes: usize, retry_after: Duration) -> Metered<B> {
        Metered { inner, charge, read: 0, limit_bytes, retry_after, pace: Pace::new(PACE_LOOK) }
    }
}

/// How often it is looked at whether a body still comes.
const PACE_LOOK: Duration = Duration::from_secs(2);
/// By then so much of it must have come: a modem brings it, and whoever holds a place with a byte now and then does not.
const PACE_BYTES_MIN: usize = 8 << 10;
/// And, where much was sent already, this part of it: memory that is held costs its holder as much traffic.
const PACE_PART: usize = 16;

/// Whether a body comes as fast as it must.
#[derive(Debug)]
struct Pace {
    every: Duration,
    look: Pin<Box<Sleep>>,
    /// Bytes of the body at the last look.
    read_before: usize,
}

impl Pace {
    fn new(every: Duration) -> Pace {
        Pace { every, look: Box::pin(tokio::time::sleep(every)), read_before: 0 }
    }

    /// Looks, when it is time to; the waker of `cx` is woken at the next look.
    fn poll(&mut self, read: usize, cx: &mut Context<'_>) -> Result<(), Refusal> {
        while self.look.as_mut().poll(cx).is_ready() {
            let bytes = read - self.read_before;
            let bytes_min = PACE_BYTES_MIN.max(self.read_before / PACE_PART);
            if bytes < bytes_min {
                return Err(Refusal::TooSlowly { bytes, bytes_min, over: self.every });
            }
            self.read_before = read;
            self.look.set(tokio::time::sleep(self.every));
        }
        Ok(())
    }
}

impl<B> Body for Metered<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: std::fmt::Display,
{
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(cx);
        let frame = match polled {
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(Err(error))) => return Poll::Ready(Some(Err(Refusal::Broken(error.to_string())))),
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Pending => {
                let read = self.read;
                return match self.pace.poll(read, cx) {
                    Ok(()) => Poll::Pending,
                    Err(refusal) => Poll::Ready(Some(Err(refusal))),
                };
            }
        };
        let bytes = frame.data_ref().map_or(0, Bytes::len);
        self.read += bytes;
        if self.read > self.limit_bytes {
            return Poll::Ready(Some(Err(Refusal::TooLarge { limit_bytes: self.limit_bytes })));
        }
        if bytes > 0 && !self.charge.add(bytes) {
            return Poll::Ready(Some(Err(Refusal::Overloaded { retry_after: self.retry_after })));
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

/// A `content-encoding` that HTTP senders use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compression {
    Identity,
    Gzip,
    Zstd,
    /// zlib, which HTTP calls deflate; the Python and Go exporters offer it.
    Deflate,
}

impl Compression {
    pub fn from_header(value: &str) -> Result<Compression, Refusal> {
        let known = [
            ("", Compression::Identity),
            ("identity", Compression::Identity),
            ("gzip", Compression::Gzip),
            ("x-gzip", Compression::Gzip),
            ("zstd", Compression::Zstd),
            ("deflate", Compression::Deflate),
        ];
        let found = known.iter().find(|(name, _)| value.trim().eq_ignore_ascii_case(name));
        found.map(|(_, compression)| *compression).ok_or_else(|| Refusal::ContentEncoding(value.to_owned()))
    }

    /// As gRPC names it.
    pub fn from_grpc(value: &str) -> Option<Compression> {
        match value {
            "" | "identity" => Some(Compression::Identity),
            "gzip" => Some(Compression::Gzip),
            "zstd" => Some(Compression::Zstd),
            "deflate" => Some(Compression::Deflate),
            _ => None,
        }
    }

    /// The content of `body`; refused past `limit_bytes` without having been held. Room is paid for before it is taken.
    pub fn decompress(
        self,
        body: Bytes,
        limit_bytes: usize,
        pay: &dyn Fn(usize) -> Result<(), Refusal>,
    ) -> Result<Bytes, Refusal> {
        let read = |source: &mut dyn Read, encoding: &'static str| -> Result<Bytes, Refusal> {
            // Telemetry is a few times its compressed size.
            let mut room = (4 * body.len()).clamp(1024, limit_bytes.max(1024));
            pay(room)?;
            let mut content = Vec::with_capacity(room);
            loop {
                // One byte past the limit tells a content of exactly the limit from a longer one.
                let next = (room - content.len()).min(limit_bytes.saturating_add(1) - content.len());
                let read = source.take(next as u64).read_to_end(&mut content);
                if read.map_err(|error| undecompressable(encoding, &error))? < next {
                    return Ok(content.into());
                }
                if content.len() > limit_bytes {
                    return Err(Refusal::TooLargeDecompressed { limit_bytes });
                }
                if content.len() == room {
                    // While it is copied both places are taken.
                    pay(room)?;
                    content.reserve_exact(room);
                    room *= 2;
                }
            }
        };
        match self {
            Compression::Identity => Ok(body),
            Compression::Gzip => read(&mut flate2::read::MultiGzDecoder::new(&*body), "gzip"),
            Compression::Deflate => read(&mut flate2::read::ZlibDecoder::new(&*body), "deflate"),
            Compression::Zstd => {
                let mut decoder =
                    zstd::stream::read::Decoder::with_buffer(&*body).map_err(|e| undecompressable("zstd", &e))?;
                read(&mut decoder, "zstd")
            }
        }
    }
}

fn undecompressable(encoding: &'static str, error: &io::Error) -> Refusal {
    Refusal::Undecompressable { encoding, cause: error.to_string() }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::io::Write;

    use futures::StreamExt;
    use futures::task::noop_waker;
    use http_body_util::StreamBody;

    use super::*;

    fn gzip(content: &[u8]) -> Bytes {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap().into()
    }

    #[test]
    fn content_of_exactly_the_limit_passes_and_a_bomb_does_not() {
        let body = gzip(&[7; 1000]);
        let free = |_| Ok(());
        assert_eq!(Compression::Gzip.decompress(body.clone(), 1000, &free).unwrap().len(), 1000);
        assert!(matches!(
            Compression::Gzip.decompress(body, 999, &free),
            Err(Refusal::TooLargeDecompressed { limit_bytes: 999 })
        ));
        let bomb = gzip(&vec![0; 10 << 20]);
        assert!(bomb.len() < 1 << 18);
        assert!(matches!(
            Compression::Gzip.decompress(bomb, 1 << 20, &free),
            Err(Refusal::TooLargeDecompressed { .. })
        ));
    }

    /// What is held is paid for, whatever a few bytes become.
    #[test]
    fn content_is_paid_for_before_it_is_there() {
        let bomb = gzip(&vec![0; 10 << 20]);
        let paid = Cell::new(0);
        let pay = |bytes: usize| {
            paid.set(paid.get() + bytes);
            if paid.get() > 3 << 20 { Err(Refusal::Overloaded { retry_after: Duration::ZERO }) } else { Ok(()) }
        };
        let refused = Compression::Gzip.decompress(bomb.clone(), 64 << 20, &pay);
        assert!(matches!(refused, Err(Refusal::Overloaded { .. })), "{refused:?}");
        paid.set(0);
        let pay = |bytes: usize| {
            paid.set(paid.get() + bytes);
            Ok(())
        };
        assert_eq!(Compression::Gzip.decompress(bomb, 64 << 20, &pay).unwrap().len(), 10 << 20);
        assert!(paid.get() >= 10 << 20);
    }

    #[test]
    fn damage_is_named_with_its_encoding() {
        for (compression, name) in
            [(Compression::Gzip, "gzip"), (Compression::Zstd, "zstd"), (Compression::Deflate, "deflate")]
        {
            let message =
                compression.decompress(Bytes::from_static(b"plain"), 100, &|_| Ok(())).unwrap_err().to_string();
            assert!(message.contains(name), "{message}");
        }
        assert!(matches!(Compression::from_header("br"), Err(Refusal::ContentEncoding(_))));
        assert_eq!(Compression::from_header("GZIP").unwrap(), Compression::Gzip);
    }

    /// Polls once at a look, and tells what came of it.
    async fn looked_at(pace: &mut Pace, read: usize) -> Result<(), String> {
        pace.look.set(tokio::time::sleep(Duration::ZERO));
        pace.look.as_mut().await;
        pace.every = Duration::from_secs(3_600);
        let waker = noop_waker();
        pace.poll(read, &mut Context::from_waker(&waker)).map_err(|refusal| refusal.to_string())
    }

    #[tokio::test]
    async fn a_body_comes_as_fast_as_a_modem_or_as_what_it_holds() {
        let mut pace = Pace::new(Duration::ZERO);
        assert_eq!(looked_at(&mut pace, 8 << 10).await, Ok(()));
        assert_eq!(looked_at(&mut pace, 4 << 20).await, Ok(()));
        assert_eq!(looked_at(&mut pace, (4 << 20) + (256 << 10)).await, Ok(()), "a sixteenth of what is there");
        let refused = looked_at(&mut pace, (4 << 20) + (300 << 10)).await.unwrap_err();
        assert_eq!(refused, "the body came too slowly: 45056 bytes in 3600 s, 278528 are the least");
    }

    #[tokio::test]
    async fn a_body_that_stops_is_let_go() {
        let beginning = Ok::<_, io::Error>(Frame::data(Bytes::from_static(b"a beginning")));
        let body = StreamBody::new(futures::stream::iter([beginning]).chain(futures::stream::pending()));
        let mut metered = Metered::new(body, Charge::new(&Budget::new(100)), 100, Duration::ZERO);
        metered.pace = Pace::new(Duration::from_millis(1));
        let mut next = async || std::future::poll_fn(|cx| Pin::new(&mut metered).poll_frame(cx)).await.unwrap();
        assert!(next().await.is_ok());
        assert!(matches!(next().await, Err(Refusal::TooSlowly { bytes: 11, .. })));
    }

    #[test]
    fn what_is_small_finds_room_where_large_ones_fill_it() {
        let budget = Budget::new(16 * SMALL_BYTES);
        let large = Charge::new(&budget);
        assert!(large.add(16 * SMALL_BYTES));
        assert!(!Charge::new(&budget).add(SMALL_BYTES + 1));
        let small = [Charge::new(&budget), Charge::new(&budget)];
        assert!(small.iter().all(|charge| charge.add(SMALL_BYTES)));
        assert!(!Charge::new(&budget).add(1), "the reserve is bounded too");
    }

    #[test]
    fn a_spent_budget_is_given_back() {
        let budget = Budget::new(7); // too little for a reserve
        let first = Charge::new(&budget);
        assert!(first.add(4));
        let second = Charge::new(&budget);
        assert!(!second.add(4));
        drop(second);
        assert!(first.add(3));
        drop(first);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
