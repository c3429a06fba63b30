//! Owns how long the watcher of a rehearsal may look away. Pure: spans of time in, a span out.
//! Whoever waits for hours looks as precisely as it takes, and no more often: each look costs time
//! that an emulated machine cannot leap over.

use std::time::Duration;

/// From one look to the next, where nothing has stirred for so long and something is `due` then.
pub(super) fn pause(quiet: Duration, due: Option<Duration>) -> Duration {
    let pause = if quiet > SILENCE_MAX {
        PAUSE_MAX
    } else {
        (quiet / QUIET_TO_PAUSE).clamp(PAUSE, PAUSE_MAX)
    };
    due.map_or(pause, |due| pause.min(due))
}

/// Short beside what separates one event from the next.
pub(super) const PAUSE: Duration = Duration::from_millis(5);

/// A five-hundredth: after the longest pause between two retransmissions that is a quarter of a second.
const QUIET_TO_PAUSE: u32 = 500;

/// The longest pause between retransmissions is 120 s, and timers fire an eighth late at most. What a
/// kernel does without a segment of its own, it does that long after one.
const SILENCE_MAX: Duration = Duration::from_secs(135);

/// Whatever stirs in between is heard at once; this is for what makes no sound.
const PAUSE_MAX: Duration = Duration::from_secs(10);

/// From one reading of the kernel's tables to the next. It takes milliseconds on a host with much
/// memory, whose tables are long, however few connections there are.
pub(super) fn readings(quiet: Duration) -> Duration {
    (quiet / QUIET_TO_READING).clamp(READING_MIN, READING_MAX)
}

/// A twentieth: after a second of quiet it begins to grow.
const QUIET_TO_READING: u32 = 20;

/// Short beside the first retransmission time-out, 200 ms.
const READING_MIN: Duration = Duration::from_millis(50);

/// With what it takes on a busy machine still within what a measurement may add.
const READING_MAX: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longer_nothing_stirs_the_longer_is_the_pause() {
        let seconds = Duration::from_secs;
        assert_eq!(pause(Duration::ZERO, None), PAUSE);
        assert_eq!(pause(seconds(2), None), PAUSE);
        assert_eq!(pause(seconds(120), None), Duration::from_millis(240));
        assert!(pause(seconds(120), None) < crate::card::RESOLUTION);
        assert_eq!(pause(SILENCE_MAX + PAUSE, None), PAUSE_MAX);
    }

    #[test]
    fn the_tables_are_read_less_often_once_nothing_stirs() {
        let millis = Duration::from_millis;
        assert_eq!(readings(Duration::ZERO), millis(50));
        assert_eq!(readings(millis(2_000)), millis(100));
        assert_eq!(readings(millis(60_000)), millis(200));
        assert!(readings(millis(60_000)) < crate::card::RESOLUTION);
    }

    #[test]
    fn what_is_due_is_not_slept_through() {
        let due = Duration::from_millis(7);
        assert_eq!(pause(Duration::from_secs(7_200), Some(due)), due);
        assert_eq!(pause(Duration::ZERO, Some(due)), PAUSE);
        assert_eq!(pause(Duration::ZERO, Some(Duration::ZERO)), Duration::ZERO);
    }
}
