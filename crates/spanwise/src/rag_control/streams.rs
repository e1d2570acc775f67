//! Answers that come piece by piece.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll, ready};

use futures_core::Stream;

use super::adapter::{AdapterError, Piece, Pieces};
use super::error::Error;
use super::exchange::{Answer, Exchange};

/// What both sorts of streams know.
#[derive(Debug)]
struct Progress {
    /// The request, until it is over.
    exchange: Option<Exchange>,
    answer: Option<Answer>,
    /// Text that comes before anything else.
    ready: Option<String>,
}

impl Progress {
    fn refused(answer: Answer) -> Self {
        let ready = Some(answer.content.clone());
        Progress { exchange: None, answer: Some(answer), ready }
    }

    /// What there is to show after a piece, or after the last one. Where there is nothing, another
    /// piece has to come, unless the exchange is over.
    fn take(
        &mut self,
        piece: Option<Result<Piece, AdapterError>>,
    ) -> Option<Result<String, Error>> {
        let exchange = self.exchange.as_mut()?;
        let shown = match piece {
            Some(piece) => match exchange.piece(piece) {
                Ok(text) => return (!text.is_empty()).then_some(Ok(text)),
                Err(error) => Err(error),
            },
            None => exchange.finished().map(|(answer, rest)| {
                self.answer = Some(answer);
                rest
            }),
        };
        self.exchange = None;
        Some(shown).filter(|shown| !shown.as_ref().is_ok_and(String::is_empty))
    }
}

/// The pieces of an answer. When they have come, [`result`](AnswerStream::result) is the whole.
pub struct AnswerStream<'a> {
    progress: Progress,
    pieces: Pieces<'a>,
}

impl<'a> AnswerStream<'a> {
    pub(super) fn new(exchange: Exchange, pieces: Pieces<'a>) -> Self {
        let progress = Progress { exchange: Some(exchange), answer: None, ready: None };
        AnswerStream { progress, pieces }
    }

    pub(super) fn refused(answer: Answer) -> Self {
        AnswerStream { progress: Progress::refused(answer), pieces: Box::new(std::iter::empty()) }
    }

    /// The answer, once all pieces have come and it keeps to the policy.
    pub fn result(&self) -> Option<&Answer> {
        self.progress.answer.as_ref()
    }
}

impl Iterator for AnswerStream<'_> {
    type Item = Result<String, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if let Some(ready) = self.progress.ready.take() {
            return Some(Ok(ready));
        }
        loop {
            let exchange = self.progress.exchange.as_mut()?;
            let piece = exchange.within(|| self.pieces.next());
            if let Some(shown) = self.progress.take(piece) {
                return Some(shown);
            }
        }
    }
}

impl std::fmt::Debug for AnswerStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AnswerStream").field(&self.progress).finish()
    }
}

type PieceStream<'a> = Pin<Box<dyn Stream<Item = Result<Piece, AdapterError>> + Send + 'a>>;

/// The pieces of an answer, without blocking. When they have come,
/// [`result`](AsyncAnswerStream::result) is the whole.
pub struct AsyncAnswerStream<'a> {
    progress: Progress,
    pieces: Option<PieceStream<'a>>,
}

impl<'a> AsyncAnswerStream<'a> {
    pub(super) fn new(exchange: Exchange, pieces: PieceStream<'a>) -> Self {
        let progress = Progress { exchange: Some(exchange), answer: None, ready: None };
        AsyncAnswerStream { progress, pieces: Some(pieces) }
    }

    pub(super) fn refused(answer: Answer) -> Self {
        AsyncAnswerStream { progress: Progress::refused(answer), pieces: None }
    }

    /// The answer, once all pieces have come and it keeps to the policy.
    pub fn result(&self) -> Option<&Answer> {
        self.progress.answer.as_ref()
    }
}

impl Stream for AsyncAnswerStream<'_> {
    type Item = Result<String, Error>;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<Self::Item>> {
        let this = self.get_mut();
        if let Some(ready) = this.progress.ready.take() {
            return Poll::Ready(Some(Ok(ready)));
        }
        loop {
            let (Some(exchange), Some(pieces)) = (&mut this.progress.exchange, &mut this.pieces)
            else {
                return Poll::Ready(None);
            };
            let piece = ready!(exchange.within(|| pieces.as_mut().poll_next(task)));
            if let Some(shown) = this.progress.take(piece) {
                return Poll::Ready(Some(shown));
            }
        }
    }
}

impl std::fmt::Debug for AsyncAnswerStream<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("AsyncAnswerStream").field(&self.progress).finish()
    }
}
