//! Owns the measurement of latency: 64 bytes there and back, again and again, all on one processor, so
//! that where the scheduler puts whom is not what is measured.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::{relays::Running, report::Figures};

/// Enough for a percentile that a single hiccup does not move.
const ROUND_TRIPS: usize = 20_000;
const WARM_UP: usize = 500;

/// The median of a round trip in us; beside it the 99th percentile.
pub(crate) fn measure(running: &Running) -> anyhow::Result<Figures> {
    let entrance = running.entrance();
    let client = thread::spawn(move || {
        pin();
        let mut stream = TcpStream::connect(entrance).context("connect to the relay")?;
        stream.set_nodelay(true).context("set TCP_NODELAY")?;
        let mut times = Vec::with_capacity(ROUND_TRIPS);
        let mut buffer = [7; 64];
        for number in 0..WARM_UP + ROUND_TRIPS {
            let began = Instant::now();
            stream.write_all(&buffer).context("send")?;
            stream.read_exact(&mut buffer).context("receive")?;
            if number >= WARM_UP {
                times.push(began.elapsed());
            }
        }
        anyhow::Ok(times)
    });
    let mut times = client.join().map_err(|_| anyhow::anyhow!("the client panicked"))??;
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get(times.len() * percent / 100).copied().unwrap_or_default();
        time.as_secs_f64() * Duration::from_secs(1).as_micros() as f64
    };
    Ok(Figures { main: at(50), beside: Some(at(99)), third: None })
}

/// Puts the calling thread on the first processor, as the relays are.
pub(crate) fn pin() {
    let mut first = CpuSet::new();
    first.set(0);
    // Where that is forbidden, all take part under the same conditions still.
    let _ = sched_setaffinity(None, &first);
}
