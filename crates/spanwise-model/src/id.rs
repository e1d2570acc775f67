//! Trace and span ids: 16 and 8 bytes, never all zero, written as lower-case hex.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

// Both are aligned like integers: a copy of an odd place stalls whoever reads it back whole.

/// Identifies a trace: 16 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(8))]
pub struct TraceId([u8; 16]);

/// Identifies a span within its trace: 8 bytes, not all zero.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(align(8))]
pub struct SpanId([u8; 8]);

/// Why bytes or text are not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum InvalidId {
    /// Every byte is zero, which W3C Trace Context and OTLP reserve for "no id".
    #[error("is zero")]
    Zero,
    /// The wrong number of bytes or hex digits.
    #[error("has {got} bytes, expected {expected}")]
    Length {
        /// How many bytes an id of this sort has.
        expected: usize,
        /// How many there were.
        got: usize,
    },
    /// A character that is no hex digit.
    #[error("is not hexadecimal")]
    NotHex,
}

macro_rules! id {
    ($name:ident, $len:literal) => {
        impl $name {
            /// Takes the raw bytes of an id; refuses the all-zero id and any other length.
            pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidId> {
                let array: [u8; $len] = bytes
                    .try_into()
                    .map_err(|_| InvalidId::Length { expected: $len, got: bytes.len() })?;
                if array == [0; $len] { Err(InvalidId::Zero) } else { Ok(Self(array)) }
            }

            /// The raw bytes.
            pub const fn as_bytes(&self) -> &[u8; $len] {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            /// Reads hex in either case.
            fn from_str(hex: &str) -> Result<Self, InvalidId> {
                let digits = hex.as_bytes();
                if digits.len() != $len * 2 {
                    return Err(InvalidId::Length { expected: $len, got: digits.len() / 2 });
                }
                let mut bytes = [0; $len];
                for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
                    let high = (pair[0] as char).to_digit(16).ok_or(InvalidId::NotHex)?;
                    let low = (pair[1] as char).to_digit(16).ok_or(InvalidId::NotHex)?;
                    *byte = (high << 4 | low) as u8;
                }
                Self::from_bytes(&bytes)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                const DIGITS: &[u8; 16] = b"0123456789abcdef";
                // One write instead of a formatted one per byte: ids stand in every header.
                let mut hex = [0; $len * 2];
                for (pair, byte) in hex.chunks_exact_mut(2).zip(self.0) {
                    pair[0] = DIGITS[usize::from(byte >> 4)];
                    pair[1] = DIGITS[usize::from(byte & 0xf)];
                }
                f.write_str(std::str::from_utf8(&hex).map_err(|_| fmt::Error)?)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let hex = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                hex.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}

id!(TraceId, 16);
id!(SpanId, 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hex_round_trips_in_either_case() {
        let id: TraceId = "0AF7651916CD43DD8448EB211C80319C".parse().unwrap();
        assert_eq!(id.to_string(), "0af7651916cd43dd8448eb211c80319c");
    }

    #[test]
    fn zero_short_and_foreign_digits_are_refused() {
        assert_eq!("0000000000000000".parse::<SpanId>(), Err(InvalidId::Zero));
        assert_eq!("ab".parse::<SpanId>(), Err(InvalidId::Length { expected: 8, got: 1 }));
        assert_eq!("zzzzzzzzzzzzzzzz".parse::<SpanId>(), Err(InvalidId::NotHex));
    }
}
