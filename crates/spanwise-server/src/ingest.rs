//! The one way in: decode → process → append → counts.
//!
//! Every receiver ends in [`Ingest::accept`], and `Ok` means that what was accepted is durable and
//! visible. Nothing waits in a queue between an acknowledgement and the disk.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use spanwise_model::wire::otlp;
use spanwise_model::{Batch, Rejection, StoredSpan};
use spanwise_pipeline::{Pipeline, Processed};
use spanwise_store::{AppendError, Appended, Encoding, LoggedBody, Replay, Signal, Store};

use crate::api::metrics::{Metrics, Rows};
use crate::problems::{Problem, Problems};
use crate::receive::body::{BodyError, inflate};

/// Takes spans in.
#[derive(Debug)]
pub struct Ingest {
    /// What happens to a batch before it is stored.
    pub pipeline: Pipeline,
    /// Where it goes.
    pub store: Arc<Store>,
    /// What is counted.
    pub metrics: Arc<Metrics>,
    /// What people should know.
    pub problems: Arc<Problems>,
    /// What a body may inflate to.
    pub max_body_bytes: usize,
}

/// What a receiver took off the wire.
#[derive(Clone, Debug)]
pub struct Envelope {
    /// Whose spans these are.
    pub project: Arc<str>,
    /// What the body holds.
    pub signal: Signal,
    /// How it is written.
    pub format: Format,
    /// How it is compressed.
    pub encoding: Encoding,
    /// The body, as received.
    pub body: Bytes,
    /// Which receiver took it; a label of metrics and problems.
    pub source: &'static str,
}

/// How a body is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OTLP in protobuf.
    Protobuf,
    /// OTLP in JSON.
    Json,
}

/// What became of an accepted request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Receipt {
    /// How many spans or log records were rejected.
    pub rejected: u64,
    /// The first reasons, for the sender.
    pub message: String,
}

/// Why nothing of a request was taken.
#[derive(Debug, thiserror::Error)]
pub enum IngestError {
    /// The body does not hold what it should: no use to send it again.
    #[error("{0}")]
    Malformed(String),
    /// Too large once inflated.
    #[error("the body inflates to more than {limit} bytes")]
    TooLarge {
        /// The configured limit.
        limit: usize,
    },
    /// The store does not take it now.
    #[error(transparent)]
    Append(#[from] AppendError),
    /// A fault of ours; nothing of the request was taken.
    #[error("internal error while processing")]
    Internal,
}

impl IngestError {
    /// When to try again, if that is of use.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            IngestError::Append(AppendError::Overloaded { retry_after, .. }) => Some(*retry_after),
            IngestError::Append(AppendError::DiskFull { .. } | AppendError::DiskRefused { .. }) => {
                Some(Duration::from_secs(30))
            }
            IngestError::Append(AppendError::TooLarge { .. }) => None,
            IngestError::Append(_) => Some(Duration::from_secs(5)),
            _ => None,
        }
    }

    /// A stable word for metrics and problems.
    pub fn kind(&self) -> &'static str {
        match self {
            IngestError::Malformed(_) => "malformed",
            IngestError::TooLarge { .. } | IngestError::Append(AppendError::TooLarge { .. }) => {
                "too_large"
            }
            IngestError::Internal => "internal",
            IngestError::Append(AppendError::Overloaded { .. }) => "overloaded",
            IngestError::Append(AppendError::DiskFull { .. }) => "disk_full",
            IngestError::Append(AppendError::DiskRefused { .. }) => "disk_refused",
            IngestError::Append(AppendError::Closed) => "closed",
            IngestError::Append(_) => "log_failed",
        }
    }
}

/// A request that is ready for the store.
struct Prepared {
    logged: LoggedBody,
    processed: Processed,
    /// Spans or log records that the request held.
    n_received: u64,
}

impl Ingest {
    /// Takes in what an envelope holds. `Ok` means that it is durable, except for what the receipt
    /// lists as rejected; an error means that nothing of it was taken.
    pub async fn accept(self: &Arc<Self>, envelope: Envelope) -> Result<Receipt, IngestError> {
        let (project, signal, source) =
            (Arc::clone(&envelope.project), signal_name(envelope.signal), envelope.source);
        self.metrics.wire_bytes.fetch_add(envelope.body.len() as u64, Ordering::Relaxed);
        let outcome = self.take_in(envelope, signal, source).await;
        let word = outcome.as_ref().err().map_or("ok", IngestError::kind);
        self.metrics.ingest_request(source, word);
        if let Err(error) = &outcome {
            tracing::debug!(source, kind = word, "request refused");
            self.problems.add(
                &project,
                [Problem::refused(word, &error.to_string(), source, unix_nano_now())],
            );
        }
        outcome
    }

    async fn take_in(
        self: &Arc<Self>,
        envelope: Envelope,
        signal: &'static str,
        source: &'static str,
    ) -> Result<Receipt, IngestError> {
        // Under pressure nothing is read that would be refused anyway.
        self.store.admit()?;
        let Prepared { logged, mut processed, n_received } =
            self.prepare_off_path(envelope).await?;
        let project = Arc::clone(&logged.project);
        let stored = std::mem::take(&mut processed.stored);
        self.note(&project, &stored, &processed.rejected, logged.received_unix_nano, source);
        let n_rejected = processed.rejected.len() as u64;
        let mut rows = Rows {
            received: n_received,
            accepted: n_received - n_rejected,
            rejected: n_rejected,
            duplicates: processed.n_duplicates as u64,
            repaired: processed.n_repaired as u64,
            unrelated: processed.n_unrelated_logs as u64,
        };
        match self.store.append(logged, stored).await {
            Ok(Appended::New { duplicates, .. }) => rows.duplicates += duplicates as u64,
            Ok(Appended::Repeated) => rows.duplicates = rows.accepted,
            Err(error) => {
                let error = IngestError::from(error);
                let refused =
                    Rows { received: n_received, rejected: n_received, ..Rows::default() };
                self.metrics.rows(signal, source, refused);
                self.metrics.rejected(signal, error.kind(), n_received);
                return Err(error);
            }
        }
        self.metrics.rows(signal, source, rows);
        for rejection in &processed.rejected {
            self.metrics.rejected(signal, rejection_label(&rejection.reason), 1);
        }
        Ok(receipt(&processed.rejected, n_received))
    }

    /// Prepares small requests at once, and large ones where they hold nobody else up.
    async fn prepare_off_path(
        self: &Arc<Self>,
        envelope: Envelope,
    ) -> Result<Prepared, IngestError> {
        const INLINE_COST: usize = 1 << 20;
        let per_byte = match (envelope.format, envelope.encoding) {
            (Format::Protobuf, Encoding::Identity) => 1,
            (Format::Json, Encoding::Identity) => 4,
            _ => 16,
        };
        if envelope.body.len().saturating_mul(per_byte) <= INLINE_COST {
            return self.prepare(envelope);
        }
        let ingest = Arc::clone(self);
        tokio::task::spawn_blocking(move || ingest.prepare(envelope))
            .await
            .unwrap_or(Err(IngestError::Internal))
    }

    fn prepare(&self, envelope: Envelope) -> Result<Prepared, IngestError> {
        let Envelope { project, signal, format, encoding, body, .. } = envelope;
        let plain = inflate(encoding, &body, self.max_body_bytes)?;
        let batch = decode(signal, format, plain).map_err(IngestError::Malformed)?;
        let n_received = batch.spans.len()
            + batch.log_events.len()
            + batch.unrelated_logs
            + batch.rejected.len();
        // The log keeps OTLP protobuf whatever was sent; if it came as such, the very bytes.
        let (encoding, body) = match format {
            Format::Protobuf => (encoding, body),
            Format::Json => (Encoding::Identity, reencode(signal, &batch)),
        };
        let received_unix_nano = unix_nano_now();
        let processed = self.pipeline.process(batch, &project, received_unix_nano);
        let logged = LoggedBody { project, received_unix_nano, signal, encoding, body };
        Ok(Prepared { logged, processed, n_received: n_received as u64 })
    }

    /// Remembers what was rejected or repaired, for the person who looks for it.
    fn note(
        &self,
        project: &Arc<str>,
        stored: &[StoredSpan],
        rejected: &[Rejection],
        now: u64,
        source: &'static str,
    ) {
        // A request can hold a million bad spans; their first hundred tell the story.
        const NOTED: usize = 100;
        let rejected =
            rejected.iter().take(NOTED).map(|rejection| Problem::rejected(rejection, source, now));
        let repaired = stored
            .iter()
            .filter(|stored| !stored.warnings.is_empty())
            .take(NOTED)
            .flat_map(|stored| Problem::repaired(stored, source));
        self.problems.add(project, rejected.chain(repaired));
    }
}

impl From<BodyError> for IngestError {
    fn from(error: BodyError) -> Self {
        match error {
            BodyError::TooLarge { limit } => IngestError::TooLarge { limit },
            other => IngestError::Malformed(other.to_string()),
        }
    }
}

/// How the store makes the spans of a logged body again: the same steps as at ingest.
pub fn replay(pipeline: Pipeline) -> Arc<Replay> {
    Arc::new(move |logged: &LoggedBody| {
        // What was acknowledged was within the limit of its day, which may have been higher.
        let batch = inflate(logged.encoding, &logged.body, usize::MAX - 1)
            .map_err(|error| error.to_string())
            .and_then(|plain| decode(logged.signal, Format::Protobuf, plain));
        match batch {
            Ok(batch) => pipeline.process(batch, &logged.project, logged.received_unix_nano).stored,
            Err(reason) => {
                tracing::error!(%reason, "a logged body cannot be read");
                Vec::new()
            }
        }
    })
}

fn decode(signal: Signal, format: Format, plain: Bytes) -> Result<Batch, String> {
    match (signal, format) {
        (Signal::Traces, Format::Protobuf) => otlp::decode_traces(plain),
        (Signal::Traces, Format::Json) => otlp::decode_traces_json(&plain),
        (Signal::Logs, Format::Protobuf) => otlp::decode_logs(plain),
        (Signal::Logs, Format::Json) => otlp::decode_logs_json(&plain),
    }
    .map_err(|error| error.to_string())
}

fn reencode(signal: Signal, batch: &Batch) -> Bytes {
    match signal {
        Signal::Traces => otlp::encode_traces(&batch.spans),
        Signal::Logs => otlp::encode_logs(&batch.log_events),
    }
    .into()
}

fn receipt(rejected: &[Rejection], n_received: u64) -> Receipt {
    use std::fmt::Write;
    const LISTED: usize = 5;
    if rejected.is_empty() {
        return Receipt::default();
    }
    let mut message = format!("{} of {n_received} rejected: ", rejected.len());
    for (position, Rejection { index, name, reason }) in rejected.iter().take(LISTED).enumerate() {
        let separator = if position == 0 { "" } else { "; " };
        // Writing to a string cannot fail.
        let _ = write!(message, "{separator}#{index} `{name}`: {reason}");
    }
    if rejected.len() > LISTED {
        message += "; …";
    }
    Receipt { rejected: rejected.len() as u64, message }
}

fn signal_name(signal: Signal) -> &'static str {
    match signal {
        Signal::Traces => "spans",
        Signal::Logs => "logs",
    }
}

/// A label with few values from a reason that may hold numbers.
fn rejection_label(reason: &str) -> &'static str {
    ["parent_span_id", "trace_id", "span_id"]
        .into_iter()
        .find(|field| reason.starts_with(field))
        .unwrap_or("invalid")
}

/// Now, in nanoseconds since 1970.
pub fn unix_nano_now() -> u64 {
    let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_1970.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_lists_the_first_reasons() {
        let rejected: Vec<_> = (0..7)
            .map(|index| Rejection { index, name: "n".into(), reason: "trace_id is zero".into() })
            .collect();
        let receipt = receipt(&rejected, 9);
        assert_eq!(receipt.rejected, 7);
        assert!(receipt.message.starts_with("7 of 9 rejected: #0 `n`: trace_id is zero; #1"));
        assert!(receipt.message.ends_with("; …"));
        assert_eq!(rejection_label("span_id has 3 bytes, expected 8"), "span_id");
    }
}
