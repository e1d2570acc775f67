//! A target as balancing sees it: how busy, how fast and how healthy it is.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::breaker::{Breaker, BreakerPolicy, BreakerState, Passage};

/// How much of the estimate of the time to the first token the next measurement leaves.
const TTFT_KEPT: f64 = 0.75;
/// What a target is taken for that nobody has measured lately, in seconds: fast, but not so fast
/// that all requests go there before the first token comes.
const TTFT_UNKNOWN: f64 = 0.05;
/// How fast an estimate is forgotten, so that a target that was slow is tried again.
const TTFT_FORGOTTEN_IN: Duration = Duration::from_mins(1);
/// However long a provider asks to be left alone, it is asked again after this.
const MAX_COOL_DOWN: Duration = Duration::from_mins(5);

/// The key with which targets sign in at a provider. Targets that share one fail together when
/// it is refused.
#[derive(Debug)]
pub struct Credential {
    breaker: Mutex<Breaker>,
}

impl Credential {
    /// A credential that was not refused yet.
    pub fn new(policy: BreakerPolicy) -> Self {
        Credential { breaker: Mutex::new(Breaker::new(policy)) }
    }

    /// What its breaker does with requests.
    pub fn state(&self) -> BreakerState {
        lock(&self.breaker).state()
    }
}

/// Where a request can be sent. Routes that lead to the same place share it.
#[derive(Debug)]
pub struct Target {
    name: Arc<str>,
    credential: Arc<Credential>,
    in_flight: AtomicU32,
    health: Mutex<Health>,
}

#[derive(Debug)]
struct Health {
    breaker: Breaker,
    cool_until: Option<Instant>,
    ttft: Option<Ttft>,
}

#[derive(Clone, Copy, Debug)]
struct Ttft {
    seconds: f64,
    measured_at: Instant,
}

impl Ttft {
    /// How much the estimate is still worth, from 1 when it is new to 0.
    fn trust(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.measured_at);
        (-age.as_secs_f64() / TTFT_FORGOTTEN_IN.as_secs_f64()).exp()
    }
}

/// What became of a request, for the health of its target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The target did its part, be it with an error that is the client's fault.
    Succeeded,
    /// The target failed.
    Failed,
    /// The provider refused the credential (401, 403).
    Denied,
    /// The provider asked to be left alone for so long (429 or 503 with `Retry-After`).
    Busy(Duration),
}

impl Target {
    /// A target that was never used.
    pub fn new(
        name: impl Into<Arc<str>>,
        credential: Arc<Credential>,
        policy: BreakerPolicy,
    ) -> Self {
        let health = Health { breaker: Breaker::new(policy), cool_until: None, ttft: None };
        Target {
            name: name.into(),
            credential,
            in_flight: AtomicU32::new(0),
            health: Mutex::new(health),
        }
    }

    /// The name by which it is known in configuration and spans.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// The credential with which it is used.
    pub fn credential(&self) -> &Arc<Credential> {
        &self.credential
    }

    /// How many requests are under way.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// What its breaker does with requests.
    pub fn state(&self) -> BreakerState {
        lock(&self.health).breaker.state()
    }

    /// How long a request has to wait, as far as is known: zero if it can be sent now.
    pub(super) fn wait(&self, now: Instant) -> Option<Duration> {
        let own = self.own_wait(now)?;
        Some(own.max(lock(&self.credential.breaker).wait(now)?))
    }

    /// The same, whatever is known of the credential.
    pub(super) fn own_wait(&self, now: Instant) -> Option<Duration> {
        let health = lock(&self.health);
        let cool = health.cool_until.map(|until| until.saturating_duration_since(now));
        Some(health.breaker.wait(now)?.max(cool.unwrap_or_default()))
    }

    /// What the time to the first token is expected to be, in seconds. Falls the longer nobody
    /// measured it.
    pub(super) fn expected_ttft(&self, now: Instant) -> f64 {
        let measured = lock(&self.health).ttft;
        TTFT_UNKNOWN + measured.map_or(0.0, |ttft| ttft.seconds * ttft.trust(now))
    }

    /// Begins a request, unless the target is to be left alone.
    pub(super) fn begin(self: &Arc<Self>, now: Instant) -> Option<InFlight> {
        if self.wait(now) != Some(Duration::ZERO) {
            return None;
        }
        let own = lock(&self.health).breaker.pass(now)?;
        self.begin_as(own, now)
    }

    /// Begins a request although the target may be one to be left alone. A credential that was
    /// refused is not used even so.
    pub(super) fn begin_anyway(self: &Arc<Self>, now: Instant) -> Option<InFlight> {
        let own = lock(&self.health).breaker.pass(now).unwrap_or(Passage::LastResort);
        self.begin_as(own, now)
    }

    fn begin_as(self: &Arc<Self>, own: Passage, now: Instant) -> Option<InFlight> {
        let Some(credential) = lock(&self.credential.breaker).pass(now) else {
            lock(&self.health).breaker.abandoned(own, now);
            return None;
        };
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Some(InFlight { target: self.clone(), own, credential, began: now, reported: false })
    }
}

/// A request that is under way at a target. Reports what becomes of it; ending it (dropping this)
/// without a report says nothing about the target.
#[derive(Debug)]
pub struct InFlight {
    target: Arc<Target>,
    own: Passage,
    credential: Passage,
    began: Instant,
    reported: bool,
}

impl InFlight {
    /// Where it was sent.
    pub fn target(&self) -> &Arc<Target> {
        &self.target
    }

    /// The first token of the answer has come.
    pub fn first_token(&self, now: Instant) {
        let seconds = now.saturating_duration_since(self.began).as_secs_f64();
        let mut health = lock(&self.target.health);
        let seconds = health.ttft.map_or(seconds, |old| {
            let kept = TTFT_KEPT * old.trust(now);
            kept * old.seconds + (1.0 - kept) * seconds
        });
        health.ttft = Some(Ttft { seconds, measured_at: now });
    }

    /// Says what became of the request. A stream may be reported twice: it began well, and failed
    /// later.
    pub fn report(&mut self, outcome: Outcome, now: Instant) {
        self.reported = true;
        let mut health = lock(&self.target.health);
        let mut credential = lock(&self.target.credential.breaker);
        match outcome {
            Outcome::Succeeded => {
                health.breaker.succeeded(self.own, now);
                health.cool_until = health.cool_until.filter(|until| *until > now);
                credential.succeeded(self.credential, now);
            }
            Outcome::Failed => {
                health.breaker.failed(self.own, now);
                // A server that fails has not said anything about the key.
                credential.abandoned(self.credential, now);
            }
            Outcome::Denied => {
                health.breaker.abandoned(self.own, now);
                credential.failed(self.credential, now);
            }
            Outcome::Busy(wait) => {
                health.breaker.abandoned(self.own, now);
                let until = now + wait.min(MAX_COOL_DOWN);
                health.cool_until = health.cool_until.max(Some(until));
                credential.abandoned(self.credential, now);
            }
        }
        // What is reported later concerns a breaker that has moved on.
        (self.own, self.credential) = (Passage::Usual, Passage::Usual);
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.target.in_flight.fetch_sub(1, Ordering::Relaxed);
        if !self.reported {
            let began = self.began;
            lock(&self.target.health).breaker.abandoned(self.own, began);
            lock(&self.target.credential.breaker).abandoned(self.credential, began);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while one of these is held, and a stale count is better than none.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
