//! Turning bytes of a request into text without copying them.

use std::ops::Range;

use bytes::Bytes;

use crate::Str;

/// The bytes at `range` as text, or `None` if they are not UTF-8.
///
/// `Str::try_from` would do, but it checks with the standard library, which for prompts that are
/// not plain ASCII takes ten times as long: a microsecond for a span of 1.8 kB, more than all
/// the rest of decoding it. Most texts are short and plain ASCII, which is quicker still to see.
#[inline]
#[expect(unsafe_code, reason = "the only way to a Str that does not check a second time")]
pub(crate) fn slice(body: &Bytes, range: Range<usize>) -> Option<Str> {
    let bytes = &body[range.clone()];
    if !bytes.is_ascii() && simdutf8::basic::from_utf8(bytes).is_err() {
        return None;
    }
    // SAFETY: the bytes have just been found to be UTF-8, and shared bytes do not change.
    Some(unsafe { Str::from_bytes_unchecked(body.slice(range)) })
}
