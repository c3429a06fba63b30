//! Owns the measurement of idle pairs: memory and descriptors, after 64 bytes have gone each way.

use std::{
    io::{self, Read as _, Write as _},
    net::TcpStream,
    time::Duration,
};

use anyhow::Context as _;
use halfopen_lab::wait;

use crate::{process, relays::Running, report::Figures, upstream::Upstream};

/// KiB for a pair; beside it descriptors for a pair, and third how many pairs there were.
pub(crate) fn measure(
    running: &Running,
    upstream: &Upstream,
    pairs: usize,
) -> anyhow::Result<Figures> {
    let pid = running.pid().context("there is no relay to measure")?;
    // The first pair brings in what every later one shares.
    let first = pair(running).context("pass 64 bytes through the relay")?;
    let (memory, descriptors) = (process::memory_kib(pid), process::descriptors(pid));
    let mut clients = vec![first];
    while clients.len() < pairs {
        match pair(running) {
            Ok(client) => clients.push(client),
            // Where a relay can hold no more, what it holds is what is measured.
            Err(_) => break,
        }
    }
    let made = clients.len();
    wait::until(Duration::from_secs(5), || (upstream.held() >= made).then_some(()))
        .context("the other end does not hold what the clients do")?;
    let per_pair = |now: f64, before: f64| (now - before) / (made - 1).max(1) as f64;
    let figures = Figures {
        main: per_pair(process::memory_kib(pid) as f64, memory as f64),
        beside: Some(per_pair(process::descriptors(pid) as f64, descriptors as f64)),
        third: Some(made as f64),
    };
    drop(clients);
    upstream.let_go();
    Ok(figures)
}

fn pair(running: &Running) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(running.entrance())?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut buffer = [7; 64];
    stream.write_all(&buffer)?;
    stream.read_exact(&mut buffer)?;
    Ok(stream)
}
