//! Which provider made which response. Providers keep responses and conversations that go on from
//! them, each its own; whoever asks for one has to be led to where it is.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use lru::LruCache;

/// How many responses are remembered; those that nobody has asked for the longest time go first.
const MAX_RESPONSES: usize = 20_000;
/// How long a response is remembered.
const REMEMBERED_FOR: Duration = Duration::from_hours(24);

/// The responses that were made through this gateway.
#[derive(Debug)]
pub struct Created {
    by_id: Mutex<LruCache<Box<str>, Maker>>,
}

/// Who made a response, and for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Maker {
    /// The id of the upstream.
    pub upstream: Arc<str>,
    /// The id of the key that it was made for; empty if the gateway asks for none.
    pub key: Arc<str>,
    made: Instant,
}

/// What is to be noted of a response as soon as its id is known.
#[derive(Debug)]
pub struct Note {
    created: Arc<Created>,
    maker: Maker,
}

impl Default for Created {
    fn default() -> Self {
        Created { by_id: Mutex::new(LruCache::unbounded()) }
    }
}

impl Created {
    /// Prepares to note who makes a response.
    pub fn note(self: &Arc<Self>, upstream: &str, key: &str, now: Instant) -> Note {
        let maker = Maker { upstream: upstream.into(), key: key.into(), made: now };
        Note { created: Arc::clone(self), maker }
    }

    /// Who made this response, if that is remembered.
    pub fn maker(&self, id: &str, now: Instant) -> Option<Maker> {
        let mut by_id = self.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        let maker = by_id.get(id)?;
        if now.saturating_duration_since(maker.made) > REMEMBERED_FOR {
            by_id.pop(id);
            return None;
        }
        Some(maker.clone())
    }
}

impl Note {
    /// The response has this id.
    pub fn take(self, id: &str) {
        let mut by_id = self.created.by_id.lock().unwrap_or_else(PoisonError::into_inner);
        by_id.put(id.into(), self.maker);
        if by_id.len() > MAX_RESPONSES {
            by_id.pop_lru();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn responses_are_remembered_for_a_time_and_in_a_number() {
        let created = Arc::new(Created::default());
        let start = Instant::now();
        for n in 0..MAX_RESPONSES {
            created.note("openai/*", "team-a", start).take(&format!("resp_{n}"));
        }
        let maker = created.maker("resp_0", start).unwrap();
        assert_eq!((&*maker.upstream, &*maker.key), ("openai/*", "team-a"));
        created.note("xai/*", "", start).take("resp_more");
        assert!(created.maker("resp_1", start).is_none(), "nobody asked for it");
        assert!(created.maker("resp_0", start).is_some());
        let later = start + REMEMBERED_FOR + Duration::from_secs(1);
        assert!(created.maker("resp_0", later).is_none());
        assert!(created.maker("resp_unknown", start).is_none());
    }
}
