//! Owns reading the faults of a link. Pure.

use std::time::Duration;

use super::{DIRECTIONS, PLACES};
use crate::{
    fault::{Direction, Fault, Place},
    scenario::reading::{Slip, Table},
    wire::{Link, Rate},
};

pub(super) fn link(table: &Table<'_>) -> Result<Fault, Slip> {
    let percent = |key| Ok::<_, Slip>(table.whole(key, 100)?.map_or(0.0, f64::from));
    let plain = Link::default();
    let rate = table
        .whole("kbit", KBIT_MAX)?
        .map(|kbit| Rate { bits_per_second: u64::from(kbit) * 1000, queue: QUEUE });
    let (mtu, tells_mtu) =
        (table.whole("mtu", MTU_MAX)?, table.truth("tells_mtu")?.unwrap_or(false));
    if tells_mtu && mtu.is_none_or(|mtu| mtu < MTU_TOLD_MIN) {
        let what = "`tells_mtu` needs an `mtu` that hosts heed";
        let remedy = format!("write mtu = {MTU_TOLD_MIN} or more, or leave `tells_mtu` out");
        return Err(Slip::new(&table.origin_of("tells_mtu"), what, remedy));
    }
    let link = Link {
        mtu,
        tells_mtu,
        loss: percent("loss")?,
        burst: table.whole("burst", BURST_MAX)?.map_or(plain.burst, f64::from),
        corrupt: percent("corrupt")?,
        rate,
        delay: table.span("delay")?.unwrap_or_default(),
        jitter: table.span("jitter")?.unwrap_or_default(),
        reorder: percent("reorder")?,
        duplicate: percent("duplicate")?,
        ..plain
    };
    Ok(Fault::Link {
        place: table.word("place", &PLACES)?.unwrap_or(Place::Middle),
        direction: table.word("direction", &DIRECTIONS)?.unwrap_or(Direction::Both),
        link: Box::new(link),
        lasts: table.span("lasts")?,
    })
}

pub(super) fn flap(table: &Table<'_>) -> Result<Fault, Slip> {
    let second = |key| Ok::<_, Slip>(table.span(key)?.unwrap_or(Duration::from_secs(1)));
    Ok(Fault::Flap {
        place: table.word("place", &PLACES)?.unwrap_or(Place::Middle),
        down: second("down")?,
        up: second("up")?,
        times: table.whole("times", TIMES_MAX)?.unwrap_or(3),
    })
}

/// 10 Gbit/s: more than a cable of the lab passes.
const KBIT_MAX: u32 = 10_000_000;

/// 64 KiB: what a small router holds for a line.
const QUEUE: u64 = 64 * 1024;

/// The longest packet of IPv4.
const MTU_MAX: u32 = 65_535;

/// Every path of IPv6 takes 1280 bytes (RFC 8200, section 5), and a host that is told less goes on sending them.
const MTU_TOLD_MIN: u32 = 1280;

/// Longer bursts are cuts.
const BURST_MAX: u32 = 1_000;

/// More is a matter of hours.
const TIMES_MAX: u32 = 1_000;
