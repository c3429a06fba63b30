//! Owns what is said on standard error while a look at the host takes long, so that nobody believes
//! it hangs: how many sockets have been read and judged, and of how many. Asks the kernel nothing
//! while the look is short.

use std::{
    io::{self, IsTerminal as _, Write as _},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread::{self, JoinHandle},
    time::Duration,
};

use halfopen_sys::{Scope, sockets_read, tcp_sockets_here};

/// A look that is being taken. Says nothing if it is dropped within a second, or if nobody watches.
pub(crate) struct LongLook {
    judged: Arc<AtomicUsize>,
    over: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
}

/// A second: what takes less needs no word.
const PATIENCE: Duration = Duration::from_secs(1);
/// Often enough to see it move.
const REDRAWN: Duration = Duration::from_millis(200);

impl LongLook {
    /// Begins to watch a look at `scope`.
    pub(crate) fn begin(scope: &Scope) -> Self {
        let judged = Arc::new(AtomicUsize::new(0));
        if !io::stderr().is_terminal() {
            return Self { judged, over: None, watcher: None };
        }
        let (over, ended) = mpsc::channel();
        let far = Far {
            read_before: sockets_read(),
            judged: Arc::clone(&judged),
            is_all_here: *scope == Scope::Current,
        };
        let watcher = thread::Builder::new().name("long look".to_owned());
        let watcher = watcher.spawn(move || watch(&far, &ended));
        // Without a thread the look is as good, only silent.
        Self { judged, over: Some(over), watcher: watcher.ok() }
    }

    /// So many more sockets have been judged.
    pub(crate) fn judged(&self, sockets: usize) {
        self.judged.fetch_add(sockets, Ordering::Relaxed);
    }
}

impl Drop for LongLook {
    fn drop(&mut self) {
        drop(self.over.take());
        if let Some(watcher) = self.watcher.take() {
            let _ = watcher.join();
        }
    }
}

/// How far a look is.
struct Far {
    read_before: usize,
    judged: Arc<AtomicUsize>,
    /// The kernel tells how many sockets there are in the namespace of the caller.
    is_all_here: bool,
}

fn watch(far: &Far, ended: &Receiver<()>) {
    let mut pause = PATIENCE;
    let mut all = None;
    while ended.recv_timeout(pause) == Err(RecvTimeoutError::Timeout) {
        if pause == PATIENCE && far.is_all_here {
            all = tcp_sockets_here();
        }
        pause = REDRAWN;
        let read = sockets_read().saturating_sub(far.read_before);
        say(&format!("\r{}\x1b[K", sentence(read, far.judged.load(Ordering::Relaxed), all)));
    }
    if pause == REDRAWN {
        say("\r\x1b[K");
    }
}

fn say(text: &str) {
    // Nowhere is left to complain.
    let _ = io::stderr().write_all(text.as_bytes());
}

fn sentence(read: usize, judged: usize, all: Option<u64>) -> String {
    let all = all.map(|all| format!(" of about {all}")).unwrap_or_default();
    let judged = if judged > 0 { format!(", {judged} judged") } else { String::new() };
    format!("halfopen: still looking: {read}{all} TCP sockets read{judged}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_told_how_many_sockets_have_been_read_and_judged_of_how_many() {
        let told = |read, judged, all| sentence(read, judged, all);
        let expected = "halfopen: still looking: 512 of about 9000 TCP sockets read";
        assert_eq!(told(512, 0, Some(9_000)), expected);
        let expected = "halfopen: still looking: 9003 TCP sockets read, 256 judged";
        assert_eq!(told(9_003, 256, None), expected);
    }

    #[test]
    fn a_look_that_is_over_leaves_no_thread() {
        let long = LongLook::begin(&Scope::Current);
        long.judged(1);
        let judged = Arc::clone(&long.judged);
        drop(long);
        assert_eq!((judged.load(Ordering::Relaxed), Arc::strong_count(&judged)), (1, 1));
    }
}
