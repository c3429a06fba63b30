//! How a record becomes a story.

use std::time::Duration;

use super::*;
use crate::{
    ladder::draw,
    wire::{Forgery, Loss, Marks, tests},
};

/// A record from lines `MS > FLAGS …` of a trace; ` lost` and ` forged` at the end say so.
fn record(script: &[&str]) -> Vec<FrameSeen> {
    let seen = |(number, line): (usize, &&str)| {
        let (ms, rest) = line.split_once(' ').unwrap();
        let fate = match rest.rsplit(' ').next().unwrap() {
            "lost" => Fate::Dropped(Loss::Cut),
            "forged" => Fate::Forged(Forgery::ResetInAnswer),
            _ => Fate::Delivered,
        };
        let forged = matches!(fate, Fate::Forged(_));
        let (from, bytes) = tests::frame(rest);
        FrameSeen {
            number: number as u64,
            at: Moment(Duration::from_millis(ms.parse().unwrap())),
            from,
            fate,
            marks: Marks { forged, ..Marks::default() },
            frame: Frame::parse(&bytes),
        }
    };
    script.iter().enumerate().map(seen).collect()
}

fn labels(script: &[&str]) -> Vec<String> {
    let label = |event: Event| match event.what {
        Happening::Frame { label, .. } => label,
        _ => String::new(),
    };
    story(Moment::default(), &record(script), &[]).into_iter().map(label).collect()
}

#[test]
fn numbers_are_counted_from_the_syn_and_survive_the_wrap() {
    let script =
        ["0 > S 4294967295", "0 < S. 500 ack 0", "1 > . 0 ack 501 len 3", "2 < . 501 ack 3 shut"];
    assert_eq!(
        labels(&script),
        ["SYN seq=0", "SYN ACK seq=0 ack=1", "ACK seq=1 ack=1 len=3", "ACK seq=1 ack=4 win=0"]
    );
}

#[test]
fn a_keepalive_probe_of_a_connection_seen_late_is_one_before_the_first() {
    let script = ["0 > . 1000 ack 7", "0 < . 7 ack 1000", "9 > . 999 ack 7", "9 < . 7 ack 1000"];
    assert_eq!(
        labels(&script),
        ["ACK seq=0 ack=0", "ACK seq=0 ack=0", "keepalive ACK seq=-1 ack=0", "ACK seq=0 ack=0"]
    );
}

#[test]
fn what_is_sent_again_says_so() {
    let script = [
        "0 > S 100",
        "1000 > S 100",
        "1000 < S. 300 ack 101",
        "1001 > . 101 ack 301 len 5 lost",
        "1201 > . 101 ack 301 len 5 lost",
        "1202 > S 9000",
    ];
    assert_eq!(
        labels(&script),
        [
            "SYN seq=0",
            "again: SYN seq=0",
            "SYN ACK seq=0 ack=1",
            "ACK seq=1 ack=1 len=5",
            "again: ACK seq=1 ack=1 len=5",
            "SYN seq=0",
        ]
    );
}

#[test]
fn a_note_comes_before_the_frame_of_the_same_moment() {
    let at = Moment(Duration::from_secs(9));
    let notes = [Note { at, place: Place::Host(End::Left), text: "types".into() }];
    let told = story(Moment(Duration::from_secs(8)), &record(&["9000 > . 1 ack 1"]), &notes);
    assert!(matches!(told[0].what, Happening::Beside(End::Left, _)));
    assert_eq!(told[1].at, Duration::from_secs(1));
}

#[test]
fn a_life_with_a_fault_is_told_with_its_states() {
    let script = [
        "0 > S 100",
        "0 < S. 300 ack 101",
        "0 > . 101 ack 301",
        "10 > . 101 ack 301 len 5 lost",
        "210 > . 101 ack 301 len 5 lost",
        "630 > . 101 ack 301 len 5 lost",
        "1470 > . 101 ack 301 len 5 lost",
        "3150 > . 101 ack 301 len 5 lost",
        "6500 < R 301 forged",
    ];
    let at = |ms| Moment(Duration::from_millis(ms));
    let note = |ms, place, text: &str| Note { at: at(ms), place, text: text.to_owned() };
    let notes = [
        note(5, Place::Cable, "cable pulled"),
        note(7, Place::HostForgets(End::Right), "power off"),
    ];
    let told = story(Moment::default(), &record(&script), &notes);
    insta::assert_snapshot!(draw(["client", "server"], &told));
}

#[test]
fn several_connections_are_told_apart_in_the_order_in_which_they_appear() {
    let mut frames = record(&["0 > S 100", "1 > S 700"]);
    if let Frame::Tcp(segment) = &mut frames[1].frame {
        segment.source.set_port(50_000);
    }
    let told = story(Moment::default(), &frames, &[]);
    let labels: Vec<_> = told
        .iter()
        .map(|event| match &event.what {
            Happening::Frame { label, .. } => label.as_str(),
            _ => "",
        })
        .collect();
    assert_eq!(labels, ["#1 SYN seq=0", "#2 SYN seq=0"]);
}
