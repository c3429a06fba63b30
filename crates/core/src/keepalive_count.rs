//! Owns what the kernel's count of unanswered keepalive probes proves. It counts each that went out,
//! also those of tests, which borrow the keepalive timer for some milliseconds and may come within
//! moments of each other; only those that keepalive sends of itself are apart. So the count is
//! believed as far as the silence since the peer was heard has room for such probes.
//! Read: linux net/ipv4/tcp_timer.c `tcp_keepalive_timer`, tcp_input.c `tcp_ack`; docs/verdicts/silent.md.

use std::time::Duration;

use crate::{
    detection::KeepaliveTimes,
    evidence::{Evidence, NotSpaced},
    keeping::KeepOptions,
    observation::Observation,
    options::SocketOptions,
    sample::KernelTimer,
};

/// The kernel's count of keepalive probes, and what it is worth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeepaliveCount {
    /// Unanswered by the kernel's count, and late to be answered.
    counted: u32,
    /// So many of them, at the most, has keepalive sent of itself since the peer was heard.
    own_at_most: u32,
    /// Why it may be fewer than are counted.
    because: NotSpaced,
}

impl KeepaliveCount {
    /// What is counted for this connection; `None` while the keepalive timer does not run.
    pub(crate) fn of(seen: &Observation) -> Option<Self> {
        let KernelTimer::Keepalive { probes, expires_in } = seen.sample.timer else { return None };
        let options = seen.options.read();
        let (own_at_most, because) = own_at_most(seen, options);
        let overdue = options.is_some() && is_overdue(seen, expires_in);
        let counted = u32::from(probes).saturating_sub(u32::from(!overdue));
        Some(Self { counted, own_at_most, because })
    }

    /// How many probes went unanswered that were at least a second apart: the least TCP_KEEPINTVL.
    pub(crate) fn spaced(self) -> u32 {
        self.counted.min(self.own_at_most)
    }

    /// How many are worth mentioning. Where nobody may read the intervals the kernel's count stands:
    /// it does not prove how long nothing came back, only that something did not.
    pub(crate) fn unanswered(self) -> u32 {
        match self.because {
            NotSpaced::TimesNotRead => self.counted,
            NotSpaced::KeepaliveOff | NotSpaced::TestUnderWay | NotSpaced::TooMany => self.spaced(),
        }
    }

    /// That the count is not believed, if more than `enough` are counted and fewer are believed.
    pub(crate) fn doubted(self, enough: u32) -> Option<Evidence> {
        let Self { counted, own_at_most, because } = self;
        (counted >= enough && self.spaced() < enough).then_some(Evidence::KeepalivesNotSpaced {
            counted,
            own_at_most,
            because,
        })
    }
}

fn own_at_most(seen: &Observation, options: Option<&SocketOptions>) -> (u32, NotSpaced) {
    if options.and_then(|options| options.keepalive) == Some(false) {
        // The timer was seen while a test had it, and the options when they were given back.
        return (0, NotSpaced::KeepaliveOff);
    }
    if options.and_then(KeepOptions::of).is_some_and(KeepOptions::is_a_shot) {
        return (0, NotSpaced::TestUnderWay);
    }
    let because = if options.is_some() { NotSpaced::TooMany } else { NotSpaced::TimesNotRead };
    let known = KeepaliveTimes::of(seen).zip(seen.sample.last_heard());
    let own = known.map(|(times, silence)| {
        // The last of them counts only once its answer is late, as in `is_overdue`.
        times.probes_in(silence.saturating_sub(answer_time(seen)))
    });
    own.map_or((0, NotSpaced::TimesNotRead), |own| (own, because))
}

/// The last probe counts only once its answer has had time to come. Without the socket's interval
/// that cannot be told, and it does not count.
fn is_overdue(seen: &Observation, expires_in: Duration) -> bool {
    KeepaliveTimes::of(seen)
        .map(|times| times.interval.saturating_sub(expires_in))
        .is_some_and(|since| since >= answer_time(seen))
}

fn answer_time(seen: &Observation) -> Duration {
    let round_trip = seen.sample.info.as_ref().and_then(|info| info.srtt).unwrap_or_default();
    ANSWER_TIME_MIN.max(round_trip.saturating_mul(2))
}

/// A peer that has just answered another probe waits this long (tcp_invalid_ratelimit).
const ANSWER_TIME_MIN: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
