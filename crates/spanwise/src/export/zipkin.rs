//! Zipkin v2 JSON over HTTP.

use std::time::Instant;

use http::Method;
use spanwise_model::wire::zipkin;

use super::batch::Origin;
use super::http::{Client, Request, Target};
use super::{Batch, Delivered, ExportError, Exporter};

/// Posts to an endpoint such as `…/api/v2/spans`.
pub(crate) struct Zipkin {
    client: Client,
    origin: Origin,
}

impl Zipkin {
    pub fn new(target: Target, origin: Origin) -> Self {
        Zipkin { client: Client::new(target), origin }
    }
}

impl Exporter for Zipkin {
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError> {
        let body = zipkin::encode(&*self.origin.apply(batch.spans()));
        let request = Request {
            method: Method::POST,
            content_type: "application/json",
            headers: &[],
            body: body.as_bytes(),
        };
        self.client.send(&request, deadline)?;
        Ok(Delivered::default())
    }

    fn name(&self) -> &'static str {
        "zipkin"
    }
}
