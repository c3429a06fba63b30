//! What a segment is depends on what was seen before it.

use super::*;
use crate::{frame::Frame, wire::tests::frame};

fn after(script: &[&str]) -> Flow {
    let mut flow = Flow::new();
    for line in script {
        let (from, segment) = segment_of(line);
        flow.note(&segment, from, None);
    }
    flow
}

fn segment_of(line: &str) -> (End, Segment) {
    let (from, bytes) = frame(line);
    let Frame::Tcp(segment) = Frame::parse(&bytes) else { panic!("no segment") };
    (from, segment)
}

fn kind(script: &[&str], line: &str) -> Kind {
    let (from, segment) = segment_of(line);
    after(script).kind(&segment, from)
}

const HANDSHAKE: [&str; 3] = ["> S 100", "< S. 300 ack 101", "> . 101 ack 301"];

#[test]
fn numbers_survive_the_wrap() {
    let script = [
        "> S 4294967295",
        "< S. 300 ack 0",
        "> . 0 ack 301",
        "> . 0 ack 301 len 5",
        "< . 301 ack 5",
    ];
    let flow = after(&script);
    assert_eq!((flow.side(End::Left).next, flow.expected_by(End::Right)), (Some(5), Some(5)));
    assert_eq!(kind(&script, "> . 4 ack 301"), Kind::Keepalive);
}

#[test]
fn an_old_segment_takes_nothing_back() {
    let flow = after(
        &[&HANDSHAKE[..], &["> . 101 ack 301 len 5", "< . 301 ack 106", "> . 101 ack 301 len 2"]]
            .concat(),
    );
    assert_eq!((flow.side(End::Left).next, flow.expected_by(End::Right)), (Some(106), Some(106)));
}

#[test]
fn a_new_connection_on_old_ports_begins_anew_and_a_syn_that_comes_again_does_not() {
    let old = [&HANDSHAKE[..], &["< F. 301 ack 101"]].concat();
    assert_eq!(after(&old).closed_sides(), 1);
    let again = [&old[..], &["> S 100"]].concat();
    assert_eq!(after(&again).closed_sides(), 1);
    let flow = after(&[&old[..], &["> S 9000"]].concat());
    assert_eq!((flow.closed_sides(), flow.side(End::Left).next), (0, Some(9001)));
    assert_eq!(flow.expected_by(End::Left), None);
}

#[test]
fn the_answer_to_a_probe_is_told_from_other_acks() {
    let probed = [&HANDSHAKE[..], &["> . 100 ack 301"]].concat();
    assert_eq!(kind(&probed, "< . 301 ack 101"), Kind::KeepaliveAnswer);
    assert_eq!(kind(&HANDSHAKE, "< . 301 ack 101"), Kind::Ack);
    let answered = [&probed[..], &["< . 301 ack 101"]].concat();
    assert_eq!(kind(&answered, "< . 301 ack 101"), Kind::Ack);
}

#[test]
fn the_third_ack_is_the_openers_alone() {
    assert_eq!(kind(&HANDSHAKE[..2], HANDSHAKE[2]), Kind::ThirdAck);
    assert_eq!(kind(&HANDSHAKE[..2], "> . 101 ack 301 len 1"), Kind::Data);
    assert_eq!(kind(&[], "> . 101 ack 301"), Kind::Ack);
}

#[test]
fn a_connection_seen_late_is_known_as_far_as_it_was_seen() {
    let flow = after(&["> . 101 ack 301 len 5"]);
    assert_eq!((flow.opened_by, flow.expected_by(End::Left)), (None, Some(301)));
    assert_eq!(flow.expected_by(End::Right), Some(106));
}

#[test]
fn probes_that_cross_are_both_answered() {
    let data = ["> . 101 ack 301 len 5", "< . 301 ack 106"];
    let crossing = [&HANDSHAKE[..], &data, &["> . 105 ack 301", "< . 300 ack 106"]].concat();
    assert_eq!(kind(&crossing, "< . 301 ack 106"), Kind::KeepaliveAnswer);
    let one_answered = [&crossing[..], &["< . 301 ack 106"]].concat();
    assert_eq!(kind(&one_answered, "> . 106 ack 301"), Kind::KeepaliveAnswer);
    let both_answered = [&one_answered[..], &["> . 106 ack 301"]].concat();
    assert_eq!(kind(&both_answered, "> . 106 ack 301"), Kind::Ack);
    // Where the opener has sent nothing, its answer looks like what completed the handshake.
    let silent = [&HANDSHAKE[..], &["< . 300 ack 101"]].concat();
    assert_eq!(kind(&silent, "> . 101 ack 301"), Kind::KeepaliveAnswer);
}
