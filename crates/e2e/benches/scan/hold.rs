//! Owns a process that holds both ends of many connections over loopback.

use std::{
    io::{self, Read as _, Write as _},
    net::{Ipv4Addr, SocketAddrV4},
};

use anyhow::Context as _;
use rustix::net::{
    AddressFamily, SocketFlags, SocketType, accept_with, bind, connect, listen, socket_with,
    sockopt,
};

/// Connects, says so with a line, and holds on until standard input ends.
pub(crate) fn run(connections: u16, third_octet: u8) -> anyhow::Result<()> {
    crate::die_with_parent()?;
    let server = SocketAddrV4::new(Ipv4Addr::new(127, 1, third_octet, 1), SERVER_PORT);
    let listener = tcp_socket()?;
    bind(&listener, &server).with_context(|| format!("bind {server}"))?;
    listen(&listener, 16).context("listen")?;

    let mut held = Vec::with_capacity(2 * usize::from(connections));
    for number in 0..connections {
        // The kernel's own search for a free port gets slow with thousands of them in use.
        let port = FIRST_CLIENT_PORT + number;
        let client = SocketAddrV4::new(Ipv4Addr::new(127, 1, third_octet, 2), port);
        let socket = tcp_socket()?;
        bind(&socket, &client).with_context(|| format!("bind {client}"))?;
        connect(&socket, &server).with_context(|| format!("connect {client} to {server}"))?;
        held.push(socket);
        held.push(accept_with(&listener, SocketFlags::CLOEXEC).context("accept")?);
    }
    println!("{}", held.len());
    io::stdout().flush()?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}

fn tcp_socket() -> anyhow::Result<std::os::fd::OwnedFd> {
    let socket = socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::CLOEXEC, None)
        .context("open a socket (see `ulimit -n`)")?;
    sockopt::set_socket_reuseaddr(&socket, true).context("set SO_REUSEADDR")?;
    Ok(socket)
}

const SERVER_PORT: u16 = 80;
const FIRST_CLIENT_PORT: u16 = 20_000;
