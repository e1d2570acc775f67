//! The server's counters, in Prometheus' text format.
//!
//! For every signal and source, `received = accepted + rejected` holds at any time when no
//! request is under way: each counted row ends in exactly one of the two.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use spanwise_gateway::gateway::Observer;
use spanwise_gateway::metrics::{Family, Sample};

use super::Shared;

/// Upper bounds of the latency buckets, in seconds.
const BOUNDS: [f64; 12] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Everything that is counted.
#[derive(Debug, Default)]
pub struct Metrics {
    /// Rows by signal and source, then what became of them.
    rows: Mutex<BTreeMap<(&'static str, &'static str), Rows>>,
    /// Rejected rows by signal and reason.
    rejected: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Requests that carried something to take in, by source and outcome.
    ingest_requests: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    /// Latency by method, route and status.
    requests: Mutex<BTreeMap<(String, String, u16), Histogram>>,
    /// Bytes of bodies as they came over the wire.
    pub wire_bytes: AtomicU64,
    /// Requests that panicked.
    pub panics: AtomicU64,
    /// Live connections that were too slow to follow.
    pub live_dropped: AtomicU64,
}

/// What became of the rows (spans or log records) of one request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rows {
    /// In requests that could be decoded.
    pub received: u64,
    /// Durable, or known already.
    pub accepted: u64,
    /// Not taken.
    pub rejected: u64,
    /// Of the accepted: copies of spans that were there.
    pub duplicates: u64,
    /// Of the accepted: taken with a warning.
    pub repaired: u64,
    /// Of the accepted: log records that belong to no span, not kept.
    pub unrelated: u64,
}

#[derive(Debug, Default)]
struct Histogram {
    buckets: [u64; BOUNDS.len()],
    count: u64,
    sum_secs: f64,
}

impl Metrics {
    /// Counts the rows of one request.
    pub fn rows(&self, signal: &'static str, source: &'static str, more: Rows) {
        debug_assert_eq!(more.received, more.accepted + more.rejected);
        let mut rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner);
        let sum = rows.entry((signal, source)).or_default();
        sum.received += more.received;
        sum.accepted += more.accepted;
        sum.rejected += more.rejected;
        sum.duplicates += more.duplicates;
        sum.repaired += more.repaired;
        sum.unrelated += more.unrelated;
    }

    /// Counts rejected rows by reason; the reasons are few.
    pub fn rejected(&self, signal: &'static str, reason: &'static str, n: u64) {
        let mut rejected = self.rejected.lock().unwrap_or_else(PoisonError::into_inner);
        *rejected.entry((signal, reason)).or_default() += n;
    }

    /// Counts a request that carried something to take in.
    pub fn ingest_request(&self, source: &'static str, outcome: &'static str) {
        let mut requests = self.ingest_requests.lock().unwrap_or_else(PoisonError::into_inner);
        *requests.entry((source, outcome)).or_default() += 1;
    }

    /// Counts an answered request. `route` is a pattern, so that there are few.
    pub fn request(&self, method: &str, route: &str, status: u16, took: Duration) {
        let key = (method.to_owned(), route.to_owned(), status);
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        let histogram = requests.entry(key).or_default();
        let secs = took.as_secs_f64();
        for (bound, bucket) in BOUNDS.iter().zip(&mut histogram.buckets) {
            *bucket += u64::from(secs <= *bound);
        }
        histogram.count += 1;
        histogram.sum_secs += secs;
    }

    /// All counters as text.
    pub fn render(&self) -> String {
        let mut text = Text::default();
        self.render_rows(&mut text);
        self.render_requests(&mut text);
        text.one("wire_bytes_total", "counter", "bytes of bodies as received", &self.wire_bytes);
        text.one("panics_total", "counter", "requests that panicked", &self.panics);
        text.one(
            "live_dropped_total",
            "counter",
            "live connections that were too slow",
            &self.live_dropped,
        );
        text.0
    }

    fn render_rows(&self, text: &mut Text) {
        type Column = (&'static str, &'static str, fn(&Rows) -> u64);
        const COLUMNS: [Column; 6] = [
            ("received_total", "spans and log records decoded", |rows| rows.received),
            ("accepted_total", "of these, durable or known already", |rows| rows.accepted),
            ("rejected_total", "of these, not taken", |rows| rows.rejected),
            ("duplicates_total", "accepted copies of spans", |rows| rows.duplicates),
            ("repaired_total", "accepted with a warning", |rows| rows.repaired),
            ("unrelated_logs_total", "accepted, of no span, not kept", |rows| rows.unrelated),
        ];
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for (name, help, column) in COLUMNS {
            text.head(name, "counter", help);
            for ((signal, source), rows) in &rows {
                text.line(name, &[("signal", signal), ("source", source)], column(rows));
            }
        }
        text.head("rejections_total", "counter", "rejected rows by reason");
        for ((signal, reason), n) in &*self.rejected.lock().unwrap_or_else(PoisonError::into_inner)
        {
            text.line("rejections_total", &[("signal", signal), ("reason", reason)], n);
        }
        text.head("ingest_requests_total", "counter", "requests to the receivers by outcome");
        let requests = self.ingest_requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((source, outcome), n) in &*requests {
            text.line("ingest_requests_total", &[("source", source), ("outcome", outcome)], n);
        }
    }

    fn render_requests(&self, text: &mut Text) {
        const NAME: &str = "http_request_duration_seconds";
        text.head(NAME, "histogram", "time from request head to answer head");
        let requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        for ((method, route, status), histogram) in &*requests {
            let status = status.to_string();
            let labels = [("method", method.as_str()), ("route", route), ("status", &status)];
            let name = format!("{NAME}_bucket");
            for (bound, n) in BOUNDS.iter().zip(&histogram.buckets) {
                let bound = bound.to_string();
                let [method, route, status] = labels;
                text.line(&name, &[method, route, status, ("le", &bound)], n);
            }
            let [method, route, code] = labels;
            text.line(&name, &[method, route, code, ("le", "+Inf")], histogram.count);
            text.line(&format!("{NAME}_sum"), &labels, histogram.sum_secs);
            text.line(&format!("{NAME}_count"), &labels, histogram.count);
        }
    }
}

/// The exposition text as it grows.
#[derive(Debug, Default)]
pub struct Text(String);

impl Text {
    /// A metric's help and type.
    pub fn head(&mut self, name: &str, kind: &str, help: &str) {
        self.push(format_args!("# HELP spanwise_{name} {help}\n# TYPE spanwise_{name} {kind}\n"));
    }

    /// One sample.
    pub fn line(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        self.push(format_args!("spanwise_{name}"));
        self.rest_of_line(labels.iter().copied(), value);
    }

    fn rest_of_line<'l>(
        &mut self,
        labels: impl Iterator<Item = (&'l str, &'l str)>,
        value: impl std::fmt::Display,
    ) {
        let mut end = "";
        for (label, value) in labels {
            let separator = if end.is_empty() { '{' } else { ',' };
            let value = value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            self.push(format_args!("{separator}{label}=\"{value}\""));
            end = "}";
        }
        self.push(format_args!("{end} {value}\n"));
    }

    /// A metric of the gateway, under its own name.
    fn family(&mut self, family: &Family) {
        let Family { name, kind, help, samples } = family;
        self.push(format_args!("# HELP {name} {help}\n# TYPE {name} {kind}\n"));
        for Sample { suffix, labels, value } in samples {
            let labels = labels.iter().map(|(label, value)| (*label, value.as_str()));
            self.push(format_args!("{name}{suffix}"));
            self.rest_of_line(labels, value);
        }
    }

    /// A metric without labels.
    pub fn value(&mut self, name: &str, kind: &str, help: &str, value: impl std::fmt::Display) {
        self.head(name, kind, help);
        self.line(name, &[], value);
    }

    fn one(&mut self, name: &str, kind: &str, help: &str, value: &AtomicU64) {
        self.value(name, kind, help, value.load(Ordering::Relaxed));
    }

    fn push(&mut self, text: std::fmt::Arguments<'_>) {
        // Writing to a string cannot fail.
        let _ = self.0.write_fmt(text);
    }
}

/// `GET /metrics`
pub async fn get(State(shared): State<Shared>) -> impl IntoResponse {
    let mut text = Text(shared.metrics.render());
    render_store(&shared, &mut text);
    for family in shared.gateway.iter().flat_map(Observer::families) {
        text.family(&family);
    }
    exposed(text)
}

/// `GET /metrics` of a gateway that has no server around it.
pub async fn of_gateway(State(gateway): State<Observer>) -> impl IntoResponse {
    let mut text = Text::default();
    gateway.families().iter().for_each(|family| text.family(family));
    exposed(text)
}

fn exposed(text: Text) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text.0)
}

/// How the store is doing.
fn render_store(shared: &Shared, text: &mut Text) {
    let status = shared.store.status();
    for (name, help, value) in [
        ("wal_bytes", "bytes in the write-ahead log", status.wal_bytes),
        ("live_rows", "rows that wait to be sealed", status.live_rows as u64),
        ("running_spans", "spans that have not ended", status.running_spans as u64),
        ("live_bytes", "memory that they take, about", status.live_bytes as u64),
        ("sealing_generations", "closed generations of rows not yet sealed", status.sealing as u64),
        ("segments", "segments that are served", status.segments as u64),
        ("segment_rows", "rows in segments", status.segment_rows),
        ("segment_bytes", "bytes of segments, without text indexes", status.segment_bytes),
        ("text_pending_rows", "rows that text searches scan", status.text_pending_rows),
        ("disk_free_bytes", "bytes that may still be written", status.free_bytes),
        ("set_aside_files", "damaged files that are not served", status.set_aside.len() as u64),
        ("seal_failing", "1 while sealing does not get on", status.seal_failure.is_some().into()),
        ("log_failed", "1 when nothing more is taken", status.poisoned.is_some().into()),
        ("recovered_rows", "rows found in the log at the start", status.recovery.rows),
    ] {
        text.value(name, "gauge", help, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_and_histograms_render() {
        let metrics = Metrics::default();
        let rows = Rows { received: 3, accepted: 2, rejected: 1, ..Rows::default() };
        metrics.rows("spans", "otlp-grpc", rows);
        metrics.rejected("spans", "trace_id", 1);
        metrics.request("GET", "/a\"b", 200, Duration::from_millis(3));
        let text = metrics.render();
        for line in [
            "spanwise_received_total{signal=\"spans\",source=\"otlp-grpc\"} 3",
            "spanwise_rejections_total{signal=\"spans\",reason=\"trace_id\"} 1",
            "route=\"/a\\\"b\",status=\"200\",le=\"0.0025\"} 0",
            "route=\"/a\\\"b\",status=\"200\",le=\"0.005\"} 1",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
    }
}
