//! Request bodies under limits: metered while they arrive, bounded while they are decompressed.

use std::io::{self, Read};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::refusal::Refusal;

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

    /// Adds to the share; false when the budget is spent.
    pub(super) fn add(&self, bytes: usize) -> bool {
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
        self.budget.used.fetch_add(bytes, Ordering::Relaxed) + bytes <= self.budget.bytes_max
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
    retry_after: std::time::Duration,
}

impl<B> Metered<B> {
    pub fn new(inner: B, charge: Arc<Charge>, limit_bytes: usize, retry_after: std::time::Duration) -> Metered<B> {
        Metered { inner, charge, read: 0, limit_bytes, retry_after }
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
        let frame = match ready!(Pin::new(&mut self.inner).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(Refusal::Broken(error.to_string())))),
            Some(Ok(frame)) => frame,
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
    use std::time::Duration;

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

    #[test]
    fn a_spent_budget_is_given_back() {
        let budget = Budget::new(10);
        let first = Charge::new(&budget);
        assert!(first.add(6));
        let second = Charge::new(&budget);
        assert!(!second.add(5));
        drop(second);
        assert!(first.add(4));
        drop(first);
        assert_eq!(budget.used.load(Ordering::Relaxed), 0);
    }
}
