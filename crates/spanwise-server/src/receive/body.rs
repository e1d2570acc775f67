//! Taking a body off the wire and out of its compression, within bounds.

use std::io::Read;
use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use spanwise_store::Encoding;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use crate::config::Limits;

/// How much of a refused body is read and thrown away, so that its sender sees the answer.
const MAX_DISCARD_BYTES: usize = 256 << 20;

/// … and for how long at most.
const MAX_DISCARD_TIME: std::time::Duration = std::time::Duration::from_secs(20);

/// Why a body was not taken.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs)]
pub enum BodyError {
    #[error("the body is larger than {limit} bytes")]
    TooLarge { limit: usize },
    #[error("the body took too long to arrive")]
    TooSlow,
    #[error("too many bytes are on their way in")]
    Busy,
    #[error("the body broke off")]
    BrokenOff,
    #[error("the body is no valid {0}")]
    BadCompression(&'static str),
}

/// How much may be held for bodies that are being read or decoded, over all connections.
#[derive(Clone, Debug)]
pub struct Budget {
    kib: Arc<Semaphore>,
    max_body_bytes: usize,
    body_timeout: std::time::Duration,
}

/// A body, and the part of the budget it takes up until it is dropped.
#[derive(Debug)]
pub struct Held {
    /// The bytes.
    pub bytes: Bytes,
    permit: Option<OwnedSemaphorePermit>,
}

impl Budget {
    /// A budget within these limits.
    pub fn new(limits: &Limits) -> Self {
        let kib = (limits.max_inflight_bytes / 1024).clamp(1, Semaphore::MAX_PERMITS);
        Budget {
            kib: Arc::new(Semaphore::new(kib)),
            max_body_bytes: limits.max_body_bytes,
            body_timeout: limits.body_timeout,
        }
    }

    /// The largest body, before and after decompression.
    pub fn max_body_bytes(&self) -> usize {
        self.max_body_bytes
    }

    /// Reads a whole body. `overhead` bytes of framing are allowed beyond the limit.
    ///
    /// A body that is refused goes on being read, and thrown away, behind the answer: most clients
    /// look for an answer only when they have sent everything.
    pub async fn read<B>(&self, mut body: B, overhead: usize) -> Result<Held, BodyError>
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        let outcome = self.read_whole(&mut body, overhead).await;
        if outcome.is_err() {
            self.discard(body);
        }
        outcome
    }

    /// Reads what is left of a body that nobody wants, within bounds, without holding up anybody.
    pub fn discard<B>(&self, mut body: B)
    where
        B: hyper::body::Body<Data = Bytes> + Send + Unpin + 'static,
    {
        if body.is_end_stream() {
            return;
        }
        let patience = self.body_timeout.min(MAX_DISCARD_TIME);
        tokio::spawn(tokio::time::timeout(patience, async move {
            let mut n_bytes = 0;
            while let Some(Ok(frame)) = body.frame().await {
                n_bytes += frame.data_ref().map_or(0, Bytes::len);
                if n_bytes > MAX_DISCARD_BYTES {
                    return;
                }
            }
        }));
    }

    async fn read_whole<B>(&self, body: &mut B, overhead: usize) -> Result<Held, BodyError>
    where
        B: hyper::body::Body<Data = Bytes> + Unpin,
    {
        let limit = self.max_body_bytes + overhead;
        let too_large = BodyError::TooLarge { limit: self.max_body_bytes };
        let announced = body.size_hint().exact().unwrap_or(0);
        if announced > limit as u64 {
            return Err(too_large);
        }
        let deadline = Instant::now() + self.body_timeout;
        let mut held = Held { bytes: Bytes::new(), permit: None };
        let mut buffer = BytesMut::new();
        loop {
            let frame = tokio::time::timeout_at(deadline, body.frame());
            let frame = match frame.await.map_err(|_| BodyError::TooSlow)? {
                None => break,
                Some(frame) => frame.map_err(|_| BodyError::BrokenOff)?,
            };
            let Ok(data) = frame.into_data() else { continue };
            if buffer.len() + data.len() > limit {
                return Err(too_large);
            }
            if buffer.is_empty() {
                // Room for all of it when the size is announced, but no more than has a place in
                // the budget: an announcement costs the client nothing.
                buffer.reserve((announced as usize).min(1 << 20).max(data.len()));
            }
            self.hold(&mut held, buffer.len() + data.len())?;
            buffer.extend_from_slice(&data);
        }
        // Spans keep their body in memory for as long as they are live: no slack.
        let is_loose = buffer.capacity() > buffer.len() + buffer.len() / 4;
        held.bytes = if is_loose { Bytes::copy_from_slice(&buffer) } else { buffer.freeze() };
        Ok(held)
    }

    /// Enlarges what a body takes of the budget to `n_bytes`. Never waits: those who hold a part
    /// already would wait for one another.
    fn hold(&self, held: &mut Held, n_bytes: usize) -> Result<(), BodyError> {
        let have = held.permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
        let want = n_bytes.div_ceil(1024);
        if want <= have {
            return Ok(());
        }
        let more = u32::try_from(want - have).map_err(|_| BodyError::Busy)?;
        let more =
            Arc::clone(&self.kib).try_acquire_many_owned(more).map_err(|_| BodyError::Busy)?;
        match &mut held.permit {
            Some(permit) => permit.merge(more),
            None => held.permit = Some(more),
        }
        Ok(())
    }
}

/// Takes a body out of its compression, giving up as soon as it passes `limit`.
pub fn inflate(encoding: Encoding, body: &Bytes, limit: usize) -> Result<Bytes, BodyError> {
    match encoding {
        Encoding::Identity => Ok(body.clone()),
        Encoding::Gzip => {
            read_within(flate2::bufread::MultiGzDecoder::new(&body[..]), body, limit, "gzip")
        }
        Encoding::Deflate => inflate_deflate(body, limit),
        Encoding::Zstd => {
            let mut decoder = zstd::stream::read::Decoder::with_buffer(&body[..])
                .map_err(|_| BodyError::BadCompression("zstd"))?;
            // Windows beyond this are refused: a frame may ask for memory it never fills.
            decoder.window_log_max(27).map_err(|_| BodyError::BadCompression("zstd"))?;
            read_within(decoder, body, limit, "zstd")
        }
    }
}

/// HTTP's `deflate` is zlib; some clients send bare deflate under that name.
fn inflate_deflate(body: &Bytes, limit: usize) -> Result<Bytes, BodyError> {
    let zlib = flate2::bufread::ZlibDecoder::new(&body[..]);
    match read_within(zlib, body, limit, "deflate") {
        Err(BodyError::BadCompression(_)) => {
            read_within(flate2::bufread::DeflateDecoder::new(&body[..]), body, limit, "deflate")
        }
        outcome => outcome,
    }
}

fn read_within(
    decoder: impl Read,
    body: &Bytes,
    limit: usize,
    name: &'static str,
) -> Result<Bytes, BodyError> {
    let mut inflated = Vec::with_capacity(body.len().saturating_mul(4).min(limit).min(1 << 20));
    decoder
        .take(limit as u64 + 1)
        .read_to_end(&mut inflated)
        .map_err(|_| BodyError::BadCompression(name))?;
    if inflated.len() > limit {
        return Err(BodyError::TooLarge { limit });
    }
    inflated.shrink_to_fit();
    Ok(inflated.into())
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::time::Duration;

    use flate2::Compression;
    use flate2::write::{DeflateEncoder, GzEncoder, ZlibEncoder};

    use super::*;

    fn packed(encoding: Encoding, plain: &[u8]) -> Bytes {
        match encoding {
            Encoding::Identity => plain.to_vec(),
            Encoding::Gzip => {
                let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Deflate => {
                let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
                encoder.write_all(plain).unwrap();
                encoder.finish().unwrap()
            }
            Encoding::Zstd => zstd::encode_all(plain, 1).unwrap(),
        }
        .into()
    }

    #[test]
    fn every_encoding_within_its_limit() {
        let plain = vec![b'a'; 10_000];
        for encoding in [Encoding::Identity, Encoding::Gzip, Encoding::Deflate, Encoding::Zstd] {
            let packed = packed(encoding, &plain);
            assert_eq!(inflate(encoding, &packed, 10_000).unwrap(), plain, "{encoding:?}");
            if encoding != Encoding::Identity {
                let error = inflate(encoding, &packed, 9_999).unwrap_err();
                assert!(matches!(error, BodyError::TooLarge { limit: 9_999 }), "{encoding:?}");
                let cut = packed.slice(..packed.len() - 5);
                let error = inflate(encoding, &cut, 10_000).unwrap_err();
                assert!(matches!(error, BodyError::BadCompression(_)), "{encoding:?}");
            }
        }
    }

    #[test]
    fn bare_deflate_is_understood() {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(b"spans").unwrap();
        let packed = encoder.finish().unwrap().into();
        assert_eq!(inflate(Encoding::Deflate, &packed, 100).unwrap(), "spans");
    }

    fn limits() -> Limits {
        Limits {
            max_body_bytes: 4096,
            max_inflight_bytes: 6 * 1024,
            max_connections: 1,
            header_timeout: Duration::from_secs(1),
            body_timeout: Duration::from_millis(1),
            drain_timeout: Duration::from_secs(1),
        }
    }

    #[tokio::test]
    async fn the_budget_is_shared_and_given_back() {
        let budget = Budget::new(&limits());
        let body = |n| http_body_util::Full::new(Bytes::from(vec![0; n]));
        let first = budget.read(body(4096), 0).await.unwrap();
        assert!(matches!(budget.read(body(4096), 0).await, Err(BodyError::Busy)));
        drop(first);
        let second = budget.read(body(4096), 0).await.unwrap();
        assert_eq!(second.bytes.len(), 4096);
        assert!(matches!(budget.read(body(4097), 0).await, Err(BodyError::TooLarge { .. })));
    }

    #[tokio::test]
    async fn a_body_that_does_not_come_is_given_up() {
        let budget = Budget::new(&limits());
        let never = http_body_util::StreamBody::new(futures::stream::pending::<
            Result<hyper::body::Frame<Bytes>, std::io::Error>,
        >());
        assert!(matches!(budget.read(never, 0).await, Err(BodyError::TooSlow)));
    }
}
