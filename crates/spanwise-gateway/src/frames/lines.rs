//! One JSON value per line.

use bytes::Bytes;
use memchr::memchr;

use super::{Frame, FrameKind};

/// Where the current line ends in what arrived.
pub(super) fn end(chunk: &[u8]) -> Option<usize> {
    memchr(b'\n', chunk).map(|n| n + 1)
}

/// Reads a line.
pub(super) fn read(raw: Bytes) -> Frame {
    let start = raw.len() - raw.trim_ascii_start().len();
    let end = start + raw[start..].trim_ascii_end().len();
    if start == end {
        return Frame::without_data(raw, FrameKind::Empty);
    }
    Frame::new(raw, FrameKind::Message, 0..0, start..end)
}
