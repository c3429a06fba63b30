//! Owns the built-in pair: a client and a server that number what they say, so that what is lost or
//! doubled can be counted. They run as processes of their own on the lab's hosts, and tell what they
//! do line by line. Knows nothing of faults. Read: docs/scenarios.md.

mod client;
mod server;
mod words;

use std::{
    io::{self, Write},
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    time::Duration,
};

use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};

use crate::{errno, fault::Side, scenario::Pair};

pub use words::{Role, Told};

/// Where the built-in server listens.
pub const PORT: u16 = 7000;

/// Does what `role` says until its end, and says so on `out`. The exit code is 0 where all was
/// answered and 1 where a connection was lost.
///
/// # Errors
/// What bind(2), listen(2) or writing to `out` answers.
pub fn run(role: &Role, out: &mut (impl Write + Send)) -> io::Result<u8> {
    match role.side {
        Side::Client => client::run(role, out),
        Side::Server => server::run(role, out).map(|()| 0),
    }
}

/// Each message is padded to this, so that a reader that stops soon has a shut window.
const MESSAGE: usize = 1_000;

/// A message: a verb, its number, and padding.
fn message(verb: &str, number: u64) -> Vec<u8> {
    let text = format!("{verb} {number}");
    format!("{text:<width$}\n", width = MESSAGE - 1).into_bytes()
}

/// The verb and the number of a message.
fn parse(line: &str) -> Option<(&str, u64)> {
    let (verb, number) = line.trim_end().split_once(' ')?;
    Some((verb, number.parse().ok()?))
}

fn set_options(socket: &Socket, pair: &Pair) -> io::Result<()> {
    if let Some(keepalive) = pair.keepalive {
        let options = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.probes);
        socket.set_tcp_keepalive(&options)?;
    }
    socket.set_tcp_user_timeout(pair.user_timeout)
}

/// How the end of a connection is told.
fn end_in_words(end: &io::Result<()>) -> String {
    match end {
        Ok(()) => "end of stream".to_owned(),
        Err(cause) => cause.raw_os_error().map_or_else(|| cause.to_string(), errno::name),
    }
}

/// Any address of the family of `address`, at its port: where the server listens.
const fn anywhere(address: SocketAddr) -> SocketAddr {
    let ip = match address {
        SocketAddr::V4(_) => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        SocketAddr::V6(_) => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    };
    SocketAddr::new(ip, address.port())
}

/// A socket of the family of `address`, with the options of the pair.
fn socket(address: SocketAddr, pair: &Pair) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    set_options(&socket, pair)?;
    Ok(socket)
}

/// Far longer than a host of the lab takes to come back.
const RECONNECT_FOR: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_reads_back_and_has_its_length() {
        let bytes = message("say", 12);
        assert_eq!(bytes.len(), MESSAGE);
        assert_eq!(parse(std::str::from_utf8(&bytes).unwrap()), Some(("say", 12)));
        assert_eq!(parse("say"), None);
        assert_eq!(parse("say x"), None);
    }
}
