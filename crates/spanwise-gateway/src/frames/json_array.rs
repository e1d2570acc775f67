//! The elements of one JSON array that arrives piece by piece, as Gemini sends them to clients
//! that did not ask for server-sent events. An element brings the separators before it along;
//! the closing bracket is a frame of its own. An object without an array is taken as well: that
//! is how errors come.

use bytes::Bytes;
use memchr::memchr2;

use super::{Frame, FrameKind};

/// Looks for the ends of elements.
#[derive(Debug, Default)]
pub(super) struct Scanner {
    /// Containers open inside the array.
    depth: usize,
    is_in_array: bool,
    is_in_string: bool,
    is_escaped: bool,
}

impl Scanner {
    /// Where the current element ends in what arrived.
    pub(super) fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < chunk.len() {
            if self.is_in_string {
                at = self.string(chunk, at);
                continue;
            }
            at += 1;
            match chunk[at - 1] {
                b'"' => self.is_in_string = true,
                b'[' if self.depth == 0 && !self.is_in_array => self.is_in_array = true,
                b'{' | b'[' => self.depth += 1,
                b']' if self.depth == 0 => return Some(at),
                b'}' | b']' => {
                    self.depth = self.depth.saturating_sub(1);
                    if self.depth == 0 {
                        return Some(at);
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Walks to the end of a string, or of what there is of it.
    fn string(&mut self, chunk: &[u8], at: usize) -> usize {
        if std::mem::take(&mut self.is_escaped) {
            return at + 1;
        }
        let Some(n) = memchr2(b'"', b'\\', &chunk[at..]) else {
            return chunk.len();
        };
        if chunk[at + n] == b'"' {
            self.is_in_string = false;
        } else {
            self.is_escaped = true;
        }
        at + n + 1
    }
}

/// Reads an element and what separates it from the one before.
pub(super) fn read(raw: Bytes) -> Frame {
    match memchr::memchr(b'{', &raw) {
        Some(start) => {
            let end = raw.trim_ascii_end().len();
            Frame::new(raw, FrameKind::Message, 0..0, start..end)
        }
        None => Frame::without_data(raw, FrameKind::Empty),
    }
}
