//! Owns the reading of socket options, also through a short-lived duplicate of another process's
//! descriptor. Sets none (`set_options` does); never reads SO_ERROR, which would take the error from the application;
//! never touches TCP_REPAIR. Read: tcp(7), pidfd_getfd(2), linux net/ipv4/tcp.c `do_tcp_getsockopt`.

mod shared;

use std::{
    ffi::c_int,
    io,
    os::fd::{AsFd, BorrowedFd},
    sync::Arc,
    time::Duration,
};

use halfopen_core::{Cookie, Owner, SocketOptions};
use rustix::{io::Errno, net::sockopt};

use crate::{holder::Holders, syscall};

pub use shared::SharedOptions;

/// The options of a socket of our own. One that this kernel does not know is `None`.
///
/// All values are *effective*: where the application set nothing, the kernel answers with the
/// namespace's default. One trap is left as it is: TCP_SYNCNT of a listener that set none reads as
/// `tcp_syn_retries`, although its SYN-ACKs follow `tcp_synack_retries`.
///
/// # Errors
/// What getsockopt(2) answered to anything but an unknown option, e.g. for a file that is no socket.
pub fn read(socket: BorrowedFd<'_>) -> io::Result<SocketOptions> {
    let tcp = |name| known(syscall::socket_option(socket, libc::IPPROTO_TCP, name));
    let unsigned = |name| tcp(name).map(|value| value.and_then(|value| u32::try_from(value).ok()));
    Ok(SocketOptions {
        keepalive: Some(sockopt::socket_keepalive(socket)?),
        keepalive_idle: Some(sockopt::tcp_keepidle(socket)?),
        keepalive_interval: Some(sockopt::tcp_keepintvl(socket)?),
        keepalive_probes: Some(sockopt::tcp_keepcnt(socket)?),
        user_timeout: unsigned(TCP_USER_TIMEOUT)?.map(|ms| Duration::from_millis(ms.into())),
        linger2: tcp(TCP_LINGER2)?,
        rto_max: unsigned(TCP_RTO_MAX_MS)?.map(|ms| Duration::from_millis(ms.into())),
        syn_retries: unsigned(TCP_SYNCNT)?,
        defer_accept: unsigned(TCP_DEFER_ACCEPT)?.map(|s| Duration::from_secs(s.into())),
        thin_linear: tcp(TCP_THIN_LINEAR_TIMEOUTS)?.map(|value| value != 0),
        reuse_address: Some(sockopt::socket_reuseaddr(socket)?),
    })
}

/// The options of the socket that process `pid` holds as descriptor `fd`, if its cookie is `cookie`.
///
/// For some microseconds we hold a duplicate of the descriptor. If the application closes its own
/// in that time, no FIN is sent before ours is closed too; so it is closed at once.
///
/// # Errors
/// [`OptionsError::Refused`] without CAP_SYS_PTRACE over the process, [`OptionsError::Gone`] if
/// process or descriptor ended meanwhile, [`OptionsError::AnotherSocket`] if the number was taken
/// by another file, [`OptionsError::Unsupported`] before Linux 5.6, else [`OptionsError::Read`].
pub fn of_process(pid: u32, fd: u32, cookie: Cookie) -> Result<SocketOptions, OptionsError> {
    OptionsReader::default().of_descriptor(pid, fd, cookie)
}

/// Reads options of sockets that other processes hold; each process is opened once, and options that
/// are alike are one.
#[derive(Debug, Default)]
pub struct OptionsReader {
    holders: Holders,
    shared: SharedOptions,
}

impl OptionsReader {
    /// The options of the socket with this cookie, through the first of `owners` that lets us.
    ///
    /// # Errors
    /// As [`of_process`], for the last of them; [`OptionsError::NoOwner`] if there is none.
    pub fn read(
        &mut self,
        owners: &[Owner],
        cookie: Cookie,
    ) -> Result<Arc<SocketOptions>, OptionsError> {
        let mut refusal = OptionsError::NoOwner;
        for owner in owners {
            match self.of_descriptor(owner.process.pid, owner.fd, cookie) {
                Ok(options) => return Ok(self.shared.share(options)),
                Err(error) => refusal = error,
            }
        }
        Err(refusal)
    }

    fn of_descriptor(
        &mut self,
        pid: u32,
        fd: u32,
        cookie: Cookie,
    ) -> Result<SocketOptions, OptionsError> {
        let duplicate = self.holders.duplicate(pid, fd, cookie)?;
        read(duplicate.as_fd()).map_err(|cause| OptionsError::Read { pid, fd, cause })
    }
}

/// Why the options of another process's socket could not be read.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OptionsError {
    /// We may not duplicate descriptors of the process.
    #[error("process {pid} may not be looked into: {}", crate::privilege::to_look_into_processes())]
    Refused {
        /// The process.
        pid: u32,
    },
    /// Process or descriptor is no more.
    #[error("process {pid} has closed descriptor {fd} or ended meanwhile; look again")]
    Gone {
        /// The process.
        pid: u32,
        /// The descriptor.
        fd: u32,
    },
    /// The descriptor's number now means another file.
    #[error("descriptor {fd} of process {pid} is another file by now; look again")]
    AnotherSocket {
        /// The process.
        pid: u32,
        /// The descriptor.
        fd: u32,
    },
    /// No process that could be seen holds it.
    #[error("no process that we can see holds it")]
    NoOwner,
    /// There is no pidfd_getfd(2).
    #[error(
        "this kernel cannot duplicate descriptors of other processes: needs Linux 5.6 or later"
    )]
    Unsupported,
    /// Anything else.
    #[error("descriptor {fd} of process {pid} could not be read: {cause}")]
    Read {
        /// The process.
        pid: u32,
        /// The descriptor.
        fd: u32,
        /// What the kernel answered.
        cause: io::Error,
    },
}

/// `Ok(None)` for an option that the kernel does not know.
fn known(answer: io::Result<c_int>) -> io::Result<Option<c_int>> {
    match answer {
        Ok(value) => Ok(Some(value)),
        Err(cause) if Errno::from_io_error(&cause) == Some(Errno::NOPROTOOPT) => Ok(None),
        Err(cause) => Err(cause),
    }
}

// uapi/linux/tcp.h.
const TCP_SYNCNT: c_int = 7;
const TCP_LINGER2: c_int = 8;
const TCP_DEFER_ACCEPT: c_int = 9;
const TCP_THIN_LINEAR_TIMEOUTS: c_int = 16;
pub(crate) const TCP_USER_TIMEOUT: c_int = 18;
pub(crate) const TCP_RTO_MAX_MS: c_int = 44;

#[cfg(test)]
mod tests {
    use std::{
        fs,
        net::{TcpListener, TcpStream},
        os::fd::AsRawFd,
    };

    use super::*;

    fn connection() -> (TcpStream, TcpListener) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        (TcpStream::connect(listener.local_addr().unwrap()).unwrap(), listener)
    }

    fn own(fd: &impl AsRawFd) -> (u32, u32) {
        (std::process::id(), u32::try_from(fd.as_raw_fd()).unwrap())
    }

    #[test]
    fn options_that_were_set_are_read_back_through_a_duplicate() {
        let (stream, _listener) = connection();
        sockopt::set_socket_keepalive(&stream, true).unwrap();
        sockopt::set_tcp_keepidle(&stream, Duration::from_secs(17)).unwrap();
        sockopt::set_tcp_keepintvl(&stream, Duration::from_secs(3)).unwrap();
        sockopt::set_tcp_keepcnt(&stream, 4).unwrap();
        sockopt::set_tcp_user_timeout(&stream, 2500).unwrap();
        sockopt::set_tcp_thin_linear_timeouts(&stream, true).unwrap();
        let cookie = Cookie(sockopt::socket_cookie(&stream).unwrap());
        let (pid, fd) = own(&stream);
        let options = of_process(pid, fd, cookie).unwrap();
        assert_eq!(options.keepalive, Some(true));
        assert_eq!(options.keepalive_idle, Some(Duration::from_secs(17)));
        assert_eq!(options.keepalive_interval, Some(Duration::from_secs(3)));
        assert_eq!(options.keepalive_probes, Some(4));
        assert_eq!(options.user_timeout, Some(Duration::from_millis(2500)));
        assert_eq!(options.thin_linear, Some(true));
        assert_eq!(options, read(stream.as_fd()).unwrap());
    }

    #[test]
    fn an_untouched_socket_shows_the_defaults_of_its_namespace() {
        let (stream, _listener) = connection();
        let (options, sysctls) = (read(stream.as_fd()).unwrap(), crate::sysctls());
        assert_eq!(options.keepalive, Some(false));
        assert_eq!(options.keepalive_idle, sysctls.keepalive_time);
        assert_eq!(options.user_timeout, Some(Duration::ZERO));
        assert_eq!(options.syn_retries, sysctls.syn_retries);
        assert_eq!(options.linger2.map(i64::from), sysctls.fin_timeout.map(|t| t.as_secs() as i64));
        assert_eq!(options.defer_accept, Some(Duration::ZERO));
        assert_eq!(options.reuse_address, Some(false));
    }

    /// TCP_RTO_MAX_MS before Linux 6.15.
    #[test]
    fn an_option_that_the_kernel_does_not_know_is_absent_and_no_error() {
        let answered = |errno: Errno| known(Err(errno.into()));
        assert_eq!(answered(Errno::NOPROTOOPT).unwrap(), None);
        assert!(answered(Errno::NOTSOCK).is_err());
        let (stream, _listener) = connection();
        let unknown = syscall::socket_option(stream.as_fd(), libc::IPPROTO_TCP, 10_000);
        assert_eq!(known(unknown).unwrap(), None);
    }

    #[test]
    fn another_cookie_is_another_socket() {
        let (stream, listener) = connection();
        let cookie = Cookie(sockopt::socket_cookie(&listener).unwrap());
        let (pid, fd) = own(&stream);
        let error = of_process(pid, fd, cookie).unwrap_err();
        assert!(matches!(error, OptionsError::AnotherSocket { .. }), "{error}");
    }

    #[test]
    fn a_file_that_is_no_socket_is_not_duplicated() {
        let file = fs::File::open("/proc/self/status").unwrap();
        let (pid, fd) = own(&file);
        let error = of_process(pid, fd, Cookie(1)).unwrap_err();
        assert!(matches!(error, OptionsError::AnotherSocket { .. }), "{error}");
    }

    #[test]
    fn a_descriptor_or_process_that_ended_is_gone() {
        let pid = std::process::id();
        for (pid, fd) in [(pid, 1_000_000), (pid, u32::MAX), (u32::MAX, 0), (0, 0)] {
            let error = of_process(pid, fd, Cookie(1)).unwrap_err();
            assert!(matches!(error, OptionsError::Gone { .. }), "{error}");
        }
    }
}
