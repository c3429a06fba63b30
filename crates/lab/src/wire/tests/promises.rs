//! What holds whatever comes.

use proptest::prelude::*;

use super::*;

fn any_link() -> impl Strategy<Value = Link> {
    let share = || prop_oneof![Just(0.0), Just(100.0), 0.0..100.0];
    let rate = prop_oneof![
        Just(None),
        (0..1_000_000_u64, 0..10_000_u64)
            .prop_map(|(bits_per_second, queue)| Some(Rate { bits_per_second, queue })),
    ];
    let mtu = prop_oneof![Just(None), (0..2_000_u32).prop_map(Some)];
    (
        (share(), share(), share(), share(), 0.0..9.0),
        rate,
        mtu,
        any::<bool>(),
        0..50_u64,
        0..50_u64,
        any::<u64>(),
    )
        .prop_map(
            |((loss, corrupt, reorder, duplicate, burst), rate, mtu, cut, delay, jitter, seed)| {
                Link {
                    cut: cut && seed % 4 == 0,
                    mtu,
                    tells_mtu: seed % 3 == 0,
                    loss,
                    burst,
                    corrupt,
                    rate,
                    delay: ms(delay),
                    jitter: ms(jitter),
                    reorder,
                    reorder_by: ms(5),
                    duplicate,
                    seed,
                }
            },
        )
}

fn any_box() -> impl Strategy<Value = Option<Middlebox>> {
    let then = prop::sample::select(Then::ALL.to_vec());
    let refresh = prop::sample::select(vec![Refresh::Any, Refresh::Data, Refresh::Outbound]);
    let keepalives = prop::sample::select(vec![
        Keepalives::Count,
        Keepalives::Ignore,
        Keepalives::Drop,
        Keepalives::Answer,
    ]);
    let time = || prop_oneof![Just(None), (0..300_u64).prop_map(|time| Some(ms(time)))];
    let max = prop_oneof![Just(None), (0..3_usize).prop_map(Some)];
    prop::option::of((time(), then, refresh, keepalives, time(), max).prop_map(
        |(expire_after, then, refresh, keepalives, half_closed_after, max_flows)| Middlebox {
            expire_after,
            then,
            refresh,
            keepalives,
            half_closed_after,
            max_flows,
            inside: End::Left,
        },
    ))
}

/// Segments near each other in a few connections, in both directions.
fn any_frame() -> impl Strategy<Value = (End, Vec<u8>)> {
    let flags = prop::sample::select(vec!["S", "S.", ".", ".", ".", "F.", "R"]);
    let family = prop::sample::select(vec![IpFamily::V4, IpFamily::V6]);
    (any::<bool>(), flags, 100..110_u32, 100..110_u32, 0..3_u32, 0..3_u16, family).prop_map(
        |(left, flags, sequence, number, length, connection, family)| {
            let arrow = if left { '>' } else { '<' };
            let number = if flags.contains('.') { format!("ack {number}") } else { String::new() };
            let line = format!("{arrow} {flags} {sequence} {number} len {length}");
            let (from, bytes) = frame_over(family, &line);
            let (source, destination) =
                if left { (LEFT.1 + connection, RIGHT.1) } else { (RIGHT.1, LEFT.1 + connection) };
            (from, forge::with_ports(&bytes, source, destination).unwrap())
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn every_frame_has_one_fate_and_leaves_as_often_as_that_says(
        link in any_link(),
        middlebox in any_box(),
        frames in prop::collection::vec((0..40_u64, any_frame()), 1..60),
    ) {
        let mut wire = Wire::default();
        wire.set_link(Direction::Both, link, at(0));
        wire.set_middlebox(middlebox, at(0));
        let mut now = at(0);
        let mut owed = std::collections::HashMap::<u64, usize>::new();
        let mut numbers = 0;
        for (pause, (from, bytes)) in frames {
            now = path::later(now, ms(pause));
            settle(&mut wire, now, &mut owed, &mut numbers);
            let passage = wire.take(now, from, &bytes);
            prop_assert_eq!(passage.from, from);
            if passage.fate == Fate::Delivered && !passage.at_once {
                owed.insert(passage.number, if passage.marks.duplicated { 2 } else { 1 });
            }
            if passage.at_once {
                prop_assert_eq!(passage.fate, Fate::Delivered);
                prop_assert_eq!(passage.marks, Marks::default());
            }
            numbers += 1;
            settle(&mut wire, now, &mut owed, &mut numbers);
        }
        // All that is to leave does, in the end.
        let mut rounds = 0;
        while let Some(deadline) = wire.deadline() {
            prop_assert!(deadline >= now, "{:?} after {:?}", deadline, now);
            now = deadline;
            settle(&mut wire, now, &mut owed, &mut numbers);
            rounds += 1;
            prop_assert!(rounds < 10_000, "the wire never rests");
        }
        prop_assert!(owed.values().all(|count| *count == 0), "{:?}", owed);
        prop_assert_eq!(wire.next_number(), numbers);
        prop_assert_eq!(wire.bytes_on_the_way, 0);
    }
}

/// Takes what is due by `now`, and counts it.
fn settle(
    wire: &mut Wire,
    now: Moment,
    owed: &mut std::collections::HashMap<u64, usize>,
    numbers: &mut u64,
) {
    loop {
        let due = wire.due(now);
        while let Some(passage) = wire.forged() {
            assert!(matches!(
                passage.fate,
                Fate::Forged(_) | Fate::Dropped(Loss::Cut | Loss::QueueFull)
            ));
            assert!(!passage.at_once);
            if matches!(passage.fate, Fate::Forged(_)) {
                owed.insert(passage.number, 1);
            }
            *numbers += 1;
        }
        let Some((emission, _)) = due else { return };
        assert!(emission.at <= now);
        let left = owed.get_mut(&emission.number).expect("it was owed");
        *left = left.checked_sub(1).expect("as often as it was owed");
    }
}
