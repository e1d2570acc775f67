//! Traces that are decided about when their local root ends: until then their spans wait here.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use spanwise_model::SpanId;
use spanwise_model::sampling::{IntelligentSampling, Randomness, Rate, RootFacts};

use crate::intake::{Chunk, Intake};
use crate::recorder::ScopeId;

/// A trace that has grown to this while its root is open is kept, as it is no longer cheap to wait.
const LONGEST: usize = 4 << 20;

/// The spans of one trace in this process, and what is decided about them.
pub(crate) struct Tail {
    root: SpanId,
    rules: Arc<IntelligentSampling>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Spans that ended while other content was allowed.
    older: Vec<Chunk>,
    waiting: Chunk,
    /// With which rules about content what is waiting has ended.
    version: u64,
    has_error: bool,
    high_priority: Option<Rate>,
    is_kept: Option<bool>,
    /// Where what is lost is counted; known from the first span on.
    intake: Option<Arc<Intake>>,
}

/// A span that has ended, as far as the decision needs it.
pub(crate) struct Ended<'a> {
    pub span_id: SpanId,
    pub name: &'a str,
    pub duration: Duration,
    pub failed: bool,
    pub randomness: Randomness,
}

/// Memory that all tails of a process take together.
#[derive(Debug, Default)]
pub(crate) struct Held {
    pub bytes: AtomicUsize,
    pub spans: AtomicUsize,
}

impl Tail {
    pub fn new(root: SpanId, rules: Arc<IntelligentSampling>) -> Self {
        Tail { root, rules, state: Mutex::default() }
    }

    /// Takes a span. Returns spans that are to leave now, if there are any.
    pub fn take(
        &self,
        intake: &Arc<Intake>,
        scope: ScopeId,
        span: &Ended<'_>,
        write: impl FnOnce(&mut Vec<u8>),
    ) -> Vec<Chunk> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.is_kept == Some(false) {
            intake.counts.sampled_out.fetch_add(1, Relaxed);
            return Vec::new();
        }
        state.follow_rules(intake);
        let before = state.waiting.len();
        state.intake.get_or_insert_with(|| Arc::clone(intake));
        state.waiting.push(scope, write);
        state.has_error |= span.failed;
        // Rates are never NaN, so one of two is the higher.
        if let Some(rate) = self.rules.high_priority(span.name)
            && state.high_priority.is_none_or(|known| known < rate)
        {
            state.high_priority = Some(rate);
        }
        let grown = state.waiting.len() - before;
        let held = intake.held.bytes.fetch_add(grown, Relaxed) + grown;
        intake.held.spans.fetch_add(1, Relaxed);
        let is_root = span.span_id == self.root;
        if is_root && state.is_kept.is_none() {
            let decision = self.rules.decide(&RootFacts {
                name: span.name,
                high_priority: state.high_priority,
                duration: span.duration,
                has_error: state.has_error,
                randomness: span.randomness,
            });
            state.is_kept = Some(decision.is_kept);
        } else if state.waiting.len() > LONGEST || held > intake.queue_bytes() {
            state.is_kept = Some(true);
        }
        let Some(is_kept) = state.is_kept else { return Vec::new() };
        let (mut chunks, n_spans) = state.let_go(intake);
        if !is_kept {
            intake.counts.sampled_out.fetch_add(n_spans, Relaxed);
            chunks.clear();
        }
        chunks
    }
}

impl Drop for Tail {
    /// Nobody has the trace any more, and its root has not ended: an application may lose a span
    /// without ending it. What waited for it is lost too, and counted.
    fn drop(&mut self) {
        let state = self.state.get_mut().unwrap_or_else(PoisonError::into_inner);
        if let Some(intake) = state.intake.take() {
            let (_, n_spans) = state.let_go(&intake);
            intake.counts.undelivered.fetch_add(n_spans, Relaxed);
        }
    }
}

impl State {
    /// Everything that waits, and how many spans that is; it is no longer held.
    fn let_go(&mut self, intake: &Intake) -> (Vec<Chunk>, u64) {
        let mut chunks = std::mem::take(&mut self.older);
        chunks.push(std::mem::take(&mut self.waiting));
        let n_spans: usize = chunks.iter().map(Chunk::n_spans).sum();
        intake.held.bytes.fetch_sub(chunks.iter().map(Chunk::len).sum(), Relaxed);
        intake.held.spans.fetch_sub(n_spans, Relaxed);
        (chunks, n_spans as u64)
    }

    /// The next span goes under the rules about content that are in force as it ends.
    fn follow_rules(&mut self, intake: &Intake) {
        let version = intake.content_version();
        let is_empty = self.waiting.n_spans() == 0;
        if is_empty || self.version != version {
            let before = std::mem::replace(&mut self.waiting, Chunk::under(intake.content()));
            self.older.extend((!is_empty).then_some(before));
            self.version = version;
        }
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").field("root", &self.root).finish_non_exhaustive()
    }
}
