use proptest::prelude::*;

use super::*;

/// All frames of an input that arrives in these pieces.
fn frames_of<'a>(
    framing: Framing,
    cap: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> (Vec<Frame>, Option<Trouble>) {
    let mut frames = Frames::new(framing, cap);
    let mut found = Vec::new();
    for piece in pieces {
        frames.push(Bytes::copy_from_slice(piece));
        while let Some(frame) = frames.next() {
            found.push(frame);
        }
    }
    while let Some(frame) = frames.finish() {
        found.push(frame);
    }
    (found, frames.trouble())
}

fn whole(framing: Framing, input: &[u8]) -> Vec<Frame> {
    frames_of(framing, DEFAULT_CAP, [input]).0
}

fn rejoined(frames: &[Frame]) -> Vec<u8> {
    frames.iter().flat_map(|frame| frame.raw.to_vec()).collect()
}

/// Holds that frames do not depend on where the input is cut: once, everywhere, and per byte.
fn check_every_cut(framing: Framing, input: &[u8]) -> Vec<Frame> {
    let expected = whole(framing, input);
    assert_eq!(rejoined(&expected), input, "every byte comes out");
    for at in 0..=input.len() {
        let (first, second) = input.split_at(at);
        assert_eq!(frames_of(framing, DEFAULT_CAP, [first, second]).0, expected, "cut at {at}");
    }
    assert_eq!(frames_of(framing, DEFAULT_CAP, input.chunks(1)).0, expected, "byte by byte");
    expected
}

/// Name and data of the frames that have data.
fn events(frames: &[Frame]) -> Vec<(Option<&str>, String)> {
    let messages = frames.iter().filter(|frame| frame.kind == FrameKind::Message);
    messages
        .map(|frame| (frame.event(), String::from_utf8_lossy(frame.data()).into_owned()))
        .collect()
}

#[test]
fn every_form_of_server_sent_events_is_read_fault_9() {
    for (input, expected) in [
        ("data: a\n\ndata: b\n\n", vec![(None, "a"), (None, "b")]),
        ("data: a\r\n\r\ndata: b\r\n\r\n", vec![(None, "a"), (None, "b")]),
        ("data: a\r\rdata: b\r\r", vec![(None, "a"), (None, "b")]),
        ("data: a\n\r\n", vec![(None, "a")]),
        ("data: a\r\r\ndata: b\r\n\r", vec![(None, "a"), (None, "b")]),
        ("data:a\n\n", vec![(None, "a")]),
        ("data:  a\n\n", vec![(None, " a")]),
        ("data\n\n", vec![(None, "")]),
        ("data: a\ndata: b\ndata\n\n", vec![(None, "a\nb\n")]),
        ("event: x\ndata: a\nid: 7\nretry: 1\n\n", vec![(Some("x"), "a")]),
        ("data: a\nevent:x\nevent: y\n\n", vec![(Some("y"), "a")]),
        (": ping\n\ndata: a\n: note\n\n:\n\n", vec![(None, "a")]),
        ("\u{feff}data: a\n\n\u{feff}data: b\n\n", vec![(None, "a")]),
        ("data: a\n\ndata: b", vec![(None, "a"), (None, "b")]),
        ("data: a\n\ndata: b\n", vec![(None, "a"), (None, "b")]),
        ("\n\n\r\n\r\rdata: é😀\n\n", vec![(None, "é😀")]),
        ("database: a\nevents: b\n DATA: c\n\n", vec![]),
        ("event: x\n\n", vec![]),
        ("", vec![]),
    ] {
        let frames = check_every_cut(Framing::Sse, input.as_bytes());
        let expected: Vec<_> =
            expected.into_iter().map(|(event, data)| (event, data.to_owned())).collect();
        assert_eq!(events(&frames), expected, "{input:?}");
    }
}

#[test]
fn an_event_is_there_as_soon_as_its_last_byte_is() {
    for input in ["data: a\n\n", "data: a\r\n\r\n", "data: a\r\r"] {
        let mut frames = Frames::new(Framing::Sse, DEFAULT_CAP);
        frames.push(Bytes::from_static(input.as_bytes()));
        assert_eq!(frames.next().unwrap().data(), b"a", "{input:?}");
    }
}

#[test]
fn a_frame_in_one_piece_is_not_copied() {
    let chunk = Bytes::from_static(b"data: a\n\ndata: b\n\n");
    let mut frames = Frames::new(Framing::Sse, DEFAULT_CAP);
    frames.push(chunk.clone());
    assert_eq!(frames.next().unwrap().raw.as_ptr(), chunk.as_ptr());
    assert_eq!(frames.next().unwrap().raw.as_ptr(), chunk[9..].as_ptr());
    assert_eq!(frames.next(), None);
}

#[test]
fn a_frame_without_end_is_forwarded_unread_fault_10() {
    let input = [b"data: a\n\n".as_slice(), &[b'x'; 5000], b"\n\ndata: b\n\n"].concat();
    for size in [1, 7, 4096, input.len()] {
        let (frames, trouble) = frames_of(Framing::Sse, 100, input.chunks(size));
        assert_eq!(trouble, Some(Trouble::TooLong));
        assert_eq!(rejoined(&frames), input);
        assert_eq!(events(&frames).len(), 1, "nothing is read after the trouble");
        assert!(frames[1..].iter().all(|frame| frame.trouble == trouble));
    }
}

#[test]
fn what_is_held_back_never_exceeds_the_cap() {
    let mut frames = Frames::new(Framing::Sse, 1000);
    for _ in 0..10_000 {
        frames.push(Bytes::from_static(&[b'x'; 100]));
        let _ = frames.next();
        assert!(frames.pending.len() + frames.chunk.len() <= 1000);
    }
}

#[test]
fn lines_are_read() {
    let input = "{\"a\":1}\n\r\n {\"b\":2} \r\n{\"c\":3}";
    let frames = check_every_cut(Framing::Lines, input.as_bytes());
    let data: Vec<_> = events(&frames).into_iter().map(|(_, data)| data).collect();
    assert_eq!(data, [r#"{"a":1}"#, r#"{"b":2}"#, r#"{"c":3}"#]);
}

#[test]
fn the_elements_of_an_array_are_read() {
    let input = " [{\"a\":\"]}\\\"\\\\\"}\n,\r\n{\"b\":[{},[1]]}\n]\n";
    let frames = check_every_cut(Framing::JsonArray, input.as_bytes());
    let data: Vec<_> = events(&frames).into_iter().map(|(_, data)| data).collect();
    assert_eq!(data, [r#"{"a":"]}\"\\"}"#, r#"{"b":[{},[1]]}"#]);
    let alone = check_every_cut(Framing::JsonArray, br#"{"error":{"code":503}}"#);
    assert_eq!(alone[0].data(), br#"{"error":{"code":503}}"#);
}

/// A frame of an event stream with text headers.
pub(crate) fn amazon(headers: &[(&str, &str)], payload: &str) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in headers {
        block.push(name.len() as u8);
        block.extend(name.as_bytes());
        block.push(7);
        block.extend((value.len() as u16).to_be_bytes());
        block.extend(value.as_bytes());
    }
    let total = (PRELUDE_AND_CHECKSUM + block.len() + payload.len()) as u32;
    let mut frame = total.to_be_bytes().to_vec();
    frame.extend((block.len() as u32).to_be_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame.extend(block);
    frame.extend(payload.as_bytes());
    frame.extend(crc32fast::hash(&frame).to_be_bytes());
    frame
}

const PRELUDE_AND_CHECKSUM: usize = 16;

fn event(name: &str, payload: &str) -> Vec<u8> {
    amazon(&[(":message-type", "event"), (":event-type", name)], payload)
}

#[test]
fn event_streams_are_read_with_the_prelude_split_fault_33() {
    let exception =
        amazon(&[(":message-type", "exception"), (":exception-type", "throttlingException")], "{}");
    let input =
        [event("messageStart", r#"{"role":"assistant"}"#), event("messageStop", ""), exception]
            .concat();
    let frames = check_every_cut(Framing::EventStream, &input);
    let names: Vec<_> = frames.iter().map(|frame| (frame.kind, frame.event().unwrap())).collect();
    assert_eq!(
        names,
        [
            (FrameKind::Message, "messageStart"),
            (FrameKind::Message, "messageStop"),
            (FrameKind::Exception, "throttlingException"),
        ]
    );
    assert_eq!(frames[0].data(), br#"{"role":"assistant"}"#);
}

#[test]
fn every_damaged_byte_of_an_event_stream_is_noticed_fault_33() {
    let good = event("messageStart", r#"{"role":"assistant"}"#);
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x20;
        bad.extend(event("messageStop", "{}"));
        let (frames, trouble) = frames_of(Framing::EventStream, DEFAULT_CAP, [bad.as_slice()]);
        assert!(matches!(trouble, Some(Trouble::Checksum)), "byte {at}: {trouble:?}");
        assert_eq!(rejoined(&frames), bad);
        assert!(frames.iter().all(|frame| frame.kind == FrameKind::Opaque));
    }
}

#[test]
fn lengths_that_contradict_each_other_are_malformed() {
    for (total, headers) in [(0_u32, 0_u32), (15, 0), (100, 90), (u32::MAX, u32::MAX)] {
        let mut input = [total.to_be_bytes(), headers.to_be_bytes()].concat();
        input.extend(crc32fast::hash(&input).to_be_bytes());
        let (_, trouble) = frames_of(Framing::EventStream, DEFAULT_CAP, [input.as_slice()]);
        assert_eq!(trouble, Some(Trouble::Malformed), "{total} {headers}");
    }
    let cut_header = {
        let mut frame = event("x", "{}");
        let checksum = frame.len() - 4;
        frame[12] = 200;
        let sum = crc32fast::hash(&frame[..checksum]).to_be_bytes();
        frame[checksum..].copy_from_slice(&sum);
        frame
    };
    let (_, trouble) = frames_of(Framing::EventStream, DEFAULT_CAP, [cut_header.as_slice()]);
    assert_eq!(trouble, Some(Trouble::Malformed));
    let big = amazon(&[], &"x".repeat(2000));
    let (frames, trouble) = frames_of(Framing::EventStream, 1000, big.chunks(500));
    assert_eq!((trouble, rejoined(&frames)), (Some(Trouble::TooLong), big));
}

#[test]
fn framings_are_known_by_their_content_type() {
    let of = |dialect, content_type| Framing::of(dialect, content_type);
    assert_eq!(of(Dialect::Chat, "Text/Event-Stream; charset=utf-8"), Some(Framing::Sse));
    assert_eq!(of(Dialect::Ollama, "application/x-ndjson"), Some(Framing::Lines));
    assert_eq!(
        of(Dialect::Converse, "application/vnd.amazon.eventstream"),
        Some(Framing::EventStream)
    );
    assert_eq!(of(Dialect::Gemini, "application/json"), Some(Framing::JsonArray));
    assert_eq!(of(Dialect::Chat, "application/json"), None);
}

proptest! {
    #[test]
    fn arbitrary_lines_read_alike_however_they_arrive(
        input in "(data:|event: | |a|:|\n|\r|\r\n|\u{feff}){0,40}",
        cuts in prop::collection::vec(0_usize..80, 0..6),
    ) {
        check_cuts(Framing::Sse, input.as_bytes(), cuts)?;
    }

    #[test]
    fn arbitrary_arrays_read_alike_however_they_arrive(
        input in r#"[\[\]{}",\\a ]{0,60}"#,
        cuts in prop::collection::vec(0_usize..80, 0..6),
    ) {
        check_cuts(Framing::JsonArray, input.as_bytes(), cuts)?;
    }

    #[test]
    fn arbitrary_bytes_come_out_as_they_went_in(
        input in prop::collection::vec(any::<u8>(), 0..200),
        size in 1_usize..50,
        cap in 1_usize..100,
    ) {
        for framing in
            [Framing::Sse, Framing::Lines, Framing::EventStream, Framing::JsonArray]
        {
            let (frames, _) = frames_of(framing, cap, input.chunks(size));
            prop_assert_eq!(rejoined(&frames), input.clone());
        }
    }
}

fn check_cuts(framing: Framing, input: &[u8], cuts: Vec<usize>) -> Result<(), TestCaseError> {
    let mut cuts: Vec<_> = cuts.into_iter().filter(|&at| at < input.len()).collect();
    cuts.extend([0, input.len()]);
    cuts.sort_unstable();
    let pieces = cuts.windows(2).map(|cut| &input[cut[0]..cut[1]]);
    let (frames, _) = frames_of(framing, DEFAULT_CAP, pieces);
    prop_assert_eq!(rejoined(&frames), input);
    prop_assert_eq!(frames, whole(framing, input));
    Ok(())
}
