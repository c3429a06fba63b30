//! Owns reading a middlebox: a preset, and what is said beside it. Pure.

use crate::{
    fault::Fault,
    scenario::reading::{Slip, Table, remedy_for},
    wire::{Keepalives, Middlebox, Refresh, Then, presets},
};

pub(super) const THEN: [(&str, Then); 8] = [
    ("drop", Then::Drop),
    ("rst", Then::RstOnPacket),
    ("rst-inside", Then::RstInside),
    ("icmp", Then::Icmp),
    ("rst-both", Then::RstBothNow),
    ("leak", Then::Leak),
    ("pick-up", Then::PickUp),
    ("pick-up-or-rst", Then::PickUpOrRst),
];

const REFRESH: [(&str, Refresh); 3] =
    [("any", Refresh::Any), ("data", Refresh::Data), ("outbound", Refresh::Outbound)];

const KEEPALIVES: [(&str, Keepalives); 4] = [
    ("count", Keepalives::Count),
    ("ignore", Keepalives::Ignore),
    ("drop", Keepalives::Drop),
    ("answer", Keepalives::Answer),
];

pub(super) fn middlebox(table: &Table<'_>) -> Result<Fault, Slip> {
    let base = match table.text("preset")? {
        None => Middlebox::default(),
        Some(name) => match presets::named(name) {
            Some(preset) => preset.middlebox,
            None => {
                let known: Vec<_> = presets::ALL.iter().map(|preset| preset.name).collect();
                let what = format!("there is no preset `{name}`");
                return Err(Slip::new(&table.origin_of("preset"), what, remedy_for(name, &known)));
            }
        },
    };
    let middlebox = Middlebox {
        expire_after: table.span("forgets_after")?.or(base.expire_after),
        then: table.word("then", &THEN)?.unwrap_or(base.then),
        refresh: table.word("refresh", &REFRESH)?.unwrap_or(base.refresh),
        keepalives: table.word("keepalives", &KEEPALIVES)?.unwrap_or(base.keepalives),
        half_closed_after: table.span("half_closed_after")?.or(base.half_closed_after),
        max_flows: match table.whole("max_flows", FLOWS_MAX)? {
            Some(count) => usize::try_from(count).ok(),
            None => base.max_flows,
        },
        inside: base.inside,
    };
    Ok(Fault::Middlebox { middlebox: Box::new(middlebox) })
}

/// More than the table of a cable holds.
const FLOWS_MAX: u32 = 1_000_000;
