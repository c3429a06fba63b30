//! Owns the lengths of time of the command line, and how the table writes them short. How they are
//! read, and how the prose writes them, is in `halfopen_core::Span`. Reads no clock.

use std::{fmt, str::FromStr, time::Duration};

use halfopen_core::{NotASpan, Span};

/// A length of time given by a user: `500ms`, `90s`, `15m`, `2h`, `1d`, `1m30s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Given(pub Duration);

impl FromStr for Given {
    type Err = NotASpan;

    fn from_str(text: &str) -> Result<Self, NotASpan> {
        Ok(Self(text.parse::<Span>()?.0))
    }
}

/// Writes a duration in at most five characters, rounded up where a unit is left out, so that
/// "within" stays true: `3ms`, `1.2s`, `42s`, `15m30s` becomes `16m`, `2h11m`, `5d2h`, `12d`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Short(pub Duration);

impl fmt::Display for Short {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let millis = u64::try_from(self.0.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX);
        let tenths = millis.div_ceil(100);
        let secs = millis.div_ceil(1000);
        let (minutes, hours) = (secs.div_ceil(60), secs.div_ceil(3600));
        let text = if millis < 1000 {
            format!("{millis}ms")
        } else if tenths < 100 && !tenths.is_multiple_of(10) {
            format!("{}.{}s", tenths / 10, tenths % 10)
        } else if secs < 100 {
            format!("{secs}s")
        } else if secs < 600 {
            pair(secs, 60, "m", "s")
        } else if minutes < 100 {
            format!("{minutes}m")
        } else if minutes < 600 {
            pair(minutes, 60, "h", "m")
        } else if hours < 48 {
            format!("{hours}h")
        } else if hours < 240 {
            pair(hours, 24, "d", "h")
        } else {
            format!("{}d", hours.div_ceil(24))
        };
        f.pad(&text)
    }
}

fn pair(small: u64, per_big: u64, big_unit: &str, small_unit: &str) -> String {
    match (small / per_big, small % per_big) {
        (big, 0) => format!("{big}{big_unit}"),
        (big, rest) => format!("{big}{big_unit}{rest}{small_unit}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(text: &str) -> Result<u128, NotASpan> {
        text.parse::<Given>().map(|given| given.0.as_millis())
    }

    #[test]
    fn durations_are_read_with_one_or_more_units() {
        assert_eq!(ms("500ms"), Ok(500));
        assert_eq!(ms("90s"), Ok(90_000));
        assert_eq!(ms("15m"), Ok(900_000));
        assert_eq!(ms("2h"), Ok(7_200_000));
        assert_eq!(ms("1m30s"), Ok(90_000));
        assert_eq!(ms("1d2h3m4s5ms"), Ok(93_784_005));
    }

    #[test]
    fn a_bare_number_is_told_to_take_a_unit() {
        assert_eq!(ms("90"), Err(NotASpan::NoUnit("90".to_owned())));
    }

    #[test]
    fn slips_are_refused() {
        for text in ["", "s", "1x", "-1s", "1 s", "1.5s", "30s1m", "1m1m", "1m30", "１s"] {
            assert!(ms(text).is_err(), "{text:?}");
        }
        assert!(matches!(ms("99999999999999999999s"), Err(NotASpan::TooLong(_))));
        assert!(matches!(ms("999999999999999999d"), Err(NotASpan::TooLong(_))));
    }

    #[test]
    fn short_spans_never_understate() {
        let short = |ms| Short(Duration::from_millis(ms)).to_string();
        assert_eq!(short(0), "0ms");
        assert_eq!(short(999), "999ms");
        assert_eq!(short(1000), "1s");
        assert_eq!(short(1201), "1.3s");
        assert_eq!(short(9_999), "10s");
        assert_eq!(short(42_000), "42s");
        assert_eq!(short(99_500), "1m40s");
        assert_eq!(short(924_600), "16m");
        assert_eq!(short(7_200_000), "2h");
        assert_eq!(short(7_875_000), "2h12m");
        assert_eq!(short(36_000_000), "10h");
        assert_eq!(short(432_000_000), "5d");
        assert_eq!(short(439_200_000), "5d2h");
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in "\\PC*") {
            let _ = text.parse::<Given>();
        }

        #[test]
        fn short_spans_are_short(ms in 0u64..86_400_000 * 9_999) {
            let text = Short(Duration::from_millis(ms)).to_string();
            prop_assert!(text.len() <= 5, "{}", text);
        }

        #[test]
        fn whole_seconds_read_back(secs in 0u64..1 << 40) {
            prop_assert_eq!(ms(&format!("{secs}s")), Ok(u128::from(secs) * 1000));
        }
    }
}
