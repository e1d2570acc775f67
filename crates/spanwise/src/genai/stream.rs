//! Answers that come in pieces.

use std::pin::Pin;
use std::task::{Context as TaskContext, Poll};

use futures_core::Stream;
use pin_project_lite::pin_project;

use super::Chat;

pin_project! {
    /// A stream of pieces of an answer, inside the span of the call. See [`Chat::watch`].
    #[derive(Debug)]
    pub struct Watched<S, F> {
        #[pin]
        stream: S,
        each: F,
        chat: Option<Chat>,
    }
}

impl<S, F> Watched<S, F> {
    pub(super) fn new(chat: Chat, stream: S, each: F) -> Self {
        Watched { stream, each, chat: Some(chat) }
    }
}

impl<S: Stream, F: FnMut(&mut Chat, &S::Item)> Stream for Watched<S, F> {
    type Item = S::Item;

    fn poll_next(self: Pin<&mut Self>, task: &mut TaskContext<'_>) -> Poll<Option<S::Item>> {
        let this = self.project();
        let Some(chat) = this.chat else { return this.stream.poll_next(task) };
        let polled = chat.scope(|| this.stream.poll_next(task));
        match &polled {
            Poll::Pending => {}
            Poll::Ready(Some(item)) => {
                chat.first_token();
                (this.each)(chat, item);
            }
            Poll::Ready(None) => *this.chat = None,
        }
        polled
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.stream.size_hint()
    }
}
