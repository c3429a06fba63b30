//! Owns the measurement of throughput: so many streams for so long, and what the relay's processors did.

use std::{
    io::Write as _,
    net::{Shutdown, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;

use crate::{process, relays::Running, report::Figures, upstream::Upstream};

/// Streams until the time is over, then waits until all has arrived.
pub(crate) fn measure(
    running: &Running,
    upstream: &Upstream,
    streams: usize,
    span: Duration,
) -> anyhow::Result<Figures> {
    let connect = || TcpStream::connect(running.entrance()).context("connect to the relay");
    let clients = (0..streams).map(|_| connect()).collect::<anyhow::Result<Vec<_>>>()?;
    let cpu_before = running.pid().map(process::cpu);
    let (bytes_before, began) = (upstream.swallowed(), Instant::now());
    let sent = thread::scope(|scope| {
        let stream = |client| scope.spawn(move || send(client, span));
        let senders: Vec<_> = clients.iter().map(stream).collect();
        let sent = senders.into_iter().map(|sender| sender.join().map_err(|_| PANICKED));
        sent.sum::<Result<u64, _>>()
    })
    .map_err(anyhow::Error::msg)?;
    let arrived = || upstream.swallowed() - bytes_before;
    halfopen_lab::wait::until(ARRIVED_WITHIN, || (arrived() >= sent).then_some(()))
        .with_context(|| format!("{} of {sent} bytes arrived", arrived()))?;
    let took = began.elapsed();
    let cpu = running.pid().zip(cpu_before).map(|(pid, before)| process::cpu(pid) - before);
    let gigabytes = sent as f64 / 1e9;
    Ok(Figures {
        main: gigabytes * 8.0 / took.as_secs_f64(),
        beside: cpu.map(|cpu| cpu.as_secs_f64() / gigabytes),
        third: None,
    })
}

const PANICKED: &str = "a thread that sends panicked";

/// What is on its way when the time is over; far longer than it takes.
const ARRIVED_WITHIN: Duration = Duration::from_secs(20);

fn send(mut client: &TcpStream, span: Duration) -> u64 {
    let buffer = vec![0x5a; 256 << 10];
    let (mut sent, began) = (0, Instant::now());
    while began.elapsed() < span {
        match client.write(&buffer) {
            Ok(count) => sent += count as u64,
            Err(_) => break,
        }
    }
    let _ = client.shutdown(Shutdown::Write);
    sent
}
