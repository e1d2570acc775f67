//! What happens to a batch between the wire and the store: sanitize → facts → cost.
//!
//! Everything here is pure: no I/O, no clock, no logging, and no input that can make it fail. A
//! broken span is repaired and says so in a [`Warning`]; it never fails its neighbours.
//!
//! * [`sanitize`]: one function per repair, chained by a list.
//! * [`normalize`]: one table per dialect, from the attribute keys that instrumentations write to
//!   the one vocabulary of [`spanwise_model::genai`]. Facts are computed once, at ingest.
//! * [`llm_view`]: the messages, tools and documents of a span, computed whenever somebody looks.
//! * [`diagnose`]: what is odd about a whole trace, and what to do about it.

mod diagnose;
mod normalize;
mod sanitize;
mod view;

use std::sync::Arc;

use spanwise_model::genai::{Cost, CostSource, Facts};
use spanwise_model::price::{PriceTable, Terms};
use spanwise_model::stored::{LOG_BODY_KEY, LOG_SEVERITY_KEY, MISSING_END};
use spanwise_model::{
    Batch, Kind, LogEvent, Rejection, RowRole, Span, Status, StoredSpan, Str, Warning,
};

use normalize::{Normalized, Normalizer};

pub use diagnose::{Diagnostic, diagnose};
pub use view::llm_view;

/// The steps that every batch goes through. Cheap to clone, shared by all receivers.
#[derive(Clone, Debug)]
pub struct Pipeline {
    prices: Arc<PriceTable>,
}

/// What became of a batch.
#[derive(Debug, Default)]
pub struct Processed {
    /// Rows to store, spans first, in the order in which they arrived.
    pub stored: Vec<StoredSpan>,
    /// What was refused, and why.
    pub rejected: Vec<Rejection>,
    /// How many rows are spans; the rest are log records.
    pub n_spans: usize,
    /// How many spans carry a warning other than that they are running.
    pub n_repaired: usize,
    /// Identical copies of a span of the same batch, kept once (rule U5).
    pub n_duplicates: usize,
    /// Log records that belong to no span: accepted, not kept.
    pub n_unrelated_logs: usize,
}

impl Pipeline {
    /// A pipeline that computes costs with these prices.
    pub fn new(prices: Arc<PriceTable>) -> Self {
        Pipeline { prices }
    }

    /// Takes a decoded batch to rows that are ready to store.
    ///
    /// `received_unix_nano` stands in for times that a span does not have.
    pub fn process(&self, batch: Batch, project: &Arc<str>, received_unix_nano: u64) -> Processed {
        let warnings = by_index(batch.spans.len(), batch.repairs);
        let mut processed = Processed {
            rejected: batch.rejected,
            n_unrelated_logs: batch.unrelated_logs,
            ..Processed::default()
        };
        let mut shared = sanitize::Shared::default();
        let mut normalizer = Normalizer::default();
        for (mut span, mut warnings) in batch.spans.into_iter().zip(warnings) {
            sanitize::span(&mut span, received_unix_nano, &mut warnings);
            shared.repair(&mut span.resource, &mut span.scope);
            let mut normalized = normalizer.facts(&span, &mut warnings);
            self.price(&mut normalized, span.start_time_unix_nano);
            // A span that is still open is no fault.
            let is_fault = |warning: &Warning| warning.kind != MISSING_END;
            processed.n_repaired += usize::from(warnings.iter().any(is_fault));
            processed.stored.push(StoredSpan {
                project: Arc::clone(project),
                role: RowRole::Span,
                span,
                facts: normalized.facts,
                warnings,
                received_unix_nano,
            });
        }
        processed.n_duplicates = sanitize::duplicates(&mut processed.stored);
        processed.n_spans = processed.stored.len();
        let warnings = by_index(batch.log_events.len(), batch.log_repairs);
        for (log, warnings) in batch.log_events.into_iter().zip(warnings) {
            processed.stored.push(log_row(log, warnings, project, received_unix_nano));
        }
        processed
    }

    /// What the call cost: what the span says, else tokens times prices.
    fn price(&self, normalized: &mut Normalized, time_unix_nano: u64) {
        let facts = &mut normalized.facts;
        if facts.cost.is_some() || facts.operation.is_none() {
            return;
        }
        let cost = |model: &str| {
            let terms = Terms {
                provider: &facts.provider,
                model,
                service_tier: &normalized.service_tier,
                time_unix_nano,
            };
            self.prices.cost(terms, &facts.usage)
        };
        let nano_usd = cost(&facts.response_model).or_else(|| cost(&facts.request_model));
        facts.cost = nano_usd.map(|nano_usd| Cost { nano_usd, source: CostSource::Computed });
    }
}

/// The decoder's repairs, span by span.
fn by_index(n: usize, repairs: Vec<(usize, Warning)>) -> Vec<Vec<Warning>> {
    let mut warnings = vec![Vec::new(); n];
    for (index, warning) in repairs {
        if let Some(of_one) = warnings.get_mut(index) {
            of_one.push(warning);
        }
    }
    warnings
}

/// A log record as a row of its own, joined to its span when somebody looks.
fn log_row(
    log: LogEvent,
    mut warnings: Vec<Warning>,
    project: &Arc<str>,
    received_unix_nano: u64,
) -> StoredSpan {
    let mut attributes = log.attributes;
    attributes.push(Str::from_static(LOG_BODY_KEY), log.body);
    if log.severity_number != 0 {
        attributes.push(Str::from_static(LOG_SEVERITY_KEY), i64::from(log.severity_number));
    }
    let mut span = Span {
        trace_id: log.trace_id,
        span_id: log.span_id,
        parent_span_id: None,
        trace_state: Str::new(),
        flags: 0,
        name: log.name,
        kind: Kind::Unspecified,
        start_time_unix_nano: log.time_unix_nano,
        end_time_unix_nano: log.time_unix_nano,
        attributes,
        dropped_attributes_count: 0,
        events: Vec::new(),
        dropped_events_count: 0,
        links: Vec::new(),
        dropped_links_count: 0,
        status: Status::default(),
        resource: log.resource,
        scope: log.scope,
    };
    sanitize::log_event(&mut span, received_unix_nano, &mut warnings);
    let mut row = StoredSpan {
        project: Arc::clone(project),
        role: RowRole::LogEvent,
        span,
        facts: Facts::default(),
        warnings,
        received_unix_nano,
    };
    row.facts = normalize::log_facts(&row);
    row
}

#[cfg(test)]
mod tests;
