//! Which target gets a request.
//!
//! A [`Balancer`] belongs to a route and knows the targets that can serve it. [`Target`]s are
//! shared between routes, and with them what is known of their load, speed and health. Chance
//! and time come from the caller, so that a choice can be repeated.

use std::sync::Arc;
use std::time::{Duration, Instant};

use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::config::Strategy;

pub use breaker::{Breaker, BreakerPolicy, BreakerState, Passage};
pub use target::{Credential, InFlight, Outcome, Target};

mod breaker;
mod target;
#[cfg(test)]
mod tests;

/// With affinity, a target takes at most this much more than its share before requests go to the
/// next one.
const LOAD_BOUND: f64 = 1.25;

/// What [`Strategy::Prefix`] keeps together: the first bytes of a prompt, a key's id or a
/// session's.
pub fn affinity(bytes: &[u8], n_first: usize) -> u64 {
    xxh3_64(&bytes[..bytes.len().min(n_first)])
}

/// A target of a route.
#[derive(Clone, Debug)]
pub struct Member {
    /// Where it leads.
    pub target: Arc<Target>,
    /// Its part of the requests. A member of weight zero is used when no other can be.
    pub weight: u32,
}

/// What a request has tried already.
#[derive(Clone, Debug, Default)]
pub struct Tried {
    targets: Vec<usize>,
    credentials: Vec<Arc<Credential>>,
}

impl Tried {
    /// Not this member again.
    pub fn target(&mut self, index: usize) {
        self.targets.push(index);
    }

    /// Nothing again that uses this credential.
    pub fn credential(&mut self, credential: &Arc<Credential>) {
        self.credentials.push(credential.clone());
    }

    fn is_empty(&self) -> bool {
        self.targets.is_empty() && self.credentials.is_empty()
    }

    fn excludes(&self, index: usize, target: &Target) -> bool {
        self.targets.contains(&index)
            || self.credentials.iter().any(|denied| Arc::ptr_eq(denied, target.credential()))
    }
}

/// What a choice depends on.
#[derive(Clone, Copy, Debug)]
pub struct Ask<'a> {
    /// What is to be kept together, for [`Strategy::Prefix`].
    pub affinity: Option<u64>,
    /// Chance: 64 random bits.
    pub random: u64,
    /// What was tried already.
    pub tried: &'a Tried,
}

/// A choice.
#[derive(Debug)]
pub struct Pick {
    /// Which member.
    pub index: usize,
    /// The request that is now under way there.
    pub in_flight: InFlight,
}

/// No target can take the request now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("no target can take the request")]
pub struct NoTarget {
    /// When one that was not tried may take it again; `None` if none is left or nobody knows.
    pub retry_after: Option<Duration>,
}

/// The targets of one route.
#[derive(Clone, Debug)]
pub struct Balancer {
    strategy: Strategy,
    members: Vec<Member>,
}

impl Balancer {
    /// Chooses among these by this strategy.
    pub fn new(strategy: Strategy, members: Vec<Member>) -> Self {
        Balancer { strategy, members }
    }

    /// How it chooses.
    pub fn strategy(&self) -> Strategy {
        self.strategy
    }

    /// The targets, in the order given.
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// Whether another target than those tried could take the request now.
    pub fn has_other(&self, tried: &Tried, now: Instant) -> bool {
        self.untried(tried).any(|index| self.wait(index, now) == Some(Duration::ZERO))
    }

    /// Chooses a target and begins a request there.
    ///
    /// A request that has tried nothing goes somewhere even if all targets are to be left alone,
    /// to the one that is back soonest: where there is no choice, the provider's own error says
    /// more than ours would. Only a credential that was refused is never used so.
    pub fn pick(&self, ask: Ask<'_>, now: Instant) -> Result<Pick, NoTarget> {
        let mut ready: Vec<usize> = self
            .untried(ask.tried)
            .filter(|&index| self.wait(index, now) == Some(Duration::ZERO))
            .collect();
        if ready.iter().any(|&index| self.members[index].weight > 0) {
            ready.retain(|&index| self.members[index].weight > 0);
        }
        while let Some(at) = self.choose(&ready, ask, now) {
            let index = ready.swap_remove(at);
            if let Some(in_flight) = self.members[index].target.begin(now) {
                return Ok(Pick { index, in_flight });
            }
            ready.sort_unstable();
        }
        if ask.tried.is_empty()
            && let Some(pick) = self.last_resort(now)
        {
            return Ok(pick);
        }
        let waits = self.untried(ask.tried).filter_map(|index| self.wait(index, now));
        Err(NoTarget { retry_after: waits.min() })
    }

    /// Begins another request at the same target, as [`Step::Again`](crate::retry::Step::Again)
    /// asks for; `None` if its credential is refused.
    pub fn again(&self, index: usize, now: Instant) -> Option<Pick> {
        let in_flight = self.members.get(index)?.target.begin_anyway(now)?;
        Some(Pick { index, in_flight })
    }

    fn last_resort(&self, now: Instant) -> Option<Pick> {
        let mut indexes: Vec<usize> = (0..self.members.len()).collect();
        // While a probe is under way, the target may well be back.
        indexes.sort_by_key(|&index| self.members[index].target.own_wait(now).unwrap_or_default());
        indexes.into_iter().find_map(|index| self.again(index, now))
    }

    fn untried<'a>(&'a self, tried: &'a Tried) -> impl Iterator<Item = usize> + 'a {
        let members = self.members.iter().enumerate();
        members.filter(|(index, member)| !tried.excludes(*index, &member.target)).map(|(i, _)| i)
    }

    fn wait(&self, index: usize, now: Instant) -> Option<Duration> {
        self.members[index].target.wait(now)
    }

    /// The position in `ready` of the member to take.
    fn choose(&self, ready: &[usize], ask: Ask<'_>, now: Instant) -> Option<usize> {
        match (self.strategy, ask.affinity) {
            (Strategy::Fallback, _) => (!ready.is_empty()).then_some(0),
            (Strategy::Weighted, _) => self.by_chance(ready, ask.random),
            (Strategy::Latency, _) => self
                .least(ready, ask.random, |member| member.target.expected_ttft(now) * load(member)),
            (Strategy::Prefix, Some(affinity)) => self.by_affinity(ready, affinity),
            (Strategy::LeastInflight, _) | (Strategy::Prefix, None) => {
                self.least(ready, ask.random, load)
            }
        }
    }

    fn by_chance(&self, ready: &[usize], random: u64) -> Option<usize> {
        let weights = || ready.iter().map(|&index| u64::from(self.weight(index)));
        let total: u64 = weights().sum();
        // A multiplication in place of a remainder favours nobody.
        let mut left = ((u128::from(random) * u128::from(total)) >> 64) as u64;
        weights().position(|weight| {
            let is_here = left < weight;
            left = left.saturating_sub(weight);
            is_here
        })
    }

    /// The smallest score, and by chance among equals.
    fn least(&self, ready: &[usize], random: u64, score: impl Fn(&Member) -> f64) -> Option<usize> {
        let n_ready = ready.len() as u64;
        let turn = |at: usize| (at as u64).wrapping_add(random) % n_ready.max(1);
        let scores = ready.iter().map(|&index| score(&self.members[index]));
        scores
            .enumerate()
            .min_by(|(at, one), (other_at, other)| {
                one.total_cmp(other).then(turn(*at).cmp(&turn(*other_at)))
            })
            .map(|(at, _)| at)
    }

    /// Rendezvous hashing: each member draws a number that depends on its name and on what is
    /// kept together, and the best draw wins. When a member comes or goes, only what it wins
    /// moves. A member that has more than its share to do leaves the request to the next best.
    fn by_affinity(&self, ready: &[usize], affinity: u64) -> Option<usize> {
        let weight = |at: usize| f64::from(self.weight(ready[at]));
        let in_flight = |at: usize| f64::from(self.members[ready[at]].target.in_flight());
        let positions = 0..ready.len();
        let total_weight: f64 = positions.clone().map(weight).sum();
        let total_in_flight: f64 = positions.clone().map(in_flight).sum();
        let has_room = |at: usize| {
            let share = (total_in_flight + 1.0) * weight(at) / total_weight;
            in_flight(at) + 1.0 <= (LOAD_BOUND * share).ceil()
        };
        let draw = |at: usize| {
            let name = self.members[ready[at]].target.name();
            let hash = xxh3_64_with_seed(name.as_bytes(), affinity);
            let part = (hash >> 11) as f64 / (1u64 << 53) as f64;
            weight(at) / -(part.max(f64::MIN_POSITIVE)).ln()
        };
        positions
            .map(|at| (at, has_room(at), draw(at)))
            .max_by(|(_, one_room, one), (_, other_room, other)| {
                one_room.cmp(other_room).then(one.total_cmp(other))
            })
            .map(|(at, ..)| at)
    }

    /// A member of weight zero is chosen from only among its like, as if all had one.
    fn weight(&self, index: usize) -> u32 {
        self.members[index].weight.max(1)
    }
}

/// What a member would have to do with one request more, for its weight.
fn load(member: &Member) -> f64 {
    f64::from(member.target.in_flight() + 1) / f64::from(member.weight.max(1))
}
