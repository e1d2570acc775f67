//! A circuit breaker: what fails again and again is left alone for a while.

use std::time::{Duration, Instant};

/// When a breaker opens, and for how long.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct BreakerPolicy {
    /// Opens after so many failures in a row.
    pub consecutive_failures: u32,
    /// Opens when more than this part of the requests of a window fails.
    pub error_rate: f64,
    /// Fewer requests than this in a window make no rate.
    pub min_requests: u32,
    /// The window over which the rate is taken.
    pub window: Duration,
    /// How long it stays open the first time. Each probe that fails doubles it.
    pub open_for: Duration,
    /// The longest time that it stays open.
    pub max_open_for: Duration,
}

impl Default for BreakerPolicy {
    /// For a target: five failures in a row, or more than half of twenty within ten seconds.
    fn default() -> Self {
        BreakerPolicy {
            consecutive_failures: 5,
            error_rate: 0.5,
            min_requests: 20,
            window: Duration::from_secs(10),
            open_for: Duration::from_secs(5),
            max_open_for: Duration::from_mins(1),
        }
    }
}

impl BreakerPolicy {
    /// For a credential, which a provider refuses: nobody mends that within seconds, and every
    /// further request with it may lock the account.
    pub fn credential() -> Self {
        BreakerPolicy {
            consecutive_failures: 3,
            error_rate: 1.0,
            open_for: Duration::from_secs(30),
            max_open_for: Duration::from_mins(10),
            ..BreakerPolicy::default()
        }
    }
}

/// What a breaker does with requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Lets them pass.
    Closed,
    /// Holds them back until then.
    Open {
        /// When a request may try again.
        until: Instant,
    },
    /// One request tries, the others are held back.
    HalfOpen,
}

/// Lets a request pass; what became of it is reported with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passage {
    /// One of many.
    Usual,
    /// The one on which it depends whether the breaker closes.
    Probe,
    /// Sent although the breaker would hold it back, as there was nowhere else to go.
    LastResort,
}

/// Counts failures and decides. The clock is the caller's.
#[derive(Clone, Debug)]
pub struct Breaker {
    policy: BreakerPolicy,
    state: BreakerState,
    in_a_row: u32,
    window: Option<Window>,
    open_for: Duration,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Instant,
    successes: u32,
    failures: u32,
}

impl Breaker {
    /// A closed breaker.
    pub fn new(policy: BreakerPolicy) -> Self {
        Breaker {
            policy,
            state: BreakerState::Closed,
            in_a_row: 0,
            window: None,
            open_for: policy.open_for,
        }
    }

    /// What it does with requests.
    pub fn state(&self) -> BreakerState {
        self.state
    }

    /// How long a request has to wait, as far as is known: zero if it may pass now, `None` while
    /// a probe is under way.
    pub fn wait(&self, now: Instant) -> Option<Duration> {
        match self.state {
            BreakerState::Closed => Some(Duration::ZERO),
            BreakerState::Open { until } => Some(until.saturating_duration_since(now)),
            BreakerState::HalfOpen => None,
        }
    }

    /// Lets a request pass, or not.
    pub fn pass(&mut self, now: Instant) -> Option<Passage> {
        match self.state {
            BreakerState::Closed => Some(Passage::Usual),
            BreakerState::Open { until } if now >= until => {
                self.state = BreakerState::HalfOpen;
                Some(Passage::Probe)
            }
            BreakerState::Open { .. } | BreakerState::HalfOpen => None,
        }
    }

    /// A request that passed went well.
    pub fn succeeded(&mut self, passage: Passage, now: Instant) {
        match (self.state, passage) {
            (BreakerState::Closed, _) => {
                self.in_a_row = 0;
                self.window_at(now).successes += 1;
            }
            (BreakerState::HalfOpen, Passage::Probe) | (_, Passage::LastResort) => {
                *self = Breaker::new(self.policy);
            }
            // It was sent before the breaker opened, and says nothing about now.
            _ => {}
        }
    }

    /// A request that passed failed.
    pub fn failed(&mut self, passage: Passage, now: Instant) {
        match (self.state, passage) {
            (BreakerState::Closed, _) => {
                self.in_a_row += 1;
                self.window_at(now).failures += 1;
                if self.in_a_row >= self.policy.consecutive_failures || self.is_rate_exceeded() {
                    self.open(now);
                }
            }
            (BreakerState::HalfOpen, Passage::Probe) => {
                self.open_for = (self.open_for * 2).min(self.policy.max_open_for);
                self.open(now);
            }
            _ => {}
        }
    }

    /// A request that passed ended in a way that says nothing, such as a client that went away.
    /// The next one may probe.
    pub fn abandoned(&mut self, passage: Passage, now: Instant) {
        if self.state == BreakerState::HalfOpen && passage == Passage::Probe {
            self.state = BreakerState::Open { until: now };
        }
    }

    fn open(&mut self, now: Instant) {
        self.state = BreakerState::Open { until: now + self.open_for };
        self.in_a_row = 0;
        self.window = None;
    }

    fn window_at(&mut self, now: Instant) -> &mut Window {
        let length = self.policy.window;
        self.window.take_if(|window| now.saturating_duration_since(window.since) >= length);
        self.window.get_or_insert(Window { since: now, successes: 0, failures: 0 })
    }

    fn is_rate_exceeded(&self) -> bool {
        self.window.is_some_and(|window| {
            let n_requests = window.successes + window.failures;
            n_requests >= self.policy.min_requests
                && f64::from(window.failures) > self.policy.error_rate * f64::from(n_requests)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn fail(breaker: &mut Breaker, now: Instant) {
        let passage = breaker.pass(now).unwrap();
        breaker.failed(passage, now);
    }

    fn succeed(breaker: &mut Breaker, now: Instant) {
        let passage = breaker.pass(now).unwrap();
        breaker.succeeded(passage, now);
    }

    #[test]
    fn opens_after_failures_in_a_row_and_closes_after_a_probe() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        (0..4).for_each(|_| fail(&mut breaker, now));
        succeed(&mut breaker, now);
        (0..5).for_each(|_| fail(&mut breaker, now));
        assert_eq!(breaker.pass(now + 4 * SECOND), None);
        assert_eq!(breaker.wait(now + 4 * SECOND), Some(SECOND));

        let probe = breaker.pass(now + 5 * SECOND).unwrap();
        assert_eq!(probe, Passage::Probe);
        assert_eq!(breaker.pass(now + 6 * SECOND), None);
        breaker.succeeded(probe, now + 6 * SECOND);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn a_probe_that_fails_doubles_the_time_up_to_a_limit() {
        let mut now = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        (0..5).for_each(|_| fail(&mut breaker, now));
        for seconds in [5, 10, 20, 40, 60, 60] {
            assert_eq!(breaker.wait(now), Some(seconds * SECOND));
            now += seconds * SECOND;
            fail(&mut breaker, now);
        }
        now += 60 * SECOND;
        succeed(&mut breaker, now);
        (0..5).for_each(|_| fail(&mut breaker, now));
        assert_eq!(breaker.wait(now), Some(5 * SECOND));
    }

    #[test]
    fn opens_when_more_than_half_of_a_window_fails() {
        let start = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        // One failure in two, spread over windows, is not more than half of any.
        for n in 0..40 {
            let now = start + n * SECOND / 2;
            if n % 2 == 0 { succeed(&mut breaker, now) } else { fail(&mut breaker, now) }
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        let now = start + 100 * SECOND;
        for n in 0..19 {
            if n % 3 == 0 { succeed(&mut breaker, now) } else { fail(&mut breaker, now) }
        }
        assert_eq!(breaker.state(), BreakerState::Closed);
        fail(&mut breaker, now);
        assert!(matches!(breaker.state(), BreakerState::Open { .. }));
    }

    #[test]
    fn a_last_resort_that_goes_well_closes_and_one_that_fails_changes_nothing() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        (0..5).for_each(|_| fail(&mut breaker, now));
        let open = breaker.state();
        breaker.failed(Passage::LastResort, now);
        breaker.abandoned(Passage::LastResort, now);
        assert_eq!(breaker.state(), open);
        breaker.succeeded(Passage::LastResort, now);
        assert_eq!(breaker.state(), BreakerState::Closed);
    }

    #[test]
    fn late_results_do_not_decide_and_an_abandoned_probe_leaves_room() {
        let now = Instant::now();
        let mut breaker = Breaker::new(BreakerPolicy::default());
        let late = breaker.pass(now).unwrap();
        (0..5).for_each(|_| fail(&mut breaker, now));
        let later = now + 5 * SECOND;
        let probe = breaker.pass(later).unwrap();
        breaker.succeeded(late, later);
        breaker.failed(late, later);
        breaker.abandoned(late, later);
        assert_eq!(breaker.state(), BreakerState::HalfOpen);
        breaker.abandoned(probe, later);
        assert_eq!(breaker.pass(later), Some(Passage::Probe));
    }
}
