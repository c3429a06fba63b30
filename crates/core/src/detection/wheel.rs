//! Owns how late a kernel timer may fire. Read: linux kernel/time/timer.c (the comment on top, `calc_index`).

use std::time::Duration;

use crate::span::Span;

/// An interval of time from the sample on; `min <= max` always. Ends beyond 584 years are cut to that.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Interval {
    min_ns: u64,
    max_ns: u64,
}

impl Interval {
    /// Between the two, in whichever order they are given.
    pub fn between(one: Duration, other: Duration) -> Self {
        let (one, other) = (nanos(one), nanos(other));
        Self { min_ns: one.min(other), max_ns: one.max(other) }
    }

    /// The earliest moment.
    pub const fn min(self) -> Duration {
        Duration::from_nanos(self.min_ns)
    }

    /// The latest moment.
    pub const fn max(self) -> Duration {
        Duration::from_nanos(self.max_ns)
    }

    /// Whether `measured` lies within, ends included.
    pub fn contains(self, measured: Duration) -> bool {
        (self.min_ns..=self.max_ns).contains(&nanos(measured))
    }

    /// This moment and no other.
    pub const fn exactly(moment: Duration) -> Self {
        let moment = nanos(moment);
        Self { min_ns: moment, max_ns: moment }
    }

    /// This interval, later by `step`.
    #[must_use]
    pub fn plus(self, step: Self) -> Self {
        Self {
            min_ns: self.min_ns.saturating_add(step.min_ns),
            max_ns: self.max_ns.saturating_add(step.max_ns),
        }
    }

    /// The smallest interval that covers both.
    #[must_use]
    pub fn hull(self, other: Self) -> Self {
        Self { min_ns: self.min_ns.min(other.min_ns), max_ns: self.max_ns.max(other.max_ns) }
    }
}

impl std::fmt::Debug for Interval {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:?}..={:?}", self.min(), self.max())
    }
}

impl std::fmt::Display for Interval {
    /// One number where both ends read alike, else `min..max`.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (min, max) = (Span(self.min()).to_string(), Span(self.max()).to_string());
        if min == max { f.pad(&max) } else { f.pad(&format!("{min}..{max}")) }
    }
}

/// The length of the kernel's tick (1 / CONFIG_HZ).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tick {
    ns: u64,
}

impl Tick {
    /// From CONFIG_HZ; 0 is taken as 1.
    pub fn from_hz(hz: u32) -> Self {
        Self { ns: NANOS_PER_SECOND / u64::from(hz.max(1)) }
    }

    /// From the tick's length, as `clock_getres(CLOCK_MONOTONIC_COARSE)` gives it.
    pub const fn from_length(length: Duration) -> Self {
        Self { ns: nanos(length) }
    }

    /// The tick's length.
    pub const fn length(self) -> Duration {
        Duration::from_nanos(self.ns)
    }

    /// When a timer fires that is armed now for `nominal`, and where the jiffies then stand.
    ///
    /// A timer fires at the first multiple of its level's granularity after its expiry
    /// (`calc_index`), so its lateness follows from where the jiffies stood when it was armed: a
    /// handler that arms its own timer again, as TCP's do, is late by an amount that can be known.
    pub(super) fn firing(self, nominal: Duration, phase: Phase) -> (Interval, Phase) {
        let ticks = self.ticks(nominal);
        let granularity = granularity(ticks);
        // Only what is known of the phase at this level counts. Both are powers of two.
        let known = phase.0.min(granularity);
        let into = ticks & (known - 1);
        let latest = if known > 1 && into + HANDLER_TICKS >= known {
            // A handler that runs a tick late falls into the next bucket.
            granularity + known - into
        } else {
            granularity - into
        };
        let (soonest, latest) = (ticks + known - into - 1, ticks + latest + HANDLER_TICKS);
        let at = |ticks: u64| self.ns.saturating_mul(ticks);
        (Interval { min_ns: at(soonest), max_ns: at(latest) }, Phase(granularity))
    }

    /// When a timer fires of which the kernel says that it expires in `remaining`, and that was
    /// armed for at most `armed_for`. The kernel counts the remaining time in whole ticks.
    pub(super) fn firing_armed(self, remaining: Duration, armed_for: Duration) -> Interval {
        let late = self.lateness(armed_for.max(remaining)).saturating_add(self.length());
        Interval::between(remaining.saturating_sub(self.length()), remaining.saturating_add(late))
    }

    /// Where the jiffies stand when a timer fires that was armed for exactly `interval`.
    pub(super) fn phase_after(self, interval: Duration) -> Phase {
        Phase(granularity(self.ticks(interval)))
    }

    /// The length in ticks. The kernel's own intervals are whole ticks, which microseconds round;
    /// anything else is rounded up, as msecs_to_jiffies does.
    fn ticks(self, span: Duration) -> u64 {
        let (span, tick) = (nanos(span), self.ns.max(1));
        let (whole, rest) = (span / tick, span % tick);
        let tolerated = tick / 50;
        (whole + u64::from(rest > tolerated)).min(u64::MAX / 4)
    }

    fn time(self, ticks: u64) -> Duration {
        Duration::from_nanos(self.ns.saturating_mul(ticks))
    }

    /// The most by which a timer that was armed for `interval` fires after its nominal expiry.
    pub fn lateness(self, interval: Duration) -> Duration {
        self.time(granularity(self.ticks(interval)))
    }
}

/// What is known of the jiffies counter at some moment: that it is a multiple of this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Phase(u64);

impl Phase {
    /// Nothing is known: every number is a multiple of one.
    pub(super) const UNKNOWN: Self = Self(1);
}

/// Level n of the wheel holds intervals below 63 * 8^n ticks and rounds up to 8^n ticks
/// (LVL_START, LVL_GRAN; depth 9 at most).
const fn granularity(ticks: u64) -> u64 {
    let mut level = 0;
    while level < 8 && ticks >= 63 << (3 * level) {
        level += 1;
    }
    1 << (3 * level)
}

const NANOS_PER_SECOND: u64 = 1_000_000_000;

/// Whole nanoseconds in 64 bits, which reach for 584 years; divisions of 128 bits are slow, and a
/// prediction takes dozens.
const fn nanos(span: Duration) -> u64 {
    span.as_secs().saturating_mul(NANOS_PER_SECOND).saturating_add(span.subsec_nanos() as u64)
}

/// By how many ticks the handler of a timer may be run late: a busy processor, or a socket lock
/// that is held.
const HANDLER_TICKS: u64 = 1;

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

    /// 120 s are 30,000 ticks: 58 buckets of 512 and 304 ticks more.
    #[test]
    fn a_timer_armed_on_a_bucket_of_its_level_is_late_by_a_known_amount() {
        let tick = Tick::from_hz(250);
        let two_minutes = Duration::from_secs(120);
        let (unknown, phase) = tick.firing(two_minutes, Phase::UNKNOWN);
        assert_eq!((unknown.max() - unknown.min()).as_millis(), 2_048 + 4);
        let (known, again) = tick.firing(two_minutes, phase);
        assert_eq!(phase, again);
        assert!(known.contains(Duration::from_millis(120_000 + 208 * 4)), "{known:?}");
        assert_eq!((known.max() - known.min()).as_millis(), 8);
    }

    #[test]
    fn a_timer_is_never_early_whatever_the_phase() {
        let tick = Tick::from_hz(250);
        for ticks in 1..5_000u32 {
            let delay = Duration::from_millis(4) * ticks;
            for phase in [1, 8, 64, 512, 4096] {
                let (at, _) = tick.firing(delay, Phase(phase));
                assert!(at.min() >= delay, "{ticks} ticks from phase {phase}: {at:?}");
                assert!(at.max() <= delay + tick.lateness(delay) * 2 + tick.length());
            }
        }
    }

    #[test]
    fn a_tick_of_no_hertz_does_not_divide_by_zero() {
        assert_eq!(Tick::from_hz(0).lateness(Duration::from_secs(1)).as_secs(), 1);
    }
}
