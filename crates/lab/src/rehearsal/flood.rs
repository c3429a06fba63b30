//! Owns a flood of SYNs whose senders do not exist. It runs in the client host's network and ends
//! with its value. Read: packet(7), RFC 4987.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use etherparse::PacketBuilder;
use halfopen_sys::PacketSocket;

/// A flood. It stops when it is dropped.
#[derive(Debug)]
pub(super) struct Flood {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Where a flood comes from and goes to.
#[derive(Debug, Clone, Copy)]
pub(super) struct Course {
    pub(super) from: [u8; 6],
    pub(super) next_hop: [u8; 6],
    pub(super) to: Ipv4Addr,
    pub(super) port: u16,
    pub(super) rate: u32,
}

impl Flood {
    /// Begins to send through `socket`, an interface of the host that it comes from.
    pub(super) fn begin(socket: PacketSocket, course: Course) -> std::io::Result<Self> {
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::Builder::new()
            .name("flood".to_owned())
            .spawn(move || send_until(&stopped, &socket, course))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Flood {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked sends nothing any more.
            let _ = thread.join();
        }
    }
}

/// Whether an address is one of those that do not exist: 10.99.0.0/16.
pub(super) fn is_of_flood(address: IpAddr) -> bool {
    matches!(address.to_canonical(), IpAddr::V4(four) if four.octets().starts_with(&[10, 99]))
}

fn send_until(stopped: &AtomicBool, socket: &PacketSocket, course: Course) {
    let began = Instant::now();
    let mut sent: u64 = 0;
    while !stopped.load(Ordering::Relaxed) {
        let due = began.elapsed().as_millis() as u64 * u64::from(course.rate) / 1000;
        while sent < due {
            if let Some(frame) = syn(course, sent) {
                // An interface that is full for a moment takes the next one.
                let _ = socket.send(&frame);
            }
            sent += 1;
        }
        thread::sleep(Duration::from_millis(2));
    }
}

/// The SYN of number `number`: another sender and port each time.
fn syn(course: Course, number: u64) -> Option<Vec<u8>> {
    let [.., high, low] = number.to_be_bytes();
    let port = 1024 + u16::try_from(number / 65_536 % 60_000).unwrap_or(0);
    let builder = PacketBuilder::ethernet2(course.from, course.next_hop)
        .ipv4([10, 99, high, low], course.to.octets(), 64)
        .tcp(port, course.port, u32::try_from(number % 4_000_000_000).unwrap_or(0), 64_240)
        .syn();
    let mut frame = Vec::with_capacity(builder.size(0));
    builder.write(&mut frame, &[]).ok()?;
    Some(frame)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::frame::Frame;

    #[test]
    fn each_syn_is_of_another_sender_that_does_not_exist() {
        let course = Course {
            from: [2, 0, 0, 0, 0, 1],
            next_hop: [2, 0, 0, 0, 0, 2],
            to: Ipv4Addr::new(10, 0, 2, 7),
            port: 7000,
            rate: 1,
        };
        let segment = |number| *Frame::parse(&syn(course, number).unwrap()).segment().unwrap();
        assert!(segment(0).flags.syn && segment(0).acknowledgment.is_none());
        assert_ne!(segment(0).source, segment(1).source);
        assert_ne!(segment(1).source, segment(65_537).source);
        assert!(is_of_flood(IpAddr::V4(*segment(7).source.ip())));
        assert!(!is_of_flood("10.0.1.1".parse().unwrap()));
    }
}
