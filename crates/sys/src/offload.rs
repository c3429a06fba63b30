//! Owns turning off what an interface does for the kernel. Without it a capture on a veth shows
//! frames that no wire carries: longer than the MTU, and with checksums left for later.
//! Read: ethtool(8), linux Documentation/networking/segmentation-offloads.rst.

use std::{io, os::fd::AsFd};

use rustix::net::{AddressFamily, SocketFlags, SocketType};

use crate::syscall;

/// Turns off transmit checksums, segmentation offload and receive coalescing of `interface` in
/// the calling thread's network namespace (ETHTOOL_STXCSUM, STSO, SGSO, SGRO).
///
/// # Errors
/// [`OffloadError`] without CAP_NET_ADMIN in that namespace, or where the interface is missing or
/// cannot do without one of them.
pub fn turn_off(interface: &str) -> Result<(), OffloadError> {
    let failed = |cause| OffloadError { interface: interface.to_owned(), cause };
    // Any socket will do: the ioctl only needs one to find the namespace by.
    let flags = SocketFlags::CLOEXEC;
    let socket = rustix::net::socket_with(AddressFamily::INET, SocketType::DGRAM, flags, None)
        .map_err(|errno| failed(errno.into()))?;
    COMMANDS
        .iter()
        .try_for_each(|command| syscall::ethtool::set(socket.as_fd(), interface, *command, 0))
        .map_err(failed)
}

/// ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO and ETHTOOL_SGRO of uapi/linux/ethtool.h.
const COMMANDS: [u32; 4] = [0x17, 0x1f, 0x24, 0x2c];

/// An offload that could not be turned off.
#[derive(Debug, thiserror::Error)]
#[error("turn off the offloads of the interface {interface}: {cause}; needs CAP_NET_ADMIN")]
pub struct OffloadError {
    /// The interface.
    pub interface: String,
    /// What the kernel answered.
    pub cause: io::Error,
}
