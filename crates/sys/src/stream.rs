//! Owns what a relay asks and sets on TCP sockets of its own, where no library does. Decides nothing.
//! Read: tcp(7), linux net/ipv4/tcp.c `tcp_ioctl`, `tcp_get_info`, `do_tcp_setsockopt`.

use std::{ffi::c_int, io, os::fd::BorrowedFd, time::Duration};

use halfopen_core::TcpInfo;
use rustix::io::Errno;

use crate::{options::TCP_RTO_MAX_MS, syscall, wire::tcp_info::decode};

/// TCP_INFO of a socket.
///
/// # Errors
/// What getsockopt(2) answers, for example for a socket that is not TCP.
pub fn info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut bytes = [0; TCP_INFO_ROOM];
    let given =
        syscall::socket_option_bytes(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut bytes)?;
    Ok(decode(bytes.get(..given).unwrap_or(&bytes)))
}

/// How much of what was written is not acknowledged: bytes, and one for FIN (SIOCOUTQ).
///
/// # Errors
/// What ioctl(2) answers: EINVAL for a listener.
pub fn unacknowledged(socket: BorrowedFd<'_>) -> io::Result<usize> {
    let bytes = syscall::stream::asked_int(socket, libc::TIOCOUTQ)?;
    Ok(usize::try_from(bytes).unwrap_or(0))
}

/// Whether the next byte to be read is an urgent one (SIOCATMARK, sockatmark(3)).
///
/// # Errors
/// What ioctl(2) answers.
pub fn is_at_mark(socket: BorrowedFd<'_>) -> io::Result<bool> {
    Ok(syscall::stream::asked_int(socket, SIOCATMARK)? != 0)
}

/// Caps the kernel's back-off, of retransmissions and of window probes alike (TCP_RTO_MAX_MS, since
/// Linux 6.15). `false`: this kernel does not know the option. The kernel takes 1 to 120 seconds.
///
/// # Errors
/// What setsockopt(2) answers to anything but an unknown option.
pub fn set_rto_max(socket: BorrowedFd<'_>, most: Duration) -> io::Result<bool> {
    let millis = c_int::try_from(most.as_millis()).unwrap_or(c_int::MAX);
    match syscall::set_socket_option(socket, libc::IPPROTO_TCP, TCP_RTO_MAX_MS, millis) {
        Ok(()) => Ok(true),
        Err(cause) if Errno::from_io_error(&cause) == Some(Errno::NOPROTOOPT) => Ok(false),
        Err(cause) => Err(cause),
    }
}

/// Longer than any kernel's `struct tcp_info` so far (280 bytes in 6.18).
const TCP_INFO_ROOM: usize = 512;
/// uapi/asm-generic/sockios.h; the libc crate lacks it.
const SIOCATMARK: std::ffi::c_ulong = 0x8905;

#[cfg(test)]
mod tests {
    use std::{
        io::{Read as _, Write as _},
        net::{TcpListener, TcpStream},
        os::fd::AsFd as _,
        time::Instant,
    };

    use halfopen_core::TcpState;
    use rustix::net::{SendFlags, send};

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    fn eventually(what: impl Fn() -> bool) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !what() {
            assert!(Instant::now() < deadline, "not within 5 s");
            std::thread::yield_now();
        }
    }

    #[test]
    fn what_is_sent_counts_until_it_is_acknowledged() {
        let (mut client, server) = pair();
        client.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(written) = client.write(&[0; 65536]) {
            sent += written;
        }
        // A reader that does not read leaves what exceeds its window unacknowledged.
        let left = unacknowledged(client.as_fd()).unwrap();
        assert!(left > 0 && left < sent, "{left} of {sent}");
        let mut reader = server;
        reader.read_exact(&mut vec![0; sent]).unwrap();
        eventually(|| unacknowledged(client.as_fd()).unwrap() == 0);
    }

    #[test]
    fn the_mark_is_where_the_urgent_byte_is() {
        let (mut client, mut server) = pair();
        client.write_all(b"ab").unwrap();
        send(&client, b"!", SendFlags::OOB).unwrap();
        eventually(|| info(server.as_fd()).unwrap().bytes_received == Some(3));
        assert!(!is_at_mark(server.as_fd()).unwrap());
        server.read_exact(&mut [0; 2]).unwrap();
        assert!(is_at_mark(server.as_fd()).unwrap());
    }

    #[test]
    fn tcp_info_is_that_of_the_socket() {
        let (client, _server) = pair();
        assert_eq!(info(client.as_fd()).unwrap().state, Some(TcpState::Established));
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(info(file.as_fd()).is_err());
    }

    #[test]
    fn the_cap_of_the_back_off_is_read_back_where_the_kernel_knows_it() {
        let (client, _server) = pair();
        let known = set_rto_max(client.as_fd(), Duration::from_secs(2)).unwrap();
        let read = crate::options::read(client.as_fd()).unwrap().rto_max;
        assert_eq!(read, known.then_some(Duration::from_secs(2)));
    }
}
