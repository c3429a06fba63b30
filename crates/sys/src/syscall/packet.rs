//! Owns the raw calls of AF_PACKET that rustix has no types for. Read: packet(7).
#![expect(unsafe_code, reason = "rustix has neither struct sockaddr_ll nor SOL_PACKET options")]

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd},
};

/// PACKET_IGNORE_OUTGOING of uapi/linux/if_packet.h (since 4.20).
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// Binds `socket` to all protocols of the interface with this index.
///
/// # Errors
/// What bind(2) answers.
pub(crate) fn bind(socket: BorrowedFd<'_>, interface: libc::c_int) -> io::Result<()> {
    let address = libc::sockaddr_ll {
        sll_family: libc::AF_PACKET as libc::c_ushort,
        // The kernel wants it in network byte order.
        sll_protocol: (libc::ETH_P_ALL as libc::c_ushort).to_be(),
        sll_ifindex: interface,
        sll_hatype: 0,
        sll_pkttype: 0,
        sll_halen: 0,
        sll_addr: [0; 8],
    };
    // SAFETY: `address` is a live sockaddr_ll and the length is its own; the kernel only reads it.
    let answer = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Leaves out the frames that this host itself sends (PACKET_IGNORE_OUTGOING).
///
/// # Errors
/// What setsockopt(2) answers.
pub(crate) fn ignore_outgoing(socket: BorrowedFd<'_>) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` is a live int and the length is its own; the kernel only reads it.
    let answer = unsafe {
        libc::setsockopt(
            socket.as_raw_fd(),
            libc::SOL_PACKET,
            PACKET_IGNORE_OUTGOING,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
