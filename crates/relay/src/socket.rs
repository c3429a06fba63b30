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
    io::Errno,
    net::{
        AddressFamily, SocketFlags, SocketType, bind, connect, ipproto, listen, socket_with,
        sockopt,
    },
};

use crate::{liveness::Liveness, pair::Cause};

/// A socket that listens, with the options that the sockets which it accepts inherit.
///
/// # Errors
/// What the kernel answers, EADDRINUSE and EACCES among it.
pub(crate) fn listening(address: SocketAddr, liveness: &Liveness) -> io::Result<OwnedFd> {
    let socket = tcp(address)?;
    sockopt::set_socket_reuseaddr(&socket, true)?;
    if address.is_ipv6() {
        // [::] then listens for IPv4 too, as other servers do whatever net.ipv6.bindv6only says.
        sockopt::set_ipv6_v6only(&socket, false)?;
    }
    bind(&socket, &address)?;
    keep(socket.as_fd(), liveness)?;
    listen(&socket, BACKLOG)?;
    Ok(socket)
}

/// A socket that is being connected. Whether it succeeds, epoll tells.
///
/// # Errors
/// What the kernel answers at once, EMFILE and ENETUNREACH among it.
pub(crate) fn connecting(address: SocketAddr, liveness: &Liveness) -> io::Result<OwnedFd> {
    let socket = tcp(address)?;
    keep(socket.as_fd(), liveness)?;
    match connect(&socket, &address) {
        Ok(()) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(errno) => Err(errno.into()),
    }
}

/// The options of every leg: no waiting for more bytes to send, what liveness needs, and that it ends with
/// RST where nobody said otherwise ([`close`] does). The kernel closes the sockets of a process that is
/// killed; with FIN, what was cut off by that would look complete.
///
/// # Errors
/// What the kernel answers.
pub(crate) fn keep(socket: BorrowedFd<'_>, liveness: &Liveness) -> io::Result<()> {
    sockopt::set_tcp_nodelay(socket, true)?;
    let keepalive = liveness.keepalive;
    sockopt::set_tcp_keepidle(socket, keepalive.idle)?;
    sockopt::set_tcp_keepintvl(socket, keepalive.interval)?;
    sockopt::set_tcp_keepcnt(socket, keepalive.probes)?;
    sockopt::set_socket_keepalive(socket, true)?;
    stream::set_rto_max(socket, liveness.back_off_max)?;
    // Those that a listening socket accepts inherit it.
    sockopt::set_socket_linger(socket, Some(Duration::ZERO))?;
    Ok(())
}

/// Closes with RST, whatever is on its way (SO_LINGER of zero, `tcp_disconnect`).
pub(crate) fn reset(socket: OwnedFd) {
    // It fails for no open socket; if it ever did, closing is all that is left.
    let _ = sockopt::set_socket_linger(&socket, Some(Duration::ZERO));
    drop(socket);
}

/// Closes a socket both of whose directions have ended, which sends nothing more.
pub(crate) fn close(socket: OwnedFd) {
    // Where it fails, RST follows a FIN that was acknowledged; closing is all that is left.
    let _ = sockopt::set_socket_linger(&socket, None);
    drop(socket);
}

/// What an error of a call on a connection means for it.
pub(crate) fn cause(errno: Errno) -> Cause {
    match errno {
        Errno::CONNRESET | Errno::PIPE | Errno::CONNABORTED => Cause::Reset,
        Errno::TIMEDOUT => Cause::KernelGaveUp,
        Errno::CONNREFUSED => Cause::Refused,
        other => Cause::Errno(other.raw_os_error()),
    }
}

fn tcp(address: SocketAddr) -> io::Result<OwnedFd> {
    let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    Ok(socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP))?)
}

/// The kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 65_535;
