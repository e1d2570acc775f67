//! `spanwise demo`: a realistic multi-agent workload without a network, sent over OTLP.

mod governed;
mod recorder;
mod scenarios;

use std::time::Duration;

use spanwise_model::Span;
use spanwise_model::wire::otlp;

use crate::client::{Client, ClientError};
use crate::ingest::unix_nano_now;

/// How far back the demo's traces are spread when it is not sent live.
const SPREAD: Duration = Duration::from_hours(1);

/// The demo's traces, oldest first, the newest ending about now.
pub fn traces(count: u64, now_unix_nano: u64) -> impl Iterator<Item = Vec<Span>> {
    let step = SPREAD.as_nanos() as u64 / count.max(1);
    (0..count).map(move |n| {
        let trace = scenarios::trace(n, now_unix_nano - step * (count - n));
        not_after(trace, now_unix_nano)
    })
}

/// Sends `count` traces: at once and spread over the last hour, or, with a rate, that many a
/// second as they happen. Returns how many spans were sent.
pub fn send(client: &Client, count: u64, rate: Option<f64>) -> Result<usize, ClientError> {
    let mut n_spans = 0;
    match rate {
        None => {
            for trace in traces(count, unix_nano_now()) {
                n_spans += send_trace(client, &trace)?;
            }
        }
        Some(rate) => {
            for n in 0..count {
                let now = unix_nano_now();
                let trace = scenarios::trace(n + now, now);
                let length = trace.last().map_or(0, |root| root.end_time_unix_nano - now);
                n_spans += send_trace(client, &shift_back(trace, length))?;
                std::thread::sleep(Duration::from_secs_f64(1.0 / rate));
            }
        }
    }
    Ok(n_spans)
}

fn send_trace(client: &Client, trace: &[Span]) -> Result<usize, ClientError> {
    client.send_otlp(&otlp::encode_traces(trace))?;
    Ok(trace.len())
}

/// Moves a trace that would end in the future so that it ends now.
fn not_after(trace: Vec<Span>, now: u64) -> Vec<Span> {
    let end = trace.iter().map(|span| span.end_time_unix_nano).max().unwrap_or(now);
    shift_back(trace, end.saturating_sub(now))
}

fn shift_back(mut trace: Vec<Span>, by_ns: u64) -> Vec<Span> {
    for span in &mut trace {
        span.start_time_unix_nano -= by_ns;
        span.end_time_unix_nano -= by_ns;
        for event in &mut span.events {
            event.time_unix_nano -= by_ns;
        }
    }
    trace
}
