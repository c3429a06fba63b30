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
