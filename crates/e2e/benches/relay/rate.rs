//! Owns the measurement of connections per second: connect, 64 bytes there and back, close; 32 clients.

use std::{
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread,
    time::{Duration, Instant},
};

use anyhow::ensure;

use crate::{process, relays::Running, report::Figures};

const CLIENTS: usize = 32;

/// Connects for so long; the figure beside is the relay's processors' time for a connection, in us.
pub(crate) fn measure(running: &Running, span: Duration) -> anyhow::Result<Figures> {
    let cpu_before = running.pid().map(process::cpu);
    let (entrance, began) = (running.entrance(), Instant::now());
    let (made, failed) = thread::scope(|scope| {
        let clients: Vec<_> =
            (0..CLIENTS).map(|_| scope.spawn(move || client(entrance, span))).collect();
        clients.into_iter().fold((0, 0), |(made, failed), client| {
            let (more, worse) = client.join().unwrap_or((0, 1));
            (made + more, failed + worse)
        })
    });
    let took = began.elapsed();
    ensure!(made > 0, "no connection was made");
    ensure!(failed * 1000 <= made, "{failed} connections failed beside {made} that did not");
    let cpu = running.pid().zip(cpu_before).map(|(pid, before)| process::cpu(pid) - before);
    Ok(Figures {
        main: made as f64 / took.as_secs_f64(),
        beside: cpu.map(|cpu| cpu.as_secs_f64() * 1e6 / made as f64),
        third: None,
    })
}

/// How many connections were made, and how many failed.
fn client(entrance: SocketAddr, span: Duration) -> (u64, u64) {
    let (mut made, mut failed, began) = (0, 0, Instant::now());
    while began.elapsed() < span {
        match once(entrance) {
            Ok(()) => made += 1,
            Err(_) => failed += 1,
        }
    }
    (made, failed)
}

fn once(entrance: SocketAddr) -> io::Result<()> {
    let mut stream = TcpStream::connect(entrance)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    let mut buffer = [7; 64];
    stream.write_all(&buffer)?;
    stream.read_exact(&mut buffer)
}
