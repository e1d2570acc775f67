//! Spans on their way out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use spanwise_model::wire::otlp::{decode_traces, encode_traces, put_request};
use spanwise_model::{Resource, Scope, Span};

use crate::intake::Chunk;

/// Spans that leave together.
#[derive(Debug)]
pub struct Batch {
    resource: Arc<Resource>,
    scopes: Vec<Scope>,
    chunks: Vec<Chunk>,
    n_spans: usize,
    request: OnceLock<Vec<u8>>,
    spans: OnceLock<Vec<Span>>,
    /// Whether [`rewrite`](Batch::rewrite) changed the spans, so that the chunks are out of date.
    is_rewritten: bool,
}

impl Batch {
    pub(crate) fn new(resource: Arc<Resource>, scopes: Vec<Scope>, chunks: Vec<Chunk>) -> Self {
        Batch {
            n_spans: chunks.iter().map(Chunk::n_spans).sum(),
            resource,
            scopes,
            chunks,
            request: OnceLock::new(),
            spans: OnceLock::new(),
            is_rewritten: false,
        }
    }

    pub(crate) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// Bytes of the spans as they were recorded.
    pub(crate) fn n_bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::len).sum()
    }

    /// Changes every span before anybody sees it.
    pub(crate) fn rewrite(&mut self, change: impl FnMut(&mut Span)) {
        self.spans();
        if let Some(spans) = self.spans.get_mut() {
            spans.iter_mut().for_each(change);
        }
        self.is_rewritten = true;
        self.request = OnceLock::new();
    }

    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.n_spans
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.n_spans == 0
    }

    /// Who recorded them.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// An OTLP `ExportTraceServiceRequest` in protobuf.
    pub fn otlp(&self) -> &[u8] {
        self.request.get_or_init(|| {
            if self.is_rewritten { encode_traces(self.spans()) } else { self.recorded() }
        })
    }

    /// A request around the bytes that were written while the spans were recorded.
    fn recorded(&self) -> Vec<u8> {
        let mut by_scope: Vec<Vec<&[u8]>> = vec![Vec::new(); self.scopes.len()];
        for (scope, span) in self.chunks.iter().flat_map(Chunk::spans) {
            if let Some(spans) = by_scope.get_mut(scope.index()) {
                spans.push(span);
            }
        }
        let scopes = self.scopes.iter().zip(by_scope).filter(|(_, spans)| !spans.is_empty());
        let mut request = Vec::with_capacity(self.n_bytes() + 1024);
        put_request(&mut request, &self.resource, scopes);
        request
    }

    /// The spans, for formats other than OTLP.
    pub fn spans(&self) -> &[Span] {
        self.spans.get_or_init(|| {
            // What was written by this crate can be read.
            decode_traces(self.otlp().to_vec().into()).map(|batch| batch.spans).unwrap_or_default()
        })
    }
}

/// What one exporter says differently about where spans come from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Origin {
    /// The name of the service.
    pub service: Option<String>,
    /// The environment that it runs in.
    pub environment: Option<String>,
}

impl Origin {
    pub fn is_as_recorded(&self) -> bool {
        self.service.is_none() && self.environment.is_none()
    }

    /// The spans, as this exporter's receiver is to see them.
    pub fn apply<'b>(&self, spans: &'b [Span]) -> Cow<'b, [Span]> {
        if self.is_as_recorded() {
            return Cow::Borrowed(spans);
        }
        let mut known: HashMap<*const Resource, Arc<Resource>> = HashMap::new();
        let renamed = |span: &Span| {
            let resource = known
                .entry(Arc::as_ptr(&span.resource))
                .or_insert_with(|| Arc::new(self.resource(&span.resource)));
            Span { resource: Arc::clone(resource), ..span.clone() }
        };
        Cow::Owned(spans.iter().map(renamed).collect())
    }

    fn resource(&self, resource: &Resource) -> Resource {
        let mut resource = resource.clone();
        let said =
            [("service.name", &self.service), ("deployment.environment.name", &self.environment)];
        for (key, value) in said {
            if let Some(value) = value {
                resource.attributes.0.retain(|attribute| attribute.key != key);
                resource.attributes.push(key, value.clone());
            }
        }
        resource
    }
}
