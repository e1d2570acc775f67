//! Streams of answers cut into frames, wherever the network cut them.
//!
//! Bytes go in as they arrive and come out as [`Frame`]s that lie end to end: all `raw` parts
//! together are the input, byte for byte. A frame that arrived in one piece is a slice of that
//! piece. Where a frame cannot be read, or grows beyond the cap, reading stops for good and the
//! bytes go through as [`FrameKind::Opaque`]: what a provider sends is its client's to judge.

use std::ops::Range;

use bytes::{Buf, Bytes, BytesMut};

use crate::dialect::Dialect;

mod event_stream;
mod json_array;
mod lines;
mod sse;

/// How long a frame may be unless somebody says otherwise.
pub const DEFAULT_CAP: usize = 1 << 20;

/// How a stream is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// Server-sent events.
    Sse,
    /// One JSON value per line.
    Lines,
    /// Amazon's binary event stream.
    EventStream,
    /// The elements of one JSON array.
    JsonArray,
}

impl Framing {
    /// How an answer with this content type is divided; `None` if it is one whole.
    pub fn of(dialect: Dialect, content_type: &str) -> Option<Self> {
        let media_type = content_type.split(';').next().unwrap_or_default().trim();
        let is = |name: &str| media_type.eq_ignore_ascii_case(name);
        if is("text/event-stream") {
            Some(Framing::Sse)
        } else if is("application/x-ndjson") || is("application/jsonl") {
            Some(Framing::Lines)
        } else if is("application/vnd.amazon.eventstream") {
            Some(Framing::EventStream)
        } else if dialect == Dialect::Gemini && is("application/json") {
            Some(Framing::JsonArray)
        } else {
            None
        }
    }
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// Something with data.
    Message,
    /// A frame of Amazon's event stream that reports an error.
    Exception,
    /// Nothing but separators and comments, or a binary frame that was cut off.
    Empty,
    /// Bytes that were not read, because of [`Frame::trouble`].
    Opaque,
}

/// One frame of a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// The frame as it arrived, separators included.
    pub raw: Bytes,
    /// What it is.
    pub kind: FrameKind,
    /// Why it was not read, if it was not.
    pub trouble: Option<Trouble>,
    event: Range<usize>,
    data: Data,
}

/// Where the data of a frame is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Data {
    Within(Range<usize>),
    Joined(Box<[u8]>),
}

impl Frame {
    fn new(raw: Bytes, kind: FrameKind, event: Range<usize>, data: Range<usize>) -> Self {
        Frame { raw, kind, trouble: None, event, data: Data::Within(data) }
    }

    fn without_data(raw: Bytes, kind: FrameKind) -> Self {
        Self::new(raw, kind, 0..0, 0..0)
    }

    fn unread(raw: Bytes, trouble: Trouble) -> Self {
        let frame = Self::without_data(raw, FrameKind::Opaque);
        Frame { trouble: Some(trouble), ..frame }
    }

    /// The name of the event, where the framing has names and the frame has one.
    pub fn event(&self) -> Option<&str> {
        let name = std::str::from_utf8(&self.raw[self.event.clone()]).ok()?;
        (!name.is_empty()).then_some(name)
    }

    /// What the frame carries; empty if it carries nothing.
    pub fn data(&self) -> &[u8] {
        match &self.data {
            Data::Within(range) => &self.raw[range.clone()],
            Data::Joined(data) => data,
        }
    }
}

/// Why a stream is no longer read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Trouble {
    /// A frame longer than the cap.
    #[error("frame is longer than the limit")]
    TooLong,
    /// A checksum of Amazon's event stream that does not fit.
    #[error("frame has a wrong checksum")]
    Checksum,
    /// Lengths or headers of Amazon's event stream that contradict each other.
    #[error("frame is malformed")]
    Malformed,
}

impl Trouble {
    /// Whether the stream is of no use to anybody, rather than only too much for us.
    pub fn is_damage(self) -> bool {
        matches!(self, Trouble::Checksum | Trouble::Malformed)
    }
}

/// Cuts one stream.
#[derive(Debug)]
pub struct Frames {
    scanner: Scanner,
    cap: usize,
    /// The start of a frame whose end has not arrived.
    pending: BytesMut,
    /// What arrived and has not been looked at.
    chunk: Bytes,
    trouble: Option<Trouble>,
}

#[derive(Debug)]
enum Scanner {
    Sse(sse::Scanner),
    Lines,
    EventStream,
    JsonArray(json_array::Scanner),
}

impl Frames {
    /// Starts a stream whose frames have at most `cap` bytes.
    pub fn new(framing: Framing, cap: usize) -> Self {
        let scanner = match framing {
            Framing::Sse => Scanner::Sse(sse::Scanner::default()),
            Framing::Lines => Scanner::Lines,
            Framing::EventStream => Scanner::EventStream,
            Framing::JsonArray => Scanner::JsonArray(json_array::Scanner::default()),
        };
        Frames { scanner, cap, pending: BytesMut::new(), chunk: Bytes::new(), trouble: None }
    }

    /// Takes in what arrived. Frames are to be taken out before more is put in; what is left is
    /// kept, at the price of a copy.
    pub fn push(&mut self, chunk: Bytes) {
        if self.chunk.is_empty() {
            self.chunk = chunk;
        } else {
            let mut joined = BytesMut::with_capacity(self.chunk.len() + chunk.len());
            joined.extend_from_slice(&self.chunk);
            joined.extend_from_slice(&chunk);
            self.chunk = joined.freeze();
        }
    }

    /// Why the stream is no longer read, if it is not.
    pub fn trouble(&self) -> Option<Trouble> {
        self.trouble
    }

    /// Whether what came so far ends with a frame, so that something else can be put in here.
    pub fn is_between(&self) -> bool {
        self.trouble.is_none() && self.pending.is_empty() && self.chunk.is_empty()
    }

    /// The next frame; `None` until more arrives.
    #[expect(clippy::should_implement_trait, reason = "None is not the end of it")]
    pub fn next(&mut self) -> Option<Frame> {
        if let Some(trouble) = self.trouble {
            return self.unread(trouble);
        }
        match self.scan() {
            Ok(Some(n)) if self.pending.len() + n <= self.cap => {
                let raw = self.take(n);
                match self.read(raw) {
                    Ok(frame) => Some(frame),
                    Err((trouble, raw)) => {
                        self.trouble = Some(trouble);
                        Some(Frame::unread(raw, trouble))
                    }
                }
            }
            Ok(None) if self.pending.len() + self.chunk.len() <= self.cap => {
                self.pending.extend_from_slice(&self.chunk);
                self.chunk = Bytes::new();
                None
            }
            Ok(_) => self.give_up(Trouble::TooLong),
            Err(trouble) => self.give_up(trouble),
        }
    }

    /// What is left when the stream has ended: a frame that was never closed.
    pub fn finish(&mut self) -> Option<Frame> {
        if let Some(frame) = self.next() {
            return Some(frame);
        }
        if self.pending.is_empty() {
            return None;
        }
        let raw = self.pending.split().freeze();
        if matches!(self.scanner, Scanner::EventStream) {
            return Some(Frame::without_data(raw, FrameKind::Empty));
        }
        self.read(raw).ok()
    }

    /// Where in the chunk the current frame ends.
    fn scan(&mut self) -> Result<Option<usize>, Trouble> {
        match &mut self.scanner {
            Scanner::Sse(scanner) => Ok(scanner.end(&self.chunk)),
            Scanner::Lines => Ok(lines::end(&self.chunk)),
            Scanner::EventStream => event_stream::end(&self.pending, &self.chunk, self.cap),
            Scanner::JsonArray(scanner) => Ok(scanner.end(&self.chunk)),
        }
    }

    fn read(&mut self, raw: Bytes) -> Result<Frame, (Trouble, Bytes)> {
        match &mut self.scanner {
            Scanner::Sse(scanner) => Ok(scanner.read(raw)),
            Scanner::Lines => Ok(lines::read(raw)),
            Scanner::EventStream => event_stream::read(raw),
            Scanner::JsonArray(_) => Ok(json_array::read(raw)),
        }
    }

    /// Takes what is pending and `n` bytes of the chunk.
    fn take(&mut self, n: usize) -> Bytes {
        if self.pending.is_empty() {
            return self.chunk.split_to(n);
        }
        self.pending.extend_from_slice(&self.chunk[..n]);
        self.chunk.advance(n);
        self.pending.split().freeze()
    }

    fn give_up(&mut self, trouble: Trouble) -> Option<Frame> {
        self.trouble = Some(trouble);
        self.unread(trouble)
    }

    /// All that is here.
    fn unread(&mut self, trouble: Trouble) -> Option<Frame> {
        let raw = self.take(self.chunk.len());
        self.pending = BytesMut::new();
        (!raw.is_empty()).then(|| Frame::unread(raw, trouble))
    }
}

#[cfg(test)]
pub(crate) mod tests;
