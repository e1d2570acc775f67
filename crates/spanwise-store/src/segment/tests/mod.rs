mod conversation;
mod hostile;
mod merging;
mod round_trip;
mod searching;
mod spans;

use std::sync::Arc;

use spanwise_model::{StoredSpan, Value};
use tempfile::TempDir;

use super::{Meta, Segment, WriteOptions, write};

/// A segment in a folder of its own.
struct Written {
    dir: TempDir,
    segment: Arc<Segment>,
}

fn written(spans: &[StoredSpan]) -> Written {
    let spans: Vec<Arc<StoredSpan>> = spans.iter().cloned().map(Arc::new).collect();
    let dir = tempfile::tempdir().unwrap();
    let meta = write(&dir.path().join("segment"), &spans, &WriteOptions::seal()).unwrap();
    opened(dir, &meta)
}

fn opened(dir: TempDir, meta: &Meta) -> Written {
    // The catalog keeps it as JSON.
    let meta = serde_json::from_slice(&serde_json::to_vec(meta).unwrap()).unwrap();
    let segment = Arc::new(Segment::open(&dir.path().join("segment"), meta).unwrap());
    Written { dir, segment }
}

/// The spans in one order, with doubles as their bits, so that NaN equals itself.
fn comparable(spans: impl IntoIterator<Item = StoredSpan>) -> Vec<StoredSpan> {
    fn with_bits(value: &mut Value) {
        match value {
            Value::Double(number) => *value = Value::from(format!("{:x}", number.to_bits())),
            Value::Array(values) => values.iter_mut().for_each(with_bits),
            Value::Map(attributes) => {
                attributes.0.iter_mut().for_each(|attribute| with_bits(&mut attribute.value));
            }
            _ => {}
        }
    }
    let mut spans: Vec<_> = spans
        .into_iter()
        .map(|mut stored| {
            let span = &mut stored.span;
            let mut resource = (*span.resource).clone();
            let mut scope = (*span.scope).clone();
            span.attributes
                .0
                .iter_mut()
                .chain(span.events.iter_mut().flat_map(|event| &mut event.attributes.0))
                .chain(span.links.iter_mut().flat_map(|link| &mut link.attributes.0))
                .chain(&mut resource.attributes.0)
                .chain(&mut scope.attributes.0)
                .for_each(|attribute| with_bits(&mut attribute.value));
            span.resource = Arc::new(resource);
            span.scope = Arc::new(scope);
            stored
        })
        .collect();
    spans.sort_by_cached_key(|stored| format!("{stored:?}"));
    spans
}
