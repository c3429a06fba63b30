//! FIN: one direction ends after all of its bytes, and the other lives on.

use std::{
    io::{Read as _, Write as _},
    net::Shutdown,
    thread,
    time::Duration,
};

use halfopen_relay::{Cause, Ending, Side};

use crate::stage::{End, PATIENCE, Stage, eventually, rest, within};

#[test]
fn after_a_half_close_the_other_direction_still_carries_megabytes() {
    let stage = Stage::new();
    for swapped in [false, true] {
        let (mut asking, mut answering) = stage.ends(swapped);
        asking.write_all(b"question").unwrap();
        asking.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut answering), (8, End::Fin));
        let writer = thread::spawn(move || {
            for _ in 0..160 {
                answering.write_all(&[7; 65_536]).unwrap();
            }
        });
        assert_eq!(rest(&mut asking), (160 * 65_536, End::Fin));
        writer.join().unwrap();
        let first = if swapped { Side::Upstream } else { Side::Client };
        let record = stage.record();
        assert_eq!(record.ending, Ending::Finished { first });
        assert_eq!(record.relayed[first], 8);
        assert_eq!(record.relayed[first.other()], 160 * 65_536);
    }
}

#[test]
fn a_half_closed_pair_that_is_idle_stays_as_it_is() {
    let stage = Stage::new();
    for swapped in [false, true] {
        let (mut done, mut open) = stage.ends(swapped);
        done.shutdown(Shutdown::Write).unwrap();
        assert_eq!(rest(&mut open), (0, End::Fin));
        // Longer than the linger time of any relay that has one by the half second.
        assert_eq!(within(&mut done, Duration::from_millis(1500)), (0, End::Open));
        open.write_all(b"late").unwrap();
        drop(open);
        assert_eq!(rest(&mut done), (4, End::Fin));
    }
}

#[test]
fn both_may_end_at_once_and_without_a_byte() {
    let stage = Stage::new();
    let (mut client, mut upstream) = stage.pair();
    client.shutdown(Shutdown::Write).unwrap();
    upstream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), (0, End::Fin));
    assert_eq!(rest(&mut upstream), (0, End::Fin));
    assert!(matches!(stage.ending(), Ending::Finished { .. }));
}

#[test]
fn a_write_to_an_end_that_has_closed_is_told_by_a_reset() {
    let stage = Stage::new();
    for swapped in [false, true] {
        let (closed, mut writing) = stage.ends(swapped);
        drop(closed);
        assert_eq!(rest(&mut writing), (0, End::Fin));
        crate::stage::is_told_by_rst(&mut writing);
    }
}

#[test]
fn a_reader_that_pauses_at_the_end_of_the_stream_gets_all_of_it() {
    let stage = Stage::new();
    for swapped in [false, true] {
        let (mut reading, mut writing) = stage.ends(swapped);
        reading.shutdown(Shutdown::Write).unwrap();
        writing.set_nonblocking(true).unwrap();
        let mut written = 0;
        // Everything on the way is full: the reader's window is closed.
        let full = |error: std::io::Error| error.kind() == std::io::ErrorKind::WouldBlock;
        eventually("the way is full", || match writing.write(&[1; 65_536]) {
            Ok(bytes) => {
                written += bytes;
                false
            }
            Err(error) => {
                assert!(full(error));
                let gauges = stage.gauges();
                assert_eq!(gauges.open_pairs(), 1);
                written > 1 << 20
            }
        });
        drop(writing);
        // Both directions have ended, and the relay holds on to the rest for as long as it takes.
        assert!(stage.notices.recv_timeout(Duration::from_millis(1500)).is_err());
        assert_eq!(rest(&mut reading), (written, End::Fin));
        assert!(matches!(stage.ending(), Ending::Finished { .. }));
    }
}

#[test]
fn what_came_before_the_upstream_was_there_is_kept_with_its_fin() {
    let (stage, blockers) = crate::upstreams::stage_with_a_full_backlog(PATIENCE);
    let mut client = stage.client();
    client.write_all(b"early").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    drop(blockers);
    // The kernel sends the connection request again after a second, and finds room.
    let mut upstream = loop {
        let mut upstream = stage.accepted();
        let mut first = [0; 1];
        if upstream.read(&mut first).unwrap() == 1 {
            assert_eq!(&first, b"e");
            break upstream;
        }
    };
    assert_eq!(rest(&mut upstream), (4, End::Fin));
    upstream.write_all(b"answer").unwrap();
    drop(upstream);
    assert_eq!(rest(&mut client), (6, End::Fin));
}

#[test]
fn the_limit_for_half_closed_pairs_ends_them_with_a_reset_once_they_are_idle() {
    // Long beside what a busy machine may be late.
    let limit = Duration::from_secs(2);
    let stage = Stage::with(|plan| plan.services[0].half_closed_idle = Some(limit));
    let (mut client, mut upstream) = stage.pair();
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut upstream), (0, End::Fin));
    // Longer than the limit in all: every byte begins it anew.
    for _ in 0..5 {
        assert_eq!(within(&mut client, limit / 4), (0, End::Open));
        upstream.write_all(b"x").unwrap();
        client.read_exact(&mut [0]).unwrap();
    }
    assert_eq!(rest(&mut client), (0, End::Rst));
    crate::stage::is_told_by_rst(&mut upstream);
    let ending = Ending::Broken { side: None, cause: Cause::HalfClosedIdle(limit) };
    assert_eq!(stage.ending(), ending);
}

#[test]
fn an_open_pair_that_is_idle_is_not_a_half_closed_one() {
    let limit = Duration::from_millis(200);
    let stage = Stage::with(|plan| plan.services[0].half_closed_idle = Some(limit));
    let (mut client, _upstream) = stage.pair();
    assert_eq!(within(&mut client, limit * 5), (0, End::Open));
}
