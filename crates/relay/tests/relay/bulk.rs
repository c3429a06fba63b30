//! Bytes: all of them, in order, by copying and by splicing, and no more in between than fits.

use std::{
    io::{Read as _, Write as _},
    net::{Shutdown, TcpStream},
    thread,
    time::Duration,
};

use crate::stage::{Stage, eventually};

/// Bytes that show where they are out of order, from a generator of 64 bits (SplitMix64).
struct Stream(u64);

impl Stream {
    fn fill(&mut self, bytes: &mut [u8]) {
        for chunk in bytes.chunks_mut(8) {
            self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let mut mixed = self.0;
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..chunk.len()]);
        }
    }
}

/// Sends `blocks` of these sizes, in turn, then FIN.
fn send(
    mut stream: TcpStream,
    seed: u64,
    sizes: &'static [usize],
    blocks: usize,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut source = Stream(seed);
        let mut block = vec![0; *sizes.iter().max().unwrap()];
        for number in 0..blocks {
            let part = &mut block[..sizes[number % sizes.len()]];
            source.fill(part);
            stream.write_all(part).unwrap();
        }
        stream.shutdown(Shutdown::Write).unwrap();
    })
}

/// Reads the same blocks, and the end.
fn check(mut stream: TcpStream, seed: u64, sizes: &[usize], blocks: usize) {
    let mut source = Stream(seed);
    let largest = *sizes.iter().max().unwrap();
    let (mut expected, mut found) = (vec![0; largest], vec![0; largest]);
    for number in 0..blocks {
        let size = sizes[number % sizes.len()];
        source.fill(&mut expected[..size]);
        stream.read_exact(&mut found[..size]).unwrap();
        assert!(expected[..size] == found[..size], "block {number} differs");
    }
    assert_eq!(stream.read(&mut found).unwrap(), 0);
}

/// Multiples of 8, so that blocks are whole words of the generator: some far below a buffer, some far
/// above a pipe.
const SIZES: &[usize] = &[8, 1 << 21, 800, 65_536, 16, 1 << 17, 4_000];

#[test]
fn both_directions_at_once_carry_every_byte_in_order() {
    let stage = Stage::new();
    let (client, upstream) = stage.pair();
    let senders = [
        send(client.try_clone().unwrap(), 1, SIZES, 100),
        send(upstream.try_clone().unwrap(), 2, SIZES, 100),
    ];
    let other = thread::spawn(move || check(client, 2, SIZES, 100));
    check(upstream, 1, SIZES, 100);
    other.join().unwrap();
    senders.into_iter().for_each(|sender| sender.join().unwrap());
    let sum = 100 / SIZES.len() * SIZES.iter().sum::<usize>()
        + SIZES[..100 % SIZES.len()].iter().sum::<usize>();
    let record = stage.record();
    assert_eq!(record.relayed.client, sum as u64);
    assert_eq!(record.relayed.upstream, sum as u64);
}

#[test]
fn many_pairs_share_the_workers_and_none_starves() {
    let stage = Stage::with(|plan| plan.workers = 2);
    let pairs: Vec<_> = (0..40).map(|_| stage.pair()).collect();
    let mut threads = Vec::new();
    for (seed, (client, upstream)) in (0..).zip(pairs) {
        threads.push(send(client, seed, SIZES, 21));
        threads.push(thread::spawn(move || check(upstream, seed, SIZES, 21)));
    }
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

/// The last of the three numbers of this sysctl.
fn largest(sysctl: &str) -> usize {
    let text = std::fs::read_to_string(format!("/proc/sys/net/ipv4/{sysctl}")).unwrap();
    text.split_whitespace().next_back().unwrap().parse().unwrap()
}

#[test]
fn a_reader_that_does_not_read_stops_its_sender_and_nothing_is_piled_up() {
    let stage = Stage::new();
    let (mut client, mut upstream) = stage.pair();
    client.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written = 0;
    while let Ok(bytes) = client.write(&[1; 65_536]) {
        written += bytes;
    }
    // Two socket buffers on each leg, and one pipe.
    let most = 2 * (largest("tcp_wmem") + largest("tcp_rmem")) + (1 << 20);
    assert!(written < most, "{written} bytes were taken, {most} fit");
    // The reader was away, not dead: everything is there when it comes back.
    let mut left = written;
    let mut part = vec![0; 1 << 16];
    while left > 0 {
        left -= upstream.read(&mut part).unwrap();
    }
    eventually("the sender can go on", || client.write(b"more").is_ok());
}
