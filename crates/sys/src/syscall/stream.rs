//! Owns the ioctl(2) calls on TCP sockets, and the taking over of inherited descriptors. Decides
//! nothing. Read: tcp(7), sockatmark(3), sd_listen_fds(3).
#![expect(unsafe_code, reason = "foreign function calls, and descriptors known by number alone")]

use std::{
    ffi::{c_int, c_ulong},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

/// An ioctl(2) that writes one C `int`.
pub(crate) fn asked_int(fd: BorrowedFd<'_>, request: c_ulong) -> io::Result<c_int> {
    let mut value: c_int = 0;
    // SAFETY: the descriptor is open as long as `fd` is borrowed; `value` lives until the call
    // returns, and the requests used here (SIOCOUTQ, SIOCATMARK) write one `int`.
    let outcome = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &raw mut value) };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Takes over the first `count` descriptors after the standard streams, with which a supervisor has
/// started this process, and keeps them from programs that this one starts. Only the first call gets
/// them, so that nothing has two owners.
pub(crate) fn inherited(count: usize) -> io::Result<Vec<OwnedFd>> {
    static TAKEN: AtomicBool = AtomicBool::new(false);
    if TAKEN.swap(true, Ordering::Relaxed) {
        return Ok(Vec::new());
    }
    let take = |number: RawFd| {
        // SAFETY: F_SETFD touches no memory; a number that is not open is answered with EBADF.
        if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
            return Err(io::Error::last_os_error());
        }
        // SAFETY: it is open, as was just seen. The supervisor opened it for this process, of whose
        // own files none has a number that was taken, and `TAKEN` lets nobody come here twice.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    };
    (FIRST..).take(count).map(take).collect()
}

/// SD_LISTEN_FDS_START.
const FIRST: RawFd = 3;
