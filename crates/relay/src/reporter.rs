//! Owns the way of notices out of the workers: never waited for, so that a full disk or a terminal
//! that is stopped stops no connection. What does not fit is counted.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
    mpsc::{Receiver, SyncSender, TrySendError, sync_channel},
};

use crate::notice::Notice;

/// The workers' end.
#[derive(Debug, Clone)]
pub(crate) struct Reporter {
    sender: SyncSender<Notice>,
    dropped: Arc<AtomicU64>,
}

/// Makes both ends: the sending one, the receiving one, and the count of notices that did not fit.
pub(crate) fn reporter() -> (Reporter, Receiver<Notice>, Arc<AtomicU64>) {
    let (sender, receiver) = sync_channel(WAITING_MAX);
    let dropped = Arc::new(AtomicU64::new(0));
    (Reporter { sender, dropped: Arc::clone(&dropped) }, receiver, dropped)
}

impl Reporter {
    pub(crate) fn tell(&self, notice: Notice) {
        if let Err(TrySendError::Full(_)) = self.sender.try_send(notice) {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Half a second of the shortest connections, in less than a MiB.
const WAITING_MAX: usize = 4096;
