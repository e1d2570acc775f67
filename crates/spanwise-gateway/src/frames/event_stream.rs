//! Amazon's binary event stream: `application/vnd.amazon.eventstream`.
//!
//! ```text
//! total length u32 | length of headers u32 | CRC32 of these 8 bytes
//! headers | payload | CRC32 of everything before
//! ```

use std::ops::Range;

use bytes::Bytes;

use super::{Frame, FrameKind, Trouble};

const PRELUDE: usize = 12;
const CHECKSUM: usize = 4;

/// Where the current frame ends in the chunk. The lengths are known, and checked, as soon as the
/// first twelve bytes are there.
pub(super) fn end(pending: &[u8], chunk: &[u8], cap: usize) -> Result<Option<usize>, Trouble> {
    let available = pending.len() + chunk.len();
    if available < PRELUDE {
        return Ok(None);
    }
    let mut prelude = [0; PRELUDE];
    let held = pending.len().min(PRELUDE);
    prelude[..held].copy_from_slice(&pending[..held]);
    prelude[held..].copy_from_slice(&chunk[..PRELUDE - held]);
    if crc32fast::hash(&prelude[..8]) != number(&prelude, 8) {
        return Err(Trouble::Checksum);
    }
    let (total, headers) = (number(&prelude, 0) as usize, number(&prelude, 4) as usize);
    if total < PRELUDE + CHECKSUM || headers > total - PRELUDE - CHECKSUM {
        return Err(Trouble::Malformed);
    }
    if total > cap {
        return Err(Trouble::TooLong);
    }
    Ok((available >= total).then(|| total - pending.len()))
}

/// Checks a frame that is complete, and reads its headers.
pub(super) fn read(raw: Bytes) -> Result<Frame, (Trouble, Bytes)> {
    let body = raw.len() - CHECKSUM;
    if crc32fast::hash(&raw[..body]) != number(&raw, body) {
        return Err((Trouble::Checksum, raw));
    }
    let payload = PRELUDE + number(&raw, 4) as usize;
    let Some(headers) = Headers::read(&raw, PRELUDE..payload) else {
        return Err((Trouble::Malformed, raw));
    };
    let kind = headers.kind(&raw);
    Ok(Frame::new(raw, kind, headers.name, payload..body))
}

fn number(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].iter().fold(0, |number, &byte| number << 8 | u32::from(byte))
}

/// The headers that matter, as ranges of the frame.
#[derive(Default)]
struct Headers {
    message_type: Range<usize>,
    /// The type of the event or exception.
    name: Range<usize>,
}

impl Headers {
    fn read(raw: &[u8], within: Range<usize>) -> Option<Self> {
        const TEXT: u8 = 7;
        let mut headers = Headers::default();
        let mut at = within.start;
        while at < within.end {
            let name = at + 1..at + 1 + usize::from(raw[at]);
            let kind = *raw[..within.end].get(name.end)?;
            let value = value(&raw[..within.end], kind, name.end + 1)?;
            at = value.end;
            match &raw[name] {
                b":message-type" if kind == TEXT => headers.message_type = value,
                b":event-type" | b":exception-type" | b":error-code" if kind == TEXT => {
                    headers.name = value;
                }
                _ => {}
            }
        }
        Some(headers)
    }

    fn kind(&self, raw: &[u8]) -> FrameKind {
        match &raw[self.message_type.clone()] {
            b"exception" | b"error" => FrameKind::Exception,
            _ => FrameKind::Message,
        }
    }
}

/// Where the value of a header stands, by its type.
fn value(raw: &[u8], kind: u8, at: usize) -> Option<Range<usize>> {
    let (start, len) = match kind {
        // true and false
        0 | 1 => (at, 0),
        2 => (at, 1),
        3 => (at, 2),
        4 => (at, 4),
        // a long and a timestamp
        5 | 8 => (at, 8),
        // bytes and text
        6 | 7 => {
            let len = raw.get(at..at + 2)?;
            (at + 2, usize::from(len[0]) << 8 | usize::from(len[1]))
        }
        // a UUID
        9 => (at, 16),
        _ => return None,
    };
    (start + len <= raw.len()).then_some(start..start + len)
}
