//! Goal: what happens over IPv4 happens over IPv6. Method: each fault plays the same script over both, and
//! the two logs, which tell no addresses, are equal.

use super::*;

/// What a script comes to on such a wire, over both families.
fn over_both(prepare: impl Fn(&mut Wire), script: &[&str]) -> Vec<String> {
    let over = |family| {
        let mut wire = Wire::default();
        play_over(family, &mut wire, &HANDSHAKE);
        prepare(&mut wire);
        let mut log = play_over(family, &mut wire, script);
        pass(&mut wire, at(9_000), &mut log);
        log
    };
    let four = over(IpFamily::V4);
    assert_eq!(over(IpFamily::V6), four);
    four
}

#[test]
fn every_box_that_forgets_does_the_same() {
    let script =
        ["2000 > . 101 ack 301 len 5", "2001 < . 301 ack 101 len 7", "2002 < R 301", "2100"];
    for then in Then::ALL {
        let middlebox = Middlebox { expire_after: Some(ms(1000)), then, ..Middlebox::default() };
        let log = over_both(|wire| wire.set_middlebox(Some(middlebox), at(0)), &script);
        assert!(log.len() >= script.len() - 1, "{then:?}: {log:#?}");
    }
}

#[test]
fn every_filter_takes_the_same_segment() {
    let script = [
        "10 > . 100 ack 301",
        "11 < . 301 ack 101",
        "12 > . 101 ack 301 len 5",
        "13 < . 301 ack 106",
        "14 < F. 301 ack 106",
        "15 > R 106",
        "16 > S 900",
        "17 < S. 700 ack 901",
        "18 > . 901 ack 701",
    ];
    let kinds = [
        Kind::Syn,
        Kind::SynAck,
        Kind::ThirdAck,
        Kind::Fin,
        Kind::Rst,
        Kind::Keepalive,
        Kind::KeepaliveAnswer,
        Kind::Data,
        Kind::Ack,
    ];
    for kind in kinds {
        let log = over_both(|wire| wire.set_filters(vec![Filter::losing(kind)]), &script);
        let lost = log.iter().filter(|line| line.ends_with("a filter waited for it")).count();
        assert_eq!(lost, 1, "{kind:?}: {log:#?}");
    }
}

#[test]
fn every_injected_rst_is_aimed_alike() {
    for aim in [Aim::Valid, Aim::InWindow, Aim::Blind] {
        for to in End::BOTH {
            let order = Reset { to, aim, port: None };
            let log = over_both(|wire| assert_eq!(wire.inject(order, at(10)), 1), &["20"]);
            assert_eq!(log.len(), 2, "{log:#?}");
        }
    }
}

#[test]
fn loss_delay_and_doubling_throw_the_same_dice() {
    let link = Link {
        loss: 30.0,
        duplicate: 30.0,
        reorder: 30.0,
        delay: ms(20),
        jitter: ms(9),
        seed: 7,
        ..Link::default()
    };
    let lines: Vec<_> =
        (0..50).map(|n| format!("{} > . {} ack 301 len 5", 100 + n, 101 + 5 * n)).collect();
    let script: Vec<_> = lines.iter().map(String::as_str).collect();
    let log = over_both(|wire| wire.set_link(Direction::Both, link, at(50)), &script);
    assert!(log.iter().any(|line| line.ends_with("the cable loses frames")), "{log:#?}");
}

#[test]
fn who_sends_too_long_a_segment_is_told_in_the_words_of_its_family() {
    let link = Link { mtu: Some(1280), tells_mtu: true, ..Link::default() };
    let script = ["10 > . 101 ack 301 len 1300", "11"];
    let log = over_both(|wire| wire.set_link(Direction::Both, link, at(5)), &script);
    assert_eq!(
        log,
        [
            "10 > . 101 ack 301 len 1300: dropped: longer than the path takes",
            "10 < no segment: made by the wire: ICMP that says how long a packet may be",
            "10 <= no segment",
        ]
    );
    let told = |family| {
        let mut wire = Wire::default();
        wire.set_link(Direction::Both, link, at(0));
        let (from, bytes) = frame_over(family, "> . 101 ack 301 len 1300");
        wire.take(at(1), from, &bytes);
        let answer = wire.due(at(1)).unwrap().0;
        assert_eq!(answer.to, from);
        (answer.bytes, bytes)
    };
    let (four, sent) = told(IpFamily::V4);
    // Type 3, code 4, with the MTU; behind it the packet, up to its sequence number.
    assert_eq!(four[34..36], [3, 4]);
    assert_eq!(four[40..42], 1280_u16.to_be_bytes());
    assert_eq!(four[42..], sent[14..42]);
    let (six, sent) = told(IpFamily::V6);
    // Type 2, with the MTU; behind it as much as 1280 bytes hold.
    assert_eq!(six[54..56], [2, 0]);
    assert_eq!(six[58..62], 1280_u32.to_be_bytes());
    assert_eq!((six.len(), &six[62..]), (14 + 1280, &sent[14..14 + 1232]));
}
