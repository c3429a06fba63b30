//! Owns the lives of connections in a soak, and how each may end. Whatever is done to the cables, a clean
//! end behind anything but the whole stream is a lie.

use std::{thread, time::Duration};

use super::said;
use crate::{
    case::Side,
    end,
    outcome::Miss,
    sight::{Ending, Sight},
    stage::Stage,
};

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A request and FIN, then an answer and FIN.
    Exchange,
    /// The same the other way round: the server speaks first.
    ServerFirst,
    /// Half-closed for a while before the answer comes.
    HalfClosed,
    /// A reader that pauses in front of a long stream: its window closes.
    SlowReader,
    /// The same for longer than a peer that vanished may go unnoticed, as a process that is frozen does.
    Frozen,
    /// Bytes, and then RST.
    Reset,
    /// Nothing for a while, then an exchange.
    Idle,
}

/// How a life ended.
#[derive(Debug)]
pub(super) enum End {
    /// As it was meant to.
    Whole,
    /// Broken off, and both ends could see it.
    Broken(String),
    /// There was no connection.
    Unmade(String),
    /// An end saw a clean end of something that was not whole, or wrong bytes.
    Lie(String),
}

impl Kind {
    pub(super) fn draw(chance: &mut fastrand::Rng) -> Self {
        match chance.u8(0..40) {
            0..16 => Self::Exchange,
            16..20 => Self::ServerFirst,
            20..24 => Self::HalfClosed,
            24..27 => Self::SlowReader,
            27 => Self::Frozen,
            28..36 => Self::Reset,
            _ => Self::Idle,
        }
    }
}

/// Lives one life.
pub(super) fn live(stage: &Stage, kind: Kind, chance: &mut fastrand::Rng) -> End {
    let acting = if kind == Kind::ServerFirst { Side::Server } else { Side::Client };
    let (mut one, mut other) = match stage.pair_by_token(acting, chance.u64(..)) {
        Ok(pair) => pair,
        Err(miss) => return End::Unmade(said(&miss)),
    };
    let bytes = chance.u64(0..200_000);
    let pause = Duration::from_millis(chance.u64(100..2_500));
    // Whoever hears nothing for so long has not been told what it should have been.
    let patience = stage.limits.notice + stage.limits.soon * 2;
    let lived = match kind {
        Kind::Exchange | Kind::ServerFirst => {
            exchange(&mut one, &mut other, bytes, Pauses::default(), patience)
        }
        Kind::HalfClosed => {
            let pauses = Pauses { answering: pause, ..Pauses::default() };
            exchange(&mut one, &mut other, bytes, pauses, patience)
        }
        Kind::Idle => {
            thread::sleep(pause);
            exchange(&mut one, &mut other, bytes, Pauses::default(), patience)
        }
        Kind::SlowReader => {
            let pauses = Pauses { reading: pause, ..Pauses::default() };
            exchange(&mut one, &mut other, LONG + bytes, pauses, patience)
        }
        Kind::Frozen => {
            let pauses = Pauses { reading: stage.limits.notice + pause, ..Pauses::default() };
            exchange(&mut one, &mut other, LONG + bytes, pauses, patience)
        }
        Kind::Reset => {
            let sent = one.send(bytes.min(32 * 1024));
            one.reset();
            let saw = other.watch(patience);
            match (sent, saw) {
                (_, Ok(sight)) if sight.ending == Some(Ending::Fin) => Err(Told::Lie(sight.said())),
                (_, Ok(sight)) if sight.wrong_at.is_some() => Err(Told::Lie(sight.said())),
                (Ok(()), Ok(sight)) if sight.ending == Some(Ending::Reset) => Ok(()),
                (Err(miss), _) | (_, Err(miss)) => Err(Told::Broken(said(&miss))),
                (Ok(()), Ok(sight)) => Err(Told::Broken(sight.said())),
            }
        }
    };
    match lived {
        Ok(()) => End::Whole,
        Err(Told::Broken(said)) => End::Broken(said),
        Err(Told::Lie(said)) => End::Lie(said),
    }
}

/// Why a life was not whole.
enum Told {
    Broken(String),
    Lie(String),
}

impl From<Miss> for Told {
    fn from(miss: Miss) -> Self {
        Self::Broken(said(&miss))
    }
}

impl From<std::io::Error> for Told {
    fn from(error: std::io::Error) -> Self {
        Self::Broken(error.to_string())
    }
}

/// For how long nothing is done by an end that lives.
#[derive(Debug, Clone, Copy, Default)]
struct Pauses {
    /// Before it reads what is sent to it.
    reading: Duration,
    /// After it has read everything.
    answering: Duration,
}

/// More than all queues between two ends hold: whoever sends it is blocked while nobody reads.
const LONG: u64 = 12_000_000;

/// One sends so many bytes and FIN; the other reads, waits, and does the same.
fn exchange(
    one: &mut end::End,
    other: &mut end::End,
    bytes: u64,
    pauses: Pauses,
    patience: Duration,
) -> Result<(), Told> {
    for (from, to) in [(0, 1), (1, 0)] {
        let ends = [&mut *one, &mut *other];
        let [first, second] = ends;
        let (sender, reader) = if (from, to) == (0, 1) { (first, second) } else { (second, first) };
        let mut sending = sender.twin()?;
        let worker = thread::spawn(move || {
            let sent = sending.send(bytes);
            sent.and_then(|()| Ok(sending.finish()?)).map(|()| sending)
        });
        thread::sleep(pauses.reading);
        let saw = reader.watch(patience);
        let sent = worker
            .join()
            .unwrap_or_else(|_| Err(Miss::NotRun("the thread that sends panicked".to_owned())));
        let sight = saw?;
        whole(&sight, bytes)?;
        // Only now may the twin go: it would reset the connection's linger before its time.
        drop(sent?);
        thread::sleep(pauses.answering);
    }
    Ok(())
}

/// A clean end has to come behind the whole stream; any other end is broken, not a lie.
fn whole(sight: &Sight, bytes: u64) -> Result<(), Told> {
    match sight.ending {
        _ if sight.wrong_at.is_some() => Err(Told::Lie(sight.said())),
        Some(Ending::Fin) if sight.bytes == bytes => Ok(()),
        Some(Ending::Fin) => {
            Err(Told::Lie(format!("{} of {bytes} bytes: {}", sight.bytes, sight.said())))
        }
        _ => Err(Told::Broken(sight.said())),
    }
}
