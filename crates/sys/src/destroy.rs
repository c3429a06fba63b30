//! Owns the ending of connections: by force (SOCK_DESTROY), or gently (shutdown(2) on a duplicate of a
//! holder's descriptor). Decides nothing (see `halfopen_core::reaping`); never ends a listener.
//! Read: sock_diag(7), linux net/core/sock_diag.c `sock_diag_destroy`, net/ipv4/tcp.c `tcp_abort`.

use std::io;

use halfopen_core::{Owner, Sample, TcpState};
use rustix::{
    io::Errno,
    net::{Shutdown, shutdown},
};

use crate::{
    holder::Holders,
    options::OptionsError,
    socket_diag::{BATCH_MAX, SocketDiag, SocketDiagError},
    wire::inet_diag::{SOCK_DESTROY, look_up_request},
};

/// How many sockets [`destroy`] ends with one system call. Who keeps a record in between looks at
/// this many at a time.
pub const BATCH: usize = BATCH_MAX;

/// Ends these sockets, each named by addresses and cookie, in the namespace of `diag`; needs
/// CAP_NET_ADMIN over it. Gives for each what became of it, in their order.
///
/// Once one is refused for lack of privilege or of support, the rest of its batch is tried all the
/// same, and refused all the same: the kernel decides for each.
///
/// # Errors
/// [`SocketDiagError`] where netlink itself fails; then it is not known which were ended.
pub fn destroy(
    diag: &mut SocketDiag,
    sockets: &[&Sample],
) -> Result<Vec<Result<(), DestroyError>>, SocketDiagError> {
    let mut results = Vec::with_capacity(sockets.len());
    for batch in sockets.chunks(BATCH) {
        let is_connection = |sample: &&&Sample| sample.state != TcpState::Listen;
        let bodies: Vec<_> = batch
            .iter()
            .filter(is_connection)
            .map(|sample| look_up_request(sample.family, &sample.endpoints, sample.id.cookie))
            .collect();
        let mut answers = diag.acknowledged(SOCK_DESTROY, &bodies)?.into_iter();
        results.extend(batch.iter().map(|sample| {
            if !is_connection(&sample) {
                return Err(DestroyError::Listener);
            }
            answers.next().map_or(Err(DestroyError::Gone), outcome)
        }));
    }
    Ok(results)
}

fn outcome(number: i32) -> Result<(), DestroyError> {
    if number == 0 {
        return Ok(());
    }
    Err(match Errno::from_raw_os_error(number) {
        // ESTALE: the addresses belong to a socket with another cookie by now.
        Errno::NOENT | Errno::STALE => DestroyError::Gone,
        Errno::PERM | Errno::ACCESS => DestroyError::Privilege,
        Errno::OPNOTSUPP => DestroyError::Unsupported,
        errno => DestroyError::Refused { cause: errno.into() },
    })
}

/// Why a socket was not ended by force.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum DestroyError {
    /// There is no such socket any more.
    #[error("end it: it was gone already")]
    Gone,
    /// The caller may not.
    #[error(
        "end it: needs CAP_NET_ADMIN over its network namespace (run as root), or --gentle for one's \
         own processes"
    )]
    Privilege,
    /// The kernel cannot.
    #[error(
        "end it: this kernel was built without CONFIG_INET_DIAG_DESTROY; use --gentle, which does \
         without"
    )]
    Unsupported,
    /// It is a listener, and those are never ended.
    #[error("end it: it is a listener")]
    Listener,
    /// The kernel refused for another reason.
    #[error("end it: the kernel answered {cause}")]
    Refused {
        /// What it answered.
        cause: io::Error,
    },
}

/// Shuts connections down through duplicates of their holders' descriptors.
#[derive(Debug, Default)]
pub struct Shutter {
    holders: Holders,
}

impl Shutter {
    /// Ends both directions of the connection `sample`, as if one of `owners` had called shutdown(2):
    /// what waits to be sent is sent, then FIN. Descriptors stay open, and the applications see end of file.
    ///
    /// # Errors
    /// [`ShutDownError::NoDescriptor`] if none of the owners' descriptors is this socket any more,
    /// [`ShutDownError::Descriptor`] for the last that could not be had for another reason,
    /// [`ShutDownError::Gone`] if the connection has ended, else [`ShutDownError::Refused`].
    pub fn shut_down(&mut self, sample: &Sample, owners: &[Owner]) -> Result<(), ShutDownError> {
        self.shut(sample, owners, Shutdown::Both)
    }

    /// Ends the sending direction alone: what waits to be sent is sent, then FIN, and the peer may go on
    /// for ever. For the hosts of a lab.
    ///
    /// # Errors
    /// As [`Shutter::shut_down`].
    pub fn end_sending(&mut self, sample: &Sample, owners: &[Owner]) -> Result<(), ShutDownError> {
        self.shut(sample, owners, Shutdown::Write)
    }

    fn shut(
        &mut self,
        sample: &Sample,
        owners: &[Owner],
        how: Shutdown,
    ) -> Result<(), ShutDownError> {
        if sample.state == TcpState::Listen {
            return Err(ShutDownError::Listener);
        }
        let mut why = ShutDownError::NoDescriptor;
        for owner in owners {
            // The cookie is checked on the duplicate itself, so nothing can come in between.
            match self.holders.duplicate(owner.process.pid, owner.fd, sample.id.cookie) {
                Ok(socket) => {
                    return shutdown(&socket, how).map_err(|errno| match errno {
                        Errno::NOTCONN => ShutDownError::Gone,
                        errno => ShutDownError::Refused { cause: errno.into() },
                    });
                }
                Err(OptionsError::Gone { .. } | OptionsError::AnotherSocket { .. }) => {}
                Err(error) => why = ShutDownError::Descriptor(error),
            }
        }
        Err(why)
    }
}

/// Why a connection was not shut down.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShutDownError {
    /// Nobody holds it any more.
    #[error("shut it down: no process that can be seen holds a descriptor of it any more")]
    NoDescriptor,
    /// A descriptor of it could not be duplicated.
    #[error("shut it down: {0}")]
    Descriptor(OptionsError),
    /// It has ended.
    #[error("shut it down: it was gone already")]
    Gone,
    /// It is a listener, and those are never ended.
    #[error("shut it down: it is a listener")]
    Listener,
    /// The kernel refused for another reason.
    #[error("shut it down: the kernel answered {cause}")]
    Refused {
        /// What it answered.
        cause: io::Error,
    },
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{SocketAddr, TcpListener, TcpStream},
        os::fd::AsRawFd as _,
    };

    use halfopen_core::{Cookie, Process};
    use rustix::net::sockopt;

    use super::*;

    /// Both ends of a connection over the loopback, and what sock_diag says of the first.
    fn connection(diag: &mut SocketDiag) -> (TcpStream, TcpStream, Sample) {
        let (near, far) = ends();
        let sample = sample_of(diag, near.local_addr().unwrap());
        (near, far, sample)
    }

    fn ends() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let near = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (near, listener.accept().unwrap().0)
    }

    fn sample_of(diag: &mut SocketDiag, local: SocketAddr) -> Sample {
        let found = diag.dump().unwrap().samples;
        found.into_iter().find(|sample| sample.endpoints.local == local).unwrap()
    }

    #[expect(clippy::print_stderr, reason = "a test that is skipped says so")]
    fn may_destroy(result: &Result<(), DestroyError>) -> bool {
        if matches!(result, Err(DestroyError::Privilege | DestroyError::Unsupported)) {
            eprintln!("skipped: needs CAP_NET_ADMIN and CONFIG_INET_DIAG_DESTROY");
            return false;
        }
        true
    }

    #[test]
    fn a_connection_is_ended_with_a_reset_and_then_it_is_gone() {
        let mut diag = SocketDiag::open().unwrap();
        let (mut near, mut far, sample) = connection(&mut diag);
        let result = destroy(&mut diag, &[&sample]).unwrap().remove(0);
        if !may_destroy(&result) {
            return;
        }
        result.unwrap();
        let mut byte = [0];
        let said = |error: io::Error| Errno::from_io_error(&error).unwrap();
        assert_eq!(said(near.read(&mut byte).unwrap_err()), Errno::CONNABORTED);
        assert_eq!(said(far.read(&mut byte).unwrap_err()), Errno::CONNRESET);
        let again = destroy(&mut diag, &[&sample]).unwrap().remove(0);
        assert!(matches!(again, Err(DestroyError::Gone)), "{again:?}");
    }

    #[test]
    fn another_cookie_is_another_connection_and_a_listener_is_not_touched() {
        let mut diag = SocketDiag::open().unwrap();
        let (mut near, mut far, mut sample) = connection(&mut diag);
        sample.id.cookie = Cookie(sample.id.cookie.0 + 1_000_000);
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let listening = sample_of(&mut diag, listener.local_addr().unwrap());
        let results = destroy(&mut diag, &[&listening, &sample]).unwrap();
        assert!(matches!(results[0], Err(DestroyError::Listener)));
        assert!(matches!(results[1], Err(DestroyError::Gone)), "{:?}", results[1]);
        near.write_all(b"x").unwrap();
        far.read_exact(&mut [0]).unwrap();
        TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    }

    #[test]
    fn more_than_a_batch_is_ended_at_once_and_the_gone_are_told_apart() {
        let mut diag = SocketDiag::open().unwrap();
        let connections: Vec<_> = (0..BATCH + 3).map(|_| ends()).collect();
        // By both ends: another test's connection may have used the same port a moment ago.
        let pairs: Vec<_> = connections
            .iter()
            .map(|(near, _)| (near.local_addr().unwrap(), near.peer_addr().unwrap()))
            .collect();
        let dumped = diag.dump().unwrap().samples;
        let is_ours =
            |sample: &&Sample| pairs.contains(&(sample.endpoints.local, sample.endpoints.peer));
        let mut samples: Vec<_> = dumped.iter().filter(is_ours).collect();
        assert_eq!(samples.len(), pairs.len());
        let first = samples[0];
        samples.push(first);
        let mut results = destroy(&mut diag, &samples).unwrap();
        if !may_destroy(&results[0]) {
            return;
        }
        assert!(matches!(results.pop(), Some(Err(DestroyError::Gone))));
        assert!(results.iter().all(Result::is_ok), "{results:?}");
    }

    #[test]
    fn a_gentle_end_is_an_end_of_file_on_both_sides() {
        let mut diag = SocketDiag::open().unwrap();
        let (mut near, mut far, sample) = connection(&mut diag);
        let fd = u32::try_from(near.as_raw_fd()).unwrap();
        let process = Process {
            pid: std::process::id(),
            command: String::new(),
            uid: None,
            cgroup: None,
            unit: None,
        };
        let own = Owner { process: process.into(), fd };
        // A number that means another socket by now is passed over.
        let wrong = Owner { fd: u32::try_from(far.as_raw_fd()).unwrap(), ..own.clone() };
        let mut shutter = Shutter::default();
        let refused = shutter.shut_down(&sample, std::slice::from_ref(&wrong)).unwrap_err();
        assert!(matches!(refused, ShutDownError::NoDescriptor), "{refused}");
        shutter.shut_down(&sample, &[wrong, own]).unwrap();
        assert_eq!(near.read(&mut [0]).unwrap(), 0);
        assert_eq!(far.read(&mut [0]).unwrap(), 0);
        assert_eq!(sockopt::socket_cookie(&near).unwrap(), sample.id.cookie.0);
    }

    #[test]
    fn each_refusal_of_the_kernel_has_its_own_name() {
        let named = |errno: Errno| outcome(errno.raw_os_error()).unwrap_err().to_string();
        assert!(named(Errno::PERM).contains("CAP_NET_ADMIN"));
        assert!(named(Errno::OPNOTSUPP).contains("CONFIG_INET_DIAG_DESTROY"));
        assert!(named(Errno::NOENT).contains("gone"));
        assert!(named(Errno::STALE).contains("gone"));
        assert!(named(Errno::NOMEM).contains("kernel answered"));
        outcome(0).unwrap();
    }
}
