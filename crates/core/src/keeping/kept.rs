//! Owns the five options that keep a connection: what is set, read back and put back, and nothing
//! else. Read: tcp(7), socket(7) on SO_KEEPALIVE.

use std::time::Duration;

use super::plan::Plan;
use crate::options::SocketOptions;

/// The options that keep a connection, in their effective values and in the kernel's own units, so
/// that two of them are equal exactly if the kernel would treat them alike.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeepOptions {
    /// SO_KEEPALIVE.
    pub keepalive: bool,
    /// TCP_KEEPIDLE, in seconds.
    pub idle_s: u32,
    /// TCP_KEEPINTVL, in seconds.
    pub interval_s: u32,
    /// TCP_KEEPCNT.
    pub probes: u32,
    /// TCP_USER_TIMEOUT, in milliseconds; 0 is the kernel's word for "not set".
    pub user_timeout_ms: u32,
}

impl KeepOptions {
    /// From options that were read. `None` if one of the five was not.
    pub fn of(options: &SocketOptions) -> Option<Self> {
        let seconds = |span: Option<Duration>| u32::try_from(span?.as_secs()).ok();
        Some(Self {
            keepalive: options.keepalive?,
            idle_s: seconds(options.keepalive_idle)?,
            interval_s: seconds(options.keepalive_interval)?,
            probes: options.keepalive_probes?,
            user_timeout_ms: u32::try_from(options.user_timeout?.as_millis()).ok()?,
        })
    }

    /// Whether these are what the keepalive one-shot of `prove` sets for some milliseconds: nobody's
    /// wish, and not to be taken for what was there before. The count is the highest that there is.
    pub const fn is_a_shot(self) -> bool {
        matches!(self, Self { keepalive: true, idle_s: 1, probes: 127, user_timeout_ms: 0, .. })
    }

    /// Whether a socket that was about to be set from one of these to the other, in either direction,
    /// shows `self` where the writer was killed: some options are set by then, and others not yet.
    ///
    /// SO_KEEPALIVE goes off first and on last, so that what is half set has it off where only one of
    /// the two has it on; options that somebody else has set are not taken for a half of ours.
    pub fn is_between(self, one: Self, other: Self) -> bool {
        let is_either = |of: fn(Self) -> u32| of(self) == of(one) || of(self) == of(other);
        is_either(|it| it.idle_s)
            && is_either(|it| it.interval_s)
            && is_either(|it| it.probes)
            && is_either(|it| it.user_timeout_ms)
            && (!self.keepalive || (one.keepalive && other.keepalive))
    }

    /// What a plan sets, on top of `before`.
    pub fn planned(plan: &Plan, before: Self) -> Self {
        let seconds = |span: Duration| u32::try_from(span.as_secs()).unwrap_or(u32::MAX);
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        Self {
            keepalive: true,
            idle_s: seconds(plan.keepalive.idle),
            interval_s: seconds(plan.keepalive.interval),
            probes: plan.keepalive.probes,
            user_timeout_ms: plan.user_timeout.map_or(before.user_timeout_ms, millis),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OFF: KeepOptions = KeepOptions {
        keepalive: false,
        idle_s: 7200,
        interval_s: 75,
        probes: 9,
        user_timeout_ms: 0,
    };
    const ON: KeepOptions =
        KeepOptions { keepalive: true, idle_s: 60, interval_s: 10, probes: 3, user_timeout_ms: 0 };

    #[test]
    fn what_is_half_set_has_keepalive_off_and_each_number_from_either_side() {
        let half = KeepOptions { idle_s: 60, interval_s: 10, ..OFF };
        assert!(half.is_between(OFF, ON) && half.is_between(ON, OFF));
        // Back from the half, and killed once more.
        assert!(KeepOptions { idle_s: 7200, ..half }.is_between(OFF, ON));
        assert!(!KeepOptions { idle_s: 61, ..half }.is_between(OFF, ON));
        // Nobody of ours turns it on before the numbers are right, nor changes them before it is off.
        assert!(!KeepOptions { keepalive: true, ..half }.is_between(OFF, ON));
        assert!(!KeepOptions { probes: 9, ..ON }.is_between(OFF, ON));
    }

    #[test]
    fn where_keepalive_was_on_it_may_be_on_or_off_in_the_middle() {
        let before = KeepOptions { keepalive: true, ..OFF };
        for keepalive in [true, false] {
            assert!(KeepOptions { keepalive, idle_s: 60, ..OFF }.is_between(before, ON));
        }
    }
}
