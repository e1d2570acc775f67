//! Streams cut anywhere: every byte comes out, and frames do not depend on the cuts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use spanwise_gateway::frames::{Frame, FrameKind, Frames, Framing};

const CAP: usize = 64;

fn frames<'a>(framing: Framing, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Frame> {
    let mut frames = Frames::new(framing, CAP);
    let mut found = Vec::new();
    for piece in pieces {
        frames.push(piece.to_vec().into());
        while let Some(frame) = frames.next() {
            found.push(frame);
        }
    }
    while let Some(frame) = frames.finish() {
        found.push(frame);
    }
    found
}

fuzz_target!(|input: (u8, &[u8])| {
    let (size, input) = (usize::from(input.0).max(1), input.1);
    for framing in [Framing::Sse, Framing::Lines, Framing::EventStream, Framing::JsonArray] {
        let whole = frames(framing, std::iter::once(input));
        let cut = frames(framing, input.chunks(size));
        for found in [&whole, &cut] {
            let bytes: Vec<u8> = found.iter().flat_map(|frame| frame.raw.to_vec()).collect();
            assert_eq!(bytes, input);
        }
        let read = |frames: Vec<Frame>| -> Vec<Frame> {
            frames.into_iter().filter(|frame| frame.kind != FrameKind::Opaque).collect()
        };
        assert_eq!(read(whole), read(cut));
    }
});
