//! Fills a store with millions of varied spans over OTLP, with bounded memory.

use std::thread;
use std::time::{Duration, Instant};

use clap::Args;
use spanwise_model::wire::otlp::encode_traces;

use crate::http::{Connection, in_parallel};
use crate::ingest::{memory, post, unix_nanos};
use crate::server::{Server, fresh_folder};
use crate::table::{self, verdict};
use crate::workload::{SECOND, Workload};
use crate::{Outcome, Target, disk, row};

const SPANS_PER_BODY: usize = 512;
/// Measured; see the report for the exact number of spans.
const SPANS_PER_TRACE: f64 = 13.4;
const DAY: u64 = 86_400 * SECOND;

#[derive(Args)]
pub struct Options {
    #[command(flatten)]
    target: Target,
    /// About how many spans
    #[arg(long, default_value = "10000000")]
    spans: u64,
    #[arg(long, default_value = "4")]
    connections: u64,
}

/// How many traces make up about so many spans.
pub fn n_traces(n_spans: u64) -> u64 {
    (n_spans as f64 / SPANS_PER_TRACE) as u64
}

#[derive(Default)]
struct Sent {
    spans: u64,
    bytes: u64,
    refused: u64,
}

pub fn run(options: &Options) -> Outcome<()> {
    fresh_folder(&options.target.data_dir)?;
    let server = Server::start(&options.target, "")?;
    let n_traces = n_traces(options.spans);
    let workload = Workload::new(n_traces);
    let memory_watch = server.watch_memory();
    let started = Instant::now();
    let parts = in_parallel(options.connections, |number| {
        stream(&workload, &server.otlp, n_traces, number, options.connections)
    })?;
    let mut sent = Sent::default();
    for part in parts {
        sent.spans += part.spans;
        sent.bytes += part.bytes;
        sent.refused += part.refused;
    }
    let took = started.elapsed();
    let lag = server.settle(Duration::from_mins(30))?;
    let peak = memory_watch.peak();
    let idle = server.memory_at_rest()?;
    let cpu = server.cpu_time()?;
    let rows = vec![
        row!["measure", "value", "bar", ""],
        row!["spans", sent.spans, "", ""],
        row!["traces", n_traces, "", ""],
        row![
            "OTLP bytes per span",
            format!("{:.0}", sent.bytes as f64 / sent.spans as f64),
            "",
            ""
        ],
        row!["spans/s", format!("{:.0}", sent.spans as f64 / took.as_secs_f64()), "", ""],
        row!["bodies asked to wait", sent.refused, "", ""],
        row![
            "sealed, merged and indexed after another",
            format!("{:.0} s", lag.as_secs_f64()),
            "",
            ""
        ],
        row![
            "server CPU, µs/span, all included",
            format!("{:.2}", cpu.as_secs_f64() * 1e6 / sent.spans as f64),
            "",
            ""
        ],
        row![
            "memory, peak (own pages)",
            memory(peak),
            "≤ 1 GB",
            verdict(peak.resident <= 1_000_000_000)
        ],
        row![
            "memory, idle (own pages)",
            memory(idle),
            "≤ 80 MB",
            verdict(idle.resident <= 80_000_000)
        ],
    ];
    table::print("Load", &rows);
    disk::print(&disk::by_kind(&options.target.data_dir)?, sent.spans);
    server.stop()
}

/// Sends every `step`th trace, the oldest first, spread over the last day.
fn stream(
    workload: &Workload,
    endpoint: &str,
    n_traces: u64,
    first: u64,
    step: u64,
) -> Outcome<Sent> {
    let mut connection = Connection::open(endpoint)?;
    let begin = unix_nanos() - DAY;
    let mut sent = Sent::default();
    let mut batch = Vec::with_capacity(SPANS_PER_BODY + 64);
    for number in (first..n_traces).step_by(step as usize) {
        let start = begin + (u128::from(DAY) * u128::from(number) / u128::from(n_traces)) as u64;
        batch.extend(workload.trace(number, start));
        if batch.len() < SPANS_PER_BODY && number + step < n_traces {
            continue;
        }
        let body = encode_traces(&batch);
        while !post(&mut connection, &body)? {
            sent.refused += 1;
            thread::sleep(Duration::from_millis(100));
        }
        sent.spans += batch.len() as u64;
        sent.bytes += body.len() as u64;
        batch.clear();
    }
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_have_the_size_that_the_number_of_traces_is_computed_from() {
        let workload = Workload::new(1000);
        let spans: Vec<_> = (0..1000).flat_map(|number| workload.trace(number, DAY)).collect();
        let (per_trace, per_span) =
            (spans.len() as f64 / 1e3, encode_traces(&spans).len() / spans.len());
        assert!((per_trace - SPANS_PER_TRACE).abs() < 0.4, "{per_trace} spans a trace");
        assert!((900..1300).contains(&per_span), "{per_span} bytes a span");
        let failed = spans.iter().filter(|span| !span.status.message.is_empty()).count();
        assert!((150..400).contains(&failed), "{failed} of {} failed", spans.len());
    }
}
