//! Owns how a length of time is written for people (two units at most, never more precise than
//! known), and how one is read from a command line or a file.

use std::{fmt, str::FromStr, time::Duration};

/// Writes a duration as `3ms`, `1.2s`, `59s`, `15m24s`, `2h11m` or `5d2h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span(pub Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (millis, secs) = (self.0.as_millis(), self.0.as_secs());
        let text = match secs {
            _ if millis < 1000 => format!("{millis}ms"),
            0..=9 if !millis.is_multiple_of(1000) => format!("{}.{}s", secs, (millis % 1000) / 100),
            0..=119 => format!("{secs}s"),
            120..=7199 => two(secs / 60, "m", secs % 60, "s"),
            7200..=172_799 => two(secs / 3600, "h", secs % 3600 / 60, "m"),
            _ => two(secs / 86_400, "d", secs % 86_400 / 3600, "h"),
        };
        f.pad(&text)
    }
}

fn two(big: u64, big_unit: &str, small: u64, small_unit: &str) -> String {
    if small == 0 {
        format!("{big}{big_unit}")
    } else {
        format!("{big}{big_unit}{small}{small_unit}")
    }
}

/// A text that is not a length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotASpan {
    /// A number without a unit.
    NoUnit(String),
    /// Anything else.
    Unreadable(String),
    /// More than 2^64 milliseconds.
    TooLong(String),
}

impl fmt::Display for NotASpan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoUnit(number) => {
                write!(f, "a duration needs a unit: write {number}s, {number}m or {number}h")
            }
            Self::Unreadable(text) => write!(
                f,
                "`{text}` is not a duration: write whole numbers with ms, s, m, h or d, e.g. 500ms, 90s, 1m30s, 2h"
            ),
            Self::TooLong(text) => write!(f, "`{text}` is longer than can be counted"),
        }
    }
}

impl std::error::Error for NotASpan {}

/// Longest suffix first, since `ms` ends like `s` and begins like `m`.
const UNITS: [(&str, u64); 5] =
    [("ms", 1), ("s", 1000), ("m", 60_000), ("h", 3_600_000), ("d", 86_400_000)];

impl FromStr for Span {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        let unreadable = || NotASpan::Unreadable(text.to_owned());
        let too_long = || NotASpan::TooLong(text.to_owned());
        if text.is_empty() {
            return Err(unreadable());
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(NotASpan::NoUnit(text.to_owned()));
        }
        let (mut rest, mut total, mut smallest) = (text, 0u64, u64::MAX);
        while !rest.is_empty() {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            let (number, tail) = rest.split_at(digits);
            let (suffix, unit) = UNITS
                .into_iter()
                .find(|(suffix, _)| tail.starts_with(suffix))
                .ok_or_else(unreadable)?;
            // Units must fall, so that `30s1m` and `1m1m` are caught as the slips they are.
            if digits == 0 || unit >= smallest {
                return Err(unreadable());
            }
            let number: u64 = number.parse().map_err(|_| too_long())?;
            total = number
                .checked_mul(unit)
                .and_then(|ms| total.checked_add(ms))
                .ok_or_else(too_long)?;
            smallest = unit;
            rest = tail.get(suffix.len()..).unwrap_or_default();
        }
        Ok(Self(Duration::from_millis(total)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_has_two_units_at_most() {
        let written = |ms| Span(Duration::from_millis(ms)).to_string();
        assert_eq!(written(0), "0ms");
        assert_eq!(written(999), "999ms");
        assert_eq!(written(1000), "1s");
        assert_eq!(written(1250), "1.2s");
        assert_eq!(written(9950), "9.9s");
        assert_eq!(written(61_000), "61s");
        assert_eq!(written(924_600), "15m24s");
        assert_eq!(written(7_200_000), "2h");
        assert_eq!(written(7_875_000), "2h11m");
        assert_eq!(written(432_000_000), "5d");
    }
}
