//! Owns the bell that wakes a watcher before its time, so that one who waits for hours need not look
//! every few milliseconds. Knows nothing of what happened. Read: std's `Condvar`.

use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::Duration,
};

/// A bell. A ring is kept until somebody has waited for it.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<bool>,
    ringing: Condvar,
}

impl Bell {
    /// Wakes who waits, or who waits next.
    pub(crate) fn ring(&self) {
        *self.rung.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.ringing.notify_one();
    }

    /// Waits for a ring, no longer than `within`. Says whether there was one.
    pub(crate) fn wait(&self, within: Duration) -> bool {
        let rung = self.rung.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.ringing.wait_timeout_while(rung, within, |rung| !*rung);
        let mut rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        std::mem::take(&mut rung)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_is_heard_once_also_by_who_comes_later() {
        let bell = Bell::default();
        bell.ring();
        bell.ring();
        assert!(bell.wait(Duration::from_secs(60)));
        assert!(!bell.wait(Duration::ZERO));
    }

    #[test]
    fn who_waits_is_woken_by_another_thread() {
        let bell = Bell::default();
        std::thread::scope(|scope| {
            scope.spawn(|| bell.ring());
            assert!(bell.wait(Duration::from_secs(60)));
        });
    }
}
