//! Server-sent events, as the HTML standard reads them.
//!
//! A frame ends with its blank line, of whichever kind of line ending. Whether a carriage return
//! at the end of a blank line has a line feed to come is decided by the line before it: after
//! `\r\n` it is waited for, after a lone `\r` it is not, and belongs to the next frame should it
//! come. So frames do not depend on how their bytes arrived, and none waits for nothing.

use std::ops::Range;

use bytes::Bytes;
use memchr::memchr2;

use super::{Data, Frame, FrameKind};

/// Looks for the ends of frames.
#[derive(Debug)]
pub(super) struct Scanner {
    /// Whether nothing of the current line has been seen.
    is_line_empty: bool,
    /// The last byte was a carriage return: a line feed now is part of that line ending.
    is_after_return: bool,
    /// Whether the last line of this frame ended in both.
    is_windows: bool,
    /// The frame is over but for the line feed that is surely coming.
    is_closing: bool,
    is_first: bool,
}

impl Default for Scanner {
    fn default() -> Self {
        Scanner {
            is_line_empty: true,
            is_after_return: false,
            is_windows: false,
            is_closing: false,
            is_first: true,
        }
    }
}

impl Scanner {
    /// Where the current frame ends in what arrived.
    pub(super) fn end(&mut self, chunk: &[u8]) -> Option<usize> {
        let mut at = 0;
        while at < chunk.len() {
            if self.is_closing {
                return Some(at + self.close(chunk[at]));
            }
            if std::mem::take(&mut self.is_after_return) {
                self.is_windows = chunk[at] == b'\n';
                at += usize::from(self.is_windows);
                continue;
            }
            let Some(n) = memchr2(b'\n', b'\r', &chunk[at..]) else {
                self.is_line_empty = false;
                return None;
            };
            let is_blank = self.is_line_empty && n == 0;
            self.is_line_empty = true;
            at += n + 1;
            match (chunk[at - 1], is_blank) {
                (b'\n', true) => return Some(self.restart(at)),
                (b'\n', false) => self.is_windows = false,
                (_, true) if self.is_windows => self.is_closing = true,
                (_, true) => {
                    self.is_after_return = true;
                    return Some(self.restart(at));
                }
                (_, false) => self.is_after_return = true,
            }
        }
        None
    }

    /// How much of the frame is in the byte after its last carriage return.
    fn close(&mut self, byte: u8) -> usize {
        self.is_closing = false;
        self.restart(usize::from(byte == b'\n'))
    }

    fn restart(&mut self, at: usize) -> usize {
        self.is_windows = false;
        at
    }

    /// Reads the lines of a frame.
    pub(super) fn read(&mut self, raw: Bytes) -> Frame {
        let mut at = 0;
        if std::mem::take(&mut self.is_first) && raw.starts_with(b"\xef\xbb\xbf") {
            at = 3;
        }
        let mut fields = Fields::default();
        while at < raw.len() {
            let end = memchr2(b'\n', b'\r', &raw[at..]).map_or(raw.len(), |n| at + n);
            fields.line(&raw, at..end);
            at = end + 1;
        }
        fields.into_frame(raw)
    }
}

/// The fields of an event that matter.
#[derive(Default)]
struct Fields {
    event: Range<usize>,
    data: Option<Range<usize>>,
    joined: Option<Vec<u8>>,
}

impl Fields {
    fn line(&mut self, raw: &[u8], line: Range<usize>) {
        let bytes = &raw[line.clone()];
        if let Some(value) = value(bytes, b"data") {
            let value = line.start + value..line.end;
            match (&mut self.joined, &self.data) {
                (Some(joined), _) => append(joined, &raw[value]),
                (None, Some(first)) => {
                    let mut joined = raw[first.clone()].to_vec();
                    append(&mut joined, &raw[value]);
                    self.joined = Some(joined);
                }
                (None, None) => self.data = Some(value),
            }
        } else if let Some(value) = value(bytes, b"event") {
            self.event = line.start + value..line.end;
        }
    }

    fn into_frame(self, raw: Bytes) -> Frame {
        let Some(data) = self.data else {
            return Frame::without_data(raw, FrameKind::Empty);
        };
        let mut frame = Frame::new(raw, FrameKind::Message, self.event, data);
        if let Some(joined) = self.joined {
            frame.data = Data::Joined(joined.into_boxed_slice());
        }
        frame
    }
}

fn append(joined: &mut Vec<u8>, line: &[u8]) {
    joined.push(b'\n');
    joined.extend_from_slice(line);
}

/// Where the value of a field starts in a line that has it.
fn value(line: &[u8], name: &[u8]) -> Option<usize> {
    match line.strip_prefix(name)? {
        [] => Some(line.len()),
        [b':', b' ', ..] => Some(name.len() + 2),
        [b':', ..] => Some(name.len() + 1),
        _ => None,
    }
}
