//! Owns the faults of a soak, and when one was at work: what broke meanwhile is excused.

use std::{
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use halfopen_lab::{
    End,
    wire::{Direction, Link, Rate, Then},
};

use crate::{
    case::Side,
    outcome::Miss,
    stage::{Cables, Stage},
};

/// Faults are at work now, or were until a moment ago; and how many there have been.
#[derive(Debug, Default)]
pub(super) struct Weather {
    state: Mutex<State>,
}

#[derive(Debug, Default, Clone, Copy)]
struct State {
    storms: u64,
    is_fair: bool,
    fair_since: Option<Instant>,
}

/// What the weather was at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Reading {
    storms: u64,
    was_fair: bool,
}

/// What can be done to a cable.
#[derive(Debug, Clone, Copy)]
enum Fault {
    /// Silence, in one direction or both, short: connections outlive it.
    Cut(Direction),
    /// Silence both ways, for longer than the relay may take to notice.
    LongCut,
    /// Frames are lost, delayed, doubled, spoiled, overtaken, or have to wait.
    Rough(Link),
    /// The host's plug is out: the relay's kernel is told.
    CarrierOff,
    /// A middlebox forgets every connection; those that are new pass it.
    Forgotten(Then),
    /// A middlebox sends RST to the relay, or to the host at the other end of its cable, or to both.
    Reset { to_relay: bool, to_host: bool },
    /// The host loses its power, and is there again: it knows none of its connections.
    PowerLost,
}

impl Fault {
    fn draw(chance: &mut fastrand::Rng) -> Self {
        let clear = Link { seed: chance.u64(..), ..Link::default() };
        let some = Duration::from_millis(chance.u64(5..60));
        match chance.u8(0..18) {
            0..2 => Self::Cut(Direction::Both),
            2 => Self::Cut(Direction::From(End::Left)),
            3 => Self::Cut(Direction::From(End::Right)),
            4 => Self::LongCut,
            5 => Self::Rough(Link { loss: 8.0, burst: 1.0, ..clear }),
            6 => Self::Rough(Link { loss: 5.0, burst: 6.0, ..clear }),
            7 => Self::Rough(Link { corrupt: 5.0, ..clear }),
            8 => Self::Rough(Link { reorder: 25.0, duplicate: 10.0, ..clear }),
            9 => Self::Rough(Link { delay: some, jitter: some / 2, ..clear }),
            10 => {
                // 8 Mbit/s with room for 60 frames: a slow uplink, with a queue that overflows.
                let rate = Some(Rate { bits_per_second: 8_000_000, queue: 90_000 });
                Self::Rough(Link { rate, ..clear })
            }
            11 => Self::CarrierOff,
            12 => Self::Forgotten(Then::Drop),
            13 => Self::Forgotten(Then::RstOnPacket),
            14 => Self::Forgotten(Then::Leak),
            15 => Self::PowerLost,
            16 => Self::Reset { to_relay: true, to_host: chance.bool() },
            _ => Self::Reset { to_relay: false, to_host: true },
        }
    }

    /// How long it is at work.
    fn span(self, notice: Duration, chance: &mut fastrand::Rng) -> Duration {
        match self {
            // What is only dropped has to be noticed, or it would be as if nothing had happened.
            Self::LongCut | Self::Forgotten(Then::Drop) => notice + Duration::from_secs(2),
            _ => Duration::from_millis(chance.u64(500..3_000)),
        }
    }

    fn begin(self, cables: &Cables, side: Side) -> Result<(), Miss> {
        match self {
            Self::Cut(direction) => {
                cables.set_link(side, direction, Link { cut: true, ..Link::default() })
            }
            Self::LongCut => cables.cut(side),
            Self::Rough(link) => cables.set_link(side, Direction::Both, link),
            Self::CarrierOff => cables.carrier(side, false),
            Self::Forgotten(then) => cables.forget(side, then),
            Self::Reset { to_relay, to_host } => cables.inject_reset(side, to_relay, to_host),
            Self::PowerLost => cables.lose_power(side),
        }
    }

    fn end(self, cables: &Cables, side: Side) -> Result<(), Miss> {
        match self {
            Self::CarrierOff => cables.carrier(side, true),
            Self::Forgotten(_) => cables.without_middlebox(side),
            _ => cables.mend(side),
        }
    }
}

impl Weather {
    pub(super) fn reading(&self) -> Reading {
        let state = self.lock();
        Reading { storms: state.storms, was_fair: is_fair(&state) }
    }

    /// No fault was at work at any moment since then, nor shortly before.
    pub(super) fn was_fair_since(&self, then: Reading) -> bool {
        let now = self.reading();
        then.was_fair && now.was_fair && now.storms == then.storms
    }

    /// Fair for some seconds, then one fault at one cable, until it is mended.
    /// `false` where the time was too short for one.
    pub(super) fn storm(
        &self,
        stage: &Stage,
        chance: &mut fastrand::Rng,
        deadline: Instant,
    ) -> Result<bool, Miss> {
        let side = if chance.bool() { Side::Client } else { Side::Server };
        let fault = Fault::draw(chance);
        let span = fault.span(stage.limits.notice, chance);
        pause(Duration::from_millis(chance.u64(2_000..6_000)), deadline);
        if Instant::now() + span > deadline {
            pause(span, deadline);
            return Ok(false);
        }
        {
            let mut state = self.lock();
            state.storms += 1;
            state.is_fair = false;
        }
        let cables = stage.cables()?;
        let done = fault.begin(cables, side);
        pause(span, deadline);
        let mended = fault.end(cables, side);
        let mut state = self.lock();
        state.is_fair = true;
        state.fair_since = Some(Instant::now());
        done.and(mended).map(|()| true)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fault is felt for a while after it: retransmissions have backed off (RFC 6298 5.5).
fn is_fair(state: &State) -> bool {
    state.storms == 0
        || (state.is_fair && state.fair_since.is_none_or(|since| since.elapsed() > AFTERMATH))
}

/// As long as the fault's longest short kind, doubled, and some more.
const AFTERMATH: Duration = Duration::from_secs(8);

/// Waits so long, or until the deadline.
fn pause(span: Duration, deadline: Instant) {
    thread::sleep(span.min(deadline.saturating_duration_since(Instant::now())));
}
