//! Crowds: many half-closed connections at once, and what is left when all are gone.
//! Read: proc(5) on /proc/PID/fd.

use std::fmt::Display;

use super::{greet, seen};
use crate::{
    case::{Case, Family, Needs, Pace, Side},
    outcome::{Miss, Ran},
    stage::Stage,
};

const BASE: Case = Case {
    name: "",
    family: Family::Crowd,
    acting: Side::Client,
    done: "",
    due: "",
    source: "RFC 9293 3.6: each connection for itself, however many there are",
    needs: Needs::Ends,
    pace: Pace::Last,
    play: many_half_closed,
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "many-half-closed",
        done: "very many connections are half-closed by the client and kept; then each server answers and finishes",
        due: "each client gets its own answer and FIN",
        play: many_half_closed,
        ..BASE
    },
    Case {
        name: "nothing-is-left",
        done: "two hundred connections end in every way, twice over",
        due: "the relay holds no more descriptors after the second time than after the first",
        source: "proc(5): /proc/PID/fd has an entry for each open descriptor",
        needs: Needs::Process,
        play: nothing_is_left,
        ..BASE
    },
];

fn many_half_closed(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let mut pairs = Vec::new();
    for number in 1..=stage.limits.crowd {
        let numbered = |miss| numbered(number, miss);
        let (mut one, mut other) = stage.pair(acting).map_err(numbered)?;
        greet(&mut one, &mut other, soon).map_err(numbered)?;
        one.finish()?;
        pairs.push((one, other));
    }
    for (number, (_, other)) in (1..).zip(&mut pairs) {
        other.watch(soon)?.fin_after(0).map_err(|miss| numbered(number, miss))?;
    }
    for (number, (_, other)) in (1..).zip(&mut pairs) {
        // A length of its own tells whose answer it is.
        other.send(number).map_err(|miss| numbered(number, miss))?;
        other.finish()?;
    }
    for (number, (one, _)) in (1..).zip(&mut pairs) {
        one.watch(soon)?.fin_after(number).map_err(|miss| numbered(number, miss))?;
    }
    seen(format!("{} half-closed connections, each answered", pairs.len()))
}

/// The same, with the number of the connection.
fn numbered(number: impl Display, miss: Miss) -> Miss {
    match miss {
        Miss::Failed { brief, said } => {
            Miss::failed(format!("{brief} at {number}"), format!("connection {number}: {said}"))
        }
        other => other,
    }
}

fn nothing_is_left(stage: &Stage, _: Side) -> Ran {
    // The first time fills what the relay keeps for later: pools, pipes, its log.
    end_in_every_way(stage)?;
    let first = settled(stage, usize::MAX)?;
    end_in_every_way(stage)?;
    let second = settled(stage, first)?;
    if second > first {
        let said = format!("{second} descriptors where {first} were enough for as many before");
        return Err(Miss::failed(format!("+{} fds", second - first), said));
    }
    seen(format!("{first} descriptors after the first 200 connections, {second} after the second"))
}

/// Fifty at once, ended in one of four ways; then the next fifty.
fn end_in_every_way(stage: &Stage) -> Result<(), Miss> {
    let soon = stage.limits.soon;
    for way in 0..4 {
        let acting = if way % 2 == 0 { Side::Client } else { Side::Server };
        let pairs = (0..50).map(|_| stage.pair(acting)).collect::<Result<Vec<_>, _>>()?;
        for (mut one, mut other) in pairs {
            greet(&mut one, &mut other, soon)?;
            match way {
                0 => {
                    one.finish()?;
                    other.finish()?;
                    // What it sees is not this case's business; only that it is over.
                    let _ = (one.watch(soon)?, other.watch(soon)?);
                }
                1 => one.reset(),
                2 => {
                    one.finish()?;
                    one.reset();
                }
                _ => one.close()?,
            }
        }
    }
    Ok(())
}

/// How many descriptors the relay holds, when their number has come down to `goal` or stands still.
fn settled(stage: &Stage, goal: usize) -> Result<usize, Miss> {
    let mut counts = vec![stage.relay_descriptors()?];
    // A relay may be slow to see an end; one that still holds it after `notice` keeps it.
    let settled = halfopen_lab::wait::until(stage.limits.notice, || {
        std::thread::sleep(std::time::Duration::from_millis(250));
        let now = match stage.relay_descriptors() {
            Ok(now) => now,
            Err(miss) => return Some(Err(miss)),
        };
        counts.push(now);
        let still = counts.iter().rev().take(STILL).filter(|count| **count == now).count() == STILL;
        (if goal == usize::MAX { still } else { now <= goal }).then_some(Ok(now))
    });
    settled.unwrap_or_else(|| stage.relay_descriptors())
}

/// So many equal counts, a quarter of a second apart, are standing still.
const STILL: usize = 8;
