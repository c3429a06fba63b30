//! Owns the lab's one clock: CLOCK_BOOTTIME, the clock of samples, so that what the wire, the
//! programs and the kernel's sockets say can be put in one order.

use std::time::Duration;

use halfopen_core::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Now.
pub(crate) fn now() -> Moment {
    let now = clock_gettime(ClockId::Boottime);
    // The clock counts from boot, so neither part is ever negative.
    Moment(Duration::new(
        u64::try_from(now.tv_sec).unwrap_or(0),
        u32::try_from(now.tv_nsec).unwrap_or(0),
    ))
}
