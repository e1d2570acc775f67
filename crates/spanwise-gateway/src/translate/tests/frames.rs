//! Cutting streams into frames.

use bytes::Bytes;

use crate::dialect::Dialect;
use crate::frames::{FrameKind, Frames, Framing};

/// The frames of a stream: their events' names and their data.
pub fn frames(dialect: Dialect, stream: &[u8]) -> Vec<(Option<String>, Vec<u8>)> {
    let framing = match dialect {
        Dialect::Converse => Framing::EventStream,
        Dialect::Ollama => Framing::Lines,
        _ => Framing::Sse,
    };
    let mut cutter = Frames::new(framing, 1 << 20);
    cutter.push(Bytes::copy_from_slice(stream));
    let mut frames = Vec::new();
    while let Some(frame) = cutter.next().or_else(|| cutter.finish()) {
        assert_ne!(frame.kind, FrameKind::Opaque);
        if frame.kind != FrameKind::Empty {
            frames.push((frame.event().map(str::to_owned), frame.data().to_vec()));
        }
    }
    assert_eq!(cutter.trouble(), None);
    frames
}
