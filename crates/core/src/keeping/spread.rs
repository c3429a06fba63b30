//! Owns how many connections are made to probe without an outage: one slot of the timer wheel fires
//! at once, and probes beyond the per-processor backlog are dropped, count as unanswered, and are
//! repeated in step until the kernel ends healthy connections (measured: 13,594 of 19,600).
//! Read: linux kernel/time/timer.c, net/core/dev.c `enqueue_to_backlog`.

use std::time::Duration;

use super::plan::{Objective, Refusal, times};
use crate::detection::Tick;

/// The connections that are to be kept, and the host that will probe for them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// How many.
    pub connections: usize,
    /// `net.core.netdev_max_backlog`, for each processor.
    pub backlog: u32,
    /// The kernel's tick.
    pub tick: Tick,
}

/// One wait for all, begun in steps. Waits of equal length keep the distance at which they began
/// for as long as the connections are quiet; waits of unequal lengths would meet again and again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// The longest wait for the first probe. It may be shorter than the objective needs, since
    /// shorter timers fire in finer slots, which hold more connections in all.
    pub wait: Option<Duration>,
    /// How many connections may begin to wait at once.
    pub per_step: usize,
    /// From one step to the next: as long as one slot.
    pub step: Duration,
}

impl Spread {
    /// A spread that keeps every slot at half of the backlog or less.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] where no wait has slots enough.
    pub fn over(crowd: &Crowd, objective: &Objective) -> Result<Self, Refusal> {
        let per_step = usize::try_from(crowd.backlog / 2).unwrap_or(1).max(1);
        let Some(longest) = times(crowd.tick, objective).map(|times| times.idle) else {
            // No plan will come of it, so nothing has to be spread.
            return Ok(Self { wait: None, per_step, step: Duration::ZERO });
        };
        let mut most = 0;
        for wait in waits(crowd.tick, longest) {
            let step = slot(crowd.tick, wait);
            let slots = wait.as_nanos() / step.as_nanos().max(1);
            let room = per_step.saturating_mul(usize::try_from(slots).unwrap_or(usize::MAX));
            if crowd.connections <= room {
                return Ok(Self { wait: (wait < longest).then_some(wait), per_step, step });
            }
            most = most.max(room);
        }
        Err(Refusal::TooMany { most })
    }

    /// How many steps so many connections take.
    pub const fn steps(&self, connections: usize) -> usize {
        connections.div_ceil(self.per_step)
    }

    /// How long it takes until the last has begun to wait.
    pub fn takes(&self, connections: usize) -> Duration {
        let pauses = u32::try_from(self.steps(connections).saturating_sub(1)).unwrap_or(u32::MAX);
        self.step.saturating_mul(pauses)
    }
}

/// The waits worth trying, longest first: the one that the objective allows, and below it the
/// longest of each level of the wheel, since a level's slots are counted by its longest timer.
fn waits(tick: Tick, longest: Duration) -> impl Iterator<Item = Duration> {
    let mut next = Some(longest);
    std::iter::from_fn(move || {
        let wait = next.take()?;
        let finer = |seconds: &u64| slot(tick, Duration::from_secs(*seconds)) < slot(tick, wait);
        next = (1..wait.as_secs()).rev().find(finer).map(Duration::from_secs);
        Some(wait)
    })
    // What the objective itself wants is always tried.
    .take_while(move |wait| *wait == longest || *wait >= WAIT_MIN)
}

/// Probes more often than this are a load of their own, which nobody has asked for.
const WAIT_MIN: Duration = Duration::from_secs(2);

/// A slot is as long as a timer of this length may be late.
pub(super) fn slot(tick: Tick, wait: Duration) -> Duration {
    tick.lateness(wait).max(tick.length())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn within(seconds: u64) -> Objective {
        Objective {
            detect_within: Duration::from_secs(seconds),
            survive_idle: None,
            user_timeout: false,
        }
    }

    fn crowd(connections: usize) -> Crowd {
        Crowd { connections, backlog: 1000, tick: Tick::from_hz(250) }
    }

    #[test]
    fn every_slot_holds_half_of_the_backlog_at_most() {
        for seconds in [10, 30, 60, 120, 600, 3600, 86_400] {
            for connections in [1, 500, 501, 5_000, 20_000, 28_000] {
                let Ok(spread) = Spread::over(&crowd(connections), &within(seconds)) else {
                    continue;
                };
                assert_eq!(spread.per_step, 500);
                // The last begins to wait before the first probes again, and no two share a slot.
                let wait = spread
                    .wait
                    .or_else(|| times(crowd(1).tick, &within(seconds)).map(|times| times.idle));
                let wait = wait.unwrap();
                assert!(spread.takes(connections) < wait, "{connections} within {seconds} s");
                assert!(spread.step >= crowd(1).tick.lateness(wait));
            }
        }
    }

    #[test]
    fn a_shorter_wait_is_taken_where_its_slots_hold_more() {
        let spread = Spread::over(&crowd(20_000), &within(60)).unwrap();
        assert!(spread.wait.unwrap() <= Duration::from_secs(16), "{spread:?}");
        assert!(spread.takes(20_000) < Duration::from_secs(12), "{spread:?}");
        assert_eq!(Spread::over(&crowd(500), &within(60)).unwrap().wait, None);
    }

    #[test]
    fn more_than_fits_is_refused_with_the_number_that_does() {
        let Err(Refusal::TooMany { most }) = Spread::over(&crowd(100_000), &within(60)) else {
            panic!("a hundred thousand within a minute cannot be spread");
        };
        assert!(Spread::over(&crowd(most), &within(60)).is_ok());
        assert!(Spread::over(&crowd(most + 1), &within(60)).is_err());
        let roomy = Crowd { backlog: 1_000_000, ..crowd(100_000) };
        assert_eq!(Spread::over(&roomy, &within(60)).unwrap().takes(100_000), Duration::ZERO);
    }

    #[test]
    fn the_shortest_objective_that_can_be_promised_is_kept_too() {
        let tick = Tick::from_hz(250);
        let promised = (1..10).find(|seconds| times(tick, &within(*seconds)).is_some());
        let spread = Spread::over(&crowd(10), &within(promised.unwrap()));
        assert_eq!(spread.map(|spread| spread.wait), Ok(None));
    }

    #[test]
    fn half_a_backlog_begins_at_once() {
        let spread = Spread::over(&crowd(500), &within(60)).unwrap();
        assert_eq!((spread.steps(500), spread.takes(500)), (1, Duration::ZERO));
    }
}
