//! Owns the chain of firings of one kernel timer: when each comes, and what the kernel then counts.
//! A timer that fires late counts more time at its next firing, so the two are kept side by side.

use std::time::Duration;

use super::wheel::{Interval, Phase, Tick};

/// One firing of a timer whose handler asks "has `limit` passed since a certain moment?".
#[derive(Debug, Clone, Copy)]
pub(super) struct Firing {
    /// From the sample to this firing.
    pub(super) at: Interval,
    /// What the handler then counts, from the moment that it counts from.
    pub(super) counted: Interval,
    /// `counted - at` in microseconds, which no lateness changes: least and most.
    lead_us: (i64, i64),
    /// Where the jiffies stand when it fires.
    phase: Phase,
}

impl Firing {
    /// The firing from which the handler starts to count.
    pub(super) fn first(at: Interval) -> Self {
        let lead_us = (-micros(at.max()), -micros(at.min()));
        Self { at, counted: Interval::exactly(Duration::ZERO), lead_us, phase: Phase::UNKNOWN }
    }

    /// A firing when the count has been running for `running` at the moment of the sample.
    pub(super) fn counting(at: Interval, running: Interval) -> Self {
        let lead_us = (micros(running.min()), micros(running.max()));
        Self { at, counted: at.plus(running), lead_us, phase: Phase::UNKNOWN }
    }

    /// With a floor under what is counted: timers never fire early, so whole intervals are never
    /// short of their nominal sum, however coarsely the kernel reports what is left of one.
    #[must_use]
    pub(super) fn counting_at_least(self, floor: Duration) -> Self {
        let min = self.counted.min().max(floor);
        Self { counted: Interval::between(min, self.counted.max().max(min)), ..self }
    }

    /// With what is known of the jiffies when it fires.
    #[must_use]
    pub(super) fn in_phase(self, phase: Phase) -> Self {
        Self { phase, ..self }
    }

    /// The next firing, armed for a nominal delay.
    #[must_use]
    pub(super) fn then(self, delay: Duration, tick: Tick) -> Self {
        let (step, phase) = tick.firing(delay, self.phase);
        Self { at: self.at.plus(step), counted: self.counted.plus(step), phase, ..self }
    }

    /// The next firing, armed for a nominal delay that is known only within bounds.
    #[must_use]
    pub(super) fn then_within(self, delay: Interval, tick: Tick) -> Self {
        let latest = tick.firing(delay.max(), Phase::UNKNOWN).0.max();
        let step = Interval::between(delay.min(), latest);
        let phase = Phase::UNKNOWN;
        Self { at: self.at.plus(step), counted: self.counted.plus(step), phase, ..self }
    }

    /// The next firing, armed so that the handler counts exactly `limit` (tcp_clamp_rto_to_user_timeout).
    #[must_use]
    pub(super) fn then_at(self, limit: Duration, tick: Tick) -> Self {
        // No timer is armed for less than a tick.
        let soonest = self.at.min().saturating_add(tick.length());
        let latest = self.at.max().saturating_add(tick.length());
        let left = limit.saturating_sub(self.counted.min()).max(tick.length());
        let late = tick.lateness(left).saturating_add(tick.length());
        let min = duration(micros(limit) - self.lead_us.1).max(soonest);
        let max = duration(micros(limit) - self.lead_us.0).max(latest).saturating_add(late);
        let counted_min = limit.max(self.counted.min().saturating_add(tick.length()));
        let counted_max = limit.max(self.counted.max()).saturating_add(late);
        Self {
            at: Interval::between(min, max),
            counted: Interval::between(counted_min, counted_max.max(counted_min)),
            ..self
        }
    }

    /// Whether the handler may find that `limit` has passed.
    pub(super) fn may_pass(&self, limit: Duration, tick: Tick) -> bool {
        self.counted.max().saturating_add(tick.length()) >= limit
    }

    /// Whether the handler cannot but find that `limit` has passed.
    pub(super) fn must_pass(&self, limit: Duration) -> bool {
        self.counted.min() >= limit
    }

    /// The earliest moment of this firing at which the handler can find that `limit` has passed.
    pub(super) fn earliest_past(&self, limit: Duration, tick: Tick) -> Duration {
        let reached = duration(micros(limit) - self.lead_us.1).saturating_sub(tick.length());
        self.at.min().max(reached.min(self.at.max()))
    }
}

/// The interval in which a chain of firings ends: at the first one that finds its limit passed.
/// `limit` and `next` see the number of the firing, counted from 0.
pub(super) fn first_past(
    firing: Firing,
    tick: Tick,
    limit: impl Fn(u32) -> Option<Duration>,
    next: impl FnMut(u32, Firing) -> Firing,
) -> Interval {
    ends(firing, tick, limit, next).within(tick)
}

/// Where a chain of firings may end, and where it must.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ends {
    /// The first firing that may find its limit passed, and that limit.
    earliest: Option<(Firing, Duration)>,
    /// The first one that cannot but find it passed.
    last: Firing,
}

impl Ends {
    /// The interval between the two.
    pub(super) fn within(&self, tick: Tick) -> Interval {
        let latest = self.last.at.max();
        let earliest = self.earliest.map(|(firing, limit)| firing.earliest_past(limit, tick));
        Interval::between(earliest.unwrap_or(self.last.at.min()).min(latest), latest)
    }

    /// The ends of a chain like this one, which began with [`Firing::first`] at the moment of the
    /// sample, if it begins at `first` instead: every firing is later by as much, and counts alike.
    #[must_use]
    pub(super) fn beginning(self, first: Interval) -> Self {
        let later = |firing: Firing| Firing {
            at: firing.at.plus(first),
            counted: firing.counted,
            ..Firing::first(first)
        };
        Self {
            earliest: self.earliest.map(|(firing, limit)| (later(firing), limit)),
            last: later(self.last),
        }
    }
}

/// Follows a chain of firings to its ends, as [`first_past`] does.
pub(super) fn ends(
    mut firing: Firing,
    tick: Tick,
    limit: impl Fn(u32) -> Option<Duration>,
    mut next: impl FnMut(u32, Firing) -> Firing,
) -> Ends {
    let mut earliest = None;
    for number in 0..FIRINGS_MAX {
        if let Some(limit) = limit(number) {
            if earliest.is_none() && firing.may_pass(limit, tick) {
                earliest = Some((firing, limit));
            }
            if firing.must_pass(limit) {
                break;
            }
        }
        firing = next(number, firing);
    }
    Ends { earliest, last: firing }
}

/// Ten times the 255 retries that `tcp_retries2` allows; `unacked.rs` leaps over firings that
/// cannot end anything, so that a TCP_USER_TIMEOUT of weeks fits as well.
const FIRINGS_MAX: u32 = 2_550;

fn micros(span: Duration) -> i64 {
    i64::try_from(span.as_micros()).unwrap_or(i64::MAX / 4)
}

fn duration(us: i64) -> Duration {
    Duration::from_micros(u64::try_from(us).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_ends_as_much_later_as_it_begins_later() {
        let (tick, us) = (Tick::from_hz(250), Duration::from_micros);
        for (rto, limit) in [(us(204_000), us(924_600_000)), (us(1_000_000), us(1_000_001))] {
            let limit = |number| (number > 0).then_some(limit);
            let next = |number, firing: Firing| firing.then(rto * (1_u32 << number), tick);
            let phase = tick.phase_after(rto);
            let chain = |first| Firing::first(first).in_phase(phase);
            let at_once = ends(chain(Interval::exactly(Duration::ZERO)), tick, limit, next);
            for first in [(0, 0), (1, 1), (2_039, 204_008), (999, 70_000_000)] {
                let first = Interval::between(us(first.0), us(first.1));
                let walked = first_past(chain(first), tick, limit, next);
                assert_eq!(at_once.beginning(first).within(tick), walked, "{first:?}");
            }
        }
    }
}
