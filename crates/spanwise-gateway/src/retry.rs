//! Whether a failed attempt is followed by another, where and when.
//!
//! Nothing is tried again once the client has received content. Retries are few (a
//! [`RetryBudget`] keeps them a part of all requests, so that an outage is not made worse by
//! them), spread out (full jitter) and in time (never past the deadline).

use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, StatusCode};

use crate::config;

pub use budget::{BudgetPolicy, RetryBudget};

mod budget;
#[cfg(test)]
mod tests;

/// Longer than this nobody asks in earnest.
const MAX_RETRY_AFTER: Duration = Duration::from_hours(24);

/// How an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// No connection: refused, unreachable, or the name is not known.
    Connect,
    /// The server's certificate was refused.
    Tls,
    /// A kept connection was closed just when it was used again; nothing was answered.
    StaleConnection,
    /// The connection broke before the answer was complete.
    Reset,
    /// No connection within the time for it.
    ConnectTimeout,
    /// No answer, or none that went on, within the time for it.
    AnswerTimeout,
    /// The whole request's time is over.
    TotalTimeout,
    /// An answer with this status.
    Status(StatusCode),
    /// The provider refuses because money or quota has run out (a 429 that waiting does not
    /// mend).
    QuotaExhausted,
    /// An error event, or an end without a proper end, in an answer that had begun well.
    BrokenAnswer,
}

/// Where another attempt makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// Nowhere: the client has to hear of it.
    None,
    /// At a target with another credential.
    OtherCredential,
    /// At another target.
    OtherTarget,
    /// At another target, or after a while at the same.
    Anywhere,
}

impl Failure {
    /// Where another attempt makes sense.
    pub fn remedy(self) -> Remedy {
        match self {
            Failure::Connect
            | Failure::StaleConnection
            | Failure::Reset
            | Failure::ConnectTimeout
            | Failure::BrokenAnswer => Remedy::Anywhere,
            // Who was slow once will be slow again, and the client has waited once already.
            Failure::Tls | Failure::AnswerTimeout => Remedy::OtherTarget,
            Failure::QuotaExhausted => Remedy::OtherCredential,
            Failure::TotalTimeout => Remedy::None,
            Failure::Status(status) => match status.as_u16() {
                401..=403 => Remedy::OtherCredential,
                // 409 is a lock that was held too long, for OpenAI's and Anthropic's own clients.
                501 | 505 => Remedy::OtherTarget,
                // Trying again goes round the circle again.
                508 => Remedy::None,
                408 | 409 | 425 | 429 | 500..=599 => Remedy::Anywhere,
                _ => Remedy::None,
            },
        }
    }
}

/// How often and how fast to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Attempts at one target, the first included.
    pub max_attempts: u32,
    /// The longest first pause; each further one may be twice as long.
    pub base: Duration,
    /// The longest pause.
    pub max_pause: Duration,
    /// How long a provider's `Retry-After` is waited for although another target is ready.
    pub patience: Duration,
    /// How long a provider's `Retry-After` is waited for at all.
    pub max_retry_after: Duration,
}

impl From<&config::Retry> for RetryPolicy {
    fn from(retry: &config::Retry) -> Self {
        RetryPolicy {
            max_attempts: retry.attempts,
            max_retry_after: retry.max_pause,
            ..RetryPolicy::default()
        }
    }
}

impl Default for RetryPolicy {
    fn default() -> Self {
        RetryPolicy {
            max_attempts: 2,
            base: Duration::from_millis(100),
            max_pause: Duration::from_secs(5),
            patience: Duration::ZERO,
            max_retry_after: Duration::from_mins(1),
        }
    }
}

/// How things stand after a failed attempt.
#[derive(Clone, Copy, Debug)]
pub struct Situation {
    /// How it failed.
    pub failure: Failure,
    /// Attempts at this target so far, this one included.
    pub n_attempts: u32,
    /// Whether a stale connection was replaced already.
    pub was_replayed: bool,
    /// Whether the client has received any content.
    pub content_sent: bool,
    /// What the provider asked for.
    pub retry_after: Option<Duration>,
    /// Whether another target could take the request now; after a refused credential, one with
    /// another credential.
    pub has_other: bool,
    /// When the request's time is over.
    pub deadline: Option<Instant>,
}

impl Situation {
    fn ends_before(&self, moment: Instant) -> bool {
        self.deadline.is_some_and(|deadline| deadline <= moment)
    }
}

/// What to do next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The same again on a fresh connection, at once. It is no retry: nothing was answered.
    Replay,
    /// Another target, at once.
    Other,
    /// The same target after a pause.
    Again {
        /// How long to wait.
        pause: Duration,
    },
    /// Tell the client.
    GiveUp(GaveUp),
}

/// Why there is no further attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GaveUp {
    /// Another attempt would fail as well, or there is nowhere to make it.
    Final,
    /// The client has part of an answer already.
    ContentSent,
    /// There were as many attempts at this target as there may be, and there is no other.
    Attempts,
    /// The pause would end after the deadline, or is longer than anyone waits.
    Deadline,
    /// Too many of the last requests were retries.
    Budget,
}

impl RetryPolicy {
    /// Decides what follows a failed attempt. `random` is 64 random bits.
    ///
    /// Another target is taken at once: the client waits for no pause, and each target is asked
    /// once, so that the number of targets bounds what is sent. Attempts at the same target are
    /// what makes an outage worse; they are bounded in number and by the budget.
    pub fn next(
        &self,
        situation: Situation,
        budget: &RetryBudget,
        random: u64,
        now: Instant,
    ) -> Step {
        if situation.content_sent {
            return Step::GiveUp(GaveUp::ContentSent);
        }
        if situation.ends_before(now) {
            return Step::GiveUp(GaveUp::Deadline);
        }
        if situation.failure == Failure::StaleConnection && !situation.was_replayed {
            return Step::Replay;
        }
        match self.place(situation, random) {
            Step::Again { .. } if situation.n_attempts >= self.max_attempts => {
                Step::GiveUp(GaveUp::Attempts)
            }
            Step::Again { pause } if situation.ends_before(now + pause) => {
                Step::GiveUp(GaveUp::Deadline)
            }
            Step::Again { .. } if !budget.withdraw(now) => Step::GiveUp(GaveUp::Budget),
            step => step,
        }
    }

    fn place(&self, situation: Situation, random: u64) -> Step {
        let remedy = situation.failure.remedy();
        let asked = situation.retry_after;
        let is_soon = asked.is_some_and(|wait| wait <= self.patience)
            && situation.n_attempts < self.max_attempts;
        match (remedy, situation.has_other) {
            (Remedy::None, _) | (Remedy::OtherCredential | Remedy::OtherTarget, false) => {
                Step::GiveUp(GaveUp::Final)
            }
            (Remedy::Anywhere, _) if is_soon => self.again(asked, situation.n_attempts, random),
            (_, true) => Step::Other,
            (Remedy::Anywhere, false) => self.again(asked, situation.n_attempts, random),
        }
    }

    /// What the provider asked for, and a little more by chance: all who were told the same
    /// second would come back in it together.
    fn again(&self, asked: Option<Duration>, n_attempts: u32, random: u64) -> Step {
        match asked {
            Some(wait) if wait > self.max_retry_after => Step::GiveUp(GaveUp::Deadline),
            Some(wait) => Step::Again { pause: wait + part_of(self.base, random) },
            None => Step::Again { pause: self.backoff(n_attempts, random) },
        }
    }

    /// Full jitter: anything from nothing to a limit that doubles with each attempt.
    pub fn backoff(&self, n_attempts: u32, random: u64) -> Duration {
        let doubled = 1u32.checked_shl(n_attempts.saturating_sub(1)).unwrap_or(u32::MAX);
        part_of(self.base.saturating_mul(doubled).min(self.max_pause), random)
    }
}

fn part_of(whole: Duration, random: u64) -> Duration {
    let nanos = (u128::from(random) * whole.as_nanos()) >> 64;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// How long the provider asks to wait: OpenAI's `retry-after-ms`, or `Retry-After` in seconds or
/// as a date. Past dates mean now; what makes no sense means nothing; what is absurdly far away
/// means a day.
pub fn retry_after(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| Some(headers.get(name)?.to_str().ok()?.trim());
    let millis = text("retry-after-ms").and_then(|text| seconds(text, 1e-3));
    let wait = millis.or_else(|| {
        let text = text("retry-after")?;
        seconds(text, 1.0).or_else(|| {
            let date = httpdate::parse_http_date(text).ok()?;
            Some(date.duration_since(now).unwrap_or_default())
        })
    })?;
    Some(wait.min(MAX_RETRY_AFTER))
}

/// A plain number. Providers write fractions too, although the standard knows whole seconds only.
fn seconds(text: &str, unit: f64) -> Option<Duration> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.') {
        return None;
    }
    let seconds = text.parse::<f64>().ok()? * unit;
    Some(Duration::from_secs_f64(seconds.min(MAX_RETRY_AFTER.as_secs_f64())))
}
