//! Rows whose bytes are not what was written, with checksums that say they are: reading them
//! gives an error or some span, never a panic.

use proptest::prelude::*;
use spanwise_model::StoredSpan;

use super::spans::arbitrary;
use super::written;
use crate::query::{Detail, TextQuery};
use crate::segment::blocks::BlockWriter;
use crate::segment::{Rows, Segment};

/// The segment with its rows changed by `change`.
fn with_rows(
    spans: &[StoredSpan],
    change: impl Fn(usize, &mut Vec<u8>),
) -> (super::Written, Segment) {
    let written = written(spans);
    let dir = written.segment.dir();
    let mut cursor = written.segment.rows.cursor();
    let rows: Vec<Vec<u8>> =
        (0..spans.len() as u32).map(|row| cursor.get(row).unwrap().to_vec()).collect();
    std::fs::remove_file(dir.join("rows.bin")).unwrap();
    let mut writer = BlockWriter::create(dir, "rows.bin", 1).unwrap();
    for (at, mut row) in rows.into_iter().enumerate() {
        change(at, &mut row);
        writer.push(&row).unwrap();
    }
    let file = writer.finish().unwrap();
    let mut meta = written.segment.meta().clone();
    *meta.files.iter_mut().find(|known| known.name == "rows.bin").unwrap() = file;
    let segment = Segment::open(dir, meta).unwrap();
    (written, segment)
}

fn read_all(segment: &Segment) {
    let query = TextQuery { words: vec!["zephyr".into()], prefix: false };
    for row in 0..segment.meta().n_rows {
        let rows = || Rows::Range(row..row + 1);
        let _ = segment.stored_spans(rows(), Detail::Full);
        let _ = segment.stored_spans(rows(), Detail::Outline);
        let _ = segment.attribute("input.value", rows());
    }
    let _ = segment.text_rows(&query);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn flipped_bytes_never_panic(
        spans in arbitrary(1..12),
        flips in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        let (_written, segment) = with_rows(&spans, |at, row| {
            for (index, byte) in &flips {
                let position = (index.index(row.len()) + at) % row.len();
                row[position] ^= byte;
            }
        });
        read_all(&segment);
    }

    #[test]
    fn cut_and_random_rows_never_panic(
        spans in arbitrary(1..12),
        cut in any::<prop::sample::Index>(),
        random in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let (_written, segment) = with_rows(&spans, |at, row| {
            if at % 2 == 0 {
                row.truncate(cut.index(row.len()));
            } else {
                row.clone_from(&random);
            }
        });
        read_all(&segment);
    }
}
