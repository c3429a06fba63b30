//! Owns how the relay's sockets are made and ended, and which options they carry.
//! Read: socket(7), tcp(7). Moves no data.

use std::{
    io,
    net::SocketAddr,
    os::fd::{AsFd, BorrowedFd, OwnedFd},
    time::Duration,
};

use halfopen_sys::stream;
use rustix::{
    io::{Errno, ioctl_fionbio},
    net::{
        AddressFamily, SocketFlags, SocketType, bind, connect, getsockname, ipproto, listen,
        socket_with, sockopt,
    },
};

use crate::{liveness::Liveness, pair::Cause};

/// A socket that listens.
///
/// # Errors
/// What the kernel answers, EADDRINUSE and EACCES among it.
pub(crate) fn listening(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = tcp(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // [::] then listens for IPv4 too, as other servers do whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &address)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// The address that a socket is bound to.
///
/// # Errors
/// What the kernel answers; for a socket of another family, that its address is unsupported.
pub(crate) fn address(socket: BorrowedFd<'_>) -> io::Result<SocketAddr> {
    Ok(SocketAddr::try_from(getsockname(socket)?)?)
}

/// Accepting must not block: another worker may have taken the client.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn make_nonblocking(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(ioctl_fionbio(socket, true)?)
}

/// A socket that is being connected. Whether it succeeds, epoll tells. It is watched by nobody yet
/// ([`watch`]), since most connections have ended before that could matter.
///
/// # Errors
/// What the kernel answers at once, EMFILE and ENETUNREACH among it.
pub(crate) fn connecting(address: SocketAddr) -> io::Result<OwnedFd> {
    let socket = tcp(address)?;
    end_by_reset(socket.as_fd())?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// What a listening socket needs for the connections that it accepts, which inherit it.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn keep(socket: BorrowedFd<'_>, liveness: &Liveness) -> io::Result<()> {
    end_by_reset(socket)?;
    watch(socket, liveness)
}

/// No waiting for more bytes to send, and an end by RST (SO_LINGER of zero) whenever it is closed before both
/// directions have ended. So also if the process is killed, the kernel sends RST, and nothing that was cut
/// looks complete; what has ended in both directions and is acknowledged is past the states in which
/// `tcp_disconnect` sends one.
fn end_by_reset(socket: BorrowedFd<'_>) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
    Ok(())
}

/// What liveness needs. On a connection that stands already, keepalive counts from when its peer was last
/// heard: the kernel does so where the idle time is set after keepalive was turned on
/// (`tcp_sock_set_keepidle_locked`), and not the other way round.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn watch(socket: BorrowedFd<'_>, liveness: &Liveness) -> io::Result<()> {
    let keepalive = liveness.keepalive;
    sockopt::set_socket_keepalive(socket, true)?;
    sockopt::set_tcp_keepintvl(socket, keepalive.interval)?;
    sockopt::set_tcp_keepcnt(socket, keepalive.probes)?;
    sockopt::set_tcp_keepidle(socket, keepalive.idle)?;
    stream::set_rto_max(socket, liveness.back_off_max)?;
    Ok(())
}

/// What an error of a call on a connection means for it.
pub(crate) fn cause(errno: Errno) -> Cause {
    match errno {
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Cause::Reset,
        Errno::TIMEDOUT => Cause::KernelGaveUp,
        Errno::CONNREFUSED => Cause::Refused,
        Errno::MFILE | Errno::NFILE => Cause::NoDescriptors,
        other => Cause::Errno(other.raw_os_error()),
    }
}

/// Whether a connection could not be made for want of something on this host, which says nothing of the
/// upstream: descriptors, memory, or a free port towards it (connect(2)).
pub(crate) fn is_want_of_ours(error: &io::Error) -> bool {
    let wants = [
        Errno::MFILE,
        Errno::NFILE,
        Errno::NOMEM,
        Errno::NOBUFS,
        Errno::ADDRNOTAVAIL,
        Errno::AGAIN,
    ];
    Errno::from_io_error(error).is_some_and(|errno| wants.contains(&errno))
}

fn tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?)
}

/// The kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 65_535;
