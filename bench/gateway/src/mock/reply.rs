//! An answer, and the writes that it becomes.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

use super::script::{Script, Split};

/// An answer before it is framed.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: u16,
    /// Headers, but for those that frame the body.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Body,
}

/// The body of an answer.
#[derive(Clone, Debug)]
pub enum Body {
    /// With a length.
    Whole(Vec<u8>),
    /// In chunks.
    Pieces(Vec<Piece>),
}

/// One write of a stream.
#[derive(Clone, Debug)]
pub struct Piece {
    /// The bytes of one event, or any others.
    pub bytes: Vec<u8>,
    /// Whether it counts where a script says after how much content something happens.
    pub is_content: bool,
}

impl Piece {
    /// Some of what the model says.
    pub fn content(bytes: Vec<u8>) -> Self {
        Piece { bytes, is_content: true }
    }

    /// What stands around it.
    pub fn preamble(bytes: Vec<u8>) -> Self {
        Piece { bytes, is_content: false }
    }
}

impl Reply {
    /// A 200 with JSON.
    pub fn json(body: impl Into<Vec<u8>>) -> Self {
        Reply {
            status: 200,
            headers: vec![("content-type".into(), "application/json".into())],
            body: Body::Whole(body.into()),
        }
    }

    /// A 200 with server-sent events.
    pub fn events(pieces: Vec<Piece>) -> Self {
        Reply {
            status: 200,
            headers: vec![("content-type".into(), "text/event-stream; charset=utf-8".into())],
            body: Body::Pieces(pieces),
        }
    }
}

/// One write, and how long after the one before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Step {
    pub(super) after: Duration,
    pub(super) bytes: Vec<u8>,
}

/// What becomes of the connection after the last write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    KeepOpen,
    Close,
    Reset,
}

/// Frames a reply as the script wants it.
pub(super) fn steps(reply: Reply, script: &Script) -> (Vec<Step>, Then) {
    let Reply { status, mut headers, body } = reply;
    if let Some(encoding) = &script.encoding {
        headers.push(("content-encoding".into(), encoding.clone()));
    }
    let mut then = if script.until_end { Then::Close } else { Then::KeepOpen };
    let mut head = interim(script);
    put_status(&mut head, status);
    for (name, value) in &headers {
        put_header(&mut head, name, value);
    }
    if script.until_end {
        put_header(&mut head, "connection", "close");
    }
    let mut steps = match body {
        Body::Whole(bytes) => whole(head, status, encode(bytes, script), script, &mut then),
        Body::Pieces(pieces) => streamed(head, pieces, script, &mut then),
    };
    if let Some(wait) = script.dribble {
        steps = dribble(&steps, wait);
    }
    if let Some(first) = steps.first_mut() {
        first.after += script.delay;
    }
    (steps, then)
}

fn interim(script: &Script) -> Vec<u8> {
    let mut head = Vec::with_capacity(1024);
    if let Some(status) = script.info {
        put_status(&mut head, status);
        head.extend_from_slice(b"\r\n");
    }
    head
}

fn put_status(head: &mut Vec<u8>, status: u16) {
    // The reason is for people, and none reads it here.
    write!(head, "HTTP/1.1 {status} mock\r\n").ok();
}

fn put_header(head: &mut Vec<u8>, name: &str, value: &str) {
    write!(head, "{name}: {value}\r\n").ok();
}

fn whole(
    mut head: Vec<u8>,
    status: u16,
    mut body: Vec<u8>,
    script: &Script,
    then: &mut Then,
) -> Vec<Step> {
    if script.short.is_some() {
        body.truncate(body.len() / 2);
    }
    if !script.until_end && !matches!(status, 204 | 304) {
        let length = body.len() as i64 + script.length_error;
        put_header(&mut head, "content-length", &length.max(0).to_string());
        // Nobody could tell where the next answer begins.
        if script.length_error != 0 {
            *then = Then::Close;
        }
    }
    head.extend_from_slice(b"\r\n");
    if let Some(end) = abrupt_end(script) {
        body.truncate(body.len() / 2);
        *then = end;
    }
    head.extend_from_slice(&body);
    vec![Step { after: Duration::ZERO, bytes: head }]
}

fn streamed(
    mut head: Vec<u8>,
    mut pieces: Vec<Piece>,
    script: &Script,
    then: &mut Then,
) -> Vec<Step> {
    let cut = script.cut.or(script.reset);
    if let Some(n_content) = cut.or(script.short) {
        pieces.truncate(end_of_content(&pieces, n_content));
    }
    let mut writes: Vec<Vec<u8>> = pieces.into_iter().map(|piece| piece.bytes).collect();
    if script.split.is_some() || script.encoding.is_some() {
        let bytes = encode(writes.concat(), script);
        writes = divide(&bytes, script.split.unwrap_or(Split::Every(1024)));
    }
    if !script.until_end {
        put_header(&mut head, "transfer-encoding", "chunked");
    }
    head.extend_from_slice(b"\r\n");
    let mut steps = vec![Step { after: Duration::ZERO, bytes: head }];
    for (number, bytes) in writes.into_iter().enumerate() {
        let after = if number == 0 { script.ttft } else { script.pace };
        steps.push(Step { after, bytes: if script.until_end { bytes } else { chunk(&bytes) } });
    }
    match abrupt_end(script) {
        Some(end) => *then = end,
        None if script.until_end => {}
        // The last event and the end of the body are one write, as servers send them.
        None => steps.last_mut().into_iter().for_each(|step| step.bytes.extend(b"0\r\n\r\n")),
    }
    steps
}

/// The position behind so many pieces of content.
pub(super) fn end_of_content(pieces: &[Piece], n_content: usize) -> usize {
    let contents = pieces.iter().enumerate().filter(|(_, piece)| piece.is_content);
    contents.map(|(position, _)| position).nth(n_content).unwrap_or(pieces.len())
}

fn abrupt_end(script: &Script) -> Option<Then> {
    match (script.cut, script.reset) {
        (Some(_), _) => Some(Then::Close),
        (_, Some(_)) => Some(Then::Reset),
        _ => None,
    }
}

fn encode(bytes: Vec<u8>, script: &Script) -> Vec<u8> {
    if script.encoding.as_deref() != Some("gzip") {
        return bytes;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let done = encoder.write_all(&bytes).and_then(|()| encoder.finish());
    done.unwrap_or(bytes)
}

fn divide(bytes: &[u8], split: Split) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut dice = 0x2545_f491_4f6c_dd1d_u64;
    let mut parts = Vec::new();
    while !rest.is_empty() {
        let size = match split {
            Split::Every(size) => size,
            Split::Random => {
                dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                1 + (dice >> 33) as usize % 40
            }
        };
        let (part, after) = rest.split_at(size.min(rest.len()));
        parts.push(part.to_vec());
        rest = after;
    }
    parts
}

fn chunk(bytes: &[u8]) -> Vec<u8> {
    let mut chunk = Vec::with_capacity(bytes.len() + 16);
    write!(chunk, "{:x}\r\n", bytes.len()).ok();
    chunk.extend_from_slice(bytes);
    chunk.extend_from_slice(b"\r\n");
    chunk
}

fn dribble(steps: &[Step], wait: Duration) -> Vec<Step> {
    let bytes = steps.iter().flat_map(|step| step.bytes.iter());
    bytes.map(|byte| Step { after: wait, bytes: vec![*byte] }).collect()
}
