//! Merging.

use std::path::Path;
use std::sync::Arc;

use super::{Meta, Segment, SegmentError, WriteOptions};

/// Writes the rows of `inputs` as one segment into `dir`; a row that is there twice is written
/// once.
pub fn merge(
    _inputs: &[Arc<Segment>],
    _dir: &Path,
    _options: &WriteOptions,
) -> Result<Meta, SegmentError> {
    unimplemented!()
}
