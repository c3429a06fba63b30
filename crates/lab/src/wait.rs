//! Owns waiting: for a condition, and never longer than a deadline. For the lab and its tests.

use std::{
    thread,
    time::{Duration, Instant},
};

/// Asks `ready` again and again until it gives a value, or `within` has passed: then `None`.
pub fn until<T>(within: Duration, ready: impl FnMut() -> Option<T>) -> Option<T> {
    until_every(PAUSE, within, ready)
}

/// As [`until`], asking once in every `pause`: for conditions that cost something to look at.
pub fn until_every<T>(
    pause: Duration,
    within: Duration,
    mut ready: impl FnMut() -> Option<T>,
) -> Option<T> {
    let deadline = Instant::now() + within;
    loop {
        if let Some(value) = ready() {
            return Some(value);
        }
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(pause);
    }
}

/// Short beside everything that is measured, long beside one look at /proc.
const PAUSE: Duration = Duration::from_millis(2);
