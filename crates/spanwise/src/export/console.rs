//! Spans for people, on standard error.

use std::io::Write;
use std::time::Instant;

use spanwise_model::tree::tree;

use super::{Batch, Delivered, ExportError, Exporter};

/// Writes a line for each span, indented below its parent where both leave together.
pub(crate) struct Console;

impl Exporter for Console {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        write(tree(batch.spans()).as_bytes())
    }

    fn name(&self) -> &'static str {
        "console"
    }
}

/// Writes to standard error in one go, so that lines of other threads do not come between.
pub(super) fn write(text: &[u8]) -> Result<Delivered, ExportError> {
    let written = std::io::stderr().lock().write_all(text);
    let failed = |error| ExportError::never(format!("standard error: {error}"));
    written.map(|()| Delivered::default()).map_err(failed)
}
