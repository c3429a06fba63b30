//! Owns binding a packet socket. Read: packet(7).

use std::{
    io,
    mem::size_of,
    os::fd::{AsRawFd, BorrowedFd},
};

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
