//! Owns the reading of a namespace's TCP counters. Draws no conclusions.
//! Read: linux Documentation/networking/snmp_counter.rst, net/ipv4/proc.c.

use std::{fs, io, path::PathBuf};

/// Counters of one network namespace since it was made. `None`: this kernel has no such counter.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counters {
    /// `Tcp: EstabResets`: connections that went from ESTABLISHED or CLOSE-WAIT to CLOSED at once.
    pub established_resets: Option<u64>,
    /// `Tcp: AttemptFails`: connections that failed while they were being established.
    pub attempt_fails: Option<u64>,
    /// `TcpExt: TCPAbortOnTimeout`: connections that a retransmission or keepalive timer ended.
    pub aborts_on_timeout: Option<u64>,
    /// `TcpExt: ListenOverflows`: connections dropped because an accept queue was full.
    pub listen_overflows: Option<u64>,
    /// `TcpExt: ListenDrops`: connections dropped by a listener for whatever reason.
    pub listen_drops: Option<u64>,
    /// `TcpExt: SyncookiesSent`: SYNs that were answered with a cookie, and not queued.
    pub syn_cookies_sent: Option<u64>,
}

/// The counters of the calling thread's namespace.
///
/// # Errors
/// [`CountersError`] where the files cannot be read.
pub fn counters() -> Result<Counters, CountersError> {
    // /proc/net is that of the main thread; a thread may have joined another namespace.
    let read = |name: &str| {
        let path = PathBuf::from("/proc/thread-self/net").join(name);
        fs::read_to_string(&path).map_err(|cause| CountersError { path, cause })
    };
    let mut counters = Counters::default();
    parse(&read("snmp")?, &mut counters);
    parse(&read("netstat")?, &mut counters);
    Ok(counters)
}

/// The counters of a namespace could not be read.
#[derive(Debug, thiserror::Error)]
#[error("read the counters in {path}: {cause}; is /proc mounted?", path = path.display())]
#[non_exhaustive]
pub struct CountersError {
    /// The file.
    pub path: PathBuf,
    /// What the kernel answered.
    pub cause: io::Error,
}

/// Both files are pairs of lines, `Group: name name ...` above `Group: value value ...`.
pub(crate) fn parse(text: &str, counters: &mut Counters) {
    let mut lines = text.lines();
    while let (Some(names), Some(values)) = (lines.next(), lines.next()) {
        let mut names = names.split_ascii_whitespace();
        let mut values = values.split_ascii_whitespace();
        let group = names.next();
        if group != values.next() {
            return;
        }
        for (name, value) in names.zip(values) {
            let field = match (group, name) {
                (Some("Tcp:"), "EstabResets") => &mut counters.established_resets,
                (Some("Tcp:"), "AttemptFails") => &mut counters.attempt_fails,
                (Some("TcpExt:"), "TCPAbortOnTimeout") => &mut counters.aborts_on_timeout,
                (Some("TcpExt:"), "ListenOverflows") => &mut counters.listen_overflows,
                (Some("TcpExt:"), "ListenDrops") => &mut counters.listen_drops,
                (Some("TcpExt:"), "SyncookiesSent") => &mut counters.syn_cookies_sent,
                _ => continue,
            };
            *field = value.parse().ok();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_found_by_name_whatever_their_place() {
        let mut counters = Counters::default();
        parse("Tcp: MaxConn EstabResets AttemptFails\nTcp: -1 7 8\n", &mut counters);
        parse(
            "TcpExt: SyncookiesSent ListenDrops New TCPAbortOnTimeout\nTcpExt: 6 3 4 5\n",
            &mut counters,
        );
        let expected = Counters {
            established_resets: Some(7),
            attempt_fails: Some(8),
            aborts_on_timeout: Some(5),
            listen_overflows: None,
            listen_drops: Some(3),
            syn_cookies_sent: Some(6),
        };
        assert_eq!(counters, expected);
    }

    #[test]
    fn lines_that_do_not_pair_up_are_not_guessed_at() {
        let mut counters = Counters::default();
        parse("Tcp: EstabResets\nUdp: 7\n", &mut counters);
        parse("Tcp: EstabResets\n", &mut counters);
        parse("Tcp: EstabResets\nTcp: many\n", &mut counters);
        assert_eq!(counters, Counters::default());
    }

    #[test]
    fn this_kernel_has_them_all() {
        let counters = counters().unwrap();
        assert!(counters.established_resets.is_some() && counters.attempt_fails.is_some());
        assert!(counters.aborts_on_timeout.is_some() && counters.listen_drops.is_some());
        assert!(counters.listen_overflows.is_some());
    }
}
