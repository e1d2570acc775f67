//! Jaeger's Thrift: over HTTP to its collector, over UDP to its agent.

use std::time::Instant;

use http::Method;
use spanwise_model::wire::jaeger::{MAX_DATAGRAM_BYTES, encode_batches, encode_datagrams};

use super::batch::Origin;
use super::http::{Client, Request, Target};
use super::udp::Datagrams;
use super::{Batch, Delivered, ExportError, Exporter};

/// Posts to an endpoint such as `…/api/traces`.
pub(crate) struct JaegerHttp {
    client: Client,
    origin: Origin,
}

impl JaegerHttp {
    pub fn new(target: Target, origin: Origin) -> Self {
        JaegerHttp { client: Client::new(target), origin }
    }
}

impl Exporter for JaegerHttp {
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError> {
        // Spans of one recorder have one resource, so this is one body.
        for body in encode_batches(&*self.origin.apply(batch.spans())) {
            let request = Request {
                method: Method::POST,
                content_type: "application/x-thrift",
                headers: &[],
                body: &body,
            };
            self.client.send(&request, deadline)?;
        }
        Ok(Delivered::default())
    }

    fn name(&self) -> &'static str {
        "jaeger"
    }
}

/// Sends datagrams to an agent.
pub(crate) struct JaegerAgent {
    socket: Datagrams,
    origin: Origin,
}

impl JaegerAgent {
    pub fn new(address: String, origin: Origin) -> Self {
        JaegerAgent { socket: Datagrams::to(address), origin }
    }
}

impl Exporter for JaegerAgent {
    fn export(&mut self, batch: &Batch, _: Instant) -> Result<Delivered, ExportError> {
        let spans = self.origin.apply(batch.spans());
        let packed = encode_datagrams(&*spans, MAX_DATAGRAM_BYTES);
        for datagram in &packed.datagrams {
            self.socket.send(datagram)?;
        }
        let rejected = packed.dropped as u64;
        let reason = if rejected > 0 { "fit into no datagram" } else { "" };
        Ok(Delivered { rejected, reason: reason.to_owned() })
    }

    fn name(&self) -> &'static str {
        "jaeger"
    }
}
