//! The middlebox: what it forgets, when, and what it does then.

use super::*;

fn boxed(middlebox: Middlebox) -> Wire {
    let mut wire = connected();
    wire.set_middlebox(Some(middlebox), at(0));
    wire
}

fn after_a_second(then: Then) -> Middlebox {
    Middlebox { expire_after: Some(ms(1000)), then, ..Middlebox::default() }
}

#[test]
fn a_flow_lives_until_the_very_moment_and_not_beyond() {
    let mut wire = boxed(after_a_second(Then::Drop));
    let script =
        ["999 > . 101 ack 301 len 5", "1998 < . 301 ack 106", "2998 > . 106 ack 301 len 5"];
    assert_eq!(
        play(&mut wire, &script),
        [
            "999 > . 101 ack 301 len 5: delivered",
            "1998 < . 301 ack 106: delivered",
            "2998 > . 106 ack 301 len 5: dropped: the middlebox knows no such flow",
        ]
    );
    assert_eq!(wire.known_flows(), Some(0));
    // A new connection is known again.
    assert_eq!(play(&mut wire, &["3000 > S 900"]), ["3000 > S 900: delivered"]);
    assert_eq!(wire.known_flows(), Some(1));
}

#[test]
fn the_one_who_speaks_is_answered_with_an_rst_at_the_byte_that_it_expects() {
    let mut wire = boxed(after_a_second(Then::RstOnPacket));
    assert_eq!(
        play(&mut wire, &["2000 > . 101 ack 301 len 5", "2000"]),
        [
            "2000 > . 101 ack 301 len 5: dropped: the middlebox knows no such flow",
            "2000 < R 301: made by the wire: RST of the middlebox, which knows no such flow",
            "2000 <= R 301",
        ]
    );
    // RFC 9293, section 3.5.2: an RST is not answered.
    assert_eq!(
        play(&mut wire, &["2001 < R 301"]),
        ["2001 < R 301: dropped: the middlebox knows no such flow"]
    );
}

#[test]
fn the_inside_alone_is_answered() {
    let mut wire = boxed(after_a_second(Then::RstInside));
    let outside = play(&mut wire, &["2000 < . 301 ack 101 len 5"]);
    assert_eq!(outside, ["2000 < . 301 ack 101 len 5: dropped: the middlebox knows no such flow"]);
    let inside = play(&mut wire, &["2001 > . 101 ack 301 len 5", "2001"]);
    assert_eq!(inside.last().unwrap(), "2001 <= R 301");
}

#[test]
fn a_box_that_refuses_with_icmp_quotes_what_it_refuses() {
    let mut wire = boxed(after_a_second(Then::Icmp));
    let log = play(&mut wire, &["2000 > . 101 ack 301 len 5"]);
    assert!(log[1].ends_with("ICMP of the middlebox, which knows no such flow"), "{log:#?}");
    let (emission, _) = wire.due(at(2000)).unwrap();
    let (_, refused) = frame("> . 101 ack 301 len 5");
    assert_eq!(emission.to, End::Left);
    // Type 3, code 13; behind the header of ICMP stands the packet, up to its sequence number.
    assert_eq!(emission.bytes[34..36], [3, 13]);
    assert_eq!(emission.bytes[42..], refused[14..42]);
}

#[test]
fn both_ends_get_a_valid_rst_in_the_moment_of_expiry_without_a_frame() {
    let mut wire = boxed(after_a_second(Then::RstBothNow));
    let script =
        ["500 > . 101 ack 301 len 5", "500 < . 301 ack 106 len 7", "500 > . 106 ack 308", "2000"];
    assert_eq!(
        play(&mut wire, &script)[3..],
        [
            "1500 <= R 308",
            "1500 => R 106",
            "1500 < R 308: made by the wire: RST of the middlebox, which forgets the flow",
            "1500 > R 106: made by the wire: RST of the middlebox, which forgets the flow",
        ]
    );
}

#[test]
fn a_cut_cable_loses_the_rst_of_the_box_too() {
    let mut wire = boxed(after_a_second(Then::RstBothNow));
    wire.set_cut(Direction::Both, true);
    let log = play(&mut wire, &["2000"]);
    assert_eq!(
        log,
        ["1000 < R 301: dropped: the cable is cut", "1000 > R 101: dropped: the cable is cut"]
    );
}

#[test]
fn a_flow_that_leaks_has_another_port_and_the_answer_finds_its_way_back() {
    let mut wire = boxed(after_a_second(Then::Leak));
    let (from, bytes) = frame("> . 101 ack 301 len 5");
    let passage = wire.take(at(2000), from, &bytes);
    assert!(passage.marks.readdressed && passage.fate == Fate::Delivered);
    let (leaked, _) = wire.due(at(2000)).unwrap();
    let Frame::Tcp(segment) = Frame::parse(&leaked.bytes) else { panic!("no segment") };
    assert_eq!(segment.source.port(), LEFT.1 ^ 0x8000);
    assert!(forge::tests::checksum_holds(&leaked.bytes));

    // The other end answers the stranger, and the client sees an answer to itself.
    let reset = forge::reset_in_answer(&leaked.bytes, &segment, End::Left).unwrap();
    let passage = wire.take(at(2001), End::Right, &reset);
    assert!(passage.marks.readdressed);
    let (back, _) = wire.due(at(2001)).unwrap();
    let Frame::Tcp(segment) = Frame::parse(&back.bytes) else { panic!("no segment") };
    assert_eq!((segment.destination.port(), segment.sequence), (LEFT.1, 301));
    assert!(forge::tests::checksum_holds(&back.bytes));

    // From outside, the box answers by itself.
    let log = play(&mut wire, &["2002 < . 301 ack 101 len 5", "2002"]);
    assert_eq!(log.last().unwrap(), "2002 => R 101");
}

#[test]
fn what_comes_from_inside_is_picked_up_again_and_what_comes_from_outside_is_not() {
    for (then, answer) in [(Then::PickUp, None), (Then::PickUpOrRst, Some("2000 => R 101"))] {
        let mut wire = boxed(after_a_second(then));
        let log = play(&mut wire, &["2000 < . 301 ack 101 len 5", "2000"]);
        assert_eq!(log.get(2).map(String::as_str), answer, "{then:?}");
        let log = play(&mut wire, &["2100 > . 101 ack 301 len 5", "2200 < . 301 ack 106"]);
        assert!(log.iter().all(|line| line.ends_with(": delivered")), "{log:#?}");
    }
}

#[test]
fn only_what_refreshes_keeps_a_flow() {
    let bare = ["900 > . 101 ack 301", "1100 > . 101 ack 301"];
    let inbound = ["900 < . 301 ack 101 len 5", "1100 > . 101 ack 306"];
    for (refresh, bare_lives, inbound_lives) in
        [(Refresh::Any, true, true), (Refresh::Data, false, true), (Refresh::Outbound, true, false)]
    {
        for (script, lives) in [(bare, bare_lives), (inbound, inbound_lives)] {
            let mut wire = boxed(Middlebox { refresh, ..after_a_second(Then::Drop) });
            let log = play(&mut wire, &script);
            assert_eq!(log[1].ends_with(": delivered"), lives, "{refresh:?} {log:#?}");
        }
    }
}

const PROBE: &str = "900 > . 100 ack 301";

#[test]
fn a_probe_is_known_by_its_number_and_nothing_else_is_taken_for_one() {
    let eater = Middlebox { keepalives: Keepalives::Drop, ..Middlebox::default() };
    let eaten = |script: &[&str]| {
        let log = play(&mut boxed(eater), script);
        log.last().unwrap().contains("keepalive probes")
    };
    assert!(eaten(&[PROBE]));
    assert!(eaten(&["900 < . 300 ack 101"]));
    // With a byte of garbage, as some systems send it.
    assert!(eaten(&["900 > . 100 ack 301 len 1"]));
    // One byte of data, the same byte sent again before it is acknowledged, and a bare ACK.
    assert!(!eaten(&["900 > . 101 ack 301 len 1"]));
    assert!(!eaten(&["900 > . 101 ack 301 len 1", "1200 > . 101 ack 301 len 1"]));
    assert!(!eaten(&["900 > . 101 ack 301"]));
    // FIN, RST and a probe of a shut window.
    assert!(!eaten(&["900 > F. 100 ack 301"]));
    assert!(!eaten(&["900 > R 100"]));
    assert!(!eaten(&["800 < . 301 ack 101 shut", PROBE]));
    // Two bytes before the end is an old segment.
    assert!(!eaten(&[
        "800 > . 101 ack 301 len 5",
        "801 < . 301 ack 106",
        "900 > . 104 ack 301 len 1"
    ]));
}

#[test]
fn a_probe_counts_or_passes_without_counting_and_so_does_its_answer() {
    let script = [PROBE, "901 < . 301 ack 101", "1500 > . 101 ack 301 len 5"];
    for (keepalives, lives) in [(Keepalives::Count, true), (Keepalives::Ignore, false)] {
        let log = play(&mut boxed(Middlebox { keepalives, ..after_a_second(Then::Drop) }), &script);
        assert!(log[..2].iter().all(|line| line.ends_with(": delivered")), "{log:#?}");
        assert_eq!(log[2].ends_with(": delivered"), lives, "{keepalives:?}");
    }
}

#[test]
fn a_box_that_answers_probes_speaks_as_the_peer_would() {
    let mut wire = boxed(Middlebox { keepalives: Keepalives::Answer, ..Middlebox::default() });
    assert_eq!(
        play(&mut wire, &[PROBE, "900"]),
        [
            "900 > . 100 ack 301: dropped: the middlebox keeps keepalive probes to itself",
            "900 < . 301 ack 101: made by the wire: ACK of the middlebox in the peer's name",
            "900 <= . 301 ack 101",
        ]
    );
}

#[test]
fn a_half_closed_flow_has_a_time_of_its_own() {
    let half = Middlebox { half_closed_after: Some(ms(200)), ..after_a_second(Then::Drop) };
    let fin = ["100 < F. 301 ack 101", "100 > . 101 ack 302"];
    let lives = |moment: &str| {
        let mut wire = boxed(half);
        play(&mut wire, &fin);
        play(&mut wire, &[&format!("{moment} > . 101 ack 302 len 5")])[0].ends_with(": delivered")
    };
    assert!(lives("299"));
    assert!(!lives("300"));
    // Where bare ACKs and what comes from outside refresh nothing, a FIN shortens the life all the same.
    let mut wire = boxed(Middlebox { refresh: Refresh::Outbound, ..half });
    let log = play(&mut wire, &["100 < F. 301 ack 101", "250 < . 302 ack 101"]);
    assert!(!log[1].ends_with(": delivered"), "{log:#?}");
}

#[test]
fn a_full_table_drops_the_syn_of_one_more_until_there_is_room() {
    let full = Middlebox { max_flows: Some(1), ..after_a_second(Then::Drop) };
    let mut wire = boxed(full);
    let other = |now: u64| {
        let (from, bytes) = frame("> S 700");
        let bytes = forge::with_ports(&bytes, 50_000, RIGHT.1).unwrap();
        (at(now), from, bytes)
    };
    let (now, from, bytes) = other(500);
    assert_eq!(wire.take(now, from, &bytes).fate, Fate::Dropped(Loss::TableFull));
    let (now, from, bytes) = other(1500);
    assert_eq!(wire.take(now, from, &bytes).fate, Fate::Delivered);
}

#[test]
fn a_box_that_was_rebooted_knows_nothing_and_one_that_is_taken_out_drops_nothing() {
    let mut wire = boxed(Middlebox::default());
    assert_eq!(wire.known_flows(), Some(1));
    wire.forget_now();
    let log = play(&mut wire, &["10 > . 101 ack 301 len 5"]);
    assert!(log[0].ends_with("the middlebox knows no such flow"));
    wire.set_middlebox(None, at(20));
    assert_eq!(wire.known_flows(), None);
    assert!(play(&mut wire, &["20 > . 101 ack 301 len 5"])[0].ends_with(": delivered"));
}

#[test]
fn a_flow_that_has_ended_is_forgotten_without_an_rst() {
    let mut wire = boxed(after_a_second(Then::RstBothNow));
    let script =
        ["10 > F. 101 ack 301", "20 < F. 301 ack 102", "30 > . 102 ack 302", "120029", "130000"];
    assert_eq!(play(&mut wire, &script).len(), 3);
    assert_eq!(wire.known_flows(), Some(0));
    let mut wire = boxed(after_a_second(Then::RstBothNow));
    assert_eq!(play(&mut wire, &["10 > R 101", "20000"]).len(), 1);
}

#[test]
fn frames_that_are_no_segments_pass_by_the_box() {
    let mut wire = boxed(after_a_second(Then::Drop));
    assert_eq!(wire.take(at(5000), End::Left, &[0xff; 60]).fate, Fate::Delivered);
}
