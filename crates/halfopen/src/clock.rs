//! Owns the clock of this crate and its source of chance: the only place that reads either.
//! Read: clock_gettime(2) on CLOCK_BOOTTIME.

use std::{
    hash::{BuildHasher as _, RandomState},
    time::Duration,
};

use halfopen_core::{Chance, Moment};
use tokio::time::Instant;

/// What time is read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Clock {
    /// CLOCK_BOOTTIME on Linux, which goes on while the host sleeps, so that a sleep is noticed;
    /// elsewhere as [`Clock::Tokio`].
    #[default]
    System,
    /// The clock of the tokio runtime, which tests can stop and move.
    Tokio,
}

/// A clock that runs.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Running {
    clock: Clock,
    began: Instant,
}

impl Clock {
    pub(crate) fn start(self) -> Running {
        Running { clock: self, began: Instant::now() }
    }
}

impl Running {
    pub(crate) fn now(&self) -> Moment {
        match self.clock {
            #[cfg(target_os = "linux")]
            Clock::System => halfopen_sys::now(),
            _ => Moment(self.began.elapsed()),
        }
    }

    /// When tokio's timers have to fire for `moment`.
    pub(crate) fn instant(&self, moment: Moment) -> Instant {
        // Beyond what tokio's timers hold, a month is as good as ever.
        Instant::now() + moment.since(self.now()).min(MONTH)
    }
}

/// When `within` is over. However long it is: `Duration::MAX` is how many say "no limit".
pub(crate) fn deadline(within: Duration) -> Instant {
    // 30 years, which is what tokio's own `sleep` makes of it.
    Instant::now().checked_add(within).unwrap_or_else(|| Instant::now() + MONTH * 12 * 30)
}

/// A generator with a seed that nobody knows, which the standard library has from the system.
pub(crate) fn chance() -> Chance {
    Chance::new(RandomState::new().hash_one(0))
}

const MONTH: Duration = Duration::from_secs(30 * 86_400);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_limit_is_a_limit_that_nobody_lives_to_see() {
        let now = Instant::now();
        assert!(deadline(Duration::MAX) > now + MONTH * 12);
        assert!(deadline(Duration::from_secs(1)) <= now + Duration::from_secs(60));
    }
}
