//! Owns how late a kernel timer may fire. Read: linux kernel/time/timer.c (the comment on top, `calc_index`).

use std::time::Duration;

use crate::span::Span;

/// An interval of time from the sample on; `min <= max` always.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    min: Duration,
    max: Duration,
}

impl Interval {
    /// Between the two, in whichever order they are given.
    pub fn between(one: Duration, other: Duration) -> Self {
        Self { min: one.min(other), max: one.max(other) }
    }

    /// The earliest moment.
    pub const fn min(self) -> Duration {
        self.min
    }

    /// The latest moment.
    pub const fn max(self) -> Duration {
        self.max
    }

    /// Whether `measured` lies within, ends included.
    pub fn contains(self, measured: Duration) -> bool {
        self.min <= measured && measured <= self.max
    }

    /// This moment and no other.
    pub const fn exactly(moment: Duration) -> Self {
        Self { min: moment, max: moment }
    }

    /// This interval, later by `step`.
    #[must_use]
    pub fn plus(self, step: Self) -> Self {
        Self { min: self.min.saturating_add(step.min), max: self.max.saturating_add(step.max) }
    }

    /// The smallest interval that covers both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}

impl std::fmt::Display for Interval {
    /// One number where both ends read alike, else `min..max`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (min, max) = (Span(self.min).to_string(), Span(self.max).to_string());
        if min == max { f.pad(&max) } else { f.pad(&format!("{min}..{max}")) }
    }
}

/// The length of the kernel's tick (1 / CONFIG_HZ).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tick(Duration);

impl Tick {
    /// From CONFIG_HZ; 0 is taken as 1.
    pub fn from_hz(hz: u32) -> Self {
        Self(Duration::from_secs(1) / hz.max(1))
    }

    /// From the tick's length, as `clock_getres(CLOCK_MONOTONIC_COARSE)` gives it.
    pub const fn from_length(length: Duration) -> Self {
        Self(length)
    }

    /// The tick's length.
    pub const fn length(self) -> Duration {
        self.0
    }

    /// When a timer fires that is armed now for `nominal`: never early, late by the wheel's
    /// rounding and by the part of a tick in which it was armed.
    pub fn firing(self, nominal: Duration) -> Interval {
        let late = self.lateness(nominal).saturating_add(self.0);
        Interval { min: nominal, max: nominal.saturating_add(late) }
    }

    /// When a timer fires of which the kernel says that it expires in `remaining`, and that was
    /// armed for at most `armed_for`. The kernel counts the remaining time in whole ticks.
    pub fn firing_armed(self, remaining: Duration, armed_for: Duration) -> Interval {
        let late = self.lateness(armed_for.max(remaining)).saturating_add(self.0);
        Interval { min: remaining.saturating_sub(self.0), max: remaining.saturating_add(late) }
    }

    /// The most by which a timer that was armed for `interval` fires after its nominal expiry.
    pub fn lateness(self, interval: Duration) -> Duration {
        // Level n of the wheel holds intervals below 63 * 8^n ticks and rounds up to 8^n ticks
        // (LVL_START, LVL_GRAN; depth 9 at most).
        let ticks = interval.as_nanos().div_ceil(self.0.as_nanos().max(1));
        let level = (0..8u32).find(|level| ticks < 63u128 << (3 * level)).unwrap_or(8);
        self.0 * 8u32.pow(level)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lateness_follows_the_levels_of_the_wheel_at_250_hz() {
        let tick = Tick::from_hz(250);
        let late = |ms| tick.lateness(Duration::from_millis(ms)).as_millis();
        assert_eq!(late(200), 4);
        assert_eq!(late(251), 32);
        assert_eq!(late(2_000), 32);
        assert_eq!(late(2_100), 256);
        assert_eq!(late(16_500), 2_048);
        assert_eq!(late(120_000), 2_048);
        assert_eq!(late(924_000), 16_384);
        assert_eq!(late(7_200_000), 131_072);
    }

    #[test]
    fn a_tick_of_no_hertz_does_not_divide_by_zero() {
        assert_eq!(Tick::from_hz(0).lateness(Duration::from_secs(1)).as_secs(), 1);
    }
}
