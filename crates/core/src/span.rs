//! Owns how a length of time is written for people: two units at most, never more precise than known.

use std::{fmt, time::Duration};

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
