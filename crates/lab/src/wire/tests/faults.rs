//! Faults of the link, one by one and together.

use super::*;

fn linked(link: Link) -> Wire {
    let mut wire = connected();
    wire.set_link(Direction::Both, link, at(0));
    wire
}

#[test]
fn a_perfect_wire_passes_every_frame_at_once_as_it_came() {
    let mut wire = connected();
    let (from, bytes) = frame("> . 101 ack 301 len 5");
    let passage = wire.take(at(7), from, &bytes);
    assert!(passage.at_once);
    assert_eq!(
        (passage.number, passage.fate, passage.marks),
        (3, Fate::Delivered, Marks::default())
    );
    assert_eq!(wire.deadline(), None);
}

#[test]
fn a_cut_takes_what_comes_and_what_is_on_its_way_in_its_direction_alone() {
    let mut wire = linked(Link { delay: ms(50), ..Link::default() });
    assert_eq!(
        play(&mut wire, &["10 > . 101 ack 301 len 5", "20 < . 301 ack 106"]),
        [
            "10 > . 101 ack 301 len 5: delivered, 50.000 ms late",
            "20 < . 301 ack 106: delivered, 50.000 ms late",
        ]
    );
    wire.set_cut(Direction::From(End::Left), true);
    assert_eq!(
        play(&mut wire, &["30 > . 106 ack 301 len 5", "100"]),
        [
            "30 > . 106 ack 301 len 5: dropped: the cable is cut",
            "60 => . 101 ack 301 len 5: dropped: the cable is cut",
            "70 <= . 301 ack 106",
        ]
    );
    wire.set_cut(Direction::Both, false);
    assert_eq!(wire.link(End::Left).delay, ms(50));
    assert_eq!(
        play(&mut wire, &["100 > . 106 ack 301 len 5", "150"])[1],
        "150 => . 106 ack 301 len 5"
    );
}

#[test]
fn a_delay_holds_each_direction_for_its_own_time() {
    let mut wire = linked(Link { delay: ms(20), ..Link::default() });
    wire.set_link(Direction::From(End::Right), Link { delay: ms(5), ..Link::default() }, at(0));
    assert_eq!(
        play(&mut wire, &["0 > . 101 ack 301 len 5", "0 < . 301 ack 101 len 7", "100"])[2..],
        ["5 <= . 301 ack 101 len 7", "20 => . 101 ack 301 len 5"]
    );
}

#[test]
fn a_link_that_becomes_fast_lets_no_frame_overtake_the_slow_ones() {
    let mut wire = linked(Link { delay: ms(100), ..Link::default() });
    play(&mut wire, &["0 > . 101 ack 301 len 5"]);
    wire.set_link(Direction::Both, Link::default(), at(10));
    let log = play(&mut wire, &["10 > . 106 ack 301 len 5", "200"]);
    assert_eq!(
        log,
        [
            "10 > . 106 ack 301 len 5: delivered, 90.000 ms late",
            "100 => . 101 ack 301 len 5",
            "100 => . 106 ack 301 len 5",
        ]
    );
    assert!(play(&mut wire, &["200 > . 111 ack 301 len 5"])[0].ends_with(": delivered"));
}

#[test]
fn jitter_keeps_the_order() {
    let mut wire = linked(Link { delay: ms(20), jitter: ms(20), seed: 3, ..Link::default() });
    let script: Vec<_> = (0..200).map(|n| format!("{n} > . {} ack 301 len 1", 101 + n)).collect();
    let mut script: Vec<_> = script.iter().map(String::as_str).collect();
    script.push("1000");
    let log = play(&mut wire, &script);
    let out: Vec<_> = log.iter().filter(|line| line.contains("=>")).collect();
    assert_eq!(out.len(), 200);
    let sequence = |line: &str| line.split(' ').nth(3).unwrap().parse::<u32>().unwrap();
    assert!(out.is_sorted_by_key(|line| sequence(line)));
}

#[test]
fn a_slow_link_sends_one_frame_after_the_other_and_a_full_queue_drops() {
    // 54 bytes of headers and 946 of payload at 8 Mbit/s: one millisecond each; room for two.
    let rate = Some(Rate { bits_per_second: 8_000_000, queue: 2_000 });
    let mut wire = linked(Link { rate, ..Link::default() });
    let script = [
        "0 > . 101 ack 301 len 946",
        "0 > . 1047 ack 301 len 946",
        "0 > . 1993 ack 301 len 946",
        "1 > . 1993 ack 301 len 946",
        "9",
    ];
    assert_eq!(
        play(&mut wire, &script),
        [
            "0 > . 101 ack 301 len 946: delivered, 1.000 ms late",
            "0 > . 1047 ack 301 len 946: delivered, 2.000 ms late",
            "0 > . 1993 ack 301 len 946: dropped: the queue is full",
            "1 => . 101 ack 301 len 946",
            "1 > . 1993 ack 301 len 946: delivered, 2.000 ms late",
            "2 => . 1047 ack 301 len 946",
            "3 => . 1993 ack 301 len 946",
        ]
    );
}

#[test]
fn a_black_hole_swallows_what_is_a_byte_too_long() {
    let mut wire = linked(Link { mtu: Some(1000), ..Link::default() });
    assert_eq!(
        play(&mut wire, &["0 > . 101 ack 301 len 960", "1 > . 1061 ack 301 len 961"]),
        [
            "0 > . 101 ack 301 len 960: delivered",
            "1 > . 1061 ack 301 len 961: dropped: longer than the path takes",
        ]
    );
}

#[test]
fn a_frame_that_is_held_back_is_overtaken() {
    let mut wire = linked(Link { reorder: 100.0, reorder_by: ms(5), ..Link::default() });
    play(&mut wire, &["0 > . 101 ack 301 len 5"]);
    wire.set_link(Direction::Both, Link::default(), at(0));
    assert_eq!(
        play(&mut wire, &["1 > . 106 ack 301 len 5", "10"]),
        ["1 > . 106 ack 301 len 5: delivered", "5 => . 101 ack 301 len 5"]
    );
}

#[test]
fn a_duplicate_comes_right_behind_its_original() {
    let mut wire = linked(Link { duplicate: 100.0, delay: ms(3), ..Link::default() });
    assert_eq!(
        play(&mut wire, &["0 > . 101 ack 301 len 5", "9"]),
        [
            "0 > . 101 ack 301 len 5: delivered, 3.000 ms late, twice",
            "3 => . 101 ack 301 len 5",
            "3 => . 101 ack 301 len 5",
        ]
    );
}

#[test]
fn corruption_turns_one_bit_behind_the_ip_header() {
    for seed in 0..100 {
        let mut wire = linked(Link { corrupt: 100.0, seed, ..Link::default() });
        let (from, bytes) = frame("> . 101 ack 301 len 5");
        let passage = wire.take(at(1), from, &bytes);
        assert!(passage.marks.corrupted && !passage.at_once);
        let (emission, _) = wire.due(at(1)).unwrap();
        assert_eq!(emission.bytes.len(), bytes.len());
        let turned = emission.bytes.iter().zip(&bytes).map(|(a, b)| (a ^ b).count_ones());
        assert_eq!(turned.clone().sum::<u32>(), 1);
        assert_eq!(turned.take(34).sum::<u32>(), 0, "seed {seed}");
    }
}

#[test]
fn the_same_seed_does_the_same_to_the_same_frames() {
    let link = Link {
        loss: 20.0,
        burst: 2.0,
        corrupt: 10.0,
        reorder: 10.0,
        duplicate: 10.0,
        delay: ms(10),
        jitter: ms(8),
        seed: 42,
        ..Link::default()
    };
    let run = |seed, others: bool| {
        let mut wire = linked(Link { seed, ..link });
        (0..300_u32)
            .map(|n| {
                if others {
                    // Frames of no connection, which have their own luck.
                    wire.take(at(n.into()), End::Left, &[0; 60]);
                }
                let (from, bytes) = frame(&format!("> . {} ack 301 len 1", 101 + n));
                let passage = wire.take(at(n.into()), from, &bytes);
                (passage.fate, passage.marks.duplicated, passage.marks.corrupted)
            })
            .collect::<Vec<_>>()
    };
    assert_eq!(run(42, false), run(42, true));
    assert_ne!(run(42, false), run(43, false));
}

#[test]
fn what_is_unplugged_is_gone_from_the_wire_and_the_other_direction_stays() {
    let mut wire = linked(Link { delay: ms(50), ..Link::default() });
    play(&mut wire, &["0 > . 101 ack 301 len 5", "0 < . 301 ack 101 len 7"]);
    play(&mut wire, &["0 > . 106 ack 301 len 5"]);
    let cleared = wire.clear(End::Left, at(1));
    assert_eq!(cleared.iter().map(|emission| emission.number).collect::<Vec<_>>(), [3, 5]);
    assert_eq!(play(&mut wire, &["99"]), ["50 <= . 301 ack 101 len 7"]);
}
