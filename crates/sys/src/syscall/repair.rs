//! Owns the socket option TCP_REPAIR. Read: linux net/ipv4/tcp.c `do_tcp_setsockopt`, `tcp_close`.
#![expect(unsafe_code, reason = "rustix has no TCP_REPAIR")]

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd},
};

/// TCP_REPAIR of uapi/linux/tcp.h.
const TCP_REPAIR: libc::c_int = 19;

/// Puts `socket` into repair mode: from now on it is closed without a segment being sent.
///
/// # Errors
/// What setsockopt(2) answers; EPERM for listeners and without CAP_NET_ADMIN.
pub(crate) fn enter(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` is a live int and the length is its own; the kernel only reads it.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::IPPROTO_TCP,
            TCP_REPAIR,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
