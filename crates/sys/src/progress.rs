//! Owns the count of sockets that this process has read from the kernel, so that somebody can tell
//! how far a long look has come. Decides nothing by it.

use std::sync::atomic::{AtomicUsize, Ordering};

static READ: AtomicUsize = AtomicUsize::new(0);

/// How many sockets this process has read so far, in all its looks: it never goes back.
pub fn sockets_read() -> usize {
    READ.load(Ordering::Relaxed)
}

/// Counts so many more.
pub(crate) fn count(sockets: usize) {
    READ.fetch_add(sockets, Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_counted_is_told() {
        let before = sockets_read();
        count(7);
        assert!(sockets_read() >= before + 7);
    }
}
