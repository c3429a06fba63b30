//! Owns the look that ends in memory: every connection seen and judged, nothing written.

use anyhow::ensure;
use halfopen_core::{Judge, Thresholds};
use halfopen_sys::{Ask, Scope, Sources, survey_each};

use crate::arguments::SourceKey;

/// Looks at the namespace of this process and judges all of it.
pub(crate) fn run(source: SourceKey, owners: bool) -> anyhow::Result<()> {
    let sources = match source {
        SourceKey::SockDiag => Sources::SockDiag,
        SourceKey::Bpf => Sources::Bpf,
    };
    let thresholds = Thresholds::default();
    let start = || (Judge::new(thresholds), vec![Vec::with_capacity(ROOM)]);
    // As `halfopen ls` asks.
    let ask = Ask { sources, owners, siblings: false, ..Ask::all(Scope::Current) };
    let (_, judged) = survey_each(&ask, start, |(judge, rooms), piece| {
        for seen in piece {
            if rooms.last().is_none_or(|room| room.len() == ROOM) {
                rooms.push(Vec::with_capacity(ROOM));
            }
            if let Some(room) = rooms.last_mut() {
                room.push(judge.diagnosis(seen));
            }
        }
    })?;
    let rooms = judged.iter().flat_map(|(_, rooms)| rooms);
    let count: usize = rooms.map(Vec::len).sum();
    ensure!(count > 0, "there is no connection here");
    println!("{count}");
    // Giving the memory back one by one is no part of a look; `halfopen` ends without it too.
    std::mem::forget(judged);
    Ok(())
}

/// As many as `halfopen` has in a piece of its list.
const ROOM: usize = 1 << 15;
