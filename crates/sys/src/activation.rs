//! Owns the taking over of listening sockets that the process was started with, and the telling of a
//! service supervisor how far it is. Read: sd_listen_fds(3), sd_notify(3).

use std::{
    env, io,
    os::{
        fd::OwnedFd,
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr, UnixDatagram},
    },
    time::Duration,
};

use crate::syscall;

/// The sockets that this process was started with, with their names (`LISTEN_FDS`,
/// `LISTEN_FDNAMES`), in their order. Only the first call gets them; none if they are for another
/// process (`LISTEN_PID`).
///
/// # Errors
/// What the kernel answers of a descriptor that should be there and is not.
pub fn inherited_sockets() -> io::Result<Vec<(String, OwnedFd)>> {
    let text = |name| env::var(name).unwrap_or_default();
    let names = announced(
        &text("LISTEN_PID"),
        &text("LISTEN_FDS"),
        &text("LISTEN_FDNAMES"),
        std::process::id(),
    );
    let sockets = syscall::stream::inherited(names.len())?;
    Ok(names.into_iter().zip(sockets).collect())
}

/// Tells the supervisor that waits for it (`NOTIFY_SOCKET`), e.g. `READY=1`. Does nothing where nobody
/// waits.
///
/// # Errors
/// What the kernel answers of the supervisor's socket.
pub fn notify(state: &str) -> io::Result<()> {
    let Some(path) = env::var_os("NOTIFY_SOCKET") else { return Ok(()) };
    let path = path.as_encoded_bytes();
    let address = match path.strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(env::var_os("NOTIFY_SOCKET").unwrap_or_default())?,
    };
    UnixDatagram::unbound()?.send_to_addr(state.as_bytes(), &address).map(drop)
}

/// How often the supervisor wants to hear `WATCHDOG=1` at the latest (`WATCHDOG_USEC`); `None`: not at all, or
/// from another process (`WATCHDOG_PID`).
pub fn watchdog() -> Option<Duration> {
    let text = |name| env::var(name).ok();
    within(text("WATCHDOG_USEC"), text("WATCHDOG_PID"), std::process::id())
}

fn within(microseconds: Option<String>, pid: Option<String>, own_pid: u32) -> Option<Duration> {
    let is_ours = pid.is_none_or(|pid| pid.parse() == Ok(own_pid));
    let microseconds = microseconds.filter(|_| is_ours)?.parse().ok().filter(|count| *count > 0)?;
    Some(Duration::from_micros(microseconds))
}

/// The names of the descriptors from 3 on.
fn announced(pid: &str, count: &str, names: &str, own_pid: u32) -> Vec<String> {
    if pid.parse() != Ok(own_pid) {
        return Vec::new();
    }
    let count: usize = count.parse().unwrap_or(0);
    let names = names.split(':').map(str::to_owned).filter(|name| !name.is_empty());
    // systemd calls a socket without a name "unknown".
    names.chain(std::iter::repeat("unknown".to_owned())).take(count).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_are_announced_for_one_process_with_their_names() {
        assert_eq!(announced("7", "2", "web:db", 7), ["web", "db"]);
        assert_eq!(announced("7", "2", "web", 7), ["web", "unknown"]);
        assert_eq!(announced("7", "1", "", 7), ["unknown"]);
        for (pid, count) in [("8", "2"), ("", "2"), ("7", ""), ("7", "many")] {
            assert!(announced(pid, count, "web:db", 7).is_empty(), "{pid} {count}");
        }
    }

    #[test]
    fn a_watchdog_is_for_one_process_or_for_any() {
        let within = |microseconds: &str, pid: Option<&str>| {
            within(Some(microseconds.to_owned()), pid.map(str::to_owned), 7)
        };
        assert_eq!(within("3000000", None), Some(Duration::from_secs(3)));
        assert_eq!(within("3000000", Some("7")), Some(Duration::from_secs(3)));
        assert_eq!(within("3000000", Some("8")), None);
        assert_eq!((within("0", None), within("soon", None)), (None, None));
        assert_eq!(super::within(None, None, 7), None);
    }
}
