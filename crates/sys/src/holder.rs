//! Owns the way to a socket that another process holds: a duplicate of its descriptor, checked to be
//! the connection that is meant. Touches nothing on it. Read: pidfd_getfd(2), proc_pid_fd(5).

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    os::fd::{AsFd, OwnedFd},
};

use halfopen_core::Cookie;
use rustix::{
    fs::{CWD, Mode, OFlags, openat, readlinkat_raw},
    io::Errno,
    net::sockopt,
    process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open},
};

use crate::options::OptionsError;

/// The processes that were asked so far, each opened once: a host's connections belong to few.
#[derive(Debug, Default)]
pub(crate) struct Holders {
    open: HashMap<u32, Holder>,
}

/// One process. Its pid cannot come to mean another: a pidfd and a directory of /proc end with it.
#[derive(Debug)]
struct Holder {
    process: OwnedFd,
    descriptors: OwnedFd,
}

impl Holders {
    /// A duplicate of descriptor `fd` of process `pid`, if it is the socket with this cookie. To be
    /// dropped within microseconds: as long as it lives, the application's close() sends no FIN.
    ///
    /// # Errors
    /// As [`crate::options::of_process`].
    pub(crate) fn duplicate(
        &mut self,
        pid: u32,
        fd: u32,
        cookie: Cookie,
    ) -> Result<OwnedFd, OptionsError> {
        let duplicate = self.duplicate_of_any(pid, fd)?;
        match sockopt::socket_cookie(duplicate.as_fd()) {
            Ok(found) if found == cookie.0 => Ok(duplicate),
            _ => Err(OptionsError::AnotherSocket { pid, fd }),
        }
    }

    /// A duplicate of descriptor `fd` of process `pid`, if it is a socket at all. To be dropped as
    /// soon as with [`Holders::duplicate`].
    ///
    /// # Errors
    /// As [`Holders::duplicate`].
    pub(crate) fn duplicate_of_any(&mut self, pid: u32, fd: u32) -> Result<OwnedFd, OptionsError> {
        let holder = match self.open.entry(pid) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(Holder::open(pid, fd)?),
        };
        let failed = |errno: Errno| refusal(pid, fd, errno);
        let number = i32::try_from(fd).map_err(|_| OptionsError::Gone { pid, fd })?;
        // A duplicate of anything but a socket must not even be made: closing it calls the file
        // system's flush (fuse, nfs), with whatever that does.
        let mut link = [std::mem::MaybeUninit::<u8>::uninit(); 64];
        let (link, _) =
            readlinkat_raw(&holder.descriptors, fd.to_string(), &mut link).map_err(failed)?;
        if !link.starts_with(b"socket:") {
            return Err(OptionsError::AnotherSocket { pid, fd });
        }
        pidfd_getfd(&holder.process, number, PidfdGetfdFlags::empty()).map_err(failed)
    }
}

impl Holder {
    fn open(pid: u32, fd: u32) -> Result<Self, OptionsError> {
        let gone = || OptionsError::Gone { pid, fd };
        let number = i32::try_from(pid).ok().and_then(Pid::from_raw).ok_or_else(gone)?;
        let failed = |errno: Errno| refusal(pid, fd, errno);
        let process = pidfd_open(number, PidfdFlags::empty()).map_err(failed)?;
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let descriptors =
            openat(CWD, format!("/proc/{pid}/fd"), flags, Mode::empty()).map_err(failed)?;
        Ok(Self { process, descriptors })
    }
}

fn refusal(pid: u32, fd: u32, errno: Errno) -> OptionsError {
    match errno {
        Errno::PERM | Errno::ACCESS => OptionsError::Refused { pid },
        Errno::SRCH | Errno::BADF | Errno::NOENT | Errno::INVAL => OptionsError::Gone { pid, fd },
        Errno::NOSYS => OptionsError::Unsupported,
        errno => OptionsError::Read { pid, fd, cause: io::Error::from(errno) },
    }
}

#[cfg(test)]
mod tests {
    use std::{net::TcpListener, os::fd::AsRawFd};

    use super::*;

    #[test]
    fn a_duplicate_is_made_of_the_socket_that_is_meant_and_of_no_other() {
        let socket = TcpListener::bind("127.0.0.1:0").unwrap();
        let cookie = Cookie(sockopt::socket_cookie(&socket).unwrap());
        let (pid, fd) = (std::process::id(), u32::try_from(socket.as_raw_fd()).unwrap());
        let mut holders = Holders::default();
        let duplicate = holders.duplicate(pid, fd, cookie).unwrap();
        assert_eq!(sockopt::socket_cookie(&duplicate).unwrap(), cookie.0);
        let other = holders.duplicate(pid, fd, Cookie(cookie.0 + 1)).unwrap_err();
        assert!(matches!(other, OptionsError::AnotherSocket { .. }), "{other}");
        drop(socket);
        let gone = holders.duplicate(pid, 1_000_000, cookie).unwrap_err();
        assert!(matches!(gone, OptionsError::Gone { .. }), "{gone}");
    }
}
