//! Virtual keys: what a client shows the gateway instead of a provider's key.
//!
//! Only the SHA-256 of a key is kept. A generated key is 192 random bits, so that its hash needs
//! no salt. [`Keys`] never changes: to add or revoke a key, a new value takes its place, and
//! requests that are under way keep the [`Key`] that they came with.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de, ser};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::limits::Quotas;
use crate::pattern::{Pattern, Patterns};
use crate::size::some_bytes;

#[cfg(test)]
mod tests;

/// What a generated key begins with, so that scanners of leaked secrets know it.
const PREFIX: &str = "sk-spanwise-";
const MAX_ID_BYTES: usize = 64;

/// A virtual key and what it allows, as it is written in the configuration.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Key {
    /// Names the key in limits, spans and messages: letters, digits, `.`, `_`, `-`.
    pub id: Arc<str>,
    /// What it is for, in its maker's words.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// The hash of the secret.
    pub hash: KeyHash,
    /// The models that it may ask for, by the names that clients use.
    #[serde(default, skip_serializing_if = "Patterns::is_all")]
    pub models: Patterns,
    /// The agents that it may call.
    #[serde(default, skip_serializing_if = "Patterns::is_all")]
    pub agents: Patterns,
    /// From when on it is refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<Expiry>,
    /// Refused until this is taken away.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub disabled: bool,
    /// What it may use in all.
    #[serde(default, skip_serializing_if = "Quotas::is_empty")]
    pub limits: Quotas,
    /// What it may use of single models, or of groups of them that a pattern names.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub model_limits: BTreeMap<Pattern, Quotas>,
    /// What is recorded of its messages, where that differs from the gateway's policy.
    #[serde(default, skip_serializing_if = "ContentRules::is_default")]
    pub content: ContentRules,
}

/// What a file of keys holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyList {
    /// The keys, in the order in which they were made.
    pub keys: Vec<Key>,
}

impl Key {
    /// A key that allows everything.
    pub fn new(id: impl Into<Arc<str>>, hash: KeyHash) -> Self {
        Key {
            id: id.into(),
            name: String::new(),
            hash,
            models: Patterns::ALL,
            agents: Patterns::ALL,
            expires: None,
            disabled: false,
            limits: Quotas::default(),
            model_limits: BTreeMap::new(),
            content: ContentRules::default(),
        }
    }

    /// Whether the key may ask for this model.
    pub fn allows_model(&self, model: &str) -> bool {
        self.models.matches(model)
    }

    /// Whether the key may call this agent.
    pub fn allows_agent(&self, agent: &str) -> bool {
        self.agents.matches(agent)
    }
}

/// What is recorded of messages; `None` leaves a rule as the gateway has it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ContentRules {
    /// Whether messages are recorded at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capture: Option<bool>,
    /// Bytes of a request's and of an answer's content that are recorded.
    #[serde(deserialize_with = "some_bytes", skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<usize>,
}

impl ContentRules {
    fn is_default(&self) -> bool {
        *self == ContentRules::default()
    }
}

/// The SHA-256 of a key, written `sha256:` and 64 hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyHash([u8; 32]);

impl KeyHash {
    /// The hash of this secret.
    pub fn of(secret: &[u8]) -> Self {
        KeyHash(Sha256::digest(secret).into())
    }

    /// The part of the hash by which it is found.
    fn bucket(&self) -> u64 {
        self.0.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", Hex(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Writes bytes in hex.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// A text that is no hash of a key.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected `sha256:` and 64 hex digits")]
pub struct InvalidKeyHash;

impl FromStr for KeyHash {
    type Err = InvalidKeyHash;

    fn from_str(text: &str) -> Result<Self, InvalidKeyHash> {
        let digits = text.strip_prefix("sha256:").ok_or(InvalidKeyHash)?;
        if digits.len() != 64 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(InvalidKeyHash);
        }
        let mut hash = [0; 32];
        for (byte, at) in hash.iter_mut().zip((0..64).step_by(2)) {
            *byte = u8::from_str_radix(&digits[at..at + 2], 16).map_err(|_| InvalidKeyHash)?;
        }
        Ok(KeyHash(hash))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A moment, written as RFC 3339 or as a date, which means the first moment of that day in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expiry {
    unix_nano: u64,
}

impl Expiry {
    /// Nanoseconds since 1970.
    pub fn unix_nano(self) -> u64 {
        self.unix_nano
    }
}

impl FromStr for Expiry {
    type Err = jiff::Error;

    fn from_str(text: &str) -> Result<Self, jiff::Error> {
        let at = match text.parse::<jiff::civil::Date>() {
            Ok(date) if !text.contains(['T', 't', ' ']) => jiff::tz::Offset::UTC
                .to_timestamp(date.to_datetime(jiff::civil::Time::midnight()))?,
            _ => text.parse::<jiff::Timestamp>()?,
        };
        Ok(Expiry { unix_nano: u64::try_from(at.as_nanosecond()).unwrap_or(0) })
    }
}

impl Serialize for Expiry {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let at = jiff::Timestamp::from_nanosecond(i128::from(self.unix_nano));
        serializer.collect_str(&at.map_err(ser::Error::custom)?)
    }
}

impl<'de> Deserialize<'de> for Expiry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(|_| {
            de::Error::custom(format!(
                "`{text}` is no time; expected `2027-01-31` or `2027-01-31T12:00:00Z`"
            ))
        })
    }
}

/// A new key: the only time that its secret is seen.
pub struct NewKey {
    /// What the client has to show.
    pub secret: String,
    /// What the configuration keeps of it.
    pub hash: KeyHash,
}

impl NewKey {
    /// Makes a key of 192 random bits.
    pub fn generate() -> Self {
        let secret = format!("{PREFIX}{}", Hex(&rand::random::<[u8; 24]>()));
        let hash = KeyHash::of(secret.as_bytes());
        NewKey { secret, hash }
    }
}

/// Whether this is, or was, a key that [`NewKey`] made.
pub fn is_generated(secret: &[u8]) -> bool {
    secret.starts_with(PREFIX.as_bytes())
}

impl fmt::Debug for NewKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewKey").field("hash", &self.hash).finish_non_exhaustive()
    }
}

/// Why a set of keys cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidKeys {
    /// An id that would not fit into a header, a span or a snapshot of limits.
    #[error("`{0}` is no id of a key; use up to 64 letters, digits, `.`, `_` and `-`")]
    Id(Arc<str>),
    /// Two keys of one id.
    #[error("two keys have the id `{0}`")]
    RepeatedId(Arc<str>),
    /// One secret under two ids: nobody could say whose limits count.
    #[error("keys `{0}` and `{1}` have the same hash")]
    RepeatedHash(Arc<str>, Arc<str>),
}

/// Why a key was refused. What the client is told must not tell these apart.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// No key has this secret.
    #[error("unknown key")]
    Unknown,
    /// The key is switched off.
    #[error("key `{0}` is disabled")]
    Disabled(Arc<str>),
    /// The key is past its time.
    #[error("key `{0}` has expired")]
    Expired(Arc<str>),
}

/// The keys in force.
#[derive(Debug, Default)]
pub struct Keys {
    by_bucket: HashMap<u64, Vec<Arc<Key>>>,
    all: Vec<Arc<Key>>,
}

impl Keys {
    /// Checks that every key can be told from every other.
    pub fn new(keys: impl IntoIterator<Item = Key>) -> Result<Self, InvalidKeys> {
        let mut ids = HashSet::new();
        let mut set = Keys::default();
        for key in keys {
            if !is_id(&key.id) {
                return Err(InvalidKeys::Id(key.id));
            }
            if !ids.insert(key.id.clone()) {
                return Err(InvalidKeys::RepeatedId(key.id));
            }
            let bucket = set.by_bucket.entry(key.hash.bucket()).or_default();
            if let Some(other) = bucket.iter().find(|other| other.hash == key.hash) {
                return Err(InvalidKeys::RepeatedHash(other.id.clone(), key.id));
            }
            let key = Arc::new(key);
            bucket.push(key.clone());
            set.all.push(key);
        }
        Ok(set)
    }

    /// The key that the client showed.
    ///
    /// The presented secret is hashed whole before anything is compared, and the hashes are
    /// compared in constant time, so that the time taken tells nothing about any key.
    pub fn authenticate(&self, presented: &[u8], now_unix_nano: u64) -> Result<Arc<Key>, KeyError> {
        let hash = KeyHash::of(presented);
        let bucket = self.by_bucket.get(&hash.bucket()).map_or(&[][..], Vec::as_slice);
        let same = |key: &&Arc<Key>| bool::from(key.hash.0.ct_eq(&hash.0));
        let key = bucket.iter().find(same).ok_or(KeyError::Unknown)?;
        if key.disabled {
            return Err(KeyError::Disabled(key.id.clone()));
        }
        if key.expires.is_some_and(|expiry| now_unix_nano >= expiry.unix_nano) {
            return Err(KeyError::Expired(key.id.clone()));
        }
        Ok(key.clone())
    }

    /// All keys, as they were written.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Key>> {
        self.all.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}

fn is_id(id: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    !id.is_empty() && id.len() <= MAX_ID_BYTES && id.bytes().all(allowed)
}
