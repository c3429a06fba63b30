//! Owns the SIOCETHTOOL ioctl. Read: netdevice(7), uapi/linux/ethtool.h `struct ethtool_value`.

use std::{
    io,
    os::fd::{AsRawFd, BorrowedFd},
};

/// SIOCETHTOOL of uapi/linux/sockios.h.
const SIOCETHTOOL: u32 = 0x8946;

/// `struct ethtool_value`.
#[repr(C)]
struct EthtoolValue {
    command: u32,
    data: u32,
}

/// Gives one of ethtool's `ETHTOOL_S*` commands that take a single number.
///
/// # Errors
/// What ioctl(2) answers; ENAMETOOLONG where the name does not fit IFNAMSIZ.
pub(crate) fn set(
    socket: BorrowedFd<'_>,
    interface: &str,
    command: u32,
    data: u32,
) -> io::Result<()> {
    let mut value = EthtoolValue { command, data };
    let mut name = [0; libc::IFNAMSIZ];
    // One byte stays zero, since the kernel reads the name as a C string.
    if interface.len() >= name.len() {
        return Err(io::Error::from_raw_os_error(libc::ENAMETOOLONG));
    }
    for (to, from) in name.iter_mut().zip(interface.bytes()) {
        *to = from as libc::c_char;
    }
    let mut request = libc::ifreq {
        ifr_name: name,
        ifr_ifru: libc::__c_anonymous_ifr_ifru { ifru_data: (&raw mut value).cast() },
    };
    // SAFETY: `request` is a live ifreq whose ifru_data points to `value`, an ethtool_value that
    // outlives the call; the kernel writes nothing beyond these two.
    let answer = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL as _, &raw mut request) };
    if answer == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
