//! Answers that are given again to the same question.
//!
//! Exact matches only: a [`CacheKey`] is the SHA-256 of everything that the answer depends on and
//! of whom it may be shown to. An answer is kept as it went over the wire, piece by piece, and
//! only when it was complete and successful. While a question is being answered for the first
//! time, the same question may wait for the answer or be asked again; it never gets half of one.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hash, Hasher};
use std::ops::Range;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{HeaderMap, StatusCode, header};
use lru::LruCache;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use crate::config;
use crate::dialect::Dialect;
use crate::json::Value;

#[cfg(test)]
mod tests;

/// What an entry takes besides the bytes of its answer: its key, its place in the order, its
/// allocations.
const ENTRY_OVERHEAD_BYTES: usize = 256;

/// How much is kept, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CachePolicy {
    /// Bytes of all answers together.
    pub max_bytes: usize,
    /// Bytes of one answer; longer ones are not kept.
    pub max_answer_bytes: usize,
    /// How long an answer is good.
    pub ttl: Duration,
}

impl From<&config::Cache> for CachePolicy {
    fn from(cache: &config::Cache) -> Self {
        let max_bytes = usize::try_from(cache.max_bytes).unwrap_or(usize::MAX);
        CachePolicy { max_bytes, ttl: cache.ttl, ..CachePolicy::default() }
    }
}

impl Default for CachePolicy {
    fn default() -> Self {
        CachePolicy { max_bytes: 64 << 20, max_answer_bytes: 1 << 20, ttl: Duration::from_hours(1) }
    }
}

/// What the answer to a request depends on, besides the request's body.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who may see the answer: a project or a key. Nobody gets an answer from another scope.
    pub scope: &'a str,
    /// How the request is written.
    pub dialect: Dialect,
    /// The path and query that the client asked for; some dialects name the model or ask for a
    /// stream there.
    pub path: &'a str,
    /// The route or model that answers.
    pub model: &'a str,
    /// The values of headers that change the answer, such as `anthropic-beta`.
    pub headers: &'a [&'a [u8]],
}

/// Names a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CacheKey([u8; 32]);

impl CacheKey {
    /// The key of this question. `volatile` are the parts of the body that do not change the
    /// answer, in order, such as the member `user`; spaces and the order of members do count.
    pub fn new(question: &Question<'_>, body: &[u8], volatile: &[Range<usize>]) -> Self {
        let mut hash = Sha256::new();
        let mut part = |bytes: &[u8]| {
            hash.update((bytes.len() as u64).to_le_bytes());
            hash.update(bytes);
        };
        part(question.scope.as_bytes());
        part(question.dialect.as_str().as_bytes());
        part(question.path.as_bytes());
        part(question.model.as_bytes());
        part(&(question.headers.len() as u64).to_le_bytes());
        question.headers.iter().for_each(|value| part(value));
        let mut from = 0;
        for range in volatile {
            hash.update(body.get(from..range.start).unwrap_or_default());
            from = from.max(range.end);
        }
        hash.update(body.get(from..).unwrap_or_default());
        CacheKey(hash.finalize().into())
    }
}

/// Members of a request that say for whom it is or how a provider keeps it, and nothing about the
/// answer.
const VOLATILE: [&str; 5] =
    ["user", "safety_identifier", "metadata", "prompt_cache_key", "prompt_cache_retention"];

/// Where the values stand in a request that do not change its answer, for [`CacheKey::new`]. None
/// in what is no JSON.
pub fn volatile_parts(body: &[u8]) -> Vec<Range<usize>> {
    let object = std::str::from_utf8(body).ok().and_then(Value::object);
    let members = object.iter().flat_map(Value::members);
    members
        .filter(|(name, _)| VOLATILE.contains(&&**name))
        .map(|(_, value)| value.range())
        .collect()
}

impl Hash for CacheKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes)));
    }
}

/// A key is a hash already, and one that nobody can steer.
#[derive(Debug, Default)]
struct AlreadyHashed(u64);

impl Hasher for AlreadyHashed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash.rotate_left(8) ^ u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }
}

type HashByKey = BuildHasherDefault<AlreadyHashed>;

/// What the client says about caching, in `cache-control`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Neither give an answer that was kept nor keep the new one.
    pub no_store: bool,
    /// Ask anew, and keep the new answer.
    pub no_cache: bool,
    /// Give no answer that is older.
    pub max_age: Option<Duration>,
}

impl Directives {
    /// Reads them from a request.
    pub fn of(headers: &HeaderMap) -> Self {
        let mut found = Directives::default();
        let values = headers.get_all(header::CACHE_CONTROL).iter();
        for directive in values.filter_map(|value| value.to_str().ok()).flat_map(|v| v.split(',')) {
            let directive = directive.trim().to_ascii_lowercase();
            let argument =
                directive.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
            match argument {
                None if directive == "no-store" => found.no_store = true,
                None if directive == "no-cache" => found.no_cache = true,
                Some(("max-age", seconds)) => {
                    // What cannot be read is taken for the strictest, as RFC 9111 advises.
                    let seconds = seconds.trim_matches('"').parse().unwrap_or(0);
                    found.max_age = Some(Duration::from_secs(seconds));
                }
                _ => {}
            }
        }
        found
    }
}

/// An answer as it went over the wire.
#[derive(Debug)]
pub struct Answer {
    /// Its headers.
    pub headers: HeaderMap,
    body: Bytes,
    pieces: Vec<Piece>,
}

/// Where a piece ends, and when it came.
#[derive(Clone, Copy, Debug)]
struct Piece {
    after: Duration,
    end: usize,
}

impl Answer {
    /// All of its bytes.
    pub fn body(&self) -> &Bytes {
        &self.body
    }

    /// Its bytes in the pieces in which they came, each with the time since the question was
    /// asked. To replay a stream without its pauses, leave the times alone.
    pub fn pieces(&self) -> impl Iterator<Item = (Duration, Bytes)> {
        let mut start = 0;
        self.pieces.iter().map(move |piece| {
            let bytes = self.body.slice(start..piece.end);
            start = piece.end;
            (piece.after, bytes)
        })
    }

    fn n_bytes(&self) -> usize {
        let headers: usize =
            self.headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
        self.body.len() + headers + self.pieces.len() * size_of::<Piece>() + ENTRY_OVERHEAD_BYTES
    }
}

/// What the cache says to a question.
#[derive(Debug)]
pub enum Lookup {
    /// It was answered before.
    Hit {
        /// The answer.
        answer: Arc<Answer>,
        /// How old it is.
        age: Duration,
    },
    /// It was not; what is answered now is to be recorded.
    Miss(Recording),
    /// Somebody is asking it at this moment. Wait and look again, or ask without the cache.
    UnderWay(Waiter),
    /// The client wants nothing of the cache, or not now.
    Bypass,
}

/// Answers, bounded by their bytes. What was not asked for the longest time goes first.
#[derive(Debug)]
pub struct Cache {
    policy: CachePolicy,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    entries: LruCache<CacheKey, Entry, HashByKey>,
    n_bytes: usize,
    /// Closed when the recording ends, however it does.
    recordings: HashMap<CacheKey, watch::Receiver<()>, HashByKey>,
}

#[derive(Debug)]
struct Entry {
    answer: Arc<Answer>,
    since: Instant,
}

impl State {
    fn insert(&mut self, key: CacheKey, entry: Entry, max_bytes: usize) {
        self.n_bytes += entry.answer.n_bytes();
        if let Some(old) = self.entries.put(key, entry) {
            self.n_bytes -= old.answer.n_bytes();
        }
        while self.n_bytes > max_bytes {
            let Some((_, oldest)) = self.entries.pop_lru() else { return };
            self.n_bytes -= oldest.answer.n_bytes();
        }
    }

    /// The answer to this question, unless it is too old to be of use to anybody.
    fn get(
        &mut self,
        key: &CacheKey,
        ttl: Duration,
        now: Instant,
    ) -> Option<(Arc<Answer>, Duration)> {
        let entry = self.entries.get(key)?;
        let age = now.saturating_duration_since(entry.since);
        if age < ttl {
            return Some((entry.answer.clone(), age));
        }
        let expired = self.entries.pop(key)?;
        self.n_bytes -= expired.answer.n_bytes();
        None
    }
}

impl Cache {
    /// An empty cache.
    pub fn new(policy: CachePolicy) -> Arc<Self> {
        let state = State {
            entries: LruCache::unbounded_with_hasher(HashByKey::default()),
            n_bytes: 0,
            recordings: HashMap::default(),
        };
        Arc::new(Cache { policy, state: Mutex::new(state) })
    }

    /// Looks for the answer to a question.
    pub fn look(self: &Arc<Self>, key: CacheKey, directives: Directives, now: Instant) -> Lookup {
        if directives.no_store {
            return Lookup::Bypass;
        }
        let mut state = self.state();
        if !directives.no_cache
            && let Some((answer, age)) = state.get(&key, self.policy.ttl, now)
            && directives.max_age.is_none_or(|max_age| age <= max_age)
        {
            return Lookup::Hit { answer, age };
        }
        if let Some(recording) = state.recordings.get(&key) {
            let waiter = Waiter(recording.clone());
            return if directives.no_cache { Lookup::Bypass } else { Lookup::UnderWay(waiter) };
        }
        let (done, recording) = watch::channel(());
        state.recordings.insert(key, recording);
        Lookup::Miss(Recording {
            cache: self.clone(),
            key,
            began: now,
            body: Vec::new(),
            pieces: Vec::new(),
            done: Some(done),
        })
    }

    /// How many answers are kept.
    pub fn len(&self) -> usize {
        self.state().entries.len()
    }

    /// Whether nothing is kept.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes of what is kept.
    pub fn n_bytes(&self) -> usize {
        self.state().n_bytes
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Takes down an answer while it is given. Dropping it forgets the answer.
#[derive(Debug)]
#[must_use = "dropping a recording forgets the answer"]
pub struct Recording {
    cache: Arc<Cache>,
    key: CacheKey,
    began: Instant,
    body: Vec<u8>,
    pieces: Vec<Piece>,
    /// `None` when the answer has become too long to be kept.
    done: Option<watch::Sender<()>>,
}

impl Recording {
    /// A further piece of the answer.
    pub fn push(&mut self, piece: &[u8], now: Instant) {
        if self.done.is_none() || piece.is_empty() {
            return;
        }
        let n_bytes = self.body.len() + piece.len();
        if n_bytes + self.pieces.len() * size_of::<Piece>() > self.cache.policy.max_answer_bytes {
            self.end();
            return;
        }
        self.body.extend_from_slice(piece);
        let after = now.saturating_duration_since(self.began);
        self.pieces.push(Piece { after, end: n_bytes });
    }

    /// Keeps the answer, which has to be complete. Only successful ones are kept. Gives whether
    /// this one is.
    pub fn keep(mut self, status: StatusCode, headers: HeaderMap, now: Instant) -> bool {
        if status != StatusCode::OK || self.done.is_none() || self.pieces.is_empty() {
            return false;
        }
        // The buffers grew by doubling; what is kept is as long as it is counted.
        let mut pieces = std::mem::take(&mut self.pieces);
        pieces.shrink_to_fit();
        let body = Bytes::from(std::mem::take(&mut self.body).into_boxed_slice());
        let answer = Arc::new(Answer { headers, body, pieces });
        if answer.n_bytes() > self.cache.policy.max_bytes {
            return false;
        }
        let max_bytes = self.cache.policy.max_bytes;
        self.cache.state().insert(self.key, Entry { answer, since: now }, max_bytes);
        true
    }

    /// Lets those who wait go on.
    fn end(&mut self) {
        if let Some(done) = self.done.take() {
            (self.body, self.pieces) = (Vec::new(), Vec::new());
            self.cache.state().recordings.remove(&self.key);
            drop(done);
        }
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.end();
    }
}

/// Waits for another's answer.
#[derive(Debug)]
pub struct Waiter(watch::Receiver<()>);

impl Waiter {
    /// Waits until the answer is kept or is known not to be. Whoever waits sets the deadline.
    pub async fn wait(mut self) {
        // Nothing is ever sent; the channel closes.
        while self.0.changed().await.is_ok() {}
    }
}
