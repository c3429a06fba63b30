//! Owns the reading of the clock that samples are dated with, and the name of the boot it counts from. Read: clock_gettime(2).

use std::{fs, io, time::Duration};

use halfopen_core::Moment;
use rustix::time::{ClockId, clock_gettime};

/// Now, on CLOCK_BOOTTIME: it never jumps and goes on while the host is suspended.
pub fn now() -> Moment {
    let time = clock_gettime(ClockId::Boottime);
    Moment(Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    ))
}

/// The name of this boot, which no other boot of any host has: /proc/sys/kernel/random/boot_id.
///
/// # Errors
/// If it cannot be read, which is so where /proc is not mounted.
pub fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_forward_and_agrees_with_proc_uptime() {
        let before = now();
        let text = fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = text.split(' ').next().unwrap().parse().unwrap();
        let after = now();
        assert!(before <= after);
        // Its two digits are cut off.
        assert!(before.0.as_secs_f64() - 0.011 <= uptime && uptime <= after.0.as_secs_f64());
    }
}
