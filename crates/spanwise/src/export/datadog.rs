//! Datadog's agent.

use std::time::Instant;

use http::Method;
use spanwise_model::wire::datadog;

use super::batch::Origin;
use super::http::{Client, Request, Target};
use super::{Batch, Delivered, ExportError, Exporter};

/// Puts MessagePack to an agent's `/v0.4/traces`.
pub(crate) struct DatadogAgent {
    client: Client,
    origin: Origin,
}

impl DatadogAgent {
    pub fn new(target: Target, origin: Origin) -> Self {
        DatadogAgent { client: Client::new(target), origin }
    }
}

impl Exporter for DatadogAgent {
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError> {
        let payload = datadog::encode(&*self.origin.apply(batch.spans()));
        let headers = [
            ("x-datadog-trace-count", &*payload.n_traces.to_string()),
            ("datadog-meta-lang", "rust"),
            ("datadog-meta-tracer-version", env!("CARGO_PKG_VERSION")),
            ("datadog-client-computed-top-level", "yes"),
            // Otherwise an agent that cannot cope says 200 all the same.
            ("datadog-send-real-http-status", "true"),
        ];
        let request = Request {
            method: Method::PUT,
            content_type: "application/msgpack",
            headers: &headers,
            body: &payload.body,
        };
        self.client.send(&request, deadline)?;
        Ok(Delivered::default())
    }

    fn name(&self) -> &'static str {
        "datadog"
    }
}
