//! Sizes as people write them: `64MiB`, `10GB`, `1048576`.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};

/// Reads `1048576`, `64MiB`, `10GB`.
pub fn parse_bytes(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor: u64 = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "kb" => 1000,
        "mb" => 1000 * 1000,
        "gb" => 1000 * 1000 * 1000,
        "tb" => 1000 * 1000 * 1000 * 1000,
        "k" | "kib" => 1 << 10,
        "m" | "mib" => 1 << 20,
        "g" | "gib" => 1 << 30,
        "t" | "tib" => 1 << 40,
        _ => 0,
    };
    let number = number.parse::<f64>().ok().filter(|number| *number >= 0.0 && factor > 0);
    number
        .map(|number| (number * factor as f64) as u64)
        .ok_or_else(|| format!("`{text}` is no size; write for example 64MiB or 10GB"))
}

/// A size in a configuration: with a unit, or a number of bytes.
pub(crate) fn bytes<'de, D, N>(deserializer: D) -> Result<N, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64>,
{
    let bytes = deserializer.deserialize_any(SizeVisitor)?;
    N::try_from(bytes).map_err(|_| de::Error::custom(format!("{bytes} bytes are too many")))
}

/// The same where nothing may be said.
pub(crate) fn some_bytes<'de, D, N>(deserializer: D) -> Result<Option<N>, D::Error>
where
    D: Deserializer<'de>,
    N: TryFrom<u64>,
{
    bytes(deserializer).map(Some)
}

struct SizeVisitor;

impl Visitor<'_> for SizeVisitor {
    type Value = u64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a size such as 64MiB, or a number of bytes")
    }

    fn visit_u64<E: de::Error>(self, bytes: u64) -> Result<u64, E> {
        Ok(bytes)
    }

    fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<u64, E> {
        u64::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<u64, E> {
        parse_bytes(text).map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Cache, Content, Limits};

    #[test]
    fn sizes() {
        assert_eq!(parse_bytes("64MiB"), Ok(64 << 20));
        assert_eq!(parse_bytes("10 GB"), Ok(10_000_000_000));
        assert_eq!(parse_bytes("17"), Ok(17));
        assert!(parse_bytes("many").is_err());
    }

    #[test]
    fn a_configuration_takes_units_and_numbers() {
        let limits: Limits =
            serde_json::from_str(r#"{"max_body_bytes":"2MiB","max_event_bytes":4096}"#).unwrap();
        assert_eq!((limits.max_body_bytes, limits.max_event_bytes), (2 << 20, 4096));
        let cache: Cache = serde_json::from_str(r#"{"max_bytes":"1GB"}"#).unwrap();
        assert_eq!(cache.max_bytes, 1_000_000_000);
        for wrong in [r#"{"max_bytes":"lots"}"#, r#"{"max_bytes":-1}"#, r#"{"max_bytes":true}"#] {
            assert!(serde_json::from_str::<Content>(wrong).is_err(), "{wrong}");
        }
    }
}
