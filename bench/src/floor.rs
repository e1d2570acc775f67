//! What cannot be avoided: reading the spans, and writing the bytes down for good.

use std::fs::{self, File};
use std::io::{Seek, Write};
use std::path::Path;
use std::time::Duration;

use bytes::Bytes;
use spanwise_model::wire::otlp::decode_traces;

use crate::Outcome;
use crate::ingest::{Template, unix_nanos};

const N_BODIES: usize = 400;

/// CPU microseconds per span, on one thread.
pub struct Floor {
    /// Borrowed decoding.
    pub decode: f64,
    /// Writing a body to a file and syncing it.
    pub write: f64,
}

/// Decodes and writes the bodies that were sent, one after the other.
pub fn measure(templates: &[Template], folder: &Path) -> Outcome<Floor> {
    let bodies: Vec<Bytes> = (0..N_BODIES)
        .map(|number| {
            let mut body = Vec::new();
            templates[number % templates.len()].stamp(
                1 << 31 | number as u64,
                unix_nanos(),
                &mut body,
            );
            Bytes::from(body)
        })
        .collect();
    let mut n_spans = 0;
    let before = thread_cpu()?;
    for body in &bodies {
        n_spans += decode_traces(body.clone())?.spans.len();
    }
    let decode = thread_cpu()?.saturating_sub(before);
    let write = write_all(&bodies, &folder.with_extension("floor"))?;
    let micros = |time: Duration| time.as_secs_f64() * 1e6 / n_spans as f64;
    Ok(Floor { decode: micros(decode), write: micros(write) })
}

/// Overwrites a file that was written before, as a recycled log is.
fn write_all(bodies: &[Bytes], path: &Path) -> Outcome<Duration> {
    let mut file = File::create(path)?;
    bodies.iter().try_for_each(|body| file.write_all(body))?;
    file.sync_all()?;
    file.rewind()?;
    let before = thread_cpu()?;
    for body in bodies {
        file.write_all(body)?;
        file.sync_data()?;
    }
    let took = thread_cpu()?.saturating_sub(before);
    fs::remove_file(path)?;
    Ok(took)
}

/// CPU time of this thread, to the nanosecond.
fn thread_cpu() -> Outcome<Duration> {
    let text = fs::read_to_string("/proc/thread-self/schedstat")?;
    let nanos = text.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Ok(Duration::from_nanos(nanos.ok_or("cannot read this thread's CPU time")?))
}
