//! Owns the silent end of a process's connections, as a power failure ends them: no FIN, no RST.
//!
//! This destroys the connections of another process, and is only ever meant for the processes of a
//! host that was made to be a victim: a process in the caller's own network namespace is refused.
//! Kills nothing. Read: linux net/ipv4/tcp.c `tcp_close` (tp->repair), pidfd_getfd(2).

use std::{fs, io, os::fd::AsFd};

use rustix::{
    io::Errno,
    net::ipproto,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::{
    netns::{Netns, NetnsError},
    syscall,
};

/// Puts every TCP connection of the process `pid` into repair mode, so that the kernel sends
/// nothing when they are closed, and returns how many. The process should stand still (SIGSTOP):
/// connections that it makes meanwhile may be missed. Listeners refuse, and need no silence.
///
/// # Errors
/// [`SilenceError::NotAVictim`] for a process of our own network namespace, else whatever kept us
/// from reaching the process; needs CAP_SYS_PTRACE and CAP_NET_ADMIN. A process that has ended
/// meanwhile has nothing to silence, which is not an error.
pub fn process(pid: u32) -> Result<usize, SilenceError> {
    let theirs = match Netns::of_process(pid) {
        Err(NetnsError::Open { cause, .. }) if cause.kind() == io::ErrorKind::NotFound => {
            return Ok(0);
        }
        found => found?,
    };
    if theirs.id() == Netns::current()?.id() {
        return Err(SilenceError::NotAVictim { pid });
    }
    let failed = |cause: io::Error| SilenceError::Reach { pid, cause };
    let number = i32::try_from(pid).ok().and_then(Pid::from_raw);
    let number = number.ok_or_else(|| failed(Errno::SRCH.into()))?;
    let process = match pidfd_open(number, PidfdFlags::empty()) {
        Err(Errno::SRCH) => return Ok(0),
        opened => opened.map_err(|errno| failed(errno.into()))?,
    };
    let mut silenced = 0;
    for descriptor in sockets_of(pid).map_err(failed)? {
        let duplicate = match pidfd_getfd(&process, descriptor, PidfdGetfdFlags::empty()) {
            Ok(duplicate) => duplicate,
            // The process has ended, or has closed this one.
            Err(Errno::SRCH | Errno::BADF) => continue,
            Err(errno) => return Err(failed(errno.into())),
        };
        if rustix::net::sockopt::socket_protocol(&duplicate) == Ok(Some(ipproto::TCP))
            && syscall::set_socket_option(duplicate.as_fd(), libc::IPPROTO_TCP, TCP_REPAIR, 1)
                .is_ok()
        {
            silenced += 1;
        }
    }
    Ok(silenced)
}

/// TCP_REPAIR of uapi/linux/tcp.h: a socket in repair mode is closed without a segment.
const TCP_REPAIR: libc::c_int = 19;

/// The descriptors of `pid` that are sockets of any kind. Empty where the process has ended.
fn sockets_of(pid: u32) -> io::Result<Vec<i32>> {
    let entries = match fs::read_dir(format!("/proc/{pid}/fd")) {
        Err(cause) if cause.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    Ok(entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let is_socket = fs::read_link(&path).ok()?.to_str()?.starts_with("socket:");
            if is_socket { path.file_name()?.to_str()?.parse().ok() } else { None }
        })
        .collect())
}

/// Why the connections of a process could not be silenced.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SilenceError {
    /// It is no victim.
    #[error(
        "silence the connections of process {pid}: it lives in our own network namespace, and only processes of a host of the lab may be silenced"
    )]
    NotAVictim {
        /// The process.
        pid: u32,
    },
    /// Its namespace could not be looked at.
    #[error(transparent)]
    Namespace(#[from] NetnsError),
    /// Its descriptors could not be reached.
    #[error(
        "silence the connections of process {pid}: {cause}; needs CAP_SYS_PTRACE and CAP_NET_ADMIN (run as root)"
    )]
    Reach {
        /// The process.
        pid: u32,
        /// What the kernel answered.
        cause: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_our_own_namespace_is_never_silenced() {
        let refused = process(std::process::id());
        assert!(matches!(refused, Err(SilenceError::NotAVictim { .. })), "{refused:?}");
    }

    #[test]
    fn a_process_that_is_gone_has_nothing_to_silence() {
        // Above PID_MAX_LIMIT, so there can be no such process.
        assert_eq!(process(4_194_305).unwrap(), 0);
    }
}
