//! Owns the ioctl(2) calls on TCP sockets. Decides nothing. Read: tcp(7), sockatmark(3).
#![expect(unsafe_code, reason = "foreign function calls")]

use std::{
    ffi::{c_int, c_ulong},
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// An ioctl(2) that writes one C `int`.
pub(crate) fn asked_int(fd: BorrowedFd<'_>, request: c_ulong) -> io::Result<c_int> {
    let mut value: c_int = 0;
    // SAFETY: the descriptor is open as long as `fd` is borrowed; `value` lives until the call
    // returns, and the requests used here (SIOCOUTQ, SIOCATMARK) write one `int`.
    let outcome = unsafe { libc::ioctl(fd.as_raw_fd(), request as _, &raw mut value) };
    if outcome == -1 { Err(io::Error::last_os_error()) } else { Ok(value) }
}
