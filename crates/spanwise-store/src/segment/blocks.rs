//! Files of numbered entries in compressed blocks: here is a number, give me its bytes.
//!
//! ```text
//! magic · block … · index · footer
//! block:  zstd( n entries, length of each entry, bytes of each entry )      varints
//! index:  zstd( per block: first entry, offset, compressed bytes, raw bytes, xxh3-64 )
//! footer: index offset, index bytes, raw index bytes, entries, xxh3-64 of the index, magic
//! ```
//!
//! Entries next to each other share a block, so reading a run costs one positional read and one
//! decompression per block. Every block is checked against its checksum when it is read.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use bytes::Bytes;
use xxhash_rust::xxh3::{Xxh3Default, xxh3_64};
use zstd::bulk::{Compressor, Decompressor};

use super::varint::{Malformed, Reader, put_varint};
use super::{FileMeta, SegmentError};

const MAGIC: [u8; 4] = *b"SWB1";
const FOOTER_BYTES: u64 = 36;
const INDEX_ENTRY_BYTES: usize = 28;
/// A block is closed when it holds this many bytes.
const BLOCK_BYTES: usize = 128 << 10;
/// How many blocks a [`Cursor`] keeps.
const CURSOR_BLOCKS: usize = 24;

/// A file being written: counts and hashes what goes into it.
pub(super) struct FileWriter {
    path: PathBuf,
    file: BufWriter<File>,
    bytes: u64,
    hash: Box<Xxh3Default>,
}

impl FileWriter {
    pub(super) fn create(dir: &Path, name: &str) -> Result<Self, SegmentError> {
        let path = dir.join(name);
        let file = File::create_new(&path).map_err(SegmentError::io(&path))?;
        let file = BufWriter::with_capacity(256 << 10, file);
        Ok(FileWriter { path, file, bytes: 0, hash: Box::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn put(&mut self, bytes: &[u8]) -> Result<(), SegmentError> {
        self.write_all(bytes).map_err(SegmentError::io(&self.path))
    }

    /// Flushes, syncs and describes the file.
    pub(super) fn finish(mut self) -> Result<FileMeta, SegmentError> {
        let synced = self.file.flush().and_then(|()| self.file.get_ref().sync_all());
        synced.map_err(SegmentError::io(&self.path))?;
        let name = self.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Ok(FileMeta { name, bytes: self.bytes, xxh3: self.hash.digest() })
    }
}

impl Write for FileWriter {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.file.write_all(bytes)?;
        self.hash.update(bytes);
        self.bytes += bytes.len() as u64;
        Ok(())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.file.flush()
    }
}

/// Where a block is.
#[derive(Clone, Copy, Debug)]
struct Block {
    first: u32,
    offset: u64,
    bytes: u32,
    raw_bytes: u32,
    checksum: u64,
}

/// Writes a block file.
pub(super) struct BlockWriter {
    file: FileWriter,
    compressor: Compressor<'static>,
    /// Lengths of the entries of the open block.
    lengths: Vec<u32>,
    data: Vec<u8>,
    raw: Vec<u8>,
    n_entries: u32,
    index: Vec<Block>,
}

impl BlockWriter {
    pub(super) fn create(dir: &Path, name: &str, level: i32) -> Result<Self, SegmentError> {
        let mut file = FileWriter::create(dir, name)?;
        file.put(&MAGIC)?;
        let compressor = Compressor::new(level).map_err(SegmentError::io(file.path()))?;
        Ok(BlockWriter {
            file,
            compressor,
            lengths: Vec::new(),
            data: Vec::with_capacity(BLOCK_BYTES + (BLOCK_BYTES >> 1)),
            raw: Vec::new(),
            n_entries: 0,
            index: Vec::new(),
        })
    }

    /// Appends an entry and returns its number.
    pub(super) fn push(&mut self, entry: &[u8]) -> Result<u32, SegmentError> {
        let length = u32::try_from(entry.len()).map_err(|_| SegmentError::TooLarge("bytes"))?;
        if !self.lengths.is_empty() && self.data.len() + entry.len() > BLOCK_BYTES {
            self.close_block()?;
        }
        let number = self.n_entries;
        self.n_entries = number.checked_add(1).ok_or(SegmentError::TooLarge("entries"))?;
        self.lengths.push(length);
        self.data.extend_from_slice(entry);
        Ok(number)
    }

    fn close_block(&mut self) -> Result<(), SegmentError> {
        self.raw.clear();
        put_varint(&mut self.raw, self.lengths.len() as u64);
        for &length in &self.lengths {
            put_varint(&mut self.raw, u64::from(length));
        }
        self.raw.extend_from_slice(&self.data);
        let compressed =
            self.compressor.compress(&self.raw).map_err(SegmentError::io(self.file.path()))?;
        let size = |len: usize| u32::try_from(len).map_err(|_| SegmentError::TooLarge("bytes"));
        self.index.push(Block {
            first: self.n_entries - self.lengths.len() as u32,
            offset: self.file.bytes,
            bytes: size(compressed.len())?,
            raw_bytes: size(self.raw.len())?,
            checksum: xxh3_64(&compressed),
        });
        self.file.put(&compressed)?;
        self.lengths.clear();
        self.data.clear();
        self.data.shrink_to(2 * BLOCK_BYTES);
        self.raw.shrink_to(2 * BLOCK_BYTES);
        Ok(())
    }

    pub(super) fn finish(mut self) -> Result<FileMeta, SegmentError> {
        if !self.lengths.is_empty() {
            self.close_block()?;
        }
        let mut raw = Vec::with_capacity(self.index.len() * INDEX_ENTRY_BYTES);
        for block in &self.index {
            raw.extend_from_slice(&block.first.to_le_bytes());
            raw.extend_from_slice(&block.offset.to_le_bytes());
            raw.extend_from_slice(&block.bytes.to_le_bytes());
            raw.extend_from_slice(&block.raw_bytes.to_le_bytes());
            raw.extend_from_slice(&block.checksum.to_le_bytes());
        }
        let index = self.compressor.compress(&raw).map_err(SegmentError::io(self.file.path()))?;
        let mut footer = Vec::with_capacity(FOOTER_BYTES as usize);
        footer.extend_from_slice(&self.file.bytes.to_le_bytes());
        footer.extend_from_slice(&(index.len() as u64).to_le_bytes());
        footer.extend_from_slice(&(raw.len() as u32).to_le_bytes());
        footer.extend_from_slice(&self.n_entries.to_le_bytes());
        footer.extend_from_slice(&xxh3_64(&index).to_le_bytes());
        footer.extend_from_slice(&MAGIC);
        self.file.put(&index)?;
        self.file.put(&footer)?;
        self.file.finish()
    }
}

/// Reads a block file. The index is read at the first use.
#[derive(Debug)]
pub(super) struct BlockFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    index: OnceLock<(Vec<Block>, u32)>,
}

impl BlockFile {
    /// Opens a file that must have this size.
    pub(super) fn open(dir: &Path, meta: &FileMeta) -> Result<Self, SegmentError> {
        let path = dir.join(&meta.name);
        let file = File::open(&path).map_err(SegmentError::io(&path))?;
        let bytes = file.metadata().map_err(SegmentError::io(&path))?.len();
        if bytes != meta.bytes {
            let reason = format!("it has {bytes} bytes, {} were written", meta.bytes);
            return Err(SegmentError::Corrupt { path, reason });
        }
        Ok(BlockFile { path, file, bytes, index: OnceLock::new() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn corrupt(&self, reason: impl std::fmt::Display) -> SegmentError {
        SegmentError::Corrupt { path: self.path.clone(), reason: reason.to_string() }
    }

    /// How many entries it has.
    pub(super) fn len(&self) -> Result<u32, SegmentError> {
        Ok(self.index()?.1)
    }

    /// A reader for one task, which remembers the blocks it has just read.
    pub(super) fn cursor(&self) -> Cursor<'_> {
        Cursor { file: self, blocks: Vec::new(), decompressor: None }
    }

    fn index(&self) -> Result<&(Vec<Block>, u32), SegmentError> {
        if let Some(index) = self.index.get() {
            return Ok(index);
        }
        let index = self.read_index()?;
        Ok(self.index.get_or_init(|| index))
    }

    fn read_index(&self) -> Result<(Vec<Block>, u32), SegmentError> {
        let footer_at =
            self.bytes.checked_sub(FOOTER_BYTES).ok_or_else(|| self.corrupt("too short"))?;
        let footer = self.read(footer_at, FOOTER_BYTES as usize)?;
        if footer[32..] != MAGIC {
            return Err(self.corrupt("no footer"));
        }
        let (offset, len) = (u64_at(&footer, 0), u64_at(&footer, 8));
        let (raw_len, n_entries) = (u32_at(&footer, 16) as usize, u32_at(&footer, 20));
        if offset.checked_add(len) != Some(footer_at) {
            return Err(self.corrupt("the footer points outside"));
        }
        let index = self.read(offset, len as usize)?;
        if xxh3_64(&index) != u64_at(&footer, 24) {
            return Err(self.corrupt("wrong checksum of the index"));
        }
        let raw = zstd::bulk::decompress(&index, raw_len).map_err(|e| self.corrupt(e))?;
        let blocks = raw.chunks_exact(INDEX_ENTRY_BYTES).map(|entry| Block {
            first: u32_at(entry, 0),
            offset: u64_at(entry, 4),
            bytes: u32_at(entry, 12),
            raw_bytes: u32_at(entry, 16),
            checksum: u64_at(entry, 20),
        });
        Ok((blocks.collect(), n_entries))
    }

    fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, SegmentError> {
        let mut bytes = vec![0; len];
        self.file.read_exact_at(&mut bytes, offset).map_err(SegmentError::io(&self.path))?;
        Ok(bytes)
    }

    fn load(
        &self,
        block: Block,
        decompressor: &mut Decompressor<'_>,
    ) -> Result<Loaded, SegmentError> {
        let compressed = self.read(block.offset, block.bytes as usize)?;
        if xxh3_64(&compressed) != block.checksum {
            return Err(self.corrupt(format!("wrong checksum of the block at {}", block.offset)));
        }
        let raw = decompressor
            .decompress(&compressed, block.raw_bytes as usize)
            .map_err(|e| self.corrupt(e))?;
        Loaded::new(block.first, raw.into()).map_err(|e| self.corrupt(e))
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes[at..at + 8].try_into().map_or(0, u64::from_le_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..at + 4].try_into().map_or(0, u32::from_le_bytes)
}

/// A decompressed block.
#[derive(Debug)]
struct Loaded {
    first: u32,
    raw: Bytes,
    /// Where each entry starts in `raw`, and the end of the last.
    fences: Vec<u32>,
}

impl Loaded {
    fn new(first: u32, raw: Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(&raw);
        let n_entries = reader.count()?;
        let mut lengths = Vec::with_capacity(n_entries);
        for _ in 0..n_entries {
            lengths.push(reader.varint()?);
        }
        let mut at = (raw.len() - reader.remaining()) as u64;
        let mut fences = Vec::with_capacity(n_entries + 1);
        for length in lengths {
            fences.push(at as u32);
            at = at
                .checked_add(length)
                .filter(|&at| at <= raw.len() as u64)
                .ok_or(Malformed("entry beyond its block"))?;
        }
        fences.push(at as u32);
        Ok(Loaded { first, raw, fences })
    }

    fn numbers(&self) -> Range<u32> {
        self.first..self.first + self.fences.len() as u32 - 1
    }

    fn entry(&self, number: u32) -> Bytes {
        let at = (number - self.first) as usize;
        self.raw.slice(self.fences[at] as usize..self.fences[at + 1] as usize)
    }
}

/// Reads entries one after the other and keeps the last few blocks decompressed.
pub(super) struct Cursor<'f> {
    file: &'f BlockFile,
    /// Most recently used last.
    blocks: Vec<Loaded>,
    decompressor: Option<Decompressor<'static>>,
}

impl Cursor<'_> {
    /// The bytes of an entry: a slice of its block, which it keeps in memory.
    pub(super) fn get(&mut self, number: u32) -> Result<Bytes, SegmentError> {
        let found = self.blocks.iter().rposition(|block| block.numbers().contains(&number));
        match found {
            Some(at) if at + 1 == self.blocks.len() => {}
            Some(at) => {
                let block = self.blocks.remove(at);
                self.blocks.push(block);
            }
            None => self.load(number)?,
        }
        let block = self.blocks.last().ok_or_else(|| self.file.corrupt("no block"))?;
        Ok(block.entry(number))
    }

    fn load(&mut self, number: u32) -> Result<(), SegmentError> {
        let (index, n_entries) = self.file.index()?;
        let missing = || self.file.corrupt(format!("no entry {number}"));
        if number >= *n_entries {
            return Err(missing());
        }
        let at = index.partition_point(|block| block.first <= number).checked_sub(1);
        let block = at.and_then(|at| index.get(at)).ok_or_else(missing)?;
        let decompressor = match &mut self.decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new().map_err(SegmentError::io(&self.file.path))?),
        };
        let loaded = self.file.load(*block, decompressor)?;
        if !loaded.numbers().contains(&number) {
            return Err(missing());
        }
        if self.blocks.len() == CURSOR_BLOCKS {
            self.blocks.remove(0);
        }
        self.blocks.push(loaded);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
