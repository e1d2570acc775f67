//! How much of what, per which time.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

const NANOS_PER_SECOND: u64 = 1_000_000_000;
const NANOS_PER_USD: f64 = 1e9;

/// What one request uses, or is expected to use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Amount {
    /// Requests.
    pub requests: u64,
    /// Tokens, in and out together.
    pub tokens: u64,
    /// Money, in nano-dollars.
    pub nano_usd: u64,
}

impl Amount {
    /// How much of this unit.
    pub fn of(self, unit: Unit) -> u64 {
        match unit {
            Unit::Requests => self.requests,
            Unit::Tokens => self.tokens,
            Unit::Usd => self.nano_usd,
        }
    }

    pub(super) fn plus(self, other: Amount) -> Amount {
        self.zip(other, u64::saturating_add)
    }

    pub(super) fn minus(self, other: Amount) -> Amount {
        self.zip(other, u64::saturating_sub)
    }

    pub(super) fn max(self, other: Amount) -> Amount {
        self.zip(other, u64::max)
    }

    fn zip(self, other: Amount, each: fn(u64, u64) -> u64) -> Amount {
        Amount {
            requests: each(self.requests, other.requests),
            tokens: each(self.tokens, other.tokens),
            nano_usd: each(self.nano_usd, other.nano_usd),
        }
    }
}

/// What is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Unit {
    /// Requests.
    Requests,
    /// Tokens, in and out together.
    Tokens,
    /// Nano-dollars; written in dollars.
    Usd,
}

impl Unit {
    /// Every unit.
    pub const ALL: [Unit; 3] = [Unit::Requests, Unit::Tokens, Unit::Usd];

    /// The name used in configuration, headers and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Unit::Requests => "requests",
            Unit::Tokens => "tokens",
            Unit::Usd => "usd",
        }
    }

    /// The number as people write it.
    pub(super) fn show(self, amount: u64) -> String {
        match self {
            Unit::Requests | Unit::Tokens => amount.to_string(),
            Unit::Usd => format!("{}", amount as f64 / NANOS_PER_USD),
        }
    }

    fn parse(self, written: f64) -> Option<u64> {
        let amount = match self {
            Unit::Requests | Unit::Tokens if written.fract() != 0.0 => return None,
            Unit::Requests | Unit::Tokens => written,
            Unit::Usd => (written * NANOS_PER_USD).round(),
        };
        // Up to here every whole number has a float of its own.
        (0.0..=9e15).contains(&amount).then_some(amount as u64)
    }
}

/// A stretch of time that begins and ends with the clock in UTC, whoever asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Window {
    /// A second of the clock.
    Second,
    /// A minute of the clock.
    Minute,
    /// An hour of the clock.
    Hour,
    /// From midnight to midnight.
    Day,
    /// A month of the calendar.
    Month,
    /// For ever: what is used up never comes back.
    Total,
}

impl Window {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// Every window, shortest first.
    pub const ALL: [Window; Window::COUNT] =
        [Window::Second, Window::Minute, Window::Hour, Window::Day, Window::Month, Window::Total];

    /// The name used in configuration and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Window::Second => "second",
            Window::Minute => "minute",
            Window::Hour => "hour",
            Window::Day => "day",
            Window::Month => "month",
            Window::Total => "total",
        }
    }

    /// Where the window around this moment begins and ends, in nanoseconds since 1970.
    pub(super) fn around(self, unix_nano: u64) -> (u64, u64) {
        let seconds = match self {
            Window::Second => 1,
            Window::Minute => 60,
            Window::Hour => 3_600,
            Window::Day => 86_400,
            Window::Month => return month_around(unix_nano),
            Window::Total => return (0, u64::MAX),
        };
        let length = seconds * NANOS_PER_SECOND;
        let start = unix_nano - unix_nano % length;
        (start, start.saturating_add(length))
    }
}

fn month_around(unix_nano: u64) -> (u64, u64) {
    let utc = jiff::tz::Offset::UTC;
    let now = jiff::Timestamp::from_nanosecond(i128::from(unix_nano)).unwrap_or_default();
    let first = utc.to_datetime(now).date().first_of_month();
    let nanos = |date: jiff::civil::Date| {
        let at = utc.to_timestamp(date.to_datetime(jiff::civil::Time::midnight()));
        at.map_or(u64::MAX, |at| u64::try_from(at.as_nanosecond()).unwrap_or(u64::MAX))
    };
    let next = first.last_of_month().tomorrow();
    (nanos(first), next.map_or(u64::MAX, nanos))
}

/// So much of a unit per window.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quota {
    /// What is counted.
    pub unit: Unit,
    /// Over which time.
    pub window: Window,
    /// How much may be used; nano-dollars where the unit is money.
    pub limit: u64,
}

impl Quota {
    /// The name used in configuration: `tokens_per_minute`, `usd_total`.
    pub fn name(&self) -> String {
        match self.window {
            Window::Total => format!("{}_total", self.unit.as_str()),
            window => format!("{}_per_{}", self.unit.as_str(), window.as_str()),
        }
    }

    /// The limit as it is written in configuration: money in dollars.
    fn written(&self) -> f64 {
        match self.unit {
            Unit::Requests | Unit::Tokens => self.limit as f64,
            Unit::Usd => self.limit as f64 / NANOS_PER_USD,
        }
    }

    /// Whether there is room for what is wanted; if not, how much there is. Notes in any case how
    /// the client stands.
    pub(super) fn check(
        &self,
        used: u64,
        wanted: u64,
        reset: Option<Duration>,
        standing: &mut Standing,
    ) -> Option<Shortage> {
        let left = self.limit.saturating_sub(used);
        let fits = left > 0 && wanted <= left;
        let remaining = if fits { left - wanted } else { left };
        standing.note(self.unit, Level { limit: self.limit, remaining, reset });
        // Waiting helps only those who ask for no more than there ever is.
        let retry_after = reset.filter(|_| wanted <= self.limit && self.limit > 0);
        (!fits).then_some(Shortage { quota: *self, wanted, remaining: left, retry_after })
    }

    fn parse(name: &str, limit: f64) -> Result<Self, String> {
        let (unit, window) = name
            .split_once("_per_")
            .filter(|(_, window)| *window != Window::Total.as_str())
            .or_else(|| name.strip_suffix("_total").map(|unit| (unit, Window::Total.as_str())))
            .ok_or_else(|| unknown(name))?;
        let unit = Unit::ALL.into_iter().find(|known| known.as_str() == unit);
        let window = Window::ALL.into_iter().find(|known| known.as_str() == window);
        let (Some(unit), Some(window)) = (unit, window) else { return Err(unknown(name)) };
        let limit = unit.parse(limit).ok_or_else(|| {
            let kind = if unit == Unit::Usd { "amount" } else { "whole number" };
            format!("`{name}` is {limit}, expected a {kind} from 0 up")
        })?;
        Ok(Quota { unit, window, limit })
    }
}

fn unknown(name: &str) -> String {
    format!(
        "unknown limit `{name}`; a limit is `requests`, `tokens` or `usd` with `_per_second`, \
         `_per_minute`, `_per_hour`, `_per_day`, `_per_month` or `_total`"
    )
}

/// A quota that does not suffice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shortage {
    /// The quota.
    pub quota: Quota,
    /// How much of it the request wanted.
    pub wanted: u64,
    /// How much of it is left.
    pub remaining: u64,
    /// When to try again; `None` if waiting will not help.
    pub retry_after: Option<Duration>,
}

/// Quotas that hold together, written `{requests_per_minute: 60, usd_per_day: 2.5}`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Quotas(Box<[Quota]>);

impl Quotas {
    /// The quotas, in the order of their names.
    pub fn iter(&self) -> std::slice::Iter<'_, Quota> {
        self.0.iter()
    }

    /// Whether nothing is limited.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> IntoIterator for &'a Quotas {
    type Item = &'a Quota;
    type IntoIter = std::slice::Iter<'a, Quota>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl FromIterator<Quota> for Quotas {
    fn from_iter<T: IntoIterator<Item = Quota>>(quotas: T) -> Self {
        Quotas(quotas.into_iter().collect())
    }
}

impl Serialize for Quotas {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.iter().map(|quota| (quota.name(), quota.written())))
    }
}

impl<'de> Deserialize<'de> for Quotas {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::<String, f64>::deserialize(deserializer)?
            .into_iter()
            .map(|(name, limit)| Quota::parse(&name, limit).map_err(de::Error::custom))
            .collect()
    }
}

/// How a client stands with one unit: the quota of which least is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// How much may be used in the window.
    pub limit: u64,
    /// How much of it is left, with reservations taken off.
    pub remaining: u64,
    /// When it is whole again; `None` for a quota that is for ever.
    pub reset: Option<Duration>,
}

/// How a client stands with everything that limits it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    levels: [Option<Level>; Unit::ALL.len()],
}

impl Standing {
    /// How it stands with this unit; `None` if the unit is not limited.
    pub fn level(&self, unit: Unit) -> Option<Level> {
        self.levels[unit as usize]
    }

    pub(super) fn note(&mut self, unit: Unit, level: Level) {
        let tightest = &mut self.levels[unit as usize];
        if tightest.is_none_or(|known| level.remaining < known.remaining) {
            *tightest = Some(level);
        }
    }

    /// The `x-ratelimit-*` headers that tell the client.
    pub fn headers(&self) -> impl Iterator<Item = (&'static str, String)> {
        Unit::ALL.into_iter().filter_map(|unit| Some((unit, self.level(unit)?))).flat_map(
            |(unit, level)| {
                let [limit, remaining, reset] = header_names(unit);
                [
                    Some((limit, unit.show(level.limit))),
                    Some((remaining, unit.show(level.remaining))),
                    level.reset.map(|after| (reset, show_duration(after))),
                ]
                .into_iter()
                .flatten()
            },
        )
    }
}

fn header_names(unit: Unit) -> [&'static str; 3] {
    match unit {
        Unit::Requests => [
            "x-ratelimit-limit-requests",
            "x-ratelimit-remaining-requests",
            "x-ratelimit-reset-requests",
        ],
        Unit::Tokens => {
            ["x-ratelimit-limit-tokens", "x-ratelimit-remaining-tokens", "x-ratelimit-reset-tokens"]
        }
        Unit::Usd => {
            ["x-ratelimit-limit-usd", "x-ratelimit-remaining-usd", "x-ratelimit-reset-usd"]
        }
    }
}

/// `1h0m5s`, as OpenAI writes it; rounded up to whole seconds so that nobody comes back too early.
fn show_duration(duration: Duration) -> String {
    let seconds = whole_seconds(duration);
    let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

/// Seconds, rounded up, as `Retry-After` wants them.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

impl fmt::Display for Quota {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let amount = self.unit.show(self.limit);
        match (self.unit, self.window) {
            (Unit::Usd, Window::Total) => write!(f, "{amount} dollars in total"),
            (Unit::Usd, window) => write!(f, "{amount} dollars per {}", window.as_str()),
            (unit, Window::Total) => write!(f, "{amount} {} in total", unit.as_str()),
            (unit, window) => write!(f, "{amount} {} per {}", unit.as_str(), window.as_str()),
        }
    }
}
