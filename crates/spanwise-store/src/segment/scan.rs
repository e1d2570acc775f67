//! Reads columns of `spans.parquet`.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use arrow::array::{RecordBatch, RecordBatchOptions};
use arrow::compute::concat_batches;
use arrow::datatypes::{DataType, Field, Fields, Schema};
use bytes::Bytes;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::{
    ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder, RowSelection,
};
use parquet::errors::ParquetError;
use parquet::file::metadata::{PageIndexPolicy, ParquetMetaData};
use parquet::file::reader::{ChunkReader, Length};

use super::{FileMeta, RowGroup, Rows, SegmentError, schema};

/// Reads `spans.parquet`; its footer is read at the first use and kept.
#[derive(Debug)]
pub(super) struct ColumnReader {
    path: PathBuf,
    file: PositionalFile,
    footer: OnceLock<ArrowReaderMetadata>,
}

/// A file that several scans read at once. The parquet crate's own reader of a [`File`] moves the
/// cursor that all its clones share, so that two scans would read each other's bytes.
#[derive(Clone, Debug)]
struct PositionalFile {
    file: Arc<File>,
    bytes: u64,
}

/// Reads on from a position.
struct ReadFrom {
    file: Arc<File>,
    position: u64,
}

impl Read for ReadFrom {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n_bytes = self.file.read_at(buffer, self.position)?;
        self.position += n_bytes as u64;
        Ok(n_bytes)
    }
}

impl Length for PositionalFile {
    fn len(&self) -> u64 {
        self.bytes
    }
}

impl ChunkReader for PositionalFile {
    type T = BufReader<ReadFrom>;

    fn get_read(&self, start: u64) -> Result<Self::T, ParquetError> {
        Ok(BufReader::new(ReadFrom { file: Arc::clone(&self.file), position: start }))
    }

    fn get_bytes(&self, start: u64, length: usize) -> Result<Bytes, ParquetError> {
        // Checked before anything is allocated: a damaged footer can ask for any length.
        if start.saturating_add(length as u64) > self.bytes {
            return Err(ParquetError::EOF(format!("{length} bytes at {start} of {}", self.bytes)));
        }
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, start)?;
        Ok(buffer.into())
    }
}

impl ColumnReader {
    pub(super) fn open(dir: &Path, meta: &FileMeta) -> Result<Self, SegmentError> {
        let path = dir.join(&meta.name);
        let file = File::open(&path).map_err(SegmentError::io(&path))?;
        let bytes = file.metadata().map_err(SegmentError::io(&path))?.len();
        if bytes != meta.bytes {
            let reason = format!("it has {bytes} bytes, {} were written", meta.bytes);
            return Err(SegmentError::Corrupt { path, reason });
        }
        let file = PositionalFile { file: Arc::new(file), bytes };
        Ok(ColumnReader { path, file, footer: OnceLock::new() })
    }

    pub(super) fn has(&self, column: &str) -> Result<bool, SegmentError> {
        Ok(self.footer()?.schema().column_with_name(column).is_some())
    }

    /// Reads columns of some rows into one batch.
    pub(super) fn read(
        &self,
        groups: &[RowGroup],
        rows: &Rows<'_>,
        columns: &[&str],
    ) -> Result<RecordBatch, SegmentError> {
        self.try_read(groups, rows, columns).map_err(|source| match source {
            ParquetError::General(_) | ParquetError::EOF(_) | ParquetError::ArrowError(_) => {
                SegmentError::Corrupt { path: self.path.clone(), reason: source.to_string() }
            }
            source => SegmentError::Parquet { path: self.path.clone(), source },
        })
    }

    fn try_read(
        &self,
        groups: &[RowGroup],
        rows: &Rows<'_>,
        columns: &[&str],
    ) -> Result<RecordBatch, ParquetError> {
        let footer = self.try_footer()?;
        let schema = footer.schema();
        let indices: Vec<usize> = columns
            .iter()
            .filter_map(|name| schema.column_with_name(name))
            .map(|(at, _)| at)
            .collect();
        let n_rows = rows.len();
        if indices.is_empty() || n_rows == 0 {
            let projected = Arc::new(schema.project(&indices)?);
            if n_rows == 0 {
                return Ok(RecordBatch::new_empty(projected));
            }
            let options = RecordBatchOptions::new().with_row_count(Some(n_rows));
            return Ok(RecordBatch::try_new_with_options(projected, vec![], &options)?);
        }
        let (chosen, selection) = select(groups, rows);
        let mask = ProjectionMask::roots(footer.parquet_schema(), indices);
        let file = self.file.clone();
        let reader = ParquetRecordBatchReaderBuilder::new_with_metadata(file, footer.clone())
            .with_projection(mask)
            .with_row_groups(chosen)
            .with_row_selection(selection)
            .with_batch_size(n_rows)
            .build()?;
        let batches = reader.collect::<Result<Vec<_>, _>>()?;
        let batch = match <[RecordBatch; 1]>::try_from(batches) {
            Ok([batch]) => batch,
            Err(batches) => {
                let schema = batches.first().map(RecordBatch::schema);
                let schema = schema.ok_or_else(|| ParquetError::EOF("no rows".into()))?;
                concat_batches(&schema, &batches)?
            }
        };
        if batch.num_rows() == n_rows {
            Ok(batch)
        } else {
            Err(ParquetError::EOF(format!("{} rows of {n_rows}", batch.num_rows())))
        }
    }

    fn footer(&self) -> Result<&ArrowReaderMetadata, SegmentError> {
        self.try_footer().map_err(|source| SegmentError::Corrupt {
            path: self.path.clone(),
            reason: source.to_string(),
        })
    }

    fn try_footer(&self) -> Result<&ArrowReaderMetadata, ParquetError> {
        if let Some(footer) = self.footer.get() {
            return Ok(footer);
        }
        let options = ArrowReaderOptions::new().with_offset_index_policy(PageIndexPolicy::Required);
        let written = ArrowReaderMetadata::load(&self.file, options.clone())?;
        let schema = read_schema(written.schema(), written.metadata());
        let footer = ArrowReaderMetadata::try_new(
            written.metadata().clone(),
            options.with_schema(Arc::new(schema)),
        )?;
        Ok(self.footer.get_or_init(|| footer))
    }
}

/// The schema to read with: strings that were written with a dictionary come back with one.
fn read_schema(written: &Schema, metadata: &ParquetMetaData) -> Schema {
    let has_dictionary = |at: usize| {
        metadata.row_groups().iter().all(|g| g.column(at).dictionary_page_offset().is_some())
    };
    let fields: Fields = written
        .fields()
        .iter()
        .enumerate()
        .map(|(at, field)| {
            if *field.data_type() == DataType::Utf8 && has_dictionary(at) {
                Arc::new(Field::new(field.name(), schema::dictionary(), field.is_nullable()))
            } else {
                field.clone()
            }
        })
        .collect();
    Schema::new(fields)
}

/// The row groups to read, and which of their rows.
fn select(groups: &[RowGroup], rows: &Rows<'_>) -> (Vec<usize>, RowSelection) {
    let mut chosen = Vec::new();
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut total = 0;
    for (at, group) in groups.iter().enumerate() {
        let of_group = group.rows();
        let before = ranges.len();
        let relative = |rows: Range<u32>| {
            let first = of_group.start;
            total + (rows.start - first) as usize..total + (rows.end - first) as usize
        };
        match rows {
            Rows::Range(range) => {
                let common = range.start.max(of_group.start)..range.end.min(of_group.end);
                if !common.is_empty() {
                    ranges.push(relative(common));
                }
            }
            Rows::Sorted(sorted) => {
                let from = sorted.partition_point(|&row| row < of_group.start);
                let to = sorted.partition_point(|&row| row < of_group.end);
                let runs = sorted[from..to].chunk_by(|&a, &b| a.checked_add(1) == Some(b));
                ranges.extend(runs.map(|run| relative(run[0]..run[run.len() - 1] + 1)));
            }
        }
        if ranges.len() > before {
            chosen.push(at);
            total += group.n_rows as usize;
        }
    }
    (chosen, RowSelection::from_consecutive_ranges(ranges.into_iter(), total))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn readers_of_one_file_do_not_move_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let content: Vec<u8> = (0..60_000u32).map(|n| (n / 251) as u8).collect();
        fs::write(dir.path().join("file"), &content).unwrap();
        let file = Arc::new(File::open(dir.path().join("file")).unwrap());
        let file = PositionalFile { file, bytes: content.len() as u64 };
        let mut readers = [0, 30_000].map(|start| (start, file.get_read(start as u64).unwrap()));
        for step in 0..3 {
            for (start, reader) in &mut readers {
                let mut piece = vec![0; 9_000];
                reader.read_exact(&mut piece).unwrap();
                let from = *start + step * piece.len();
                assert_eq!(piece, content[from..from + piece.len()]);
                assert_eq!(file.get_bytes(7, 100).unwrap(), content[7..107]);
            }
        }
        assert!(file.get_bytes(59_999, 2).is_err());
        assert!(file.get_bytes(u64::MAX, usize::MAX).is_err());
    }
}
