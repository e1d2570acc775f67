//! OTLP over HTTP.

use std::time::Instant;

use http::Method;
use spanwise_model::Span;
use spanwise_model::wire::otlp::{
    decode_partial_success, decode_partial_success_json, encode_traces, encode_traces_json,
};

use super::batch::Origin;
use super::http::{Client, Failure, Request, Target};
use super::{Batch, Delivered, ExportError, Exporter};

/// As OTLP wants it, with the product before the exporter; some receivers know OTLP by it.
pub(super) const USER_AGENT: &str = concat!(
    "spanwise/",
    env!("CARGO_PKG_VERSION"),
    " OTel-OTLP-Exporter-Rust/",
    env!("CARGO_PKG_VERSION")
);

/// How requests are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Protobuf,
    Json,
}

/// Posts requests to an endpoint such as `…/v1/traces`.
pub(crate) struct OtlpHttp {
    client: Client,
    encoding: Encoding,
    origin: Origin,
    takes_running: bool,
}

impl OtlpHttp {
    pub fn new(target: Target, encoding: Encoding, origin: Origin) -> Self {
        OtlpHttp { client: Client::new(target), encoding, origin, takes_running: true }
    }

    /// For a receiver that would show a running span beside the one that ended.
    pub fn only_ended(self) -> Self {
        OtlpHttp { takes_running: false, ..self }
    }

    fn encode(&self, spans: &[Span]) -> Vec<u8> {
        match self.encoding {
            Encoding::Protobuf => encode_traces(spans),
            Encoding::Json => encode_traces_json(spans).into_bytes(),
        }
    }

    fn post(&mut self, body: &[u8], deadline: Instant) -> Result<Delivered, Failure> {
        let content_type = match self.encoding {
            Encoding::Protobuf => "application/x-protobuf",
            Encoding::Json => "application/json",
        };
        let headers = [("user-agent", USER_AGENT)];
        let request = Request { method: Method::POST, content_type, headers: &headers, body };
        let answer = self.client.send(&request, deadline)?;
        let (rejected, reason) = match self.encoding {
            Encoding::Protobuf => decode_partial_success(&answer),
            Encoding::Json => decode_partial_success_json(&answer),
        };
        Ok(Delivered { rejected, reason })
    }
}

/// Sends what was too large in halves. A span that is too large alone is rejected.
pub(super) fn in_halves(
    spans: &[Span],
    send: &mut dyn FnMut(&[Span]) -> Result<Delivered, Failure>,
) -> Result<Delivered, ExportError> {
    let (first, second) = spans.split_at(spans.len() / 2);
    let mut all = Delivered::default();
    for half in [first, second].into_iter().filter(|half| !half.is_empty()) {
        let delivered = match send(half) {
            Err(Failure::TooLarge(error)) if half.len() == 1 => {
                Delivered { rejected: 1, reason: error.reason }
            }
            Err(Failure::TooLarge(_)) => in_halves(half, send)?,
            other => other?,
        };
        all.rejected += delivered.rejected;
        if !delivered.reason.is_empty() {
            all.reason = delivered.reason;
        }
    }
    Ok(all)
}

impl Exporter for OtlpHttp {
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError> {
        let as_recorded = self.encoding == Encoding::Protobuf && self.origin.is_as_recorded();
        let sent = if as_recorded {
            self.post(batch.otlp(), deadline)
        } else {
            let body = self.encode(&self.origin.apply(batch.spans()));
            self.post(&body, deadline)
        };
        match sent {
            Err(Failure::TooLarge(_)) if batch.len() > 1 => {
                let spans = self.origin.apply(batch.spans());
                in_halves(&spans, &mut |half| self.post(&self.encode(half), deadline))
            }
            other => Ok(other?),
        }
    }

    fn takes_running(&self) -> bool {
        self.takes_running
    }

    fn name(&self) -> &'static str {
        "otlp"
    }
}
