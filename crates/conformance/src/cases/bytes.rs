//! Bytes out of the ordinary: an urgent one within the stream, and more than anybody reads.
//! Read: RFC 6093, RFC 9293 3.8.5 and 3.8.6.

use super::{KIB, MIB, greet, seen};
use crate::{
    case::{Case, Family, Needs, Pace, Side},
    outcome::{Miss, Ran},
    stage::Stage,
};

const URGENT: Case = Case {
    name: "",
    family: Family::Bytes,
    acting: Side::Client,
    done: "one end sends 1 KiB, one urgent byte (MSG_OOB), another 1 KiB, and FIN",
    due: "all 2 KiB and FIN; the urgent byte itself may be dropped, since its place cannot be kept",
    source: "RFC 6093 section 6: urgent data must not keep an application from its stream",
    needs: Needs::Ends,
    pace: Pace::Brisk,
    play: urgent,
};

const BOUNDED: Case = Case {
    done: "one end reads nothing, and the other sends as much as is taken, 64 MiB at most; then all is read",
    due: "the sender is blocked before 64 MiB, and every byte arrives",
    source: "RFC 9293 3.8.6: the window tells the sender what the reader can take, end to end",
    play: bounded,
    ..URGENT
};

pub(super) const CASES: &[Case] = &[
    Case { name: "urgent-byte-client", ..URGENT },
    Case { name: "urgent-byte-server", acting: Side::Server, ..URGENT },
    Case { name: "bounded-buffer-client", ..BOUNDED },
    Case { name: "bounded-buffer-server", acting: Side::Server, ..BOUNDED },
];

fn urgent(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    greet(&mut one, &mut other, soon)?;
    one.send(KIB)?;
    one.send_urgent()?;
    one.send(KIB)?;
    one.finish()?;
    other.watch(soon)?.fin_after(2 * KIB)?;
    seen("the whole stream, without the urgent byte in it")
}

fn bounded(stage: &Stage, acting: Side) -> Ran {
    const BOUND: u64 = 64 * MIB;
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    let taken = other.send_until_blocked(BOUND)?;
    if taken >= BOUND {
        let said = "64 MiB were taken although nobody reads, and no end of it was seen";
        return Err(Miss::failed("unbounded", said));
    }
    other.finish()?;
    one.watch(soon * 6)?.fin_after(taken)?;
    seen(format!("blocked after {:.1} MiB, all of which arrived", taken as f64 / MIB as f64))
}
