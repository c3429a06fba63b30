//! Owns what a trial showed, and whether it is what was predicted. Pure.

use std::time::Duration;

use halfopen_core::detection::{AppTold, Interval, Learns};
use rustix::io::Errno;

use super::{Case, TrialError};

/// A case and what became of it.
#[derive(Debug)]
pub struct Outcome {
    /// The case.
    pub case: Case,
    /// What was found, or why nothing was.
    pub result: Result<Finding, TrialError>,
}

/// Prediction and measurement of one trial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What `halfopen-core` made of the survey.
    pub predicted: Learns,
    /// What the kernel did; `None`: nothing as long as it was watched.
    pub ended: Option<Ended>,
}

/// The end of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// From the start of the clock ([`super::Sampled`] says when that is).
    pub after: Duration,
    /// SO_ERROR: what the application is told. `None` where it is told nothing.
    pub errno: Option<i32>,
}

/// What the measurement itself may add or take: a thread that wakes late on a busy machine, and
/// the milliseconds in which the kernel counts. Predicted intervals are widened by it on both sides.
pub const RESOLUTION: Duration = Duration::from_millis(20);

impl Outcome {
    /// The measurement lies within the prediction.
    pub fn is_hit(&self) -> bool {
        self.result.as_ref().is_ok_and(Finding::is_hit)
    }
}

impl Finding {
    /// The measurement lies within the prediction, and the application was told what was predicted.
    pub fn is_hit(&self) -> bool {
        match (&self.predicted, self.ended) {
            (Learns::Never(_), ended) => ended.is_none(),
            (Learns::Within(prediction), Some(ended)) => {
                widened(prediction.within).contains(ended.after)
                    && fits(prediction.application, ended.errno)
            }
            (Learns::Within(_) | Learns::Unknown(_) | Learns::NotApplicable(_), _) => false,
        }
    }
}

fn widened(interval: Interval) -> Interval {
    let min = interval.min().saturating_sub(RESOLUTION);
    Interval::between(min, interval.max().saturating_add(RESOLUTION))
}

fn fits(predicted: AppTold, errno: Option<i32>) -> bool {
    match (predicted, errno) {
        (AppTold::Nothing, errno) => errno.is_none(),
        (AppTold::TimedOut, errno) => errno == Some(Errno::TIMEDOUT.raw_os_error()),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use halfopen_core::detection::{Assumptions, Cause, NeverBecause, PeerTold, Prediction};

    use super::*;

    pub(in crate::trial) fn within(min_ms: u64, max_ms: u64, application: AppTold) -> Learns {
        let at = Duration::from_millis;
        Learns::Within(Prediction {
            within: Interval::between(at(min_ms), at(max_ms)),
            cause: Cause::Keepalive,
            application,
            peer: PeerTold::Reset,
            assumes: Assumptions::NONE,
        })
    }

    pub(in crate::trial) fn ended(ms: u64, errno: Option<Errno>) -> Option<Ended> {
        let errno = errno.map(Errno::raw_os_error);
        Some(Ended { after: Duration::from_millis(ms), errno })
    }

    fn is_hit(predicted: Learns, ended: Option<Ended>) -> bool {
        Finding { predicted, ended }.is_hit()
    }

    #[test]
    fn the_ends_of_the_interval_and_the_resolution_count_as_within() {
        let predicted = || within(1000, 2000, AppTold::TimedOut);
        let timed_out = |ms| ended(ms, Some(Errno::TIMEDOUT));
        assert!(is_hit(predicted(), timed_out(980)));
        assert!(is_hit(predicted(), timed_out(2020)));
        assert!(!is_hit(predicted(), timed_out(979)));
        assert!(!is_hit(predicted(), timed_out(2021)));
        assert!(!is_hit(predicted(), None));
    }

    #[test]
    fn another_error_than_predicted_is_a_miss() {
        let predicted = || within(1000, 2000, AppTold::TimedOut);
        assert!(!is_hit(predicted(), ended(1500, Some(Errno::CONNRESET))));
        assert!(!is_hit(predicted(), ended(1500, None)));
        assert!(is_hit(within(1000, 2000, AppTold::Nothing), ended(1500, None)));
    }

    #[test]
    fn never_is_a_hit_as_long_as_nothing_happens() {
        let never = || Learns::Never(NeverBecause::KeepaliveOff);
        assert!(is_hit(never(), None));
        assert!(!is_hit(never(), ended(9000, Some(Errno::TIMEDOUT))));
    }

    #[test]
    fn no_prediction_is_no_hit() {
        assert!(!is_hit(Learns::Unknown("why".into()), None));
        assert!(!is_hit(Learns::NotApplicable("why"), None));
    }
}
