//! Owns the memory of how long the kernel tries: connections with the same time-outs are tried for
//! as long, however many there are, so each chain of time-outs is walked once.
//! Read: `unacked`, which walks it, and `firing`, whose chains do not depend on when they begin.

use std::{collections::HashMap, time::Duration};

use super::{firing::Ends, wheel::Tick};

/// What a chain of time-outs that nothing but `tcp_retries2` ends depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Course {
    /// The first time-out, which doubles from firing to firing.
    pub(super) rto: Duration,
    /// What it doubles up to.
    pub(super) rto_max: Duration,
    /// How long the kernel counts before it gives up.
    pub(super) limit: Duration,
    pub(super) tick: Tick,
}

/// Chains that were walked before. What it answers is what walking would.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patience {
    last: Option<(Course, Ends)>,
    walked: HashMap<Course, Ends>,
}

/// Time-outs are whole ticks, so a host has some hundreds that differ. A few kilobytes each thousand.
const REMEMBERED_MAX: usize = 4_096;

impl Patience {
    /// The ends of `course`, from `walk` if they are not remembered.
    pub(super) fn ends(&mut self, course: Course, walk: impl FnOnce() -> Ends) -> Ends {
        if let Some((_, ends)) = self.last.filter(|(last, _)| *last == course) {
            return ends;
        }
        if self.walked.len() >= REMEMBERED_MAX {
            self.walked.clear();
        }
        let ends = *self.walked.entry(course).or_insert_with(walk);
        self.last = Some((course, ends));
        ends
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        detection::unacked::after_a_write,
        trace::{established, ms},
    };

    #[test]
    fn what_is_remembered_is_what_walking_would_tell() {
        let mut patience = Patience::default();
        for round in 0..2 {
            for rto in [200, 204, 212, 3_000, 119_000, 120_000] {
                for srtt_us in [1, 40, 1_999, 70_000] {
                    let mut seen = established();
                    let info = seen.info_mut();
                    info.rto = Some(ms(rto));
                    info.srtt = Some(Duration::from_micros(srtt_us));
                    let told = after_a_write(&seen, &mut patience).unwrap();
                    let afresh = after_a_write(&seen, &mut Patience::default());
                    assert_eq!(Ok(told), afresh, "{rto} in round {round}");
                }
            }
        }
        assert_eq!(patience.walked.len(), 6);
    }

    #[test]
    fn no_more_is_remembered_than_there_is_room_for() {
        let mut patience = Patience::default();
        for rto in 1..=2 * REMEMBERED_MAX as u64 {
            let mut seen = established();
            seen.info_mut().rto = Some(ms(rto));
            after_a_write(&seen, &mut patience).unwrap();
            assert!(patience.walked.len() <= REMEMBERED_MAX);
        }
    }
}
