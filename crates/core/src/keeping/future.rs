//! Owns the plan for connections that are yet to come: the same options for all of them, and how
//! many may begin to wait in one slot of the timer wheel. Read: `spread`, which has the reason.

use std::time::Duration;

use super::{
    KeepOptions,
    plan::{Objective, Refusal, least_at, times, user_timeout_of},
    spread::{Spread, slot},
};
use crate::detection::Tick;

/// What connections that are established later are given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Future {
    /// The options. TCP_USER_TIMEOUT 0: left as each connection has it.
    pub options: KeepOptions,
    /// How long a slot of the timer wheel is for this wait.
    pub slot: Duration,
    /// How many slots the wait has: waits of one length that begin in different slots never meet.
    pub slots: u32,
    /// How many connections may wait in one slot; more are left as they are.
    pub per_slot: u32,
}

impl Future {
    /// What meets `objective` beside the connections of today, which are spread as `today` says.
    ///
    /// # Errors
    /// [`Refusal::TooShort`] where no options meet it.
    pub fn new(tick: Tick, objective: &Objective, today: &Spread) -> Result<Self, Refusal> {
        let mut wanted =
            times(tick, objective).ok_or(Refusal::TooShort { least: least_at(tick) })?;
        wanted.idle = today.wait.map_or(wanted.idle, |most| wanted.idle.min(most));
        let slot = slot(tick, wanted.idle);
        let slots = wanted.idle.as_nanos() / slot.as_nanos().max(1);
        let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        let user_timeout = objective.user_timeout.then(|| user_timeout_of(objective, wanted));
        let half = (today.per_step / 2).max(1);
        Ok(Self {
            options: KeepOptions {
                keepalive: true,
                idle_s: seconds(wanted.idle),
                interval_s: seconds(wanted.interval),
                probes: wanted.probes,
                user_timeout_ms: user_timeout.map_or(0, millis),
            },
            slot,
            slots: u32::try_from(slots).unwrap_or(SLOTS_MAX).clamp(1, SLOTS_MAX),
            // Those of today may fill half of the backlog in every slot; half as many come on top.
            per_slot: u32::try_from(half).unwrap_or(u32::MAX),
        })
    }

    /// How many connections it covers at the same time.
    pub const fn room(&self) -> u64 {
        self.per_slot as u64 * self.slots as u64
    }
}

/// LVL_SIZE of linux kernel/time/timer.c: no level of the wheel has more.
const SLOTS_MAX: u32 = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeping::Crowd;

    fn future(seconds: u64, user_timeout: bool) -> Result<Future, Refusal> {
        let (tick, detect_within) = (Tick::from_hz(250), Duration::from_secs(seconds));
        let objective = Objective { detect_within, survive_idle: None, user_timeout };
        let crowd = Crowd { connections: 10, backlog: 1000, tick };
        Future::new(tick, &objective, &Spread::over(&crowd, &objective).unwrap())
    }

    #[test]
    fn what_is_coming_gets_the_times_that_the_objective_asks_for() {
        let future = future(60, false).unwrap();
        let probed = future.options.interval_s * future.options.probes;
        assert!(future.options.keepalive && future.options.idle_s + probed < 60, "{future:?}");
        assert_eq!((future.options.user_timeout_ms, future.per_slot), (0, 250));
        // All slots that are waited in at the same time, and none of them twice.
        assert!(future.slot * future.slots <= Duration::from_secs(future.options.idle_s.into()));
        assert_eq!(future.room(), u64::from(future.slots) * 250);
    }

    #[test]
    fn a_user_timeout_is_as_long_as_the_probes_take() {
        let options = future(60, true).unwrap().options;
        let probed = options.idle_s + options.interval_s * options.probes;
        assert_eq!(options.user_timeout_ms, probed * 1000);
    }

    #[test]
    fn what_cannot_be_promised_to_one_is_not_promised_to_all() {
        assert!(matches!(future(1, false), Err(Refusal::TooShort { .. })));
    }
}
