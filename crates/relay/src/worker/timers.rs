//! Owns when a worker is to tick which pair, in order. Decides nothing.

use std::{cmp::Reverse, collections::BinaryHeap, time::Instant};

use super::slot::Key;

/// When to tick which pair.
#[derive(Debug)]
pub(super) struct Timers {
    heap: BinaryHeap<Reverse<(Instant, Key)>>,
    sweep_at: usize,
}

impl Timers {
    pub(super) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), sweep_at: SWEEP_LEAST }
    }

    pub(super) fn push(&mut self, at: Instant, key: Key) {
        self.heap.push(Reverse((at, key)));
    }

    /// When the next one is due.
    pub(super) fn next(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    /// One that is due.
    pub(super) fn pop(&mut self, now: Instant) -> Option<(Instant, Key)> {
        self.next().filter(|at| *at <= now)?;
        self.heap.pop().map(|Reverse(due)| due)
    }

    /// Drops those of pairs that have ended, once there are twice as many as after the last time: a limit
    /// of hours would hold on to the timers of a day's pairs otherwise.
    pub(super) fn sweep(&mut self, is_there: impl Fn(Key) -> bool) {
        if self.heap.len() >= self.sweep_at {
            self.heap.retain(|Reverse((_, key))| is_there(*key));
            self.sweep_at = (2 * self.heap.len()).max(SWEEP_LEAST);
        }
    }
}

/// 128 KiB or so.
const SWEEP_LEAST: usize = 4096;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn key(index: usize) -> Key {
        Key::new(index, 0).unwrap()
    }

    #[test]
    fn timers_come_in_order_and_none_before_it_is_due() {
        let now = Instant::now();
        let mut timers = Timers::new();
        for (index, seconds) in [(0, 3), (1, 1), (2, 2)] {
            timers.push(now + Duration::from_secs(seconds), key(index));
        }
        let second = |count| now + Duration::from_secs(count);
        assert_eq!((timers.pop(now), timers.next()), (None, Some(second(1))));
        let due: Vec<_> = std::iter::from_fn(|| timers.pop(second(2))).collect();
        assert_eq!(due, [(second(1), key(1)), (second(2), key(2))]);
    }

    #[test]
    fn the_timers_of_pairs_that_have_ended_do_not_pile_up() {
        let later = Instant::now() + Duration::from_secs(36_000);
        let mut timers = Timers::new();
        let living = 10_000;
        for index in 0..1_000_000 {
            timers.push(later, key(index));
            timers.sweep(|key| key.index() < living);
            assert!(timers.heap.len() <= 2 * living, "{index}");
        }
        assert_eq!(timers.heap.iter().filter(|it| it.0.1.index() < living).count(), living);
    }
}
