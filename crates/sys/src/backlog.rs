//! Owns what the host says of its receive backlogs: how long they may get, and what they dropped.
//! Read: linux net/core/dev.c `enqueue_to_backlog`, net/core/net-procfs.c `softnet_seq_show`.

use std::{fs, io};

/// `net.core.netdev_max_backlog`: how many packets wait for each processor at most. Only the first
/// network namespace shows it; `None` elsewhere.
pub fn backlog_max() -> Option<u32> {
    fs::read_to_string("/proc/sys/net/core/netdev_max_backlog").ok()?.trim().parse().ok()
}

/// Packets dropped since the host was booted because a backlog was full, on all processors.
///
/// # Errors
/// If /proc/net/softnet_stat cannot be read, or does not look as expected.
pub fn backlog_drops() -> io::Result<u64> {
    dropped(&fs::read_to_string("/proc/thread-self/net/softnet_stat")?)
        .ok_or_else(|| io::Error::other("/proc/net/softnet_stat has no second column of numbers"))
}

/// The sum of the second column: one line for each processor, in hexadecimal.
fn dropped(text: &str) -> Option<u64> {
    let of_one = |line: &str| u64::from_str_radix(line.split_ascii_whitespace().nth(1)?, 16).ok();
    text.lines().map(of_one).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drops_of_all_processors_are_added_up() {
        assert_eq!(dropped("0000ffff 0000000a 00\n00000001 00000006 00\n"), Some(16));
        assert_eq!(dropped("0000ffff\n"), None);
        assert_eq!(dropped("1 x\n"), None);
    }

    #[test]
    fn this_kernel_tells() {
        backlog_drops().unwrap();
    }
}
