//! Owns the names of the errors that end connections. Read: errno(3).

use rustix::io::Errno;

/// The name of an error number, where it is one of those that end connections.
pub(crate) fn name(number: i32) -> String {
    let names = [
        (Errno::TIMEDOUT, "ETIMEDOUT"),
        (Errno::HOSTUNREACH, "EHOSTUNREACH"),
        (Errno::NETUNREACH, "ENETUNREACH"),
        (Errno::CONNRESET, "ECONNRESET"),
        (Errno::CONNREFUSED, "ECONNREFUSED"),
        (Errno::CONNABORTED, "ECONNABORTED"),
        (Errno::PIPE, "EPIPE"),
        // A router that refuses over IPv6 (linux net/ipv6/icmp.c `tab_unreach`).
        (Errno::ACCESS, "EACCES"),
    ];
    names
        .iter()
        .find(|(errno, _)| errno.raw_os_error() == number)
        .map_or_else(|| format!("errno {number}"), |(_, name)| (*name).to_owned())
}
