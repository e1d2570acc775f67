//! Durations, sizes and times as people write them.

use std::time::Duration;

pub use spanwise_gateway::size::parse_bytes;

/// Reads `250ms`, `30s`, `15m`, `12h`, `30d` or `2w`.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = split_unit(text);
    let number = number.parse::<f64>().ok().filter(|number| *number >= 0.0);
    let unit_secs = match unit {
        "ms" => 0.001,
        "s" => 1.0,
        "m" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        "w" => 604_800.0,
        _ => f64::NAN,
    };
    number
        .and_then(|number| Duration::try_from_secs_f64(number * unit_secs).ok())
        .ok_or_else(|| format!("`{text}` is no duration; write for example 30s, 15m, 12h or 30d"))
}

/// Reads a moment as nanoseconds since 1970: RFC 3339, Unix milliseconds, `now`, or relative to
/// `now_ns` (`-15m`).
pub fn parse_time(text: &str, now_ns: u64) -> Result<u64, String> {
    if text == "now" {
        return Ok(now_ns);
    }
    if let Some(back) = text.strip_prefix('-') {
        let back_ns = u64::try_from(parse_duration(back)?.as_nanos()).unwrap_or(u64::MAX);
        return Ok(now_ns.saturating_sub(back_ns));
    }
    if let Ok(ms) = text.parse::<u64>() {
        return Ok(ms.saturating_mul(1_000_000));
    }
    // A `+` of an offset arrives as a space where the sender did not encode it.
    let timestamp = text.replace(' ', "+").parse::<jiff::Timestamp>().map_err(|_| {
        format!("`{text}` is no time; write RFC 3339, Unix milliseconds, or relative like -15m")
    })?;
    Ok(u64::try_from(timestamp.as_nanosecond()).unwrap_or(0))
}

fn split_unit(text: &str) -> (&str, &str) {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    text.split_at(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(parse_duration("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse_duration("1.5h"), Ok(Duration::from_mins(90)));
        for wrong in ["", "5", "s", "-5s", "5 parsecs", "1e400d", "..s"] {
            assert!(parse_duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn times() {
        let now = 1_700_000_000_000_000_000;
        assert_eq!(parse_time("-15m", now), Ok(now - 900_000_000_000));
        assert_eq!(parse_time("1700000000123", now), Ok(1_700_000_000_123_000_000));
        assert_eq!(parse_time("2023-11-14T22:13:20Z", now), Ok(now));
        assert_eq!(parse_time("2023-11-14T23:13:20 01:00", now), Ok(now));
        assert_eq!(parse_time("1960-01-01T00:00:00Z", now), Ok(0));
        assert!(parse_time("yesterday", now).is_err());
    }
}
