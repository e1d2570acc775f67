//! HTTP/1.1 by hand: a mock has to break its rules, and a client that costs little must not be
//! half of what is measured.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use memchr::{memchr, memmem};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::clock;

/// The longest head that is read.
const MAX_HEAD: usize = 1 << 20;

/// One side of a kept-alive connection.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
    read_at_ns: u64,
}

/// The head of a request or an answer, as it came.
#[derive(Clone, Debug)]
pub struct Head {
    bytes: Bytes,
    framing: Option<Framing>,
}

/// How the rest of a body is delimited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// So many bytes are left.
    Length(usize),
    /// So many bytes of this chunk are left.
    Chunk(usize),
    /// The size of a chunk comes next; the line end of the one before is due first.
    ChunkSize {
        /// Whether no chunk came before.
        first: bool,
    },
    /// Until the connection ends.
    UntilEnd,
}

impl Head {
    fn parse(bytes: Bytes) -> io::Result<Self> {
        let mut head = Head { bytes, framing: None };
        let chunked = head
            .header("transfer-encoding")
            .is_some_and(|value| value.to_ascii_lowercase().ends_with("chunked"));
        head.framing = if chunked {
            Some(Framing::ChunkSize { first: true })
        } else if let Some(length) = head.header("content-length") {
            Some(Framing::Length(number(length.as_bytes(), 10)?))
        } else {
            None
        };
        Ok(head)
    }

    /// The request line or the status line.
    pub fn start_line(&self) -> &str {
        self.lines().next().unwrap_or_default()
    }

    /// The status of an answer.
    pub fn status(&self) -> Option<u16> {
        self.start_line().split(' ').nth(1)?.parse().ok()
    }

    /// The first header with this name, which is lower-case.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers().find(|(other, _)| other.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// Every header in order; one whose bytes are not UTF-8 is left out.
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let pairs = self.lines().skip(1).filter_map(|line| line.split_once(':'));
        pairs.map(|(name, value)| (name, value.trim()))
    }

    fn lines(&self) -> impl Iterator<Item = &str> {
        self.bytes.split(|byte| *byte == b'\n').filter_map(|line| {
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            std::str::from_utf8(line).ok().filter(|line| !line.is_empty())
        })
    }

    /// How the body of this request is delimited.
    pub fn request_framing(&self) -> Framing {
        self.framing.unwrap_or(Framing::Length(0))
    }

    /// How the body of this answer is delimited.
    pub fn answer_framing(&self) -> Framing {
        match self.status() {
            Some(100..=199 | 204 | 304) => Framing::Length(0),
            _ => self.framing.unwrap_or(Framing::UntilEnd),
        }
    }

    /// Whether another message may follow on the connection.
    pub fn keeps_alive(&self) -> bool {
        !self.header("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"))
    }
}

impl Connection {
    /// Takes over a stream; small writes leave at once.
    pub fn new(stream: TcpStream) -> io::Result<Self> {
        stream.set_nodelay(true)?;
        Ok(Connection {
            stream,
            buffer: BytesMut::with_capacity(16 << 10),
            read_at_ns: clock::now_ns(),
        })
    }

    /// The next head; `None` where the peer ended between two messages.
    pub async fn head(&mut self) -> io::Result<Option<Head>> {
        let mut searched = 0;
        loop {
            if let Some(at) = memmem::find(&self.buffer[searched..], b"\r\n\r\n") {
                let head = self.buffer.split_to(searched + at + 4).freeze();
                return Head::parse(head).map(Some);
            }
            searched = self.buffer.len().saturating_sub(3);
            if self.buffer.len() > MAX_HEAD {
                return Err(io::Error::other("the head of a message is too long"));
            }
            if self.read().await? == 0 {
                let ended = io::ErrorKind::UnexpectedEof;
                return if self.buffer.is_empty() { Ok(None) } else { Err(ended.into()) };
            }
        }
    }

    /// What has arrived of a body; `None` at its end.
    pub async fn piece(&mut self, framing: &mut Framing) -> io::Result<Option<Bytes>> {
        loop {
            match framing {
                Framing::Length(0) => return Ok(None),
                Framing::Length(left) => return take(self, left).await.map(Some),
                Framing::Chunk(left) => {
                    let piece = take(self, left).await?;
                    if *left == 0 {
                        *framing = Framing::ChunkSize { first: false };
                    }
                    return Ok(Some(piece));
                }
                Framing::ChunkSize { first } => {
                    if !*first && !self.line().await?.is_empty() {
                        return Err(io::Error::other("a chunk is longer than it says"));
                    }
                    let line = self.line().await?;
                    let digits = line.split(|byte| *byte == b';').next().unwrap_or_default();
                    *framing = Framing::Chunk(number(digits, 16)?);
                    if *framing == Framing::Chunk(0) {
                        while !self.line().await?.is_empty() {}
                        *framing = Framing::Length(0);
                    }
                }
                Framing::UntilEnd => {
                    if self.buffer.is_empty() && self.read().await? == 0 {
                        *framing = Framing::Length(0);
                        return Ok(None);
                    }
                    return Ok(Some(self.buffer.split().freeze()));
                }
            }
        }
    }

    /// A whole body.
    pub async fn body(&mut self, mut framing: Framing) -> io::Result<Bytes> {
        let Some(first) = self.piece(&mut framing).await? else { return Ok(Bytes::new()) };
        if framing == Framing::Length(0) {
            return Ok(first);
        }
        let mut body = BytesMut::from(first);
        while let Some(piece) = self.piece(&mut framing).await? {
            body.extend_from_slice(&piece);
        }
        Ok(body.freeze())
    }

    /// Writes all of it.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// When bytes were last read, by [`clock::now_ns`].
    pub fn read_at_ns(&self) -> u64 {
        self.read_at_ns
    }

    /// Waits until the peer has ended or reset the connection.
    pub async fn closed(&mut self) {
        while self.buffer.len() < MAX_HEAD {
            if !matches!(self.read().await, Ok(1..)) {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    /// Ends the connection with a reset instead of an orderly end.
    pub fn reset(self) {
        // Without it the peer sees an orderly end, and its test says so.
        self.stream.set_zero_linger().ok();
    }

    async fn read(&mut self) -> io::Result<usize> {
        if self.buffer.capacity() - self.buffer.len() < 4 << 10 {
            self.buffer.reserve(64 << 10);
        }
        let n_bytes = self.stream.read_buf(&mut self.buffer).await?;
        self.read_at_ns = clock::now_ns();
        Ok(n_bytes)
    }

    async fn line(&mut self) -> io::Result<Bytes> {
        loop {
            if let Some(end) = memchr(b'\n', &self.buffer) {
                let mut line = self.buffer.split_to(end).freeze();
                self.buffer.advance(1);
                if line.last() == Some(&b'\r') {
                    line.truncate(line.len() - 1);
                }
                return Ok(line);
            }
            if self.read().await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }
}

/// Up to `left` bytes of what has arrived, at least one.
async fn take(connection: &mut Connection, left: &mut usize) -> io::Result<Bytes> {
    if connection.buffer.is_empty() && connection.read().await? == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let n_bytes = connection.buffer.len().min(*left);
    *left -= n_bytes;
    Ok(connection.buffer.split_to(n_bytes).freeze())
}

fn number(digits: &[u8], radix: u32) -> io::Result<usize> {
    let digits = std::str::from_utf8(digits).map_err(io::Error::other)?;
    usize::from_str_radix(digits.trim(), radix).map_err(io::Error::other)
}
