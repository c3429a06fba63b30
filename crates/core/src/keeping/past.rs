//! Owns the way back: which options a connection had before it was first changed. Pure; what is
//! remembered comes from a record on disk, and what is there now from the kernel.

use super::kept::KeepOptions;

/// One change of one connection, recorded before it was made. Whether it was then made is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// What was there.
    pub before: KeepOptions,
    /// What was to be set.
    pub after: KeepOptions,
}

/// All recorded changes of one connection that build on each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Past {
    first: KeepOptions,
    ours: Vec<KeepOptions>,
}

/// More changes of one connection than anybody makes between two undoings; the oldest go first.
const CHANGES_MAX: usize = 64;

impl Past {
    /// With its first change.
    pub fn new(change: Change) -> Self {
        Self { first: change.before, ours: vec![change.after] }
    }

    /// Adds a later change. One that did not find what we had set begins anew: somebody else had
    /// set something in between, and that is what is to come back.
    pub fn add(&mut self, change: Change) {
        if change.before != self.first && !self.is_ours(change.before) {
            *self = Self::new(change);
            return;
        }
        self.ours.push(change.after);
        if self.ours.len() > CHANGES_MAX {
            self.ours.remove(0);
        }
    }

    /// What to put back, given what is there `now`. `None` where nothing of ours is there: it was
    /// put back already, or somebody else has set something since.
    pub fn way_back(&self, now: KeepOptions) -> Option<KeepOptions> {
        (now != self.first && self.is_ours(now)).then_some(self.first)
    }

    /// What we have set, or have half set: whoever was killed in the middle of one socket has left it
    /// between two of our own.
    fn is_ours(&self, now: KeepOptions) -> bool {
        let all = || self.ours.iter().copied().chain([self.first]);
        self.ours.contains(&now) || all().any(|one| all().any(|other| now.is_between(one, other)))
    }

    /// Whether what is there `now` is what was there before the first change.
    pub fn is_restored(&self, now: KeepOptions) -> bool {
        now == self.first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn idle(idle_s: u32) -> KeepOptions {
        KeepOptions { keepalive: true, idle_s, interval_s: 10, probes: 3, user_timeout_ms: 0 }
    }

    fn change(before: u32, after: u32) -> Change {
        Change { before: idle(before), after: idle(after) }
    }

    #[test]
    fn two_changes_in_a_row_lead_back_to_what_was_there_before_the_first() {
        let mut past = Past::new(change(7200, 60));
        past.add(change(60, 30));
        assert_eq!(past.way_back(idle(30)), Some(idle(7200)));
        // The second was recorded and, killed in between, never made.
        assert_eq!(past.way_back(idle(60)), Some(idle(7200)));
    }

    #[test]
    fn what_the_application_set_in_between_is_what_comes_back() {
        let mut past = Past::new(change(7200, 60));
        past.add(change(500, 30));
        assert_eq!(past.way_back(idle(30)), Some(idle(500)));
    }

    #[test]
    fn what_a_killed_process_has_half_set_is_put_back_too() {
        let off = KeepOptions { keepalive: false, ..idle(7200) };
        let past = Past::new(Change { before: off, after: idle(60) });
        let half = KeepOptions { keepalive: false, ..idle(60) };
        assert_eq!(past.way_back(half), Some(off));
        // A later run builds on what it finds half set.
        let mut past = past;
        past.add(Change { before: half, after: idle(30) });
        assert_eq!(past.way_back(idle(30)), Some(off));
    }

    #[test]
    fn what_is_not_ours_is_left_alone_and_what_is_restored_stays_so() {
        let past = Past::new(change(7200, 60));
        assert_eq!(past.way_back(idle(61)), None);
        assert_eq!(past.way_back(idle(7200)), None);
        assert!(past.is_restored(idle(7200)) && !past.is_restored(idle(61)));
    }
}
