//! Where spans go.

use std::cell::OnceCell;
use std::time::{Duration, Instant};

use spanwise_model::wire::otlp::{decode_traces, put_request};
use spanwise_model::{Resource, Scope, Span};

use crate::intake::Chunk;

/// Delivers spans. Called from one thread only, the recorder's.
pub trait Exporter: Send {
    /// Delivers a batch, or says why not. Should give up at `deadline`. An error that may pass is
    /// tried again by the caller.
    fn export(&mut self, batch: &Batch, deadline: Instant) -> Result<Delivered, ExportError>;
}

/// What became of a batch that reached its receiver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Delivered {
    /// How many of its spans the receiver refused.
    pub rejected: u64,
    /// The receiver's words about them.
    pub reason: String,
}

/// Why a batch was not delivered.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{reason}")]
pub struct ExportError {
    /// In a few words, without content or secrets.
    pub reason: String,
    /// Whether it may work later, and if the receiver said when: how much later.
    pub retry: Retry,
}

/// Whether to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// It will not work later either.
    Never,
    /// It may work after a while.
    Later,
    /// The receiver asked for this pause.
    After(Duration),
}

/// Spans that leave together.
#[derive(Debug)]
pub struct Batch {
    resource: Resource,
    scopes: Vec<Scope>,
    chunks: Vec<Chunk>,
    request: OnceCell<Vec<u8>>,
    spans: OnceCell<Vec<Span>>,
}

impl Batch {
    pub(crate) fn new(resource: Resource, scopes: Vec<Scope>, chunks: Vec<Chunk>) -> Self {
        Batch { resource, scopes, chunks, request: OnceCell::new(), spans: OnceCell::new() }
    }

    pub(crate) fn into_chunks(self) -> Vec<Chunk> {
        self.chunks
    }

    /// How many spans there are.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Chunk::n_spans).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Who recorded them.
    pub fn resource(&self) -> &Resource {
        &self.resource
    }

    /// An OTLP `ExportTraceServiceRequest` in protobuf.
    pub fn otlp(&self) -> &[u8] {
        self.request.get_or_init(|| {
            let mut by_scope: Vec<Vec<&[u8]>> = vec![Vec::new(); self.scopes.len()];
            for (scope, span) in self.chunks.iter().flat_map(Chunk::spans) {
                if let Some(spans) = by_scope.get_mut(scope.index()) {
                    spans.push(span);
                }
            }
            let scopes = self.scopes.iter().zip(by_scope).filter(|(_, spans)| !spans.is_empty());
            let mut request = Vec::with_capacity(self.chunks.iter().map(Chunk::len).sum());
            put_request(&mut request, &self.resource, scopes);
            request
        })
    }

    /// The spans, for formats other than OTLP.
    pub fn spans(&self) -> &[Span] {
        self.spans.get_or_init(|| {
            // What was written by this crate can be read.
            decode_traces(self.otlp().to_vec().into()).map(|batch| batch.spans).unwrap_or_default()
        })
    }
}
