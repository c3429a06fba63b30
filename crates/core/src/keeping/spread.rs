//! Owns how many connections are made to probe without an outage: one slot of the timer wheel fires
//! at once, and probes beyond the per-processor backlog are dropped, count as unanswered, and are
//! repeated in step until the kernel ends healthy connections (measured: 13,594 of 19,600).
//! Read: linux kernel/time/timer.c, net/core/dev.c `enqueue_to_backlog`.

use std::time::Duration;

use super::plan::{Objective, Refusal};
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

/// Shortens each connection's wait by another amount, so that no timer slot holds too many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    slot: Duration,
    per_slot: usize,
}

impl Spread {
    /// A spread that keeps every slot at half of the backlog or less.
    ///
    /// # Errors
    /// [`Refusal::TooMany`] where the objective leaves too little time to spread over.
    pub fn over(crowd: &Crowd, objective: &Objective) -> Result<Self, Refusal> {
        // The first wait is about half of the objective; half of that may be given away.
        let room = objective.detect_within / 4;
        let slot = crowd.tick.lateness(objective.detect_within / 2).max(Duration::from_secs(1));
        let per_slot = usize::try_from(crowd.backlog / 2).unwrap_or(1).max(1);
        let slots =
            usize::try_from(room.as_millis() / slot.as_millis().max(1)).unwrap_or(usize::MAX);
        let most = per_slot.saturating_mul(slots.max(1));
        if crowd.connections > most {
            return Err(Refusal::TooMany { most });
        }
        Ok(Self { slot, per_slot })
    }

    /// What to take off the wait of connection number `number`, counted from 0. Whole slots, in
    /// turn, so that the count in each is exact and not a matter of luck.
    pub fn jitter(&self, number: usize) -> Duration {
        let slot = u32::try_from(number / self.per_slot).unwrap_or(u32::MAX);
        self.slot.saturating_mul(slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn minute() -> Objective {
        Objective {
            detect_within: Duration::from_secs(120),
            survive_idle: None,
            user_timeout: false,
        }
    }

    fn crowd(connections: usize) -> Crowd {
        Crowd { connections, backlog: 1000, tick: Tick::from_hz(250) }
    }

    #[test]
    fn a_slot_never_holds_more_than_half_of_the_backlog() {
        let spread = Spread::over(&crowd(6_000), &minute()).unwrap();
        let mut slots = std::collections::HashMap::new();
        for number in 0..6_000 {
            *slots.entry(spread.jitter(number)).or_insert(0usize) += 1;
        }
        assert!(slots.values().all(|&count| count <= 500), "{slots:?}");
        let longest = slots.keys().max().unwrap();
        assert!(*longest <= minute().detect_within / 4, "{longest:?}");
    }

    #[test]
    fn more_than_fits_is_refused_with_the_number_that_does() {
        let Err(Refusal::TooMany { most }) = Spread::over(&crowd(100_000), &minute()) else {
            panic!("a hundred thousand within two minutes cannot be spread");
        };
        assert!(Spread::over(&crowd(most), &minute()).is_ok());
        assert!(Spread::over(&crowd(most + 1), &minute()).is_err());
    }

    #[test]
    fn one_connection_waits_in_full() {
        assert_eq!(Spread::over(&crowd(1), &minute()).unwrap().jitter(0), Duration::ZERO);
    }
}
