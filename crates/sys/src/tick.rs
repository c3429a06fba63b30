//! Owns how the length of the kernel's tick is found. Read: clock_getres(2),
//! linux kernel/time/posix-timers.c `posix_get_coarse_res` (KTIME_LOW_RES).

use std::time::Duration;

use halfopen_core::detection::Tick;
use rustix::time::{ClockId, clock_getres};

/// The kernel's tick: the resolution of the coarse clocks is exactly 1 / CONFIG_HZ.
pub fn tick() -> Tick {
    let resolution = clock_getres(ClockId::MonotonicCoarse);
    Tick::from_length(Duration::new(
        u64::try_from(resolution.tv_sec).unwrap_or_default(),
        u32::try_from(resolution.tv_nsec).unwrap_or_default(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tick_is_one_that_linux_can_be_built_with() {
        let choices = [100, 250, 300, 1000].map(Tick::from_hz);
        assert!(choices.contains(&tick()), "{:?}", tick());
    }
}
