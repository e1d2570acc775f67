//! Long texts, each distinct piece stored once.
//!
//! A conversation is sent again with every turn. Its text is cut between the elements of its
//! arrays, and a piece that the segment has already is only referred to.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use bytes::Bytes;
use spanwise_model::Str;
use xxhash_rust::xxh3::xxh3_128_with_seed;

use super::blocks::BlockWriter;
use super::{FileMeta, SegmentError, json};

/// Texts shorter than this are written where they occur, and no piece but a last one is shorter.
pub(super) const MIN_TEXT_BYTES: usize = 64;

/// What a text is, as its first byte in `texts.bin`. Pieces with the same bytes and different
/// kinds are different texts: they are searched differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum TextKind {
    /// A whole text.
    Plain = 0,
    /// A piece of a text that looks like JSON.
    Json = 1,
    /// Bytes that are no text.
    Binary = 2,
}

impl TextKind {
    pub(super) fn from_number(number: u8) -> Option<Self> {
        [TextKind::Plain, TextKind::Json, TextKind::Binary].into_iter().find(|&k| k as u8 == number)
    }
}

/// The distinct texts of a segment that is being written, numbered in order of appearance.
pub(super) struct Texts {
    writer: BlockWriter,
    numbers: HashMap<u128, u32>,
    /// Secret, so that nobody can make up two texts with one hash.
    seed: u64,
    /// The texts themselves, to compare when hashes are equal; kept when they are in memory
    /// anyway. Without them equal means an equal 128-bit hash under the secret seed.
    kept: Option<Vec<Bytes>>,
    entry: Vec<u8>,
    cuts: Vec<usize>,
}

impl Texts {
    /// `keep` says that the bytes passed in stay in memory anyway.
    pub(super) fn new(writer: BlockWriter, keep: bool) -> Self {
        Texts {
            writer,
            numbers: HashMap::new(),
            seed: RandomState::new().hash_one(0),
            kept: keep.then(Vec::new),
            entry: Vec::new(),
            cuts: Vec::new(),
        }
    }

    /// Stores a long text and puts the numbers of its pieces into `pieces`.
    pub(super) fn text(&mut self, text: &Str, pieces: &mut Vec<u32>) -> Result<(), SegmentError> {
        pieces.clear();
        let mut cuts = std::mem::take(&mut self.cuts);
        cuts.clear();
        let mut last = 0;
        let is_json = json::scan(text, |at| {
            if at - last >= MIN_TEXT_BYTES {
                cuts.push(at);
                last = at;
            }
        });
        let kind = if is_json { TextKind::Json } else { TextKind::Plain };
        if !is_json {
            cuts.clear();
        }
        cuts.push(text.len());
        let mut from = 0;
        for &to in &cuts {
            if to > from {
                pieces.push(self.piece(kind, text.as_bytes(), from..to)?);
            }
            from = to;
        }
        self.cuts = cuts;
        Ok(())
    }

    /// Stores long bytes whole.
    pub(super) fn binary(&mut self, bytes: &Bytes) -> Result<u32, SegmentError> {
        self.piece(TextKind::Binary, bytes, 0..bytes.len())
    }

    fn piece(
        &mut self,
        kind: TextKind,
        whole: &Bytes,
        range: std::ops::Range<usize>,
    ) -> Result<u32, SegmentError> {
        let piece = &whole[range.clone()];
        let mut hash = xxh3_128_with_seed(piece, self.seed ^ kind as u64);
        while let Some(&number) = self.numbers.get(&hash) {
            let same = self.kept.as_ref().is_none_or(|kept| kept[number as usize] == piece);
            if same {
                return Ok(number);
            }
            hash = hash.wrapping_add(1);
        }
        self.entry.clear();
        self.entry.push(kind as u8);
        self.entry.extend_from_slice(piece);
        let number = self.writer.push(&self.entry)?;
        self.entry.shrink_to(1 << 20);
        self.numbers.insert(hash, number);
        if let Some(kept) = &mut self.kept {
            kept.push(whole.slice(range));
        }
        Ok(number)
    }

    pub(super) fn finish(self) -> Result<FileMeta, SegmentError> {
        self.writer.finish()
    }
}
