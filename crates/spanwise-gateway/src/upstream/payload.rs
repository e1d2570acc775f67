//! Bodies of requests to upstreams: here as a whole, or still arriving from the client.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::Full;
use hyper::body::Incoming;

/// The body of a request.
#[derive(Debug)]
pub enum Payload {
    /// All of it is here.
    Whole(Full<Bytes>),
    /// It goes on as it arrives.
    Upload(Upload),
}

impl From<Full<Bytes>> for Payload {
    fn from(body: Full<Bytes>) -> Self {
        Payload::Whole(body)
    }
}

impl http_body::Body for Payload {
    type Data = Bytes;
    type Error = Broken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        match &mut *self {
            Payload::Whole(body) => match ready!(Pin::new(body).poll_frame(context)) {
                Some(Ok(frame)) => Poll::Ready(Some(Ok(frame))),
                None => Poll::Ready(None),
                Some(Err(never)) => match never {},
            },
            Payload::Upload(upload) => upload.lock().poll_frame(context),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Payload::Whole(body) => body.is_end_stream(),
            Payload::Upload(upload) => upload.lock().is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Payload::Whole(body) => body.size_hint(),
            Payload::Upload(upload) => upload.lock().size_hint(),
        }
    }
}

/// Why a client's body is not passed on any further.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Broken {
    /// The client sent no more of it.
    #[error("the request broke off: {0}")]
    Client(String),
    /// It is larger than is taken.
    #[error("the request is larger than is taken")]
    TooLarge,
}

/// A client's body on its way. Each attempt borrows it: while nothing of it has been taken, the
/// next one can have it whole.
#[derive(Clone, Debug)]
pub struct Upload(Arc<Mutex<Passing>>);

#[derive(Debug)]
struct Passing {
    /// What was read ahead.
    ahead: VecDeque<Bytes>,
    rest: Incoming,
    /// Bytes that may still come.
    left: u64,
    /// When something was last taken.
    moved: Option<Instant>,
    broken: Option<Broken>,
}

impl Upload {
    /// A body of which `ahead` has been read. At most `left` bytes may follow.
    pub fn new(ahead: VecDeque<Bytes>, rest: Incoming, left: u64) -> Self {
        let passing = Passing { ahead, rest, left, moved: None, broken: None };
        Upload(Arc::new(Mutex::new(passing)))
    }

    fn lock(&self) -> MutexGuard<'_, Passing> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When something of it was last taken, if anything was.
    pub fn moved(&self) -> Option<Instant> {
        self.lock().moved
    }

    /// Why it went no further.
    pub fn broken(&self) -> Option<Broken> {
        self.lock().broken.clone()
    }
}

impl Passing {
    fn is_over(&self) -> bool {
        self.ahead.is_empty() && self.rest.is_end_stream()
    }

    fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Broken>>> {
        if let Some(bytes) = self.ahead.pop_front() {
            self.moved = Some(Instant::now());
            return Poll::Ready(Some(Ok(Frame::data(bytes))));
        }
        let broken = match ready!(Pin::new(&mut self.rest).poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => {
                self.moved = Some(Instant::now());
                let size = frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(left) = self.left.checked_sub(size) {
                    self.left = left;
                    return Poll::Ready(Some(Ok(frame)));
                }
                Broken::TooLarge
            }
            Some(Err(error)) => Broken::Client(error.to_string()),
        };
        self.broken = Some(broken.clone());
        Poll::Ready(Some(Err(broken)))
    }

    fn size_hint(&self) -> SizeHint {
        let ahead: u64 = self.ahead.iter().map(|bytes| bytes.len() as u64).sum();
        let rest = self.rest.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(ahead + rest.lower());
        if let Some(upper) = rest.upper() {
            hint.set_upper(ahead + upper);
        }
        hint
    }
}
