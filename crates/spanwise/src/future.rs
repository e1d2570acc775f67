//! Futures and streams inside spans.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use crate::span::Span;

/// Puts futures and streams into spans.
pub trait InSpan: Sized {
    /// The span is current while this is polled, whatever thread does it, and ends with it.
    fn in_span(self, span: Span) -> Instrumented<Self> {
        Instrumented { inner: self, span: Some(span) }
    }
}

impl<T> InSpan for T {}

pin_project! {
    /// A future or stream in a span. See [`InSpan::in_span`].
    #[derive(Debug)]
    pub struct Instrumented<T> {
        #[pin]
        inner: T,
        span: Option<Span>,
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<F::Output> {
        let this = self.project();
        let polled = within(this.span, || this.inner.poll(task));
        if polled.is_ready() {
            *this.span = None;
        }
        polled
    }
}

impl<S: Stream> Stream for Instrumented<S> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        let polled = within(this.span, || this.inner.poll_next(task));
        if matches!(polled, Poll::Ready(None)) {
            *this.span = None;
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.inner.size_hint()
    }
}

/// Runs `work` with the span as the current one. If it panics the span ends.
fn within<R>(span: &mut Option<Span>, work: impl FnOnce() -> R) -> R {
    let Some(lender) = span else { return work() };
    let entered = lender.lend();
    let result = work();
    lender.take_back(entered);
    result
}
