//! Short strings that occur over and over (attribute keys, span names, models), numbered once
//! per segment. The file is `names.bin`: the names by number.

use spanwise_model::Str;

use super::SegmentError;
use super::blocks::{BlockFile, BlockWriter};
use super::hash::Map;

/// Longer strings are written where they occur.
const MAX_BYTES: usize = 128;
/// With this many, further ones are written where they occur. Together the limits bound the
/// memory that names take, whatever keys a producer makes up.
const MAX_NAMES: usize = 1 << 16;

/// The names of a segment that is being written.
#[derive(Debug, Default)]
pub(super) struct Names {
    numbers: Map<Str, u32>,
    list: Vec<Str>,
}

impl Names {
    /// The number of a name, giving it one if there is room.
    pub(super) fn number(&mut self, name: &str) -> Option<u32> {
        if let Some(&number) = self.numbers.get(name) {
            return Some(number);
        }
        if name.len() > MAX_BYTES || self.list.len() == MAX_NAMES {
            return None;
        }
        let number = self.list.len() as u32;
        let name = Str::from(name);
        self.numbers.insert(name.clone(), number);
        self.list.push(name);
        Some(number)
    }

    pub(super) fn write(&self, mut writer: BlockWriter) -> Result<super::FileMeta, SegmentError> {
        for name in &self.list {
            writer.push(name.as_bytes())?;
        }
        writer.finish()
    }
}

/// Reads all names of a segment.
pub(super) fn read(file: &BlockFile) -> Result<Vec<Str>, SegmentError> {
    let mut cursor = file.cursor();
    (0..file.len()?)
        .map(|number| {
            let name = cursor.get(number)?;
            // Names live as long as the segment is open; a copy does not keep its block alive.
            let name = std::str::from_utf8(&name).map_err(|e| file.corrupt(e))?;
            Ok(Str::from(name))
        })
        .collect()
}
