//! Owns the setting of the options that keep a connection, on a socket of another process: through a
//! short-lived duplicate of its descriptor, after its cookie and state were checked again. Never
//! touches listeners, nor anything but these five options. `bpf::keep` does the same for very many.
//! Read: tcp(7), pidfd_getfd(2), linux net/ipv4/tcp.c `tcp_sock_set_keepidle_locked`.

use std::{
    ffi::c_int,
    io,
    os::fd::{AsFd, BorrowedFd},
    time::Duration,
};

use halfopen_core::{Cookie, TcpState, keeping::KeepOptions};
use rustix::net::sockopt;

use crate::{
    options::{self, OptionsError, TCP_USER_TIMEOUT},
    syscall,
};

/// Sets `wanted` on the socket that process `pid` holds as descriptor `fd`, if its cookie is
/// `cookie`, it is an open connection, and its options still are `expected`. Does nothing if they
/// are `wanted` already. What was set is read back; if anything fails, `expected` is put back.
///
/// The kernel keeps no default as such: after the way back an option that nobody had set is set to
/// the value that the default had, and no longer follows the sysctl.
///
/// # Errors
/// [`SetError`]; except for [`SetError::Halfway`] nothing is changed then.
pub fn set_of_process(
    pid: u32,
    fd: u32,
    cookie: Cookie,
    expected: KeepOptions,
    wanted: KeepOptions,
) -> Result<(), SetError> {
    let duplicate = options::duplicate(pid, fd)?;
    if sockopt::socket_cookie(&duplicate).ok() != Some(cookie.0) {
        return Err(OptionsError::AnotherSocket { pid, fd }.into());
    }
    set(duplicate.as_fd(), expected, wanted)
}

/// As [`set_of_process`], on a socket of our own.
///
/// # Errors
/// As [`set_of_process`].
pub fn set(
    socket: BorrowedFd<'_>,
    expected: KeepOptions,
    wanted: KeepOptions,
) -> Result<(), SetError> {
    let state = state(socket).map_err(|cause| SetError::Refused { cause })?;
    if !matches!(state, TcpState::Established | TcpState::CloseWait | TcpState::FinWait2) {
        return Err(SetError::NotOpen { state });
    }
    let found = read(socket)?;
    if found == wanted {
        return Ok(());
    }
    if found != expected {
        return Err(SetError::Changed { found });
    }
    let outcome = write(socket, found, wanted).map_err(|cause| SetError::Refused { cause });
    let outcome = outcome.and_then(|()| match read(socket)? {
        now if now == wanted => Ok(()),
        found => Err(SetError::NotTaken { found }),
    });
    outcome.map_err(|error| {
        let undone = write(socket, wanted, expected).is_ok();
        if undone && read(socket).is_ok_and(|now| now == expected) {
            error
        } else {
            SetError::Halfway { cause: Box::new(error) }
        }
    })
}

fn read(socket: BorrowedFd<'_>) -> Result<KeepOptions, SetError> {
    let options = options::read(socket).map_err(|cause| SetError::Refused { cause })?;
    KeepOptions::of(&options).ok_or(SetError::Unknown)
}

/// SO_KEEPALIVE goes off first and on last. Setting TCP_KEEPIDLE while it is on would arm the timer
/// for what is left of the new time, which for a connection that has been idle for long is nothing:
/// many of them would probe at once.
fn write(socket: BorrowedFd<'_>, found: KeepOptions, wanted: KeepOptions) -> io::Result<()> {
    let seconds = |seconds: u32| Duration::from_secs(seconds.into());
    if found.keepalive {
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
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SetError {
    /// The socket could not be reached.
    #[error(transparent)]
    Socket(#[from] OptionsError),
    /// It is no open connection any more, or never was one.
    #[error("it is in {state} by now, and only open connections are kept; look again")]
    NotOpen {
        /// Its state.
        state: TcpState,
    },
    /// Somebody else has set other options since they were read.
    #[error("its options were changed meanwhile by somebody else; look again")]
    Changed {
        /// What is there.
        found: KeepOptions,
    },
    /// One of the options is not known to this kernel.
    #[error("this kernel does not have all five options: needs Linux 2.6.37 or later")]
    Unknown,
    /// The kernel took the options and shows others.
    #[error("the kernel took the options and shows others; nothing is changed")]
    NotTaken {
        /// What it shows.
        found: KeepOptions,
    },
    /// The kernel refused.
    #[error("the kernel refused to set or show an option: {cause}")]
    Refused {
        /// What it answered.
        cause: io::Error,
    },
    /// It failed, and so did the way back.
    #[error("{cause}; and the old options could not be put back: see `halfopen keep --undo`")]
    Halfway {
        /// What failed first.
        cause: Box<Self>,
    },
}

#[cfg(test)]
mod tests {
    use std::{
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

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
        let (pid, fd) = (std::process::id(), u32::try_from(stream.as_raw_fd()).unwrap());
        let all_before = options::read(stream.as_fd()).unwrap();
        let before = KeepOptions::of(&all_before).unwrap();
        set_of_process(pid, fd, cookie, before, WANTED).unwrap();
        assert_eq!(read(stream.as_fd()).unwrap(), WANTED);
        // Once more changes nothing.
        set_of_process(pid, fd, cookie, before, WANTED).unwrap();
        set_of_process(pid, fd, cookie, WANTED, before).unwrap();
        assert_eq!(options::read(stream.as_fd()).unwrap(), all_before);
    }

    #[test]
    fn options_that_somebody_else_has_set_are_left_alone() {
        let (stream, _listener) = connection();
        let before = read(stream.as_fd()).unwrap();
        sockopt::set_tcp_keepcnt(&stream, 7).unwrap();
        let error = set(stream.as_fd(), before, WANTED).unwrap_err();
        assert!(matches!(error, SetError::Changed { found } if found.probes == 7), "{error}");
        assert!(!sockopt::socket_keepalive(&stream).unwrap());
    }

    #[test]
    fn a_listener_is_never_touched() {
        let (_stream, listener) = connection();
        let before = read(listener.as_fd()).unwrap();
        let error = set(listener.as_fd(), before, WANTED).unwrap_err();
        assert!(matches!(error, SetError::NotOpen { state: TcpState::Listen }), "{error}");
        assert_eq!(read(listener.as_fd()).unwrap(), before);
    }

    #[test]
    fn a_value_that_the_kernel_refuses_leaves_everything_as_it_was() {
        let (stream, _listener) = connection();
        let before = read(stream.as_fd()).unwrap();
        let wanted = KeepOptions { probes: 128, ..WANTED };
        let error = set(stream.as_fd(), before, wanted).unwrap_err();
        assert!(matches!(error, SetError::Refused { .. }), "{error}");
        assert_eq!(read(stream.as_fd()).unwrap(), before);
    }
}
