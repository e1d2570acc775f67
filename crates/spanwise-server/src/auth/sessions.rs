//! Signed-in browsers. Kept in memory: a restart signs everybody out, and a stolen disk holds none.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::hex;

/// How long a session lasts.
pub const LIFETIME: Duration = Duration::from_hours(7 * 24);

/// So many at once; beyond it the oldest ends.
const MAX_SESSIONS: usize = 10_000;

#[derive(Debug, Default)]
pub struct Sessions(Mutex<HashMap<String, Session>>);

#[derive(Debug)]
struct Session {
    key_hash: [u8; 32],
    started: Instant,
}

impl Sessions {
    /// Starts a session for the key with this hash and gives its token.
    pub fn start(&self, key_hash: [u8; 32]) -> String {
        let token = hex(&rand::random::<[u8; 32]>());
        let mut sessions = self.locked();
        if sessions.len() >= MAX_SESSIONS {
            let oldest = sessions.iter().min_by_key(|(_, session)| session.started);
            if let Some(token) = oldest.map(|(token, _)| token.clone()) {
                sessions.remove(&token);
            }
        }
        sessions.insert(token.clone(), Session { key_hash, started: Instant::now() });
        token
    }

    /// The hash of the key that a session was started with. Whether that key is still in force is
    /// asked anew for every request.
    pub fn key_hash(&self, token: &str) -> Option<[u8; 32]> {
        let mut sessions = self.locked();
        let session = sessions.get(token)?;
        if session.started.elapsed() < LIFETIME {
            return Some(session.key_hash);
        }
        sessions.remove(token);
        None
    }

    /// Ends a session.
    pub fn end(&self, token: &str) {
        self.locked().remove(token);
    }

    fn locked(&self) -> MutexGuard<'_, HashMap<String, Session>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
