//! Owns what is said on standard error while a look at the host takes long, so that nobody believes
//! it hangs. Read: proc(5) on /proc/net/sockstat.

use std::{
    fs,
    io::{self, IsTerminal as _},
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::Duration,
};

/// A look that is being taken. Says nothing if it is dropped within a second, or if nobody watches.
pub(crate) struct LongLook {
    over: Option<Sender<()>>,
    watcher: Option<JoinHandle<()>>,
}

/// A second: what takes less needs no word.
const PATIENCE: Duration = Duration::from_secs(1);

impl LongLook {
    pub(crate) fn begin() -> Self {
        if !io::stderr().is_terminal() {
            return Self { over: None, watcher: None };
        }
        let (over, ended) = mpsc::channel();
        let watcher = thread::Builder::new().name("long look".to_owned()).spawn(move || {
            if ended.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let table = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
                eprintln!("halfopen: {}", sentence(sockets(&table)));
            }
        });
        // Without a thread the look is as good, only silent.
        Self { over: Some(over), watcher: watcher.ok() }
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

fn sentence(sockets: Option<u64>) -> String {
    sockets.map_or_else(
        || "still looking".to_owned(),
        |sockets| format!("still looking: this namespace alone has {sockets} TCP sockets in use"),
    )
}

/// The sockets in use by the text of /proc/net/sockstat: `TCP: inuse 27 orphan 0 tw 0 …`.
fn sockets(table: &str) -> Option<u64> {
    let line = table.lines().find_map(|line| line.strip_prefix("TCP:"))?;
    let mut words = line.split_whitespace().skip_while(|word| *word != "inuse");
    words.nth(1)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_number_of_sockets_is_told_where_the_kernel_tells_it() {
        let table =
            "sockets: used 170\nTCP: inuse 27 orphan 0 tw 3 alloc 29 mem 2\nUDP: inuse 1 mem 0\n";
        assert!(sentence(sockets(table)).contains("27 TCP sockets"));
        assert_eq!(sentence(sockets("")), "still looking");
        assert_eq!(sockets("TCP: inuse x\n"), None);
    }

    #[test]
    fn a_look_that_is_over_leaves_no_thread() {
        drop(LongLook::begin());
    }
}
