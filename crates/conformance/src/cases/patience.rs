//! Patience: nothing happens for longer than common time-outs, while both ends live and could be asked.
//! A relay that ends such a connection has made up a death. Read: RFC 1122 4.2.3.6 and 4.2.2.17.

use super::{KIB, MIB, greet, seen};
use crate::{
    case::{Case, Family, Needs, Pace, Side},
    outcome::Ran,
    sight::seconds,
    stage::Stage,
};

const BASE: Case = Case {
    name: "",
    family: Family::Patience,
    acting: Side::Client,
    done: "",
    due: "",
    source: "RFC 1122 4.2.3.6: a connection without data lives as long as both ends do",
    needs: Needs::Ends,
    pace: Pace::Slow,
    play: open_and_idle,
};

const HALF: Case = Case {
    done: "one end sends FIN; then nothing happens for a long time; then the other sends 1 KiB and FIN",
    due: "the 1 KiB and FIN arrive",
    source: "RFC 9293 3.3.2, FIN-WAIT-2 and CLOSE-WAIT: states that wait for a user have no time-out",
    play: half_closed_and_idle,
    ..BASE
};

const PAUSED: Case = Case {
    done: "one end reads nothing for a long time, while the other sends until it is blocked; then it reads on",
    due: "the connection lives, and every byte arrives, then FIN",
    source: "RFC 1122 4.2.2.17: as long as probes of a zero window are acknowledged, the connection stays open",
    play: paused_reader,
    ..BASE
};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "open-idle",
        done: "some bytes pass; then nothing happens for a long time; then some bytes pass again",
        due: "they arrive, both ways",
        play: open_and_idle,
        ..BASE
    },
    Case { name: "half-closed-idle-client", ..HALF },
    Case { name: "half-closed-idle-server", acting: Side::Server, ..HALF },
    Case { name: "paused-reader-client", ..PAUSED },
    Case { name: "paused-reader-server", acting: Side::Server, ..PAUSED },
];

fn open_and_idle(stage: &Stage, acting: Side) -> Ran {
    let (soon, slow) = (stage.limits.soon, stage.limits.slow);
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    one.watch(slow)?.open_after(0)?;
    greet(&mut one, &mut other, soon)?;
    seen(format!("still open after {}", seconds(slow)))
}

fn half_closed_and_idle(stage: &Stage, acting: Side) -> Ran {
    let (soon, slow) = (stage.limits.soon, stage.limits.slow);
    let (mut one, mut other) = stage.pair(acting)?;
    one.send(KIB)?;
    one.finish()?;
    other.watch(soon)?.fin_after(KIB)?;
    one.watch(slow)?.open_after(0)?;
    other.send(KIB)?;
    other.finish()?;
    one.watch(soon)?.fin_after(KIB)?;
    seen(format!("still half-closed after {}", seconds(slow)))
}

fn paused_reader(stage: &Stage, acting: Side) -> Ran {
    let (soon, slow) = (stage.limits.soon, stage.limits.slow);
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    let before = other.sent();
    other.send_until_blocked(64 * MIB)?;
    let told = other.watch_for_reset(slow)?;
    told.open_after(0)?;
    // What is still unsent would block again, so FIN comes behind what the relay took.
    let bytes = other.sent() - before;
    other.finish()?;
    one.watch(soon * 6)?.fin_after(bytes)?;
    seen(format!("{} MiB waited for {} and arrived whole", bytes / MIB, seconds(slow)))
}
