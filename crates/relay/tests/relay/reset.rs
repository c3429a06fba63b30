//! RST: whoever is left is told by RST, after what had been received for it; never by FIN.

use std::{
    io::Write as _,
    net::{Shutdown, TcpStream},
    time::Duration,
};

use halfopen_relay::{Cause, Ending, Side};

use crate::stage::{End, Stage, eventually, is_told_by_rst, reset, rest};

/// Whose reset it was, if the first of the ends was the upstream's.
fn by(swapped: bool) -> Ending {
    let side = if swapped { Side::Upstream } else { Side::Client };
    Ending::Broken { side: Some(side), cause: Cause::Reset }
}

/// The case both ways round: `act` gets the end that breaks and the one that is to be told.
#[track_caller]
fn both_ways(act: impl Fn(&Stage, TcpStream, TcpStream)) {
    let stage = Stage::new();
    for swapped in [false, true] {
        let (breaking, told) = stage.ends(swapped);
        act(&stage, breaking, told);
        assert_eq!(stage.ending(), by(swapped));
    }
}

#[test]
fn of_an_idle_connection() {
    both_ways(|_, breaking, mut told| {
        reset(breaking);
        assert_eq!(rest(&mut told), (0, End::Rst));
    });
}

#[test]
fn right_after_data_which_is_delivered() {
    both_ways(|stage, mut breaking, mut told| {
        let relayed = || {
            let relayed = stage.gauges().totals().relayed;
            relayed.client + relayed.upstream
        };
        let before = relayed();
        breaking.write_all(&[1; 100_000]).unwrap();
        // The reset throws away what the relay's window had no room for yet, as it would anywhere.
        eventually("it is relayed", || relayed() == before + 100_000);
        reset(breaking);
        assert_eq!(rest(&mut told), (100_000, End::Rst));
    });
}

/// Often enough that some of them are over before the relay has seen them begin.
#[test]
fn of_an_upstream_right_after_its_first_bytes_which_are_delivered() {
    let stage = Stage::new();
    for _ in 0..200 {
        let (mut client, mut upstream) = stage.pair();
        upstream.write_all(b"go away").unwrap();
        reset(upstream);
        assert_eq!(rest(&mut client), (7, End::Rst));
        assert_eq!(stage.ending(), by(true));
    }
}

#[test]
fn while_streaming() {
    both_ways(|_, mut breaking, mut told| {
        let writer = std::thread::spawn(move || {
            for _ in 0..64 {
                breaking.write_all(&[1; 65_536]).unwrap();
            }
            reset(breaking);
        });
        let (bytes, end) = rest(&mut told);
        writer.join().unwrap();
        assert_eq!(end, End::Rst, "after {bytes} bytes");
    });
}

#[test]
fn while_the_other_side_has_half_closed() {
    both_ways(|_, mut breaking, mut told| {
        told.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut breaking), (0, End::Fin));
        reset(breaking);
        assert_eq!(rest(&mut told), (0, End::Rst));
    });
}

#[test]
fn by_a_side_that_has_half_closed_while_the_other_is_idle() {
    both_ways(|_, breaking, mut told| {
        breaking.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut told), (0, End::Fin));
        reset(breaking);
        is_told_by_rst(&mut told);
    });
}

#[test]
fn by_a_side_that_has_half_closed_while_the_other_streams() {
    both_ways(|_, breaking, mut told| {
        breaking.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut told), (0, End::Fin));
        told.write_all(&[1; 100_000]).unwrap();
        reset(breaking);
        is_told_by_rst(&mut told);
    });
}

#[test]
fn because_data_was_left_unread() {
    both_ways(|stage, breaking, mut told| {
        let before = stage.gauges().totals().relayed;
        told.write_all(b"nobody reads this").unwrap();
        eventually("it is relayed", || stage.gauges().totals().relayed != before);
        let unread = || rustix::io::ioctl_fionread(&breaking).unwrap() > 0;
        eventually("it is there", unread);
        drop(breaking);
        assert_eq!(rest(&mut told), (0, End::Rst));
    });
}

/// Writes until everything on the way is full.
fn fill(stream: &mut TcpStream) -> usize {
    stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut written = 0;
    while let Ok(bytes) = stream.write(&[1; 65_536]) {
        written += bytes;
    }
    written
}

#[test]
fn of_a_sender_whose_reader_does_not_read() {
    both_ways(|stage, mut breaking, mut told| {
        let written = fill(&mut breaking);
        reset(breaking);
        eventually("the pair ends", || stage.gauges().open_pairs() == 0);
        let (bytes, end) = rest(&mut told);
        assert_eq!(end, End::Rst);
        assert!(bytes < written, "{bytes} of {written}");
    });
}

#[test]
fn of_a_reader_while_its_sender_is_blocked() {
    both_ways(|_, breaking, mut told| {
        fill(&mut told);
        reset(breaking);
        is_told_by_rst(&mut told);
    });
}

#[test]
fn of_a_client_before_the_upstream_is_there() {
    let (stage, _blockers) = crate::upstreams::stage_with_a_full_backlog(Duration::from_secs(20));
    let client = stage.client();
    eventually("it is accepted", || stage.gauges().open_pairs() == 1);
    reset(client);
    assert_eq!(stage.ending(), by(false));
}

/// A reset must not overtake an answer that was complete: the reader still gets all of it.
#[test]
fn behind_a_stream_that_had_ended_reaches_a_slow_reader_after_all_of_it() {
    both_ways(|_, mut breaking, mut told| {
        let size = 50_000;
        breaking.write_all(&vec![1; size]).unwrap();
        breaking.shutdown(Shutdown::Write).unwrap();
        eventually("its FIN was sent on", || is_finished(&told, size));
        reset(breaking);
        let mut all = vec![0; size];
        std::io::Read::read_exact(&mut told, &mut all).unwrap();
    });
}

/// Whether all these bytes and a FIN are in the socket's own queue.
fn is_finished(stream: &TcpStream, bytes: usize) -> bool {
    let info = halfopen_sys::stream::info(std::os::fd::AsFd::as_fd(stream)).unwrap();
    let closing = info.state == Some(halfopen_core::TcpState::CloseWait);
    closing && rustix::io::ioctl_fionread(stream).unwrap() >= bytes as u64
}
