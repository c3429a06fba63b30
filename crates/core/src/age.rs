//! Owns what an age of TCP_INFO can tell: the kernel counts ages in 32 bits of milliseconds, so one
//! of 50 days looks like one of some hours. Reads no clock: a sample knows how long its host was up.
//! Read: linux net/ipv4/tcp.c `tcp_get_info`, include/net/tcp.h `tcp_jiffies32`,
//! kernel/time/time.c `jiffies_to_msecs`.

use std::time::Duration;

use crate::{
    observation::Observation,
    sample::{Moment, Source},
};

/// TCP_INFO tells ages modulo this: 49 days 17 hours.
const MILLISECONDS: Duration = Duration::from_millis(1 << 32);

impl Observation {
    /// Ages of the sample are told modulo this: 2^32 milliseconds by TCP_INFO. BPF reads the kernel's
    /// own 32-bit count of ticks, which goes on for 199 days at 250 Hz.
    pub fn age_range(&self) -> Duration {
        match self.sample.source {
            Source::SockDiag => MILLISECONDS,
            Source::Bpf => {
                let ticks = self.tick.length().as_nanos().saturating_mul(1 << 32);
                Duration::from_nanos(u64::try_from(ticks).unwrap_or(u64::MAX))
            }
        }
    }

    /// Whether the peer may have been heard longer ago than [`Sample::last_heard`] says, by a multiple
    /// of [`Observation::age_range`]. It may not on a host that was not up yet so long ago; else there
    /// is nothing to tell by, and the age is no more than the least that is possible.
    ///
    /// A process does not bound it: sockets outlive the process that made them where another one
    /// inherits or is sent them.
    ///
    /// [`Sample::last_heard`]: crate::Sample::last_heard
    pub fn last_heard_may_have_wrapped(&self) -> bool {
        let sample = &self.sample;
        sample
            .last_heard()
            .is_some_and(|ago| ago.saturating_add(self.age_range()) <= sample.taken_at.0)
    }
}

/// The age, unless it is the difference to a moment that never was: one that counts below zero
/// (above half of its range), on a host that has not been up so long.
///
/// The kernel tells such ages of what has not happened since the connection was made, in states in
/// which it has not set the moment yet.
pub(crate) fn possible(age: Duration, taken_at: Moment) -> Option<Duration> {
    let is_negative = age >= MILLISECONDS / 2;
    Some(age).filter(|age| !is_negative || *age <= taken_at.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::{established, ms};

    fn seen(up: Duration, heard: Duration) -> Observation {
        let mut seen = established().heard(heard);
        seen.sample.taken_at = Moment(up);
        seen
    }

    #[test]
    fn an_age_is_exact_until_the_host_is_up_for_its_range_and_the_age() {
        let heard = ms(5_000);
        assert!(!seen(MILLISECONDS + ms(4_999), heard).last_heard_may_have_wrapped());
        assert!(seen(MILLISECONDS + ms(5_000), heard).last_heard_may_have_wrapped());
    }

    #[test]
    fn bpf_counts_four_times_as_far_at_250_hz() {
        let bpf = |up| {
            let mut seen = seen(up, ms(5_000));
            seen.sample.source = Source::Bpf;
            seen.last_heard_may_have_wrapped()
        };
        assert!(!bpf(MILLISECONDS * 4 + ms(4_999)));
        assert!(bpf(MILLISECONDS * 4 + ms(5_000)));
    }

    #[test]
    fn an_age_that_was_never_said_has_not_wrapped() {
        let mut seen = seen(MILLISECONDS * 2, ms(1));
        seen.sample.info = None;
        assert!(!seen.last_heard_may_have_wrapped());
    }

    #[test]
    fn an_age_below_zero_is_no_age_and_a_great_one_on_an_old_host_is() {
        let nearly = MILLISECONDS - ms(4);
        assert_eq!(seen(ms(7_200_000), nearly).sample.last_heard(), None);
        assert_eq!(seen(nearly, nearly).sample.last_heard(), Some(nearly));
        // Half of the range is as likely a clock that was set back as an age below zero.
        let half = MILLISECONDS / 2;
        assert_eq!(seen(ms(1), half - ms(1)).sample.last_heard(), Some(half - ms(1)));
        assert_eq!(seen(ms(1), half).sample.last_heard(), None);
    }

    #[test]
    fn of_two_ages_the_one_that_can_be_is_taken() {
        let mut seen = established().heard(ms(7));
        seen.sample.taken_at = Moment(ms(60_000));
        seen.info_mut().last_data_received = Some(MILLISECONDS - ms(1));
        assert_eq!(seen.sample.last_heard(), Some(ms(7)));
    }
}
