//! An upstream's answer as it arrives.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http_body::{Body as _, Frame};
use hyper::body::Incoming;
use tokio::time::Sleep;

use crate::upstream::{Failure, FailureKind};

/// An answer as it arrives, and the times within which it has to go on.
#[derive(Debug)]
pub struct Source {
    body: Incoming,
    idle: Duration,
    deadline: Instant,
    timer: Pin<Box<Sleep>>,
}

impl Source {
    /// An answer whose head has come. It may be silent for `idle`.
    pub fn new(body: Incoming, idle: Duration, deadline: Instant) -> Self {
        let latest = (Instant::now() + idle).min(deadline);
        Source { body, idle, deadline, timer: Box::pin(tokio::time::sleep_until(latest.into())) }
    }

    /// Whether there is nothing more to come.
    pub fn is_over(&self) -> bool {
        self.body.is_end_stream()
    }

    /// The next piece.
    pub fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Failure>>> {
        match Pin::new(&mut self.body).poll_frame(context) {
            Poll::Ready(Some(Ok(frame))) => {
                let next = (Instant::now() + self.idle).min(self.deadline);
                self.timer.as_mut().reset(next.into());
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(Some(Err(error))) => Poll::Ready(Some(Err(Failure::of_body(&error)))),
            Poll::Ready(None) => Poll::Ready(None),
            Poll::Pending => {
                ready!(self.timer.as_mut().poll(context));
                let is_total = Instant::now() >= self.deadline;
                let kind =
                    if is_total { FailureKind::TotalTimeout } else { FailureKind::IdleTimeout };
                Poll::Ready(Some(Err(Failure::late(kind, self.idle))))
            }
        }
    }
}
