//! Owns what has to hold for every captured frame, whatever its bytes. The target in `fuzz/` and the
//! tests in `crates/e2e` call it. A broken promise panics.

use std::time::Duration;

use halfopen_core::Moment;

use crate::{
    frame::Frame,
    topology::End,
    wire::{Direction, Fate, Filter, Keepalives, Kind, Link, Middlebox, Rate, Refresh, Then, Wire},
};

/// A frame is read alike each time, and what it is can be written.
pub fn frame(bytes: &[u8]) {
    let frame = Frame::parse(bytes);
    assert_eq!(frame, Frame::parse(bytes));
    match frame {
        Frame::Tcp(segment) => {
            // 65,535 bytes are the longest packet of IPv4, and the longest payload of IPv6.
            assert!(segment.payload <= 65_535, "{segment:?}");
            let _ = segment.next_sequence();
        }
        Frame::Neighbour(neighbour) => {
            let told = neighbour.to_string();
            assert!(told.starts_with("ARP ") || told.starts_with("NDP "), "{told}");
        }
        Frame::Other(words) => assert!(!words.is_empty()),
    }
}

/// A wire takes whatever comes: nothing panics, every frame has one fate, what is owed leaves, and the wire
/// comes to rest. The first eight bytes choose its faults; then each frame has a byte for its direction and
/// the pause before it, and one for its length.
pub fn wire(bytes: &[u8]) {
    let (settings, mut rest) = bytes.split_at(bytes.len().min(SETTINGS));
    let setting = |index: usize| settings.get(index).copied().unwrap_or_default();
    let mut now = Moment(Duration::from_secs(1));
    let mut wire = chosen(&setting, now);
    let (mut owed, mut came) = (0_usize, 0_u64);
    while let [head, length, others @ ..] = rest {
        let (frame, others) = others.split_at(others.len().min(usize::from(*length)));
        rest = others;
        now = Moment(now.0 + Duration::from_millis(u64::from(head >> 1)));
        settle(&mut wire, now, &mut owed, &mut came);
        let from = if head & 1 == 0 { End::Left } else { End::Right };
        let passage = wire.take(now, from, frame);
        came += 1;
        assert!(!passage.at_once || passage.fate == Fate::Delivered);
        if passage.fate == Fate::Delivered && !passage.at_once {
            owed += 1 + usize::from(passage.marks.duplicated);
        }
        settle(&mut wire, now, &mut owed, &mut came);
    }
    for _ in 0..ROUNDS_MAX {
        let Some(deadline) = wire.deadline() else { break };
        now = now.max(deadline);
        settle(&mut wire, now, &mut owed, &mut came);
    }
    assert_eq!((wire.deadline(), owed), (None, 0));
    assert_eq!(wire.next_number(), came);
}

/// Bytes that choose the faults.
const SETTINGS: usize = 8;

/// Far more than any input has frames and flows.
const ROUNDS_MAX: usize = 1_000_000;

fn chosen(setting: &dyn Fn(usize) -> u8, now: Moment) -> Wire {
    let percent = |index: usize| f64::from(setting(index) & 0x7f);
    let rate = Rate { bits_per_second: u64::from(setting(1)) << 12, queue: 4_000 };
    let link = Link {
        mtu: (setting(0) & 1 != 0).then_some(60),
        tells_mtu: setting(3) & 0x80 != 0,
        rate: (setting(0) & 2 != 0).then_some(rate),
        delay: Duration::from_millis(u64::from(setting(0) >> 4)),
        jitter: Duration::from_millis(u64::from(setting(0) >> 6)),
        loss: percent(2),
        corrupt: percent(3),
        reorder: percent(3),
        duplicate: percent(4),
        seed: u64::from(setting(4)),
        ..Link::default()
    };
    let mut wire = Wire::default();
    wire.set_link(Direction::Both, link, now);
    let keepalives = [Keepalives::Count, Keepalives::Ignore, Keepalives::Drop, Keepalives::Answer];
    let refresh = [Refresh::Any, Refresh::Data, Refresh::Outbound];
    let kinds = [Kind::Syn, Kind::ThirdAck, Kind::Fin, Kind::Rst, Kind::Keepalive, Kind::Data];
    let nth = usize::from;
    let middlebox = Middlebox {
        expire_after: (setting(5) != 0).then(|| Duration::from_millis(setting(5).into())),
        then: Then::ALL.get(nth(setting(6)) % Then::ALL.len()).copied().unwrap_or(Then::Drop),
        refresh: refresh.get(nth(setting(6) >> 5) % 3).copied().unwrap_or(Refresh::Any),
        keepalives: keepalives.get(nth(setting(6) >> 3) % 4).copied().unwrap_or(Keepalives::Count),
        half_closed_after: (setting(7) & 1 != 0).then_some(Duration::from_millis(9)),
        max_flows: (setting(7) & 2 != 0).then_some(2),
        inside: End::Left,
    };
    wire.set_middlebox((setting(7) & 4 == 0).then_some(middlebox), now);
    let filter = kinds.get(nth(setting(7) >> 3)).map(|kind| Filter::losing(*kind));
    wire.set_filters(filter.into_iter().collect());
    wire
}

/// Takes what is due, and counts what came and what was owed.
fn settle(wire: &mut Wire, now: Moment, owed: &mut usize, came: &mut u64) {
    loop {
        let due = wire.due(now);
        while let Some(forged) = wire.forged() {
            *came += 1;
            *owed += usize::from(matches!(forged.fate, Fate::Forged(_)));
        }
        let Some((emission, _)) = due else { return };
        assert!(emission.at <= now);
        assert!(*owed > 0, "frame {} was not owed", emission.number);
        *owed -= 1;
    }
}
