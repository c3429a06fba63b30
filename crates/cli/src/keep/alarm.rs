//! Owns the watch over the host after connections were made to probe: whether the kernel begins to
//! drop probes or to end connections faster than before. Changes nothing.
//! Read: linux net/core/dev.c `enqueue_to_backlog`, Documentation/networking/snmp_counter.rst (TCPAbortOnTimeout).

use std::time::{Duration, Instant};

use crate::{
    counted::{self, CountersByNetns},
    picture::Picture,
};

/// The counters as they were before, and how fast they rise anyway.
#[derive(Debug)]
pub(crate) struct Alarm<'a> {
    picture: &'a Picture,
    began: Instant,
    before: Reading,
    uptime: Duration,
}

/// What the counters have done since.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Rise {
    /// Connections ended by a timer (TCPAbortOnTimeout), in the namespaces that were looked at.
    pub aborts: u64,
    /// Packets dropped because a backlog was full, on all processors.
    pub drops: u64,
    /// It is more than the host does anyway.
    pub is_alarming: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Reading {
    aborts: u64,
    drops: u64,
}

impl<'a> Alarm<'a> {
    /// Takes the counters as they are now for what is usual.
    pub(crate) fn set(picture: &'a Picture) -> Self {
        Self {
            picture,
            began: Instant::now(),
            before: read(picture),
            uptime: halfopen_sys::now().0,
        }
    }

    /// What has happened since.
    pub(crate) fn rise(&self) -> Rise {
        let now = read(self.picture);
        let aborts = now.aborts.saturating_sub(self.before.aborts);
        let drops = now.drops.saturating_sub(self.before.drops);
        let usual = |so_far| usual(so_far, self.uptime, self.began.elapsed());
        let is_alarming = aborts > usual(self.before.aborts) || drops > usual(self.before.drops);
        Rise { aborts, drops, is_alarming }
    }
}

/// Four times as many as the host had on average since it was booted, and some few that chance may
/// bring: a dead peer that is found meanwhile is no alarm, a hundred lost probes are.
fn usual(so_far: u64, uptime: Duration, elapsed: Duration) -> u64 {
    let seconds = uptime.as_secs().max(1);
    let share = u128::from(so_far) * elapsed.as_millis() * 4 / (u128::from(seconds) * 1000);
    u64::try_from(share).unwrap_or(u64::MAX).saturating_add(FEW)
}

const FEW: u64 = 10;

fn read(picture: &Picture) -> Reading {
    let counted: CountersByNetns = counted::read(picture);
    Reading {
        aborts: counted.values().filter_map(|one| one.aborts_on_timeout).sum(),
        // Without it the other counter still tells.
        drops: halfopen_sys::backlog_drops().unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_busy_host_drops_anyway_is_no_alarm() {
        let (hour, minute) = (Duration::from_secs(3600), Duration::from_secs(60));
        assert_eq!(usual(0, hour, minute), FEW);
        assert_eq!(usual(3600, hour, minute), 240 + FEW);
        assert_eq!(usual(u64::MAX, Duration::ZERO, hour), u64::MAX);
    }
}
