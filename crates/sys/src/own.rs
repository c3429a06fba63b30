//! Owns what a process may read from and do to TCP sockets of its own, through their descriptors:
//! no privilege, no netlink, no search. Decides nothing.
//! Read: tcp(7), linux net/ipv4/tcp.c `tcp_get_info`, `tcp_disconnect`.

mod hangup;
mod nudge;

use std::{
    io,
    net::SocketAddr,
    os::fd::BorrowedFd,
    sync::{Arc, OnceLock},
    time::Duration,
};

use halfopen_core::{
    ConnectionId, Cookie, Endpoints, Family, Inside, KernelTimer, NetnsId, Observation,
    OptionsSeen, Owners, Sample, Siblings, SocketOptions, Source, Sysctls, TcpInfo, TcpState,
    Tracking, detection::Tick,
};
use rustix::net::sockopt;

pub use self::{
    hangup::{Hangup, HangupWatch, Until, hangup},
    nudge::{Nudge, nudge},
};
use crate::{options, syscall, sysctls, tick, wire::tcp_info::decode};

/// TCP_INFO of a socket.
///
/// # Errors
/// What getsockopt(2) answers, for example for a socket that is not TCP.
pub fn tcp_info(socket: BorrowedFd<'_>) -> io::Result<TcpInfo> {
    let mut bytes = [0; TCP_INFO_ROOM];
    let given =
        syscall::socket_option_bytes(socket, libc::IPPROTO_TCP, libc::TCP_INFO, &mut bytes)?;
    Ok(decode(bytes.get(..given).unwrap_or(&bytes)))
}

/// How many bytes wait to be read.
///
/// # Errors
/// What ioctl(2) with FIONREAD answers.
pub fn unread(socket: BorrowedFd<'_>) -> io::Result<u64> {
    Ok(rustix::io::ioctl_fionread(socket)?)
}

/// What is the same for all sockets of a network namespace.
#[derive(Debug, Clone)]
pub struct Surroundings {
    sysctls: Arc<Sysctls>,
    tick: Tick,
}

impl Surroundings {
    /// Those of the calling thread's namespace, read anew.
    pub fn read() -> Self {
        Self { sysctls: Arc::new(sysctls()), tick: tick() }
    }

    /// Those that were read when this was first called: a dozen files, which hardly ever change.
    pub fn once() -> &'static Self {
        static READ: OnceLock<Surroundings> = OnceLock::new();
        READ.get_or_init(Self::read)
    }
}

/// What can be seen of a socket of our own, without privilege.
///
/// TCP_INFO shows no timers: which one runs follows from what is outstanding, and each is taken to
/// have been armed just now, so that predictions may come out later than the truth by one interval
/// of that timer, never sooner.
///
/// # Errors
/// What the kernel answers for a socket that is not TCP, or not connected.
pub fn observe(socket: BorrowedFd<'_>, around: &Surroundings) -> io::Result<Observation> {
    let info = tcp_info(socket)?;
    let options = options::read(socket)?;
    let address = |any: rustix::net::SocketAddrAny| {
        SocketAddr::try_from(any).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
    };
    let local = address(rustix::net::getsockname(socket)?)?;
    let peer = address(
        rustix::net::getpeername(socket)?.ok_or(io::Error::from(io::ErrorKind::NotConnected))?,
    )?;
    let sample = Sample {
        source: Source::SockDiag,
        taken_at: crate::now(),
        id: ConnectionId {
            cookie: Cookie(sockopt::socket_cookie(socket)?),
            // Which namespace a socket is in costs a privilege to ask, and nothing here depends on it.
            netns: NetnsId(0),
        },
        family: if local.is_ipv4() { Family::V4 } else { Family::V6 },
        endpoints: Endpoints { local, peer, interface: None },
        state: info.state.unwrap_or(TcpState::Closed),
        timer: timer(&info, &options),
        receive_queue: 0,
        send_queue: info.unsent_bytes.unwrap_or(0),
        uid: None,
        inode: Some(rustix::fs::fstat(socket)?.st_ino),
        cgroup_id: None,
        shutdown: None,
        info: Some(info),
        inside: Inside::default(),
    };
    Ok(Observation {
        sample,
        options: OptionsSeen::Read(Arc::new(options)),
        sysctls: Arc::clone(&around.sysctls),
        tick: around.tick,
        owners: Owners::Unseen("not searched for: it is this process's own".into()),
        listener: None,
        siblings: Siblings::default(),
        tracking: Tracking::NotTracked,
        proof: None,
    })
}

/// The timer that must be running, armed just now.
fn timer(info: &TcpInfo, options: &SocketOptions) -> KernelTimer {
    let rto = info.rto.unwrap_or_default();
    let probes = info.probes.unwrap_or(0);
    if info.unacked_segments.is_some_and(|segments| segments > 0) {
        let retransmits = info.retransmits.unwrap_or(0);
        return KernelTimer::Retransmit { retransmits, expires_in: rto };
    }
    let unsent = info.unsent_bytes.is_some_and(|bytes| bytes > 0);
    if unsent && info.send_window == Some(0) {
        let doublings = u32::from(info.backoff.unwrap_or(0)).min(10);
        let most = options.rto_max.unwrap_or(RTO_MAX);
        let expires_in = rto.saturating_mul(1 << doublings).min(most);
        return KernelTimer::WindowProbe { probes, expires_in };
    }
    match (options.keepalive, options.keepalive_idle, options.keepalive_interval) {
        (Some(true), Some(idle), _) if probes == 0 => {
            KernelTimer::Keepalive { probes, expires_in: idle }
        }
        (Some(true), _, Some(interval)) => KernelTimer::Keepalive { probes, expires_in: interval },
        _ => KernelTimer::Off,
    }
}

/// Ends a connection at once with RST, also while others still hold the descriptor: their calls
/// fail with ECONNRESET. What was not delivered is lost, and the peer is told so.
///
/// # Errors
/// What connect(2) to AF_UNSPEC answers.
pub fn reset(socket: BorrowedFd<'_>) -> io::Result<()> {
    Ok(rustix::net::connect_unspec(socket)?)
}

/// Longer than any kernel's `struct tcp_info` so far (280 bytes in 6.18).
const TCP_INFO_ROOM: usize = 512;
/// TCP_RTO_MAX of include/net/tcp.h.
const RTO_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use std::{
        io::Read as _,
        net::{Shutdown, TcpListener, TcpStream},
        os::fd::AsFd as _,
    };

    use halfopen_core::detection::detection_time;

    use super::*;

    fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (client, listener.accept().unwrap().0)
    }

    #[test]
    fn an_untouched_connection_would_never_learn_while_idle() {
        let (client, _server) = pair();
        let seen = observe(client.as_fd(), Surroundings::once()).unwrap();
        assert_eq!(seen.sample.state, TcpState::Established);
        let learns = detection_time(&seen);
        assert!(learns.idle.is_never(), "{learns:?}");
        assert!(learns.busy.within().is_some(), "{learns:?}");
    }

    #[test]
    fn keepalive_bounds_what_an_idle_connection_learns() {
        let (client, _server) = pair();
        sockopt::set_tcp_keepidle(&client, Duration::from_secs(10)).unwrap();
        sockopt::set_tcp_keepintvl(&client, Duration::from_secs(5)).unwrap();
        sockopt::set_tcp_keepcnt(&client, 3).unwrap();
        sockopt::set_socket_keepalive(&client, true).unwrap();
        let seen = observe(client.as_fd(), Surroundings::once()).unwrap();
        let within = detection_time(&seen).idle.within().unwrap();
        assert!(within.contains(Duration::from_millis(25_500)), "{within}");
        assert!(within.max() < Duration::from_secs(28), "{within}");
    }

    #[test]
    fn a_reset_reaches_the_peer_while_the_descriptor_stays_open() {
        let (client, mut server) = pair();
        reset(client.as_fd()).unwrap();
        server.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let error = server.read(&mut [0; 8]).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn a_half_closed_connection_is_seen_as_one() {
        let (client, server) = pair();
        server.shutdown(Shutdown::Write).unwrap();
        assert_eq!(hangup(client.as_fd(), Duration::from_secs(5)).unwrap(), Some(Hangup::Finished));
        let seen = observe(client.as_fd(), Surroundings::once()).unwrap();
        assert_eq!(seen.sample.state, TcpState::CloseWait);
    }

    #[test]
    fn a_listener_and_a_file_are_refused() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        assert!(observe(listener.as_fd(), Surroundings::once()).is_err());
        let file = std::fs::File::open("/proc/self/status").unwrap();
        assert!(tcp_info(file.as_fd()).is_err());
    }
}
