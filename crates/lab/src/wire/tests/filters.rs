//! Filters for births and deaths, and RSTs on demand.

use super::*;

fn filtered(filter: Filter, script: &[&str]) -> Vec<bool> {
    let mut wire = Wire::default();
    wire.set_filters(vec![filter]);
    play(&mut wire, script).iter().map(|line| line.ends_with("a filter waited for it")).collect()
}

const STORY: [&str; 7] = [
    "0 > S 100",
    "1 < S. 300 ack 101",
    "2 > . 101 ack 301",
    "3 > . 101 ack 301 len 5",
    "4 < . 301 ack 106",
    "5 > F. 106 ack 301",
    "6 < R 301",
];

#[test]
fn each_filter_loses_its_kind_and_nothing_else() {
    let kinds = [
        (Kind::Syn, 0),
        (Kind::SynAck, 1),
        (Kind::Data, 3),
        (Kind::Ack, 4),
        (Kind::Fin, 5),
        (Kind::Rst, 6),
    ];
    for (kind, index) in kinds {
        let lost = filtered(Filter::losing(kind), &STORY);
        let expected: Vec<_> = (0..STORY.len()).map(|i| i == index).collect();
        assert_eq!(lost, expected, "{kind:?}");
    }
}

#[test]
fn the_third_ack_is_lost_as_often_as_it_comes_and_data_is_not() {
    let script = [
        "0 > S 100",
        "1 < S. 300 ack 101",
        "2 > . 101 ack 301",
        "1001 < S. 300 ack 101",
        "1002 > . 101 ack 301",
        "1500 > . 101 ack 301 len 5",
        "1501 < . 301 ack 106",
        "1502 > . 106 ack 301",
    ];
    let lost = filtered(Filter::losing(Kind::ThirdAck), &script);
    assert_eq!(lost, [false, false, true, false, true, false, false, false]);
}

#[test]
fn a_filter_heeds_direction_port_and_count() {
    let syn = Filter::losing(Kind::Syn);
    let script = ["0 > S 100", "1000 > S 100", "3000 > S 100"];
    assert_eq!(filtered(Filter { first: Some(2), ..syn }, &script), [true, true, false]);
    assert_eq!(filtered(Filter { port: Some(111), ..syn }, &script), [true; 3]);
    assert_eq!(filtered(Filter { port: Some(112), ..syn }, &script), [false; 3]);
    let from = Direction::From(End::Right);
    assert_eq!(filtered(Filter { from, ..syn }, &script), [false; 3]);
}

#[test]
fn what_a_filter_takes_was_never_seen_by_the_middlebox() {
    let mut wire = Wire::default();
    wire.set_middlebox(Some(Middlebox::default()), at(0));
    wire.set_filters(vec![Filter::losing(Kind::Syn)]);
    play(&mut wire, &["0 > S 100"]);
    assert_eq!(wire.known_flows(), Some(0));
}

#[test]
fn an_rst_on_demand_is_aimed_as_it_was_ordered() {
    let aims = [(Aim::Valid, "306"), (Aim::InWindow, "307"), (Aim::Blind, "3221225778")];
    for (aim, sequence) in aims {
        let mut wire = connected();
        play(&mut wire, &["1 < . 301 ack 101 len 5", "2 > . 101 ack 306"]);
        let order = Reset { to: End::Left, aim, port: Some(111) };
        assert_eq!(wire.inject(order, at(3)), 1);
        let log = play(&mut wire, &["3"]);
        assert_eq!(log[0], format!("3 <= R {sequence}"), "{aim:?}");
    }
    let order = Reset { to: End::Right, aim: Aim::Valid, port: Some(112) };
    assert_eq!(connected().inject(order, at(3)), 0);
}

#[test]
fn a_syn_comes_again_as_it_was_as_long_as_its_connection_lives() {
    let mut wire = connected();
    assert_eq!(wire.repeat_syn(End::Right, at(10)), 0, "the right end has opened nothing");
    assert_eq!(wire.repeat_syn(End::Left, at(10)), 1);
    let log = play(&mut wire, &["20", "30 > R 101"]);
    assert_eq!(
        log,
        [
            "10 => S 100",
            "10 > S 100: made by the wire: SYN that comes again late",
            "30 > R 101: delivered"
        ]
    );
    assert_eq!(wire.repeat_syn(End::Left, at(40)), 0, "an RST has ended it");
}
