//! An agent's answer on its way to the client. Bytes go on as they come; a copy is read where it
//! is understood.

use std::task::{Context, Poll, ready};
use std::time::Instant;

use bytes::Bytes;
use http_body::Frame;

use super::talk::Talk;
use crate::frames::{Frames, Framing};
use crate::record::{Fault, Record};
use crate::relay::{Holds, Source};
use crate::reply::BrokenOff;
use crate::upstream::Failure;

/// Bytes of a whole answer that are kept for reading.
const MAX_READ: usize = 8 << 20;

/// How the copy is read.
#[derive(Debug)]
enum Reading {
    /// Not at all.
    Nothing,
    /// When all of it is here.
    Whole(Vec<u8>),
    /// Event by event.
    Events(Box<Frames>),
}

/// An answer that the client is getting. However that ends, its spans are written then.
#[derive(Debug)]
pub struct Passage {
    source: Source,
    reading: Reading,
    talk: Option<Box<Talk>>,
    /// Taken when the exchange is over.
    record: Option<Box<Record>>,
    holds: Holds,
    is_over: bool,
}

impl Passage {
    /// Takes over an answer whose head has come; a copy is read if there is a way to.
    pub fn new(
        source: Source,
        talk: Box<Talk>,
        reads: Option<Reads>,
        record: Box<Record>,
        holds: Holds,
    ) -> Self {
        let reading = match reads {
            None => Reading::Nothing,
            Some(Reads::Whole) => Reading::Whole(Vec::new()),
            Some(Reads::Events { max_bytes }) => {
                Reading::Events(Box::new(Frames::new(Framing::Sse, max_bytes)))
            }
        };
        let mut passage = Passage {
            source,
            reading,
            talk: Some(talk),
            record: Some(record),
            holds,
            is_over: false,
        };
        // An answer without a body is never asked for one.
        if passage.is_over() {
            passage.end();
        }
        passage
    }

    /// Whether there is nothing more to come.
    pub fn is_over(&self) -> bool {
        self.is_over || self.source.is_over()
    }

    /// Gives the client what there is.
    pub fn poll_frame(
        &mut self,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if self.is_over {
            return Poll::Ready(None);
        }
        match ready!(self.source.poll_frame(context)) {
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.read(data.clone());
                }
                if self.source.is_over() {
                    self.end();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(failure)) => Poll::Ready(Some(Err(self.break_off(&failure)))),
            None => {
                self.end();
                Poll::Ready(None)
            }
        }
    }

    fn read(&mut self, data: Bytes) {
        let (Some(record), Some(talk)) = (&mut self.record, &mut self.talk) else { return };
        let now = Instant::now();
        record.firsts.byte.get_or_insert(now);
        match &mut self.reading {
            Reading::Nothing => {}
            Reading::Whole(whole) if whole.len() + data.len() <= MAX_READ => {
                whole.extend_from_slice(&data);
            }
            Reading::Whole(_) => self.reading = Reading::Nothing,
            Reading::Events(frames) => {
                frames.push(data);
                while let Some(frame) = frames.next() {
                    hear(talk, record, frame.data(), now);
                }
            }
        }
    }

    /// The agent has sent everything.
    fn end(&mut self) {
        self.is_over = true;
        let (Some(record), Some(talk)) = (&mut self.record, &mut self.talk) else { return };
        let now = Instant::now();
        match std::mem::replace(&mut self.reading, Reading::Nothing) {
            Reading::Nothing => {}
            Reading::Whole(whole) => hear(talk, record, &whole, now),
            Reading::Events(mut frames) => {
                if let Some(frame) = frames.finish() {
                    hear(talk, record, frame.data(), now);
                }
            }
        }
        if let Some(attempt) = record.attempt() {
            attempt.ended = Some(now);
        }
    }

    /// The agent failed on the way. The client must not take its answer for complete.
    fn break_off(&mut self, failure: &Failure) -> BrokenOff {
        self.is_over = true;
        let fault = Fault::new(failure.kind.as_str(), failure.message.clone());
        if let Some(record) = &mut self.record {
            record.blame(&fault);
        }
        BrokenOff(fault.message)
    }
}

impl Drop for Passage {
    fn drop(&mut self) {
        let (Some(mut record), Some(talk)) = (self.record.take(), self.talk.take()) else { return };
        if !self.is_over {
            let message = "the client went away before the answer was complete";
            record.blame(&Fault::new("client_disconnect", message));
        }
        conclude(record, *talk, std::mem::take(&mut self.holds));
    }
}

/// Says what became of an exchange, once the client has all of it or has gone away.
pub fn conclude(mut record: Box<Record>, talk: Talk, mut holds: Holds) {
    let (call, fault) = talk.finish();
    record.agent = Some(call);
    if let Some(fault) = fault {
        // What the agent says went wrong is more than the status of its answer.
        record.fault = Some(fault);
    }
    record.settle(holds.reservation.take());
    record.finish();
}

/// How an answer can be read.
#[derive(Clone, Copy, Debug)]
pub enum Reads {
    /// At its end.
    Whole,
    /// As server-sent events.
    Events {
        /// Of which at most so many bytes are looked at.
        max_bytes: usize,
    },
}

fn hear(talk: &mut Talk, record: &mut Record, data: &[u8], now: Instant) {
    if data.is_empty() {
        return;
    }
    record.firsts.event.get_or_insert(now);
    if let Ok(text) = simdutf8::basic::from_utf8(data) {
        talk.hear(text);
    }
}
