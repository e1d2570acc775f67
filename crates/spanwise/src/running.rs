//! What is told of spans that have not ended, so that a process that is killed leaves them behind.
//!
//! Only the thread that has a span may look at its [`Recording`](crate::recording::Recording). Where
//! running spans are exported, each recording keeps a copy of its bytes up to date ([`Shown`]); the
//! recorder's thread looks at the copies. Elsewhere there are none, and recording costs what it did.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::intake::Chunk;
use crate::recorder::ScopeId;

/// So many spans are in a thread's list before those that have ended are taken out of it.
const FEW: usize = 64;

/// An open span as the recorder's thread sees it. It has ended when its recording lets go of it.
#[derive(Debug)]
pub(crate) struct Shown {
    scope: ScopeId,
    since: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    picture: Picture,
    /// How often the picture was brought up to date.
    version: u64,
    sent: Option<(u64, Instant)>,
}

/// A span's fields in OTLP: in whatever order, they are the span.
#[derive(Debug, Default)]
struct Picture {
    /// All that is not below.
    head: Vec<u8>,
    attributes: Vec<u8>,
    events: Vec<u8>,
    links: Vec<u8>,
}

impl Shown {
    pub fn new(scope: ScopeId) -> Self {
        Shown { scope, since: Instant::now(), state: Mutex::default() }
    }

    /// Brings the picture up to date.
    pub fn update(&self, head: &[u8], attributes: &[u8], events: &[u8], links: &[u8]) {
        let mut state = lock(&self.state);
        state.version += 1;
        let picture = &mut state.picture;
        follow(&mut picture.head, head);
        follow(&mut picture.attributes, attributes);
        follow(&mut picture.events, events);
        follow(&mut picture.links, links);
    }

    /// Adds the span as it is to `chunk` if it has been open for so long, and changed since it was
    /// sent.
    fn push_if_due(&self, chunk: &mut Chunk, now: Instant, every: Duration, again: bool) {
        let mut state = lock(&self.state);
        let is_due = match state.sent {
            None => now.saturating_duration_since(self.since) >= every,
            Some((version, at)) => {
                let is_news = again || version != state.version;
                is_news && now.saturating_duration_since(at) >= every
            }
        };
        if !is_due {
            return;
        }
        state.sent = Some((state.version, now));
        let Picture { head, attributes, events, links } = &state.picture;
        chunk.push(self.scope, |out| {
            for part in [head, attributes, events, links] {
                out.extend_from_slice(part);
            }
        });
    }
}

/// Copies what is new. Parts mostly grow at their end, and comparing is several times faster than
/// copying.
fn follow(copy: &mut Vec<u8>, original: &[u8]) {
    if !original.starts_with(copy) {
        copy.clear();
    }
    copy.extend_from_slice(&original[copy.len()..]);
}

/// The open spans that one thread started.
#[derive(Debug, Default)]
pub(crate) struct Running(Mutex<List>);

#[derive(Debug, Default)]
struct List {
    spans: Vec<Arc<Shown>>,
    /// With so many, those that have ended are taken out.
    full_at: usize,
}

impl Running {
    /// Whether none is open.
    pub fn is_empty(&self) -> bool {
        !lock(&self.0).spans.iter().any(is_open)
    }

    pub fn insert(&self, span: Arc<Shown>) {
        let mut list = lock(&self.0);
        if list.spans.len() >= list.full_at {
            list.spans.retain(is_open);
            list.full_at = FEW.max(2 * list.spans.len());
        }
        list.spans.push(span);
    }

    /// Adds those that are due to `chunk`. Says whether any is open.
    pub fn push_due(&self, chunk: &mut Chunk, now: Instant, every: Duration, again: bool) -> bool {
        let mut list = lock(&self.0);
        list.spans.retain(is_open);
        let open = list.spans.clone();
        // The thread that has the list starts spans meanwhile.
        drop(list);
        for span in &open {
            span.push_if_due(chunk, now, every, again);
        }
        !open.is_empty()
    }
}

/// Whether its recording still has it.
fn is_open(span: &Arc<Shown>) -> bool {
    Arc::strong_count(span) > 1
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
