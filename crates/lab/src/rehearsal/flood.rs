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

use halfopen_sys::PacketSocket;

use crate::{
    topology::{IpFamily, NOBODY, planned},
    wire::headers,
};

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
    pub(super) to: IpAddr,
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

/// Whether an address is one of those that do not exist.
pub(super) fn is_of_flood(address: IpAddr) -> bool {
    let [a, b, ..] = NOBODY.octets();
    planned(address.to_canonical()).is_some_and(|planned| planned.octets().starts_with(&[a, b]))
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
    let [a, b, ..] = NOBODY.octets();
    let sender = Ipv4Addr::new(a, b, high, low);
    let family = IpFamily::from(course.to);
    let builder = headers([course.next_hop, course.from], family.of(sender), course.to)?
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
            to: Ipv4Addr::new(10, 0, 2, 7).into(),
            port: 7000,
            rate: 1,
        };
        for to in ["10.0.2.7", "fd00::a00:207"] {
            let course = Course { to: to.parse().unwrap(), ..course };
            let segment = |number| *Frame::parse(&syn(course, number).unwrap()).segment().unwrap();
            assert!(segment(0).flags.syn && segment(0).acknowledgment.is_none());
            assert_ne!(segment(0).source, segment(1).source);
            assert_ne!(segment(1).source, segment(65_537).source);
            assert!(is_of_flood(segment(7).source.ip()));
        }
        for real in ["10.0.1.1", "fd00::a00:101", "2001:db8::a63:1"] {
            assert!(!is_of_flood(real.parse().unwrap()), "{real}");
        }
    }
}
