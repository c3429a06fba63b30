//! Owns the packet socket: whole Ethernet frames of one interface, in and out. Judges no frame.
//! Read: packet(7), linux net/packet/af_packet.c.

use std::{
    io,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
};

use rustix::{
    io::Errno,
    net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt},
};

use crate::syscall;

/// A non-blocking AF_PACKET socket on one interface. It sees what arrives at the interface, not
/// what it sends itself, so that two of them can pass frames to each other without an echo.
#[derive(Debug)]
pub struct PacketSocket {
    socket: OwnedFd,
    interface: String,
}

/// What a packet socket had to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Received {
    /// A frame of so many bytes, now at the start of the buffer; the rest of a longer one is lost.
    Frame(usize),
    /// Nothing is waiting.
    Nothing,
    /// The interface went down (ENETDOWN, told once); frames come again when it is up again.
    LinkDown,
}

impl PacketSocket {
    /// Listens on `interface` of the calling thread's network namespace.
    ///
    /// # Errors
    /// [`PacketError::Open`] without CAP_NET_RAW in that namespace, [`PacketError::Bind`] where
    /// there is no such interface.
    pub fn bind(interface: &str) -> Result<Self, PacketError> {
        // Protocol 0 hears nothing: no frame of another interface can slip in before the bind.
        let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
        let socket = rustix::net::socket_with(AddressFamily::PACKET, SocketType::RAW, flags, None)
            .map_err(|errno| PacketError::Open { cause: errno.into() })?;
        let failed = |cause| PacketError::Bind { interface: interface.to_owned(), cause };
        let index = rustix::net::netdevice::name_to_index(&socket, interface)
            .map_err(|errno| failed(errno.into()))?;
        let index = libc::c_int::try_from(index).map_err(|_| failed(Errno::NODEV.into()))?;
        syscall::set_socket_option(socket.as_fd(), libc::SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
            .map_err(failed)?;
        // Without the capability for it the default has to do, and a burst may lose frames.
        let _ = sockopt::set_socket_recv_buffer_size_force(&socket, BUFFER);
        syscall::packet::bind(socket.as_fd(), index).map_err(failed)?;
        Ok(Self { socket, interface: interface.to_owned() })
    }

    /// The name of the interface, as it was when the socket was bound.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Takes the next frame that arrived at the interface, if there is one.
    ///
    /// # Errors
    /// [`PacketError::Receive`], with what recv(2) answered.
    pub fn receive(&self, buffer: &mut [u8]) -> Result<Received, PacketError> {
        loop {
            match rustix::net::recv(&self.socket, &mut *buffer, RecvFlags::DONTWAIT) {
                Ok((length, _)) => return Ok(Received::Frame(length)),
                Err(Errno::AGAIN) => return Ok(Received::Nothing),
                Err(Errno::NETDOWN) => return Ok(Received::LinkDown),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    let interface = self.interface.clone();
                    return Err(PacketError::Receive { interface, cause: errno.into() });
                }
            }
        }
    }

    /// Sends a whole Ethernet frame out of the interface.
    ///
    /// # Errors
    /// [`PacketError::Send`], with what send(2) answered: ENETDOWN or ENXIO where the interface
    /// is down or gone, ENOBUFS or EAGAIN where its queue is full, EMSGSIZE beyond its MTU.
    pub fn send(&self, frame: &[u8]) -> Result<(), PacketError> {
        loop {
            match rustix::net::send(&self.socket, frame, SendFlags::DONTWAIT) {
                Ok(_) => return Ok(()),
                Err(Errno::INTR) => {}
                Err(errno) => {
                    let interface = self.interface.clone();
                    return Err(PacketError::Send { interface, cause: errno.into() });
                }
            }
        }
    }
}

impl AsFd for PacketSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// PACKET_IGNORE_OUTGOING of uapi/linux/if_packet.h (since 4.20).
const PACKET_IGNORE_OUTGOING: libc::c_int = 23;

/// 8 MiB: some 3,500 frames. The default of net.core.rmem_default holds about 90, which a burst of
/// 64 KiB on each of a few connections fills before whoever reads has been scheduled; what is lost then
/// may be an RST, which nobody sends again.
const BUFFER: usize = 8 * 1024 * 1024;

/// Why a packet socket did not do what it was asked to.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PacketError {
    /// No such socket for us.
    #[error("open a packet socket: {cause}; needs CAP_NET_RAW (run as root)")]
    Open {
        /// What the kernel answered.
        cause: io::Error,
    },
    /// It could not be bound to the interface.
    #[error("listen on the interface {interface}: {cause}; `ip link` shows those that exist")]
    Bind {
        /// The interface.
        interface: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// No frame could be read.
    #[error("read a frame from the interface {interface}: {cause}")]
    Receive {
        /// The interface.
        interface: String,
        /// What the kernel answered.
        cause: io::Error,
    },
    /// A frame could not be sent.
    #[error("send a frame out of the interface {interface}: {cause}")]
    Send {
        /// The interface.
        interface: String,
        /// What the kernel answered.
        cause: io::Error,
    },
}
