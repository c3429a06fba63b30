//! Owns the setting of the options that keep a connection, on a socket of another process: through a
//! short-lived duplicate of its descriptor, after its cookie and state were checked again. Never
//! touches listeners, nor anything but these five options. `many` chooses between this and BPF.
//! Read: tcp(7), pidfd_getfd(2), linux net/ipv4/tcp.c `tcp_sock_set_keepidle_locked`.

mod many;

use std::{
    ffi::c_int,
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use halfopen_core::{ConnectionId, TcpState, keeping::KeepOptions};
use rustix::{io::Errno, net::sockopt};

pub use many::{Setter, Target};

use crate::{
    holder::Holders,
    options::{OptionsError, TCP_USER_TIMEOUT},
    syscall,
};

/// What is to be set on one socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Setting {
    /// Which socket.
    pub id: ConnectionId,
    /// Its options, as they were read. Where they are others by now, nothing is set.
    pub expected: KeepOptions,
    /// The options to set.
    pub wanted: KeepOptions,
}

/// Carries a setting out on the socket that process `pid` holds as descriptor `fd`, if it is the one
/// that is meant, an open connection, and its options are as expected. Does nothing if they are as
/// wanted already. What was set is read back; if anything fails, the expected ones are put back.
///
/// The kernel keeps no default as such: after the way back an option that nobody had set is set to
/// the value that the default had, and no longer follows the sysctl.
///
/// # Errors
/// [`NotSet`]; except for [`NotSet::Halfway`] nothing is changed then.
pub fn set_of_process(pid: u32, fd: u32, setting: &Setting) -> Result<(), NotSet> {
    set_through(&mut Holders::default(), pid, fd, setting)
}

/// As [`set_of_process`], through processes that were asked before.
fn set_through(holders: &mut Holders, pid: u32, fd: u32, setting: &Setting) -> Result<(), NotSet> {
    let duplicate = holders.duplicate(pid, fd, setting.id.cookie)?;
    set(duplicate.as_fd(), setting.expected, setting.wanted)
}

/// As [`set_of_process`], on a socket of our own.
///
/// # Errors
/// As [`set_of_process`].
pub fn set(
    socket: BorrowedFd<'_>,
    expected: KeepOptions,
    wanted: KeepOptions,
) -> Result<(), NotSet> {
    let state = state(socket).map_err(refused)?;
    if !matches!(state, TcpState::Established | TcpState::CloseWait | TcpState::FinWait2) {
        return Err(NotSet::NotOpen);
    }
    let found = read(socket)?;
    if found == wanted {
        return Ok(());
    }
    if found != expected {
        return Err(NotSet::Changed);
    }
    let outcome = write(socket, found, wanted).map_err(refused);
    let outcome = outcome.and_then(|()| match read(socket)? {
        now if now == wanted => Ok(()),
        _ => Err(NotSet::NotTaken),
    });
    outcome.map_err(|error| {
        let undone = write(socket, wanted, expected).is_ok();
        if undone && read(socket).is_ok_and(|now| now == expected) {
            error
        } else {
            NotSet::Halfway
        }
    })
}

/// These five alone: each is a system call, and there may be very many sockets.
fn read(socket: BorrowedFd<'_>) -> Result<KeepOptions, NotSet> {
    let tcp = |name| {
        let value = syscall::socket_option(socket, libc::IPPROTO_TCP, name).map_err(refused)?;
        u32::try_from(value).map_err(|_| NotSet::Refused(Errno::RANGE))
    };
    Ok(KeepOptions {
        keepalive: sockopt::socket_keepalive(socket).map_err(NotSet::Refused)?,
        idle_s: tcp(libc::TCP_KEEPIDLE)?,
        interval_s: tcp(libc::TCP_KEEPINTVL)?,
        probes: tcp(libc::TCP_KEEPCNT)?,
        user_timeout_ms: tcp(TCP_USER_TIMEOUT)?,
    })
}

fn refused(cause: io::Error) -> NotSet {
    NotSet::Refused(Errno::from_io_error(&cause).unwrap_or(Errno::IO))
}

/// SO_KEEPALIVE goes off first and on last. Setting TCP_KEEPIDLE while it is on arms the timer for
/// what is left of the new time, which for a connection that has been idle for longer is nothing:
/// many of them would probe at once. A longer time than before is safe, and set so, since the whole
/// wait beginning now for many of them would make them probe at once later.
fn write(socket: BorrowedFd<'_>, found: KeepOptions, wanted: KeepOptions) -> io::Result<()> {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    if found.keepalive && (wanted.idle_s < found.idle_s || !wanted.keepalive) {
        sockopt::set_socket_keepalive(socket, false)?;
    }
    sockopt::set_tcp_keepidle(socket, seconds(wanted.idle_s))?;
    sockopt::set_tcp_keepintvl(socket, seconds(wanted.interval_s))?;
    sockopt::set_tcp_keepcnt(socket, wanted.probes)?;
    if found.user_timeout_ms != wanted.user_timeout_ms {
        let value = c_int::try_from(wanted.user_timeout_ms).unwrap_or(c_int::MAX);
        syscall::set_socket_option(socket, libc::IPPROTO_TCP, TCP_USER_TIMEOUT, value)?;
    }
    if wanted.keepalive {
        sockopt::set_socket_keepalive(socket, true)?;
    }
    Ok(())
}

/// `tcpi_state`, the first byte of TCP_INFO; the kernel gives as much of it as is asked for.
fn state(socket: BorrowedFd<'_>) -> io::Result<TcpState> {
    let value = syscall::socket_option(socket, libc::IPPROTO_TCP, TCP_INFO)?;
    let [state, ..] = value.to_ne_bytes();
    Ok(TcpState::from_kernel(state))
}

/// uapi/linux/tcp.h.
const TCP_INFO: c_int = 11;

/// Why the options of a socket were not set.
#[derive(Debug, Clone, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum NotSet {
    /// It is no open connection any more, or closed by its process.
    #[error("it is no open connection any more")]
    NotOpen,
    /// It is no more.
    #[error("it is gone")]
    Gone,
    /// Its options are not those that were expected.
    #[error("its options were changed meanwhile by somebody else; look again")]
    Changed,
    /// The socket cannot be reached.
    #[error("{0}")]
    Unreachable(String),
    /// The kernel refused.
    #[error("the kernel refused to set or show an option: {0}")]
    Refused(Errno),
    /// The kernel took the options and shows others.
    #[error("the kernel took the options and shows others; nothing is changed")]
    NotTaken,
    /// It failed, and so did the way back.
    #[error(
        "something failed, and the old options could not be put back; `halfopen keep --undo` tries again"
    )]
    Halfway,
}

impl From<OptionsError> for NotSet {
    fn from(error: OptionsError) -> Self {
        match error {
            OptionsError::Gone { .. } | OptionsError::AnotherSocket { .. } => Self::Gone,
            error => Self::Unreachable(error.to_string()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use halfopen_core::{Cookie, NetnsId};

    use super::*;
    use crate::options;

    fn connection() -> (TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener)
    }

    const WANTED: KeepOptions = KeepOptions {
        keepalive: true,
        idle_s: 600,
        interval_s: 10,
        probes: 3,
        user_timeout_ms: 59_000,
    };

    #[test]
    fn what_is_set_on_a_descriptor_of_a_process_is_read_back_and_put_back_exactly() {
        let (stream, _listener) = connection();
        let cookie = Cookie(sockopt::socket_cookie(&stream).unwrap());
        let id = ConnectionId { cookie, netns: NetnsId(0) };
        let (pid, fd) = (std::process::id(), u32::try_from(stream.as_raw_fd()).unwrap());
        let all_before = options::read(stream.as_fd()).unwrap();
        let before = KeepOptions::of(&all_before).unwrap();
        set_of_process(pid, fd, &Setting { id, expected: before, wanted: WANTED }).unwrap();
        assert_eq!(read(stream.as_fd()).unwrap(), WANTED);
        // Once more changes nothing.
        set_of_process(pid, fd, &Setting { id, expected: before, wanted: WANTED }).unwrap();
        set_of_process(pid, fd, &Setting { id, expected: WANTED, wanted: before }).unwrap();
        assert_eq!(options::read(stream.as_fd()).unwrap(), all_before);
    }

    #[test]
    fn options_that_somebody_else_has_set_are_left_alone() {
        let (stream, _listener) = connection();
        let before = read(stream.as_fd()).unwrap();
        sockopt::set_tcp_keepcnt(&stream, 7).unwrap();
        let error = set(stream.as_fd(), before, WANTED).unwrap_err();
        assert!(matches!(error, NotSet::Changed), "{error}");
        assert!(!sockopt::socket_keepalive(&stream).unwrap());
    }

    #[test]
    fn a_listener_is_never_touched() {
        let (_stream, listener) = connection();
        let before = read(listener.as_fd()).unwrap();
        let error = set(listener.as_fd(), before, WANTED).unwrap_err();
        assert!(matches!(error, NotSet::NotOpen), "{error}");
        assert_eq!(read(listener.as_fd()).unwrap(), before);
    }

    #[test]
    fn a_value_that_the_kernel_refuses_leaves_everything_as_it_was() {
        let (stream, _listener) = connection();
        let before = read(stream.as_fd()).unwrap();
        let wanted = KeepOptions { probes: 128, ..WANTED };
        let error = set(stream.as_fd(), before, wanted).unwrap_err();
        assert!(matches!(error, NotSet::Refused(_)), "{error}");
        assert_eq!(read(stream.as_fd()).unwrap(), before);
    }
}
