//! Owns the ioctl(2) calls on TCP sockets, and the taking over of inherited descriptors. Decides
//! nothing. Read: tcp(7), sockatmark(3), sd_listen_fds(3).
#![expect(unsafe_code, reason = "foreign function calls, and descriptors known by number alone")]

use std::{
    ffi::{c_int, c_ulong},
    io,
    os::fd::{AsRawFd, BorrowedFd, FromRawFd as _, OwnedFd, RawFd},
};

/// An ioctl(2) that writes one C `int`.
pub(crate) fn asked_int(fd: BorrowedFd<'_>, request: c_ulong) -> io::Result<c_int> {
    let mut value: c_int = 0;
    // SAFETY: the descriptor is open as long as `fd` is borrowed; `value` lives until the call
    // returns, and the requests used here (SIOCOUTQ, SIOCATMARK) write one `int`.
    let outcome = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &raw mut value) };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}

/// Takes over a descriptor that this process was started with, and keeps it from programs that this
/// one starts.
///
/// # Safety
/// Nothing else in this process may own the descriptor, now or later.
pub(crate) unsafe fn inherited(number: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: F_SETFD touches no memory; a number that is not open is answered with EBADF.
    if unsafe { libc::fcntl(number, libc::F_SETFD, libc::FD_CLOEXEC) } == -1 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: it is open, as was just seen, and the caller promises that nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}
