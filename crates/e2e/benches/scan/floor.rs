//! Owns the floor: what the kernel takes for its part of a look, with nothing done to the answers.
//! Read: sock_diag(7), proc_pid_fd(5).

use std::fs;

use anyhow::Context as _;
use halfopen_sys::{
    bpf::Bpf,
    wire::{
        inet_diag::{SOCK_DIAG_BY_FAMILY, SocketFamily, dump_request},
        netlink::{Message, messages, request},
    },
};
use rustix::{
    fs::{CWD, Dir, Mode, OFlags, openat},
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType,
        netlink::{self, SocketAddrNetlink},
    },
};

use crate::arguments::Floor;

/// Does that part once.
pub(crate) fn run(floor: Floor) -> anyhow::Result<()> {
    match floor {
        Floor::SockDiag => dump(),
        Floor::Bpf => iterate(),
        Floor::Descriptors => list_descriptors(),
    }
}

fn dump() -> anyhow::Result<()> {
    let socket = rustix::net::socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )
    .context("open a sock_diag socket")?;
    let mut buffer = vec![0; 64 * 1024];
    for family in [SocketFamily::Ipv4, SocketFamily::Ipv6] {
        const NLM_F_DUMP: u16 = 0x300;
        let message = request(SOCK_DIAG_BY_FAMILY, NLM_F_DUMP, 1, &dump_request(family));
        let kernel = SocketAddrNetlink::new(0, 0);
        rustix::net::sendto(&socket, &message, SendFlags::empty(), &kernel).context("ask")?;
        loop {
            let (_, length) =
                rustix::net::recv(&socket, &mut buffer[..], RecvFlags::TRUNC).context("receive")?;
            // The kernel ends a dump of sockets with a datagram of its own (netlink_dump).
            let datagram = buffer.get(..length).context("a datagram did not fit")?;
            let first = messages(datagram).next();
            if first.is_none_or(|first| first.map_or(true, |first| first.kind == Message::DONE)) {
                break;
            }
        }
    }
    Ok(())
}

fn iterate() -> anyhow::Result<()> {
    let (sockets, descriptors) = Bpf::open()?.floor()?;
    println!("{sockets} {descriptors}");
    Ok(())
}

fn list_descriptors() -> anyhow::Result<()> {
    let mut names = 0_usize;
    for process in fs::read_dir("/proc").context("list /proc")?.flatten() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(directory) = openat(CWD, process.path().join("fd"), flags, Mode::empty()) else {
            continue;
        };
        names += Dir::read_from(&directory)?.count();
    }
    println!("{names}");
    Ok(())
}
