//! Half-close: one direction has ended, the other lives. FIN comes after all bytes before it, and
//! takes nothing from the other direction. Read: RFC 9293 3.6.

use std::{
    thread,
    time::{Duration, Instant},
};

use super::{KIB, MIB, SETTLED, seen};
use crate::{
    case::{Case, Family, Needs, Pace, Side},
    end::End,
    outcome::{Miss, Ran},
    stage::Stage,
};

const BASE: Case = Case {
    name: "",
    family: Family::HalfClose,
    acting: Side::Client,
    done: "",
    due: "",
    source: "RFC 9293 3.6: a user who closed may go on receiving until told that the other side has closed too",
    needs: Needs::Ends,
    pace: Pace::Brisk,
    play: then_a_long_answer,
};

const LONG: Case = Case {
    done: "one end sends 1 KiB and FIN; the other sends 10 MiB over 5.5 s and then FIN",
    due: "FIN after the 1 KiB, and all 10 MiB and FIN on the way back",
    play: then_a_long_answer,
    ..BASE
};
const ZERO: Case = Case {
    done: "one end sends FIN and nothing else; the other answers 1 KiB and FIN",
    due: "FIN without a byte, and the answer with its FIN on the way back",
    play: after_zero_bytes,
    ..BASE
};
const BULK: Case = Case {
    done: "one end sends 5 MiB and FIN as fast as it can; the other reads, then answers 1 KiB and FIN",
    due: "all 5 MiB before FIN, and the answer",
    play: after_bulk,
    ..BASE
};
const AMID: Case = Case {
    done: "one end sends FIN while 16 MiB come to it from the other, which finishes when it has sent them",
    due: "FIN at once, all 16 MiB and their FIN",
    play: amid_a_transfer,
    ..BASE
};
const SLOW: Case = Case {
    done: "one end sends FIN; the other then sends 100 bytes four times, with long pauses, and FIN",
    due: "all 400 bytes and FIN, however long the pauses",
    pace: Pace::Slow,
    play: then_a_slow_answer,
    ..BASE
};
const WHOLE: Case = Case {
    done: "one end closes whole (close(2)); the other sees FIN and goes on sending",
    due: "the sender is told by RST that nobody reads",
    source: "RFC 9293 3.10.7.4 and RFC 1122 4.2.2.13: data after close is answered with RST",
    play: whole_then_the_other_writes,
    ..BASE
};

pub(super) const CASES: &[Case] = &[
    Case { name: "half-close-client", ..LONG },
    Case { name: "half-close-server", acting: Side::Server, ..LONG },
    Case { name: "half-close-zero-bytes-client", ..ZERO },
    Case { name: "half-close-zero-bytes-server", acting: Side::Server, ..ZERO },
    Case { name: "half-close-after-bulk-client", ..BULK },
    Case { name: "half-close-after-bulk-server", acting: Side::Server, ..BULK },
    Case { name: "half-close-amid-transfer-client", ..AMID },
    Case { name: "half-close-amid-transfer-server", acting: Side::Server, ..AMID },
    Case { name: "half-close-slow-answer-client", ..SLOW },
    Case { name: "half-close-slow-answer-server", acting: Side::Server, ..SLOW },
    Case {
        name: "half-close-both-at-once",
        done: "both ends send 1 KiB and FIN at the same time",
        due: "each end gets the other's bytes and FIN",
        source: "RFC 9293 3.6, case 3: both users close simultaneously",
        play: both_at_once,
        ..BASE
    },
    Case {
        name: "full-duplex",
        done: "both ends send 32 MiB at the same time, and then FIN",
        due: "each end gets all bytes of the other, and FIN",
        play: full_duplex,
        ..BASE
    },
    Case { name: "close-whole-client", ..WHOLE },
    Case { name: "close-whole-server", acting: Side::Server, ..WHOLE },
];

fn then_a_long_answer(stage: &Stage, acting: Side) -> Ran {
    const PIECES: u64 = 55;
    const PIECE: u64 = 10 * MIB / PIECES;
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    one.send(KIB)?;
    one.finish()?;
    other.watch(soon)?.fin_after(KIB)?;
    let sender = thread::spawn(move || {
        for _ in 0..PIECES {
            other.send(PIECE)?;
            thread::sleep(Duration::from_millis(100));
        }
        other.finish()?;
        Ok::<End, Miss>(other)
    });
    let answer = one.watch(soon * 6)?;
    let sent = joined(sender.join())?;
    answer.fin_after(PIECES * PIECE)?;
    drop(sent);
    seen("FIN passed on at once, and the whole answer after it")
}

fn after_zero_bytes(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    one.watch(SETTLED)?.open_after(0)?;
    one.finish()?;
    other.watch(soon)?.fin_after(0)?;
    answer(&mut one, &mut other, soon)?;
    seen("FIN passed on, and the answer after it")
}

fn after_bulk(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    let mut sending = one.twin()?;
    let sender = thread::spawn(move || {
        sending.send(5 * MIB)?;
        Ok::<_, Miss>(sending.finish()?)
    });
    let sight = other.watch(soon * 4)?;
    joined(sender.join())?;
    sight.fin_after(5 * MIB)?;
    answer(&mut one, &mut other, soon)?;
    seen("all bytes before FIN, and the answer after it")
}

fn amid_a_transfer(stage: &Stage, acting: Side) -> Ran {
    const WHOLE: u64 = 16 * MIB;
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    let mut sending = other.twin()?;
    let sender = thread::spawn(move || {
        sending.send(WHOLE)?;
        Ok::<_, Miss>(sending.finish()?)
    });
    let before = one.receive(WHOLE / 4, soon)?;
    one.finish()?;
    let told = other.watch(soon)?;
    let after = one.watch(soon * 4)?;
    joined(sender.join())?;
    told.fin_after(0)?;
    after.fin_after(WHOLE - before.bytes)?;
    seen(format!("FIN after {}, and all bytes", crate::sight::seconds(told.at)))
}

fn then_a_slow_answer(stage: &Stage, acting: Side) -> Ran {
    const PIECES: u32 = 4;
    let (soon, slow) = (stage.limits.soon, stage.limits.slow);
    let (mut one, mut other) = stage.pair(acting)?;
    one.watch(SETTLED)?.open_after(0)?;
    one.finish()?;
    other.watch(soon)?.fin_after(0)?;
    let began = Instant::now();
    for _ in 0..PIECES {
        // The pause is what is tried: whoever ends the connection meanwhile is seen here.
        one.watch(slow / PIECES)?.open_after(0)?;
        other.send(100)?;
        one.receive(100, soon)?.open_after(100)?;
    }
    other.finish()?;
    one.watch(soon)?.fin_after(0)?;
    seen(format!("all of the answer, {} long", crate::sight::seconds(began.elapsed())))
}

fn both_at_once(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    one.send(KIB)?;
    other.send(KIB)?;
    one.finish()?;
    other.finish()?;
    one.watch(soon)?.fin_after(KIB)?;
    other.watch(soon)?.fin_after(KIB)?;
    seen("the bytes and FIN at both ends")
}

fn full_duplex(stage: &Stage, acting: Side) -> Ran {
    const WHOLE: u64 = 32 * MIB;
    let soon = stage.limits.soon;
    let (one, other) = stage.pair(acting)?;
    let mut workers = Vec::new();
    for end in [one, other] {
        let (mut sending, mut receiving) = (end.twin()?, end);
        let sender = thread::spawn(move || {
            sending.send(WHOLE)?;
            Ok::<_, Miss>(sending.finish()?)
        });
        let receiver = thread::spawn(move || Ok((receiving.watch(soon * 8)?, receiving)));
        workers.push((sender, receiver));
    }
    // All are waited for before one is judged: a reset by the judge would disturb the others.
    let ended: Vec<_> =
        workers.into_iter().map(|(sender, receiver)| (sender.join(), receiver.join())).collect();
    let mut sights = Vec::new();
    for (sent, watched) in ended {
        sights.push(joined(watched)?);
        joined(sent)?;
    }
    for (sight, _) in &sights {
        (*sight).fin_after(WHOLE)?;
    }
    seen("all bytes and FIN at both ends")
}

fn whole_then_the_other_writes(stage: &Stage, acting: Side) -> Ran {
    let soon = stage.limits.soon;
    let (mut one, mut other) = stage.pair(acting)?;
    super::greet(&mut one, &mut other, soon)?;
    one.close()?;
    other.watch(soon)?.fin_after(0)?;
    let sight = other.send_until_told(soon, 100, Duration::from_millis(50))?.reset()?;
    seen(format!("FIN, and RST {} into the sending", crate::sight::seconds(sight.at)))
}

/// The other end answers the one that has finished.
fn answer(one: &mut End, other: &mut End, soon: Duration) -> Result<(), Miss> {
    other.send(KIB)?;
    other.finish()?;
    one.watch(soon)?.fin_after(KIB)?;
    Ok(())
}

/// What a thread did; its panic is this crate's bug and goes on.
fn joined<R>(ended: thread::Result<Result<R, Miss>>) -> Result<R, Miss> {
    ended.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}
