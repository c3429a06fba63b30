//! What watching and heartbeats cost. Counts processors' time, not time passed, so that a busy machine
//! stretches the figures less, and takes what is compared in turns.
//!
//! `cargo bench -p halfopen`
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a benchmark that cannot go on has failed, and says where"
)]

use std::{cmp::Reverse, collections::BinaryHeap, mem::size_of, time::Duration};

use halfopen::{HeartbeatPolicy, Watched};
use halfopen_core::{
    Chance, Moment,
    heartbeat::{Heartbeat, Next},
};
use rustix::time::{ClockId, clock_gettime};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

fn main() {
    heartbeats();
    wrapper();
}

/// Time of this process's threads on processors so far.
fn spent() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap())
}

/// A million idle connections, each kept by heartbeats, on one core, for ten minutes of virtual time.
fn heartbeats() {
    const CONNECTIONS: u32 = 1_000_000;
    const MINUTES: u64 = 10;
    let policy = HeartbeatPolicy::detecting_within(Duration::from_secs(120));
    let mut chance = Chance::new(1);
    let mut all = Vec::with_capacity(CONNECTIONS as usize);
    let mut due = BinaryHeap::with_capacity(CONNECTIONS as usize);
    for number in 0..CONNECTIONS {
        let begin = Moment(chance.up_to(policy.interval));
        all.push(Heartbeat::new(policy, begin, &mut chance));
        due.push(Reverse((begin, number)));
    }
    let end = Moment(Duration::from_secs(MINUTES * 60));
    let (before, mut wakes, mut beats) = (spent(), 0u64, 0u64);
    while let Some(Reverse((now, number))) = due.pop() {
        if now >= end {
            break;
        }
        wakes += 1;
        let heartbeat = &mut all[number as usize];
        loop {
            match heartbeat.poll(now, &mut chance) {
                Next::Send(beat) => {
                    beats += 1;
                    let answered = Moment(now.0 + Duration::from_millis(20));
                    heartbeat.handle_answer(beat, answered);
                    heartbeat.handle_sent(answered);
                }
                Next::WaitUntil(until) => {
                    due.push(Reverse((until, number)));
                    break;
                }
                Next::Dead(death) => panic!("a living peer was called dead: {death:?}"),
            }
        }
    }
    let took = spent() - before;
    let timer = size_of::<Reverse<(Moment, u32)>>();
    println!("{CONNECTIONS} heartbeats, {MINUTES} minutes, one core");
    println!("  memory           {} B each, and {timer} B for its timer", size_of::<Heartbeat>());
    println!("  wake-ups         {} a second, {beats} heartbeats in all", wakes / (MINUTES * 60));
    println!("  cost             {} ns for each wake-up", took.as_nanos() / u128::from(wakes));
    let share = took.as_secs_f64() / (MINUTES * 60) as f64;
    println!("  of one core      {:.2} %", share * 100.0);
}

/// Messages to and fro over loopback, on the bare stream and on the watched one, in turns.
fn wrapper() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    for (name, size, rounds) in
        [("64 B there and back", 64, 20_000), ("64 KiB there and back", 65_536, 4_000)]
    {
        let mut ratios = Vec::new();
        let mut each = Vec::new();
        for _ in 0..REPEATS {
            let bare = runtime.block_on(async { talk(|stream| stream, size, rounds).await });
            let watched = runtime.block_on(async { talk(Watched::new, size, rounds).await });
            ratios.push(watched.as_secs_f64() / bare.as_secs_f64());
            each.push(bare / rounds);
        }
        ratios.sort_by(f64::total_cmp);
        each.sort();
        let (median, low, high) =
            (ratios[REPEATS / 2], ratios[REPEATS / 4], ratios[REPEATS * 3 / 4]);
        println!("Watched against TcpStream, {name}: processors' time times {median:.3}");
        println!(
            "  half of {REPEATS} pairs between {low:.3} and {high:.3}; bare {:?} a round",
            each[REPEATS / 2]
        );
    }
}

/// Processors' time of so many rounds, both ends.
async fn talk<S: AsyncRead + AsyncWrite + Unpin>(
    wrap: impl FnOnce(TcpStream) -> S,
    size: usize,
    rounds: u32,
) -> Duration {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    client.set_nodelay(true).unwrap();
    let (mut server, _) = listener.accept().await.unwrap();
    server.set_nodelay(true).unwrap();
    let echo = tokio::spawn(async move {
        let mut bytes = vec![0; size];
        while server.read_exact(&mut bytes).await.is_ok() {
            server.write_all(&bytes).await.unwrap();
        }
    });
    let mut client = wrap(client);
    let mut bytes = vec![7; size];
    let before = spent();
    for _ in 0..rounds {
        client.write_all(&bytes).await.unwrap();
        client.read_exact(&mut bytes).await.unwrap();
    }
    let took = spent() - before;
    drop(client);
    echo.await.unwrap();
    took
}

/// Odd, so that there is a median.
const REPEATS: usize = 21;
